package guard_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/guard"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

const (
	user     = "someone"
	password = "never-to-be-seen-in-clear"
	database = "somewhere"
	// patience is how long a login may take. It is fake time.
	patience = 5 * time.Second
)

const (
	native      = "mysql_native_password"
	cachingSHA2 = "caching_sha2_password"
	ed25519     = "client_ed25519"
)

var (
	salt = [wire.AuthDataSize]byte([]byte("abcdefghijklmnopqrst"))
	ok   = []byte{0, 0, 0, 2, 0, 0, 0}
)

// login is the one of dial.go, as far as it matters here.
func login(conn net.Conn, network string) error { return loginAs(conn, network, password) }

func loginAs(conn net.Conn, network, password string) error {
	given := func(context.Context, string, string) (net.Conn, error) { return noDeadlines{conn}, nil }
	_, err := client.ConnectWithDialer(context.Background(), network, "", user, password, database, given)
	return err
}

// noDeadlines panics when the library sets one: the guard owns the time.
type noDeadlines struct{ net.Conn }

func (noDeadlines) SetDeadline(time.Time) error      { panic("deadline set") }
func (noDeadlines) SetReadDeadline(time.Time) error  { panic("deadline set") }
func (noDeadlines) SetWriteDeadline(time.Time) error { panic("deadline set") }

// peer is the server's end of a connection. Its methods give up silently when the
// client has left; the test judges by what the client returned and what was seen.
type peer struct {
	t        *testing.T
	conn     net.Conn
	sequence uint8
	seen     bytes.Buffer // all that the client sent, inside TLS as well
	taken    int          // bytes that the client took
}

func (p *peer) write(b []byte) {
	n, _ := p.conn.Write(b)
	p.taken += n
}

func (p *peer) send(payload []byte) {
	n := len(payload)
	p.write(append([]byte{byte(n), byte(n >> 8), byte(n >> 16), p.sequence}, payload...))
	p.sequence++
}

// receive is the client's next packet, or nil when there is none.
func (p *peer) receive() []byte {
	var header [4]byte
	if _, err := io.ReadFull(p.conn, header[:]); err != nil {
		return nil
	}
	payload := make([]byte, int(header[0])|int(header[1])<<8|int(header[2])<<16)
	n, _ := io.ReadFull(p.conn, payload)
	p.seen.Write(payload[:n])
	if header[3] != p.sequence {
		p.t.Errorf("client sent sequence number %d, not %d", header[3], p.sequence)
	}
	p.sequence++
	return payload[:n]
}

// drain takes what the client sends until it leaves.
func (p *peer) drain() { _, _ = io.Copy(&p.seen, p.conn) }

// eager takes what arrives at once, as a kernel does: net.Pipe alone would have both ends
// wait for each other when both write.
type eager struct {
	net.Conn
	arrived chan []byte
	rest    []byte
}

func newEager(conn net.Conn) *eager {
	e := &eager{Conn: conn, arrived: make(chan []byte, 1024)}
	go func() {
		defer close(e.arrived)
		for {
			b := make([]byte, 4096)
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			e.arrived <- b[:n]
		}
	}()
	return e
}

