package mysqlsession_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// stranger is what answers in a server's place, or a server that lets nobody in.
type stranger struct {
	name   string
	script func(conn net.Conn)
	change func(cfg *mysqlsession.Config)
	want   error  // one that the error must be; nil: see code
	code   uint16 // of the server's error; 0: none
	as     any    // a pointer to an error of a type that the error must have; nil: none
	final  bool   // only a person can help: it is not tried again for a while
	slow   bool   // it takes ConnectTimeout to find out
}

// greetWith greets with an authentication method and takes the response.
func greetWith(conn net.Conn, plugin string) {
	sendPacket(conn, 0, greetingWith(plugin))
	takePacket(conn)
}

func greetingWith(plugin string) []byte {
	return wire.AppendGreeting(nil, &wire.Greeting{
		ServerVersion: "9.9.9",
		Capabilities:  wire.CapabilityProtocol41 | wire.CapabilitySecureConn | wire.CapabilityPluginAuth,
		Plugin:        plugin,
	})
}

// takePacket reads a packet and drops it.
func takePacket(conn net.Conn) {
	var header [4]byte
	if _, err := io.ReadFull(conn, header[:]); err == nil {
		_, _ = io.CopyN(io.Discard, conn, int64(header[0])|int64(header[1])<<8|int64(header[2])<<16)
	}
}

// answers greets, takes the response, and sends a packet.
func answers(sequence byte, payload []byte) func(conn net.Conn) {
	return func(conn net.Conn) {
		greet(conn)
		sendPacket(conn, sequence, payload)
		stalls(conn)
	}
}

// asksForFullLogin is caching_sha2_password's wish for the password, or a key.
func asksForFullLogin(conn net.Conn) {
	greetWith(conn, "caching_sha2_password")
	sendPacket(conn, 2, []byte{1, 4})
}

// sendsKey is a server whose key is one of these bytes.
func sendsKey(key string) func(conn net.Conn) {
	return func(conn net.Conn) {
		asksForFullLogin(conn)
		takePacket(conn)
		sendPacket(conn, 4, append([]byte{1}, key...))
		stalls(conn)
	}
}

func retrievesKeys(cfg *mysqlsession.Config) { cfg.AllowPublicKeyRetrieval = true }

func wantsTLS(cfg *mysqlsession.Config) { cfg.SSL = true }

