package guard

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

const (
	// headerSize is a packet header: three bytes of length, one of sequence.
	headerSize = 4
	// maxGreeting and maxPacket bound, in bytes, what is read and allocated for a server
	// that has proved nothing. Real packets are an eighth of that; the largest is a key
	// of 8192 bits, which takes 1.1 KiB.
	maxGreeting = 1 << 10
	maxPacket   = 4 << 10
	// sslRequestSize is the beginning of a response that asks for TLS: flags, packet
	// size, collation and filler
	// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_ssl_request.html).
	sslRequestSize = 32
)

// state says whose turn it is and what may come.
type state uint8

// The states. check moves on with a server's packet, Write with the library's.
const (
	libraryResponds  state = iota // to the greeting
	serverAnswers                 // OK, an error, another method, or what caching_sha2_password found
	libraryScrambles              // for the method that the server switched to
	libraryTells                  // the password itself, or that it wants the key
	serverSendsKey                // or an error
	libraryEncrypts               // the password with the key
	serverDecides                 // OK or an error
	loggedIn                      // nothing more
)

// conn is the connection that the library sees. It is for one goroutine.
type conn struct {
	net.Conn // the socket; Read and Write go to peer
	ctx      context.Context
	options  Options

	peer      net.Conn // the socket, or TLS over it
	state     state
	sequence  uint8  // of the next packet on the wire
	inner     uint8  // the same as the library counts: it knows neither of TLS nor of a key that was not asked for
	pending   []byte // of a packet for the library
	cause     error  // what ended the login; it sticks
	startTLS  bool
	encrypted bool
	switched  bool
	method    string
	key       *rsa.PublicKey

	greeting     wire.Greeting
	capabilities wire.Capability
}

// Read gives the library what is left of a checked packet, or of the next one.
func (c *conn) Read(p []byte) (int, error) {
	if c.cause == nil && len(c.pending) == 0 {
		c.cause = c.receive()
	}
	if c.cause != nil {
		return 0, c.cause
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// Write takes one whole packet from the library.
func (c *conn) Write(p []byte) (int, error) {
	if c.cause == nil {
		c.cause = c.send(p)
	}
	if c.cause != nil {
		return 0, c.cause
	}
	return len(p), nil
}

// greet reads the greeting, and decides on TLS before anything is sent.
func (c *conn) greet() error {
	payload, err := c.readPacket(maxGreeting)
	if err != nil {
		return err
	}
	if kind, err := wire.LoginKind(payload); err == nil && kind == wire.LoginError {
		return c.failure(payload, c.options.TLS != nil)
	}
	if c.greeting, err = wire.ParseGreeting(payload); err != nil {
		return Violation("malformed greeting, or not a MySQL server")
	}
	c.startTLS = c.options.TLS != nil && c.greeting.Capabilities&wire.CapabilitySSL != 0
	if c.options.TLS != nil && !c.startTLS && !c.options.TLSOptional {
		return ErrTLSUnavailable
	}
	// The account's method may be another one than the server's favourite. Whatever that
	// is, begin with one that gives nothing away; the server will switch.
	c.method = c.greeting.Plugin
	if c.method != methodCachingSHA2 {
		c.method = methodNative
	}
	known := c.greeting
	known.Plugin = c.method
	c.deliver(wire.AppendGreeting(nil, &known))
	return nil
}

// send takes the library's packet, which must be of the kind that is due.
func (c *conn) send(p []byte) error {
	if len(p) < headerSize || length(p) != len(p)-headerSize || p[3] != c.inner {
		return Violation("unforeseen packet from our side")
	}
	c.inner++
	payload := p[headerSize:]
	switch c.state {
	case libraryResponds:
		return c.respond(payload)
	case libraryScrambles:
		c.state = serverAnswers
	case libraryTells:
		if c.confidential() {
			c.state = serverDecides
			break
		}
		if !bytes.Equal(payload, []byte{requestKey}) {
			return Violation("unforeseen packet from our side")
		}
		if c.key = c.options.Key; c.key != nil {
			c.state = libraryEncrypts
			return c.deliverKey()
		}
		c.state = serverSendsKey
	case libraryEncrypts:
		if len(payload) != c.key.Size() { // the library ignores that the encryption failed
			return Violation("password too long for the server's public key")
		}
		c.state = serverDecides
	default:
		return Violation("unforeseen packet from our side")
	}
	return c.writePacket(payload)
}

// respond passes the response to the greeting on, under TLS if that was decided.
func (c *conn) respond(payload []byte) error {
	if len(payload) <= sslRequestSize {
		return Violation("unforeseen packet from our side")
	}
	flags := wire.Capability(binary.LittleEndian.Uint32(payload))
	if c.startTLS {
		flags |= wire.CapabilitySSL
		payload = bytes.Clone(payload)
		binary.LittleEndian.PutUint32(payload, uint32(flags))
		if err := c.writePacket(payload[:sslRequestSize]); err != nil {
			return err
		}
		secure := tls.Client(c.Conn, c.options.TLS)
		if err := secure.HandshakeContext(c.ctx); err != nil {
			return explainTLS(err)
		}
		c.peer, c.encrypted = secure, true
	}
	c.capabilities = flags & c.greeting.Capabilities
	c.state = serverAnswers
	return c.writePacket(payload)
}

// confidential says whether the password itself may be written.
func (c *conn) confidential() bool { return c.encrypted || c.options.Local }

// deliver puts a packet together for the library to read.
func (c *conn) deliver(payload []byte) {
	n := len(payload)
	c.pending = append([]byte{byte(n), byte(n >> 8), byte(n >> 16), c.inner}, payload...)
	c.inner++
}

// writePacket sends a packet to the server.
func (c *conn) writePacket(payload []byte) error {
	n := len(payload)
	_, err := c.peer.Write(append([]byte{byte(n), byte(n >> 8), byte(n >> 16), c.sequence}, payload...))
	c.sequence++
	return alert(err)
}

// readPacket reads a packet of the server, and not a byte more.
func (c *conn) readPacket(limit int) ([]byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(c.peer, header[:]); err != nil {
		return nil, alert(err)
	}
	size := length(header[:])
	if size == 0 || size > limit {
		return nil, Violation("packet of a size that no login has, or not a MySQL server")
	}
	// A server that ends a connection on its own account counts from 0.
	inOrder, notice := header[3] == c.sequence, header[3] == 0
	if !inOrder && !notice {
		return nil, Violation("packet out of sequence, or not a MySQL server")
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(c.peer, payload); err != nil {
		return nil, alert(err)
	}
	if kind, err := wire.LoginKind(payload); !inOrder && (err != nil || kind != wire.LoginError) {
		return nil, Violation("packet out of sequence")
	}
	c.sequence++
	return payload, nil
}

func length(header []byte) int {
	return int(header[0]) | int(header[1])<<8 | int(header[2])<<16
}