func (e *eager) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		e.rest = <-e.arrived
	}
	if len(e.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// greet sends a greeting that proposes the plugin, and takes the response.
func (p *peer) greet(plugin string) []byte {
	p.send(greetingPayload(plugin, 0))
	return p.receive()
}

// secure takes the request for TLS, and the response under it.
func (p *peer) secure(settings *tls.Config) []byte {
	p.send(greetingPayload(cachingSHA2, wire.CapabilitySSL))
	if request := p.receive(); len(request) != 32 {
		p.t.Errorf("request for TLS has %d bytes", len(request))
		return nil
	}
	p.conn = tls.Server(p.conn, settings)
	return p.receive()
}

func greetingPayload(plugin string, more wire.Capability) []byte {
	return wire.AppendGreeting(nil, &wire.Greeting{
		ServerVersion: "9.9.9",
		ConnectionID:  7,
		AuthData:      salt,
		Capabilities: wire.CapabilityProtocol41 | wire.CapabilitySecureConn | wire.CapabilityPluginAuth |
			wire.CapabilityConnectWithDB | wire.CapabilityConnectAttrs | wire.CapabilityDeprecateEOF | more,
		Collation: 45,
		Status:    wire.StatusAutocommit,
		Plugin:    plugin,
	})
}

func switchTo(plugin, data string) []byte {
	return wire.AppendAuthSwitch(nil, wire.AuthSwitch{Plugin: plugin, Data: []byte(data)})
}

func moreData(data ...byte) []byte { return wire.AppendMoreData(nil, data) }

// outcome is what a login against a scripted server came to.
type outcome struct {
	err     error
	session *guard.Session
	took    time.Duration // fake
	server  *peer
}

// meet logs in at a server that follows the script, in fake time. It fails when either
// end leaves a goroutine behind: then the bubble cannot end.
func meet(t *testing.T, options guard.Options, script func(p *peer), more ...func(o *outcome)) outcome {
	t.Helper()
	return meetWithin(t, context.Background(), options, login, script, more...)
}

func meetWithin(t *testing.T, parent context.Context, options guard.Options,
	login func(net.Conn, string) error, script func(p *peer), more ...func(o *outcome)) outcome {
	t.Helper()
	var o outcome
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(parent, patience)
		defer cancel()
		ours, theirs := net.Pipe()
		o.server = &peer{t: t, conn: newEager(theirs)}
		var done sync.WaitGroup
		done.Go(func() {
			defer theirs.Close()
			script(o.server)
		})
		begin := time.Now()
		o.session, o.err = guard.Login(ctx, ours, options, login)
		o.took = time.Since(begin)
		if o.err == nil {
			for _, then := range more {
				then(&o)
			}
			_ = ours.Close()
		} else {
			_, err := ours.Write([]byte{0})
			require.ErrorIs(t, err, io.ErrClosedPipe, "the socket is left open")
		}
		done.Wait()
	})
	require.LessOrEqual(t, o.took, patience)
	if o.err != nil {
		require.Nil(t, o.session)
		require.NotContains(t, o.err.Error(), password)
		require.NotContains(t, o.err.Error(), "\n")
	}
	return o
}

// refused is a login that must fail without delay, and without a trace of the password.
func refused(t *testing.T, options guard.Options, script func(p *peer)) outcome {
	t.Helper()
	o := meet(t, options, func(p *peer) {
		script(p)
		p.drain()
	})
	require.Error(t, o.err)
	require.Zero(t, o.took)
	require.NotContains(t, o.server.seen.String(), password)
	return o
}

// violates is one that fails because the server broke the protocol, and because the
// guard saw that: the library may not get to see it.
func violates(t *testing.T, options guard.Options, script func(p *peer)) {
	t.Helper()
	o := refused(t, options, script)
	var violation guard.Violation
	require.ErrorAs(t, o.err, &violation)
	require.NotContains(t, o.err.Error(), "panic")
	require.NotContains(t, o.err.Error(), "our side")
	require.NotContains(t, o.err.Error(), "without the server's OK")
}

// requirePanic is for a panic that was meant.
func requirePanic(t *testing.T, err error) {
	t.Helper()
	var violation guard.Violation
	require.ErrorAs(t, err, &violation)
	require.ErrorContains(t, err, "panic in the login")
}

// decrypt is what the server makes of an encrypted password.
func decrypt(t *testing.T, key *rsa.PrivateKey, encrypted []byte) string {
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, encrypted, nil)
	if err != nil {
		t.Error(err)
	}
	for i := range plain {
		plain[i] ^= salt[i%len(salt)]
	}
	return string(plain)
}
