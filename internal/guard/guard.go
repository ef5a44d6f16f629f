// Package guard stands between a socket and the library that logs in over it, and
// trusts neither the peer nor the library with the peer's bytes.
//
// The library sees a net.Conn. Every packet for it is read whole, checked (length,
// sequence, structure, authentication method, and whether its kind may come at this
// point) and written anew from what was understood; TLS happens underneath. So a hostile
// server can neither crash the library, nor get a password in clear text, nor have a
// login pass for successful without the server's OK. Not one byte behind the login's
// last packet is read.
//
// The order of packets allows a server five at most, so no further limit on their
// number is needed.
package guard

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// Options say what a login may do.
type Options struct {
	// TLS holds the settings for TLS. nil: no TLS.
	TLS *tls.Config
	// TLSOptional goes on without TLS when the server offers none.
	TLSOptional bool
	// Local says that the socket does not leave the machine, so that the password may
	// be sent over it as it is.
	Local bool
	// AskForKey allows asking the server for its RSA key where the password needs one:
	// over a socket that is neither local nor under TLS.
	AskForKey bool
	// Key is the server's RSA key, used instead of asking. nil: not known.
	Key *rsa.PublicKey
}

// The networks that a login function is told. They make the library answer
// caching_sha2_password's full authentication with the password itself, or encrypted.
const (
	NetworkConfidential = "unix"
	NetworkOpen         = "tcp"
)

// Session is what a login leaves behind.
type Session struct {
	Conn         net.Conn // the TLS connection, or the socket
	Greeting     wire.Greeting
	Capabilities wire.Capability // what both sides have
}

// Login has login log in over the socket, and ends it at once when ctx ends. login must
// leave deadlines alone: the guard needs none, as it closes the socket instead. It is
// closed whenever an error is returned. Errors: ctx's own; ErrTLSUnavailable;
// ErrKeyRetrieval; Violation; *Failure; *TLSError; else what the socket returned.
func Login(ctx context.Context, socket net.Conn, options Options, login func(conn net.Conn, network string) error) (*Session, error) {
	c := &conn{Conn: socket, ctx: ctx, options: options, peer: socket}
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	err := c.run(login)
	if stopped := stop(); !stopped || err != nil && ctx.Err() != nil {
		err = contextError(ctx) // the socket is closed, or about to be, also after a login that succeeded
	}
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	return &Session{Conn: c.peer, Greeting: c.greeting, Capabilities: c.capabilities}, nil
}

// run greets and has login do the rest. A panic of the library, or of a function in the
// caller's TLS settings, is contained here: nothing above may be able to.
func (c *conn) run(login func(net.Conn, string) error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = Violation(fmt.Sprintf("panic in the login (%T)", value))
		}
	}()
	if err := c.greet(); err != nil {
		return err
	}
	network := NetworkOpen
	if c.options.Local || c.startTLS {
		network = NetworkConfidential
	}
	err = login(c, network)
	switch {
	case c.cause != nil:
		return c.cause // what the library made of it has lost the cause
	case err != nil:
		return Violation("the login was given up on our side")
	case c.state != loggedIn:
		return Violation("login without the server's OK")
	}
	return nil
}

// contextError is why an ended context has ended: its error, and its cause if that is
// another.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == err {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