// strangers are one of each kind that the matrix knows. The guard's own tests have many
// more; here it is what a pool makes of them.
func strangers(t *testing.T) []stranger {
	trusting := func(cfg *mysqlsession.Config) { cfg.SSL, cfg.SSLVerify, cfg.Host = true, true, "a" }
	protocol, down := mysqlsession.ErrProtocol, mysqlsession.ErrUnavailable
	list := []stranger{
		{name: "F03 no greeting", script: stalls, want: down, slow: true},
		{name: "F04 half a greeting", script: func(conn net.Conn) {
			_, _ = conn.Write([]byte{80, 0, 0, 0, 10, '9'})
			stalls(conn)
		}, want: down, slow: true},
		{name: "F05 no answer to the response", script: func(conn net.Conn) { greet(conn); stalls(conn) }, want: down, slow: true},
		{name: "F05 no answer to the ClientHello", script: func(conn net.Conn) {
			sendPacket(conn, 0, wire.AppendGreeting(nil, &wire.Greeting{ServerVersion: "9.9.9", Plugin: "mysql_native_password",
				Capabilities: wire.CapabilityProtocol41 | wire.CapabilitySecureConn | wire.CapabilityPluginAuth | wire.CapabilitySSL}))
			stalls(conn)
		}, change: wantsTLS, want: down, slow: true},
		{name: "F07 an empty greeting", script: func(conn net.Conn) { sendPacket(conn, 0, nil); stalls(conn) }, want: protocol},
		{name: "F07 a greeting without an end", script: func(conn net.Conn) {
			sendPacket(conn, 0, slices.Repeat([]byte{10}, 60))
			stalls(conn)
		}, want: protocol},
		{name: "F08 a greeting of 16 MiB", script: func(conn net.Conn) {
			for range 24 {
				if _, err := conn.Write(append([]byte{0xff, 0xff, 0xff, 0}, make([]byte, 1<<10)...)); err != nil {
					return
				}
			}
		}, want: protocol},
		{name: "F09 a web server", script: says("HTTP/1.1 400 Bad Request\r\nServer: " + secret + "\r\n\r\n"), want: protocol},
		{name: "F09 a shell server", script: says("SSH-2.0-OpenSSH_9.2p1 " + secret + "\r\n"), want: protocol},
		{name: "F09 the X protocol", script: says("\x05\x00\x00\x00\x0b\x08\x05\x1a\x00"), want: protocol},
		{name: "F10 a greeting out of sequence", script: func(conn net.Conn) {
			sendPacket(conn, 1, greetingWith("mysql_native_password"))
			stalls(conn)
		}, want: protocol},
		{name: "F10 an OK out of sequence", script: answers(3, []byte{0, 0, 0, 2, 0, 0, 0}), want: protocol},
		{name: "F12 caching_sha2_password wants the password", script: asksForFullLogin, want: mysqlsession.ErrKeyRetrieval, final: true},
		{name: "F13 an error in the key's place", script: func(conn net.Conn) {
			asksForFullLogin(conn)
			takePacket(conn)
			sendPacket(conn, 4, []byte("\xff\x15\x04#28000"+secret))
		}, change: retrievesKeys, code: 1045, final: true},
		{name: "F14 half an OK", script: answers(2, []byte{0, 0, 0}), want: protocol},
		{name: "F14 an OK of another kind", script: answers(2, []byte{1, 3}), want: protocol},
		{name: "F14 a switch to nothing", script: answers(2, []byte{0xfe, 0}), want: protocol},
		{name: "F15 no TLS", script: func(conn net.Conn) { greet(conn) }, change: wantsTLS, want: mysqlsession.ErrTLSUnavailable, final: true},
		{name: "F16 a certificate that nobody knows", script: func(conn net.Conn) { tlsServer(newCertificate(t))(conn) },
			change: trusting, as: new(x509.UnknownAuthorityError), final: true},
		{name: "F16 a certificate of another time", script: tlsServer(newCertificate(t)), // made in real time
			change: trusting, as: new(x509.CertificateInvalidError), final: true},
		{name: "F17 a refusal before TLS", script: refuses(1045), change: wantsTLS, want: down, code: 1045},
		{name: "F20 a session that cannot be set up", script: func(conn net.Conn) {
			greet(conn)
			p := newServerEnd(conn)
			p.reply(ok(2, committing, 0))
			_ = p.take(4)
			p.reply(ok(1, committing, 0), failure(1, 1115, "42000", secret), ok(1, committing, 0), ok(1, committing, 0))
			p.ended()
		}, code: 1115, final: true},
		{name: "F20 a session whose setting up has no end", script: func(conn net.Conn) {
			greet(conn)
			newServerEnd(conn).reply(ok(2, committing, 0))
			stalls(conn)
		}, want: down, slow: true},
		{name: "F21 a dialer that panics", change: func(cfg *mysqlsession.Config) {
			cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { panic(secret) }
		}, want: down},
	}
	for _, method := range []string{"mysql_clear_password", "sha256_password", "dialog", "mysql_old_password", "unheard_of"} {
		list = append(list, stranger{name: "F11 a switch to " + method, want: protocol,
			script: answers(2, wire.AppendAuthSwitch(nil, wire.AuthSwitch{Plugin: method, Data: make([]byte, 21)}))})
	}
	for name, key := range map[string]string{"none": "", "no PEM": "no key", "junk": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		list = append(list, stranger{name: "F13 a key that is " + name, script: sendsKey(key), change: retrievesKeys, want: protocol})
	}
	for _, code := range []uint16{1040, 1203, 1226, 1129} {
		list = append(list, stranger{name: fmt.Sprintf("F18 overload %d", code), script: refusesUser(code), want: down, code: code})
	}
	for _, code := range []uint16{1045, 1044, 1049, 1130, 1862, 3118, 4151, 3159, 1251} {
		list = append(list, stranger{name: fmt.Sprintf("F19 refusal %d", code), script: refusesUser(code), code: code, final: true})
	}
	return list
}

// heard keeps what a client sends.
func heard(script func(conn net.Conn), sent *sentBytes) func(conn net.Conn) {
	return func(conn net.Conn) { script(&listeningConn{conn, sent}) }
}

type listeningConn struct {
	net.Conn
	sent *sentBytes
}

func (c *listeningConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.sent.add(p[:n])
	return n, err
}

