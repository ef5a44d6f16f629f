package guard_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/guard"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// welcomed is a login that must succeed.
func welcomed(t *testing.T, options guard.Options, script func(p *peer)) outcome {
	t.Helper()
	o := meet(t, options, func(p *peer) {
		script(p)
		p.drain()
	})
	require.NoError(t, o.err)
	require.EqualValues(t, 7, o.session.Greeting.ConnectionID)
	require.NotZero(t, o.session.Capabilities&wire.CapabilityDeprecateEOF)
	require.Zero(t, o.session.Capabilities&wire.CapabilityQueryAttrs, "the library has it, the server has not")
	return o
}

func TestALoginEndsWithTheServersOK(t *testing.T) {
	for name, script := range map[string]func(p *peer){
		"native":                func(p *peer) { p.greet(native); p.send(ok) },
		"caching_sha2":          func(p *peer) { p.greet(cachingSHA2); p.send(moreData(3)); p.send(ok) },
		"caching_sha2, at once": func(p *peer) { p.greet(cachingSHA2); p.send(ok) },
		"switch to native": func(p *peer) {
			p.greet(cachingSHA2)
			p.send(switchTo(native, string(salt[:])))
			p.receive()
			p.send(ok)
		},
		"switch to ed25519": func(p *peer) {
			p.greet(native)
			p.send(switchTo(ed25519, string(make([]byte, 32))))
			p.receive()
			p.send(ok)
		},
		"unknown favourite": func(p *peer) {
			p.greet("sha256_password")
			p.send(switchTo(native, string(salt[:])+"\x00"))
			p.receive()
			p.send(ok)
		},
		"OK with more behind it": func(p *peer) { p.greet(native); p.send(append(ok, "\x05info \xff\xff"...)) },
	} {
		t.Run(name, func(t *testing.T) {
			o := welcomed(t, guard.Options{}, script)
			require.NotContains(t, o.server.seen.String(), password)
		})
	}
}

// A scramble made with the NUL behind the random data is wrong every time: each login
// would be a full one.
func TestTheNULBehindTheRandomDataOfASwitchIsNoPartOfThem(t *testing.T) {
	var answers [2][]byte
	for i, data := range []string{string(salt[:]), string(salt[:]) + "\x00"} {
		welcomed(t, guard.Options{}, func(p *peer) {
			p.greet(native)
			p.send(switchTo(cachingSHA2, data))
			answers[i] = p.receive()
			p.send(moreData(3))
			p.send(ok)
		})
	}
	require.Equal(t, answers[0], answers[1])
	require.Len(t, answers[0], 32)
}

func TestOnALocalSocketThePasswordItselfIsSent(t *testing.T) {
	o := welcomed(t, guard.Options{Local: true}, func(p *peer) {
		p.greet(cachingSHA2)
		p.send(moreData(4))
		p.receive()
		p.send(ok)
	})
	require.Contains(t, o.server.seen.String(), password+"\x00")
}

func TestWithLeaveTheServersKeyIsAskedForAndUsed(t *testing.T) {
	key := serverKey()
	o := welcomed(t, guard.Options{AskForKey: true}, func(p *peer) {
		p.greet(cachingSHA2)
		p.send(moreData(4))
		assert.Equal(t, []byte{2}, p.receive())
		p.send(moreData(pemOf(t, &key.PublicKey)...))
		assert.Equal(t, password+"\x00", decrypt(t, key, p.receive()))
		p.send(ok)
	})
	require.NotContains(t, o.server.seen.String(), password)
}

func TestAKnownKeyIsUsedWithoutAsking(t *testing.T) {
	key := serverKey()
	for _, ask := range []bool{false, true} {
		welcomed(t, guard.Options{Key: &key.PublicKey, AskForKey: ask}, func(p *peer) {
			p.greet(cachingSHA2)
			p.send(moreData(4))
			assert.Equal(t, password+"\x00", decrypt(t, key, p.receive()))
			p.send(ok)
		})
	}
}

func TestAKeyThatThePasswordDoesNotFitIsNotUsed(t *testing.T) {
	key := serverKey()
	long := func(conn net.Conn, network string) error {
		return loginAs(conn, network, string(make([]byte, 215)))
	}
	o := meetWithin(t, context.Background(), guard.Options{Key: &key.PublicKey}, long, func(p *peer) {
		p.greet(cachingSHA2)
		p.send(moreData(4))
		assert.Empty(t, p.receive())
	})
	require.ErrorContains(t, o.err, "password too long")
}

// The guard does not rely on the library for the password to stay where it is.
func TestALibraryThatWouldSendThePasswordInClearIsStopped(t *testing.T) {
	mistaken := func(conn net.Conn, _ string) error { return login(conn, guard.NetworkConfidential) }
	for _, options := range []guard.Options{{AskForKey: true}, {Key: &serverKey().PublicKey}} {
		o := meetWithin(t, context.Background(), options, mistaken, func(p *peer) {
			p.greet(cachingSHA2)
			p.send(moreData(4))
			p.drain()
		})
		require.ErrorContains(t, o.err, "our side")
		require.NotContains(t, o.server.seen.String(), password)
	}
}

// What comes right behind the OK belongs to whoever uses the connection.
func TestNothingBehindTheOKIsRead(t *testing.T) {
	o := meet(t, guard.Options{}, func(p *peer) {
		p.greet(native)
		p.write(append([]byte{7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0}, "behind"...))
		p.drain()
	}, func(o *outcome) {
		var behind [6]byte
		_, err := io.ReadFull(o.session.Conn, behind[:])
		require.NoError(t, err)
		require.Equal(t, "behind", string(behind[:]))
	})
	require.NoError(t, o.err)
}

// The guard takes part in the library's packets; this is what it knows of them. When a
// new version of the library fails here, read its login anew.
func TestTheLibrarysPacketsAreAsTheGuardKnowsThem(t *testing.T) {
	var response []byte
	welcomed(t, guard.Options{}, func(p *peer) { response = p.greet(native); p.send(ok) })

	const forbidden = wire.CapabilitySSL | wire.CapabilityLocalFiles | wire.CapabilityMultiStatement |
		1<<5 /* compression */ | 1<<26 /* zstd */ | wire.CapabilityLenencAuth
	flags := wire.Capability(binary.LittleEndian.Uint32(response))
	require.Zero(t, flags&forbidden)
	require.NotZero(t, flags&wire.CapabilityProtocol41)
	require.NotZero(t, flags&wire.CapabilityPluginAuth)
	require.Equal(t, make([]byte, 23), response[9:32], "the request for TLS ends here")
	require.Equal(t, user+"\x00\x14", string(response[32:32+len(user)+2]))
	rest := response[32+len(user)+2+20:]
	require.Equal(t, database+"\x00"+native+"\x00", string(rest[:len(database)+1+len(native)+1]))
}
