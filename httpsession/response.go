package httpsession

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
)

// errUncommitted is what a handler gets that goes on after a panic in the middle of a save.
var errUncommitted = errors.New("httpsession: the session was not saved")

// response is a http.ResponseWriter that saves the session before the first byte of the
// header is sent. If that fails, the error handler answers, and what the handler writes is
// dropped. What it does not have, http.ResponseController finds by Unwrap.
type response struct {
	http.ResponseWriter
	before http.Header // as it was before the handler
	commit func() error
	tell   func(header http.Header) // what commit has come to
	fail   func(w http.ResponseWriter, err error)

	begun bool
	err   error // of commit
}

// begin saves, once. It returns the error every time.
func (w *response) begin() error {
	if w.begun {
		return w.err
	}
	w.begun, w.err = true, errUncommitted
	header := w.ResponseWriter.Header()
	if w.err = w.commit(); w.err != nil {
		// Neither its length nor its cookies are those of an error.
		clear(header)
		maps.Copy(header, w.before)
	}
	w.tell(header)
	if w.err != nil {
		w.fail(w.ResponseWriter, w.err)
	}
	return w.err
}

// finish saves if the handler has written nothing.
func (w *response) finish() { _ = w.begin() }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	// Of those below 200 only this one is not followed by another.
	informational := status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
	if informational && w.err == nil || !informational && w.begin() == nil {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

// WriteString implements io.StringWriter.
func (w *response) WriteString(text string) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return io.WriteString(w.ResponseWriter, text)
}

// ReadFrom implements io.ReaderFrom, with which files are sent without being read.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return io.Copy(w.ResponseWriter, r)
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is what http.ResponseController calls.
func (w *response) FlushError() error {
	if err := w.begin(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker. A handler that writes the header itself does not send
// the cookie, unless it copies it from Header.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.begin(); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
