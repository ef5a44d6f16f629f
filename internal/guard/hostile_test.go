package guard_test

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"math/big"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/guard"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// stalls are servers that stop at some point of the login and keep the connection open.
func stalls(t *testing.T) map[string]struct {
	options guard.Options
	script  func(p *peer)
} {
	secure := guard.Options{TLS: newAuthority(t).client("db.example")}
	return map[string]struct {
		options guard.Options
		script  func(p *peer)
	}{
		"before the greeting": {script: func(p *peer) {}},
		"in the greeting":     {script: func(p *peer) { p.write([]byte{80, 0, 0, 0, 10, '9'}) }},
		"in a drip": {script: func(p *peer) {
			for _, b := range append([]byte{80, 0, 0, 0}, greetingPayload(native, 0)...) {
				p.write([]byte{b})
				time.Sleep(200 * time.Millisecond)
			}
		}},
		"after the response": {script: func(p *peer) { p.greet(native) }},
		"after fast authentication": {script: func(p *peer) {
			p.greet(cachingSHA2)
			p.send(moreData(3))
		}},
		"after the request for its key": {options: guard.Options{AskForKey: true}, script: func(p *peer) {
			p.greet(cachingSHA2)
			p.send(moreData(4))
			p.receive()
		}},
		"in the TLS handshake": {options: secure, script: func(p *peer) {
			p.send(greetingPayload(native, wire.CapabilitySSL))
			p.receive()
		}},
	}
}

func TestAServerThatStallsIsLeftWhenTheContextEnds(t *testing.T) {
	for name, c := range stalls(t) {
		t.Run(name, func(t *testing.T) {
			o := meet(t, c.options, func(p *peer) { c.script(p); p.drain() })
			require.ErrorIs(t, o.err, context.DeadlineExceeded)
			require.Equal(t, patience, o.took)
			require.NotContains(t, o.server.seen.String(), password)
		})
	}
}

func TestAServerThatStallsIsLeftWhenTheContextIsCancelled(t *testing.T) {
	reason := errors.New("the reason")
	for name, c := range stalls(t) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			o := meetWithin(t, ctx, c.options, login, func(p *peer) {
				time.AfterFunc(time.Second, func() { cancel(reason) })
				c.script(p)
				p.drain()
			})
			require.ErrorIs(t, o.err, context.Canceled)
			require.ErrorIs(t, o.err, reason)
			require.Equal(t, time.Second, o.took)
			require.NotContains(t, o.server.seen.String(), password)
		})
	}
}

func TestALoginIsNotBegunWhenTheContextHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	o := meetWithin(t, ctx, guard.Options{}, login, (*peer).drain)
	require.ErrorIs(t, o.err, context.Canceled)
	require.Zero(t, o.took)
}

func TestABrokenGreetingIsRefused(t *testing.T) {
	whole := greetingPayload(native, 0)
	for n := range whole {
		t.Run(fmt.Sprintf("%d bytes", n), func(t *testing.T) {
			violates(t, guard.Options{}, func(p *peer) { p.send(whole[:n]) })
		})
	}
	for name, payload := range map[string]string{
		"no NUL":             "\x0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"protocol 9":         "\x095.0\x00aaaaaaaaaaaaaaa",
		"the X protocol":     "\x0b\x08\x05\x1a\x00",
		"an OK":              string(ok),
		"a switch to clear":  string(switchTo("mysql_clear_password", "")),
		"cut error packet":   "\xff\x15",
		"request for a file": "\xfb/etc/passwd",
	} {
		t.Run(name, func(t *testing.T) {
			violates(t, guard.Options{}, func(p *peer) { p.send([]byte(payload)) })
		})
	}
}

func TestAnotherProtocolsServerIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"HTTP":       "HTTP/1.1 400 Bad Request\r\nServer: SECRET\r\n\r\n",
		"SSH":        "SSH-2.0-OpenSSH_9.2p1\r\n",
		"SMTP":       "220 mail.example ESMTP\r\n",
		"X protocol": "\x05\x00\x00\x00\x0b\x08\x05\x1a\x00",
	} {
		t.Run(name, func(t *testing.T) {
			violates(t, guard.Options{}, func(p *peer) { p.write([]byte(text)) })
		})
	}
}