// A pool whose server has been replaced by a stranger tells its callers what is wrong, says
// nothing of the password, and is as good as new when the server is back.
func TestAStrangerInTheServersPlaceCostsAPoolNothing(t *testing.T) {
	const limit = 3 * time.Second
	for _, s := range strangers(t) {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{t: t, limit: 1, quit: make(chan struct{})}
				defer close(b.quit)
				swap, changed := false, mysqlsession.Config{}
				cfg := mysqlsession.Config{
					Host: "a", Username: "someone", Password: secret, PoolSize: 1, ConnectTimeout: limit, DialFunc: b.dial,
					BeforeConnect: func(_ context.Context, cfg *mysqlsession.Config) error {
						if swap {
							*cfg = changed
						}
						return nil
					},
				}
				pool, err := mysqlsession.NewPool(t.Context(), cfg)
				require.NoError(t, err)
				defer func() { require.NoError(t, pool.Close()) }()
				w := newWitness(pool, b.open, echoOn(pool))
				w.slack, w.secrets = 0, []string{secret, "the server's words"}

				changed = cfg
				changed.BeforeConnect = nil
				if s.change != nil {
					s.change(&changed)
				}
				var sent sentBytes
				swap = true
				if s.script != nil {
					b.set(func() { b.script = heard(s.script, &sent) })
				}
				acquire(t, pool).Discard()
				synctest.Wait()
				began := time.Now()
				var memory, after runtime.MemStats
				runtime.ReadMemStats(&memory)
				err = w.call(t, t.Context(), limit, func(ctx context.Context) error { return w.echo(ctx, "text") })
				runtime.ReadMemStats(&after)
				requireStranger(t, s, err)
				require.Equal(t, map[bool]time.Duration{true: limit}[s.slow], time.Since(began), "it is found out at once, or when the time is up")
				require.Less(t, after.TotalAlloc-memory.TotalAlloc, uint64(4<<20))
				require.NotContains(t, sent.String(), secret, "the password stays at home")
				synctest.Wait()
				require.Zero(t, b.open(), "I3: its socket is closed")
				requirePause(t, b, pool, s)

				swap = false
				b.set(func() { b.script = nil })
				w.settled(t)
			})
		})
	}
}

func requireStranger(t *testing.T, s stranger, err error) {
	t.Helper()
	require.Error(t, err)
	require.True(t, mysqlsession.SafeToRetry(err))
	if s.want != nil {
		require.ErrorIs(t, err, s.want)
	} else {
		require.NotErrorIs(t, err, mysqlsession.ErrUnavailable, "nothing that passes by itself")
	}
	if s.code != 0 {
		requireServerError(t, err, s.code)
	}
	if s.slow {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	if s.as != nil {
		require.ErrorAs(t, err, s.as)
	}
}

// requirePause sees when the pool dials again: after a moment, or not before half a second
// if it was refused for good.
func requirePause(t *testing.T, b *backend, pool *mysqlsession.Pool, s stranger) {
	t.Helper()
	const first, refused, step = 50 * time.Millisecond, time.Second, 5 * time.Millisecond
	dials, began := b.dialled(), time.Now()
	var waited time.Duration
	for ; waited < refused; waited = time.Since(began) {
		_, err := pool.Acquire(t.Context())
		require.Error(t, err)
		if b.dialled() != dials || s.script == nil {
			break
		}
		time.Sleep(step)
	}
	if s.final {
		require.GreaterOrEqual(t, waited, refused/2, "servers lock out whoever tries again and again")
	} else {
		require.LessOrEqual(t, waited, first+step, "it may pass")
	}
}

// A caller without a deadline was told that its context had ended.
func TestAHookThatTakesTooLongIsUnavailability(t *testing.T) {
	const limit = 3 * time.Second
	slow := false
	hang := func(ctx context.Context) error {
		if slow {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	hooks := map[string]mysqlsession.Config{
		"BeforeConnect": {BeforeConnect: func(ctx context.Context, _ *mysqlsession.Config) error { return hang(ctx) }},
		"AfterConnect":  {AfterConnect: func(ctx context.Context, _ *mysqlsession.Conn) error { return hang(ctx) }},
	}
	for name, cfg := range hooks {
		t.Run(name, func(t *testing.T) {
			slow = false
			cfg.PoolSize, cfg.ConnectTimeout = 1, limit
			inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
				w := watched(pool, b)
				acquire(t, pool).Discard()
				slow = true
				err := w.call(t, t.Context(), limit, func(ctx context.Context) error { return w.echo(ctx, "text") })
				require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, name)
				slow = false
				w.settled(t)
			})
		})
	}
}
