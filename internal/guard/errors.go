package guard

import (
	"crypto/tls"
	"errors"
	"io"
	"net"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

var (
	// ErrTLSUnavailable is returned when TLS is asked for and the server has none. No
	// credential was sent.
	ErrTLSUnavailable = errors.New("server has no TLS")
	// ErrKeyRetrieval is returned when the login needs the server's RSA key, which is
	// neither known nor allowed to be asked for.
	ErrKeyRetrieval = errors.New("server's public key needed")
)

// Violation is a breach of the protocol. Its text holds nothing that the peer sent.
type Violation string

func (v Violation) Error() string { return string(v) }

// Failure is an error that the server reported instead of letting us in.
type Failure struct {
	wire.Failure
	// BeforeTLS says that TLS was to come and had not: anyone on the way may have said it.
	BeforeTLS bool
}

func (f *Failure) Error() string { return "server refused the login" }

// TLSError is a TLS handshake that failed for another reason than the socket's: mostly
// a certificate.
type TLSError struct{ Err error }

func (e *TLSError) Error() string { return "TLS: " + e.Err.Error() }

// Unwrap returns what crypto/tls reported.
func (e *TLSError) Unwrap() error { return e.Err }

// explainTLS tells apart what ended a TLS handshake.
func explainTLS(err error) error {
	var header tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &header):
		return Violation("no TLS where the server promised it")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return err
	case errors.As(err, &op):
		return alert(err)
	}
	return &TLSError{err}
}

// alert marks what is a TLS alert and not the socket's error: from TLS 1.3 on a server
// objects to the client's certificate only after the handshake.
func alert(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
		return &TLSError{err}
	}
	return err
}