// A server could announce 16 MiB, send it again and again, and have each of it kept.
func TestAnOversizedPacketIsRefusedUnread(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	oversized := append([]byte{0xff, 0xff, 0xff, 0}, make([]byte, 64<<10)...)
	o := refused(t, guard.Options{}, func(p *peer) { p.write(oversized) })
	require.Equal(t, 4, o.server.taken)
	o = refused(t, guard.Options{}, func(p *peer) {
		p.greet(native)
		before := p.taken
		oversized[3] = p.sequence
		p.write(oversized)
		p.taken -= before
	})
	require.Equal(t, 4, o.server.taken)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func TestAPacketOutOfSequenceIsRefused(t *testing.T) {
	skip := func(p *peer) { p.sequence++ }
	for name, script := range map[string]func(p *peer){
		"greeting":               func(p *peer) { skip(p); p.send(greetingPayload(native, 0)) },
		"OK":                     func(p *peer) { p.greet(native); skip(p); p.send(ok) },
		"OK, as a notice has it": func(p *peer) { p.greet(native); p.sequence = 0; p.send(ok) },
		"switch": func(p *peer) {
			p.greet(native)
			skip(p)
			p.send(switchTo(cachingSHA2, string(salt[:])+"\x00"))
		},
		"fast authentication": func(p *peer) { p.greet(cachingSHA2); skip(p); p.send(moreData(3)) },
		"OK after it":         func(p *peer) { p.greet(cachingSHA2); p.send(moreData(3)); skip(p); p.send(ok) },
		"error":               func(p *peer) { p.greet(native); skip(p); p.send([]byte("\xff\x15\x04#28000no")) },
	} {
		t.Run(name, func(t *testing.T) { violates(t, guard.Options{}, script) })
	}
}

func TestAMethodThatRevealsThePasswordIsRefused(t *testing.T) {
	key := string(pemOf(t, &serverKey().PublicKey))
	for _, method := range []string{
		"mysql_clear_password", "mysql_old_password", "sha256_password", "dialog", "parsec", "auth_gssapi_client",
		"authentication_windows_client", "", "unheard of \x1b[31m\n", "Mysql_Native_Password", native + " ",
	} {
		for _, confidential := range []bool{false, true} {
			options := guard.Options{AskForKey: true, Local: confidential}
			t.Run(fmt.Sprintf("%q %v", method, confidential), func(t *testing.T) {
				violates(t, options, func(p *peer) {
					p.greet(native)
					p.send(switchTo(method, string(salt[:])+"\x00"))
				})
				violates(t, options, func(p *peer) { // in the greeting it is not heeded
					p.greet(method)
					p.send(moreData([]byte(key)...))
				})
			})
		}
	}
}

func TestTheSwitchOfBefore41IsRefused(t *testing.T) {
	violates(t, guard.Options{}, func(p *peer) { p.greet(native); p.send([]byte{0xfe}) })
}

func TestASecondSwitchIsRefused(t *testing.T) {
	violates(t, guard.Options{}, func(p *peer) {
		p.greet(native)
		p.send(switchTo(cachingSHA2, string(salt[:])+"\x00"))
		p.receive()
		p.send(switchTo(native, string(salt[:])+"\x00"))
	})
}

func TestRandomDataOfTheWrongLengthAreRefused(t *testing.T) {
	for _, c := range []struct {
		method string
		length int
	}{
		{native, 0}, {native, 5}, {native, 8}, {native, 19}, {native, 22}, {native, 1000}, {cachingSHA2, 0}, {cachingSHA2, 19},
		{cachingSHA2, 32}, {ed25519, 0}, {ed25519, 20}, {ed25519, 31}, {ed25519, 34},
	} {
		t.Run(fmt.Sprint(c.method, c.length), func(t *testing.T) {
			violates(t, guard.Options{}, func(p *peer) {
				p.greet(native)
				p.send(switchTo(c.method, string(make([]byte, c.length))))
			})
		})
	}
}

func TestTheServersKeyIsNotAskedForOnAnOpenConnection(t *testing.T) {
	o := refused(t, guard.Options{}, func(p *peer) { p.greet(cachingSHA2); p.send(moreData(4)) })
	require.ErrorIs(t, o.err, guard.ErrKeyRetrieval)
	o = refused(t, guard.Options{TLS: &tls.Config{}, TLSOptional: true}, func(p *peer) { p.greet(cachingSHA2); p.send(moreData(4)) })
	require.ErrorIs(t, o.err, guard.ErrKeyRetrieval)
}

func TestAnUnfitKeyIsRefused(t *testing.T) {
	ofSize := func(bits uint) *rsa.PublicKey {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
	}
	small, large, huge := pemOf(t, ofSize(512)), pemOf(t, ofSize(16384)), pemOf(t, ofSize(65536))
	elliptic := pemOf(t, newAuthority(t).key.Public())
	for name, key := range map[string]string{
		"empty":        "",
		"no PEM":       "no key at all",
		"junk in PEM":  "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"512 bit":      string(small),
		"1024 bit":     string(pemOf(t, ofSize(1024))),
		"16 Kbit":      string(large),
		"64 Kbit":      string(huge),
		"elliptic":     string(elliptic),
		"even modulus": string(pemOf(t, &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537})),
		"exponent 1":   string(pemOf(t, &rsa.PublicKey{N: ofSize(2048).N, E: 1})),
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			violates(t, guard.Options{AskForKey: true}, func(p *peer) {
				p.greet(cachingSHA2)
				p.send(moreData(4))
				p.receive()
				p.send(moreData([]byte(key)...))
			})
			require.Less(t, time.Since(begin), 2*time.Second)
		})
	}
}

func TestAnOKInTheKeysPlaceIsRefused(t *testing.T) {
	violates(t, guard.Options{AskForKey: true}, func(p *peer) {
		p.greet(cachingSHA2)
		p.send(moreData(4))
		p.receive()
		p.send(ok)
	})
}

func TestAnErrorInTheKeysPlaceIsTheServersError(t *testing.T) {
	o := refused(t, guard.Options{AskForKey: true}, func(p *peer) {
		p.greet(cachingSHA2)
		p.send(moreData(4))
		p.receive()
		p.send([]byte("\xff\x15\x04#28000no"))
	})
	var failure *guard.Failure
	require.ErrorAs(t, o.err, &failure)
	require.EqualValues(t, 1045, failure.Code)
}

func TestALoginWithoutTheServersOKFails(t *testing.T) {
	for n := range ok {
		t.Run(fmt.Sprintf("%d bytes of it", n), func(t *testing.T) {
			violates(t, guard.Options{}, func(p *peer) { p.greet(native); p.send(ok[:n]) })
		})
	}
	for name, payload := range map[string][]byte{
		"more data where there is none":     moreData(3),
		"a switch to nothing":               {0xfe, 0},
		"an unknown packet":                 []byte("B junk that some take for an error"),
		"a request for a local file":        []byte("\xfb/etc/passwd"),
		"an OK with a cut number":           {0, 0xfe, 1, 1, 1, 1, 1},
		"an OK that begins like a switch":   {0xfe, 0, 0, 2, 0, 0, 0},
		"an error packet of a byte":         {0xff},
		"an error packet of half a number":  {0xff, 1},
		"a switch without a NUL":            []byte("\xfemysql_native_password"),
		"caching_sha2's answer, two bytes":  moreData(3, 3),
		"caching_sha2's answer, out of use": moreData(9),
	} {
		t.Run(name, func(t *testing.T) {
			violates(t, guard.Options{}, func(p *peer) { p.greet(native); p.send(payload) })
		})
	}
	for _, data := range [][]byte{{}, {0}, {2}, {9}, {3, 3}, {4, 4}} {
		t.Run(fmt.Sprintf("caching_sha2 answers %v", data), func(t *testing.T) {
			violates(t, guard.Options{}, func(p *peer) { p.greet(cachingSHA2); p.send(moreData(data...)) })
		})
	}
	t.Run("fast authentication twice", func(t *testing.T) {
		violates(t, guard.Options{}, func(p *peer) { p.greet(cachingSHA2); p.send(moreData(3)); p.send(moreData(3)) })
	})
}

func TestALoginEndsWithItsConnection(t *testing.T) {
	for name, script := range map[string]func(p *peer){
		"before the greeting": func(p *peer) {},
		"in the greeting":     func(p *peer) { p.write([]byte{80, 0, 0, 0, 10}) },
		"before the response": func(p *peer) { p.send(greetingPayload(native, 0)) },
		"after the response":  func(p *peer) { p.greet(native) },
	} {
		t.Run(name, func(t *testing.T) {
			o := meet(t, guard.Options{}, script)
			require.Error(t, o.err)
			require.Zero(t, o.took)
		})
	}
}

func TestTheServersErrorIsReadFromTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		script func(p *peer)
		state  string
	}{
		"in the greeting's place": {func(p *peer) { p.send([]byte("\xff\x10\x04#08004too many")) }, "08004"},
		"without a state":         {func(p *peer) { p.send([]byte("\xff\x10\x04too many")) }, "HY000"},
		"after the response":      {func(p *peer) { p.greet(native); p.send([]byte("\xff\x10\x04#08004too many")) }, "08004"},
		"counted from 0":          {func(p *peer) { p.greet(native); p.sequence = 0; p.send([]byte("\xff\x10\x04#08004too many")) }, "08004"},
	} {
		t.Run(name, func(t *testing.T) {
			o := refused(t, guard.Options{}, c.script)
			var failure *guard.Failure
			require.ErrorAs(t, o.err, &failure)
			require.EqualValues(t, 1040, failure.Code)
			require.Equal(t, c.state, failure.State)
			require.Equal(t, "too many", string(failure.Message))
			require.False(t, failure.BeforeTLS)
			require.NotContains(t, o.err.Error(), "too many")
		})
	}
}

func TestAPanicInTheLoginEndsTheLoginOnly(t *testing.T) {
	panics := func(net.Conn, string) error { panic(password) }
	o := meetWithin(t, context.Background(), guard.Options{}, panics, func(p *peer) {
		p.send(greetingPayload(native, 0))
		p.drain()
	})
	requirePanic(t, o.err)
}

func TestALoginThatOnlySaysItSucceededFails(t *testing.T) {
	o := meetWithin(t, context.Background(), guard.Options{}, func(net.Conn, string) error { return nil },
		func(p *peer) { p.send(greetingPayload(native, 0)); p.drain() })
	var violation guard.Violation
	require.ErrorAs(t, o.err, &violation)
}
