package guard_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/guard"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// fakeNow is when fake time begins.
var fakeNow = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// serverKey is made once: it takes a while.
var serverKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pemOf(t *testing.T, key crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// authority signs certificates.
type authority struct {
	t           *testing.T
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &authority{t: t, key: key}
	a.certificate = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: fakeNow.Add(-time.Hour), NotAfter: fakeNow.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, key.Public(), key)
	require.NoError(t, err)
	a.certificate, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

// client are settings that trust the authority.
func (a *authority) client(host string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &tls.Config{RootCAs: roots, ServerName: host}
}

// server are settings with a certificate for the host.
func (a *authority) server(host string, expires time.Time) *tls.Config {
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: fakeNow.Add(-time.Hour), NotAfter: expires,
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, a.certificate, a.key.Public(), a.key)
	require.NoError(a.t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: a.key}}}
}

func TestUnderTLSThePasswordItselfIsSent(t *testing.T) {
	a := newAuthority(t)
	settings := a.server("db.example", fakeNow.Add(time.Hour))
	o := meet(t, guard.Options{TLS: a.client("db.example")}, func(p *peer) {
		p.secure(settings)
		p.send(moreData(4))
		assert.Equal(t, password+"\x00", string(p.receive()))
		p.send(ok)
		p.drain()
	})
	require.NoError(t, o.err)
	require.IsType(t, &tls.Conn{}, o.session.Conn)
	require.NotZero(t, o.session.Capabilities&wire.CapabilitySSL)
}

func TestUnderTLSASwitchToAMethodThatRevealsIsRefusedToo(t *testing.T) {
	settings := newAuthority(t).server("db.example", fakeNow.Add(time.Hour))
	violates(t, guard.Options{TLS: &tls.Config{InsecureSkipVerify: true}}, func(p *peer) {
		p.secure(settings)
		p.send(switchTo("mysql_clear_password", ""))
	})
}

func TestWithoutTLSOnTheServerNothingIsSent(t *testing.T) {
	o := refused(t, guard.Options{TLS: &tls.Config{}}, func(p *peer) { p.send(greetingPayload(native, 0)) })
	require.ErrorIs(t, o.err, guard.ErrTLSUnavailable)
	require.Zero(t, o.server.seen.Len())
}

func TestOptionalTLSGoesOnWithout(t *testing.T) {
	o := meet(t, guard.Options{TLS: &tls.Config{}, TLSOptional: true}, func(p *peer) {
		p.greet(native)
		p.send(ok)
		p.drain()
	})
	require.NoError(t, o.err)
	require.NotContains(t, o.server.seen.String(), password)
}

func TestACertificateThatDoesNotVerifyIsRefused(t *testing.T) {
	a := newAuthority(t)
	for name, c := range map[string]struct {
		settings *tls.Config
		want     func(t *testing.T, err error)
	}{
		"wrong authority": {newAuthority(t).server("db.example", fakeNow.Add(time.Hour)), func(t *testing.T, err error) {
			var want x509.UnknownAuthorityError
			require.ErrorAs(t, err, &want)
		}},
		"wrong name": {a.server("other.example", fakeNow.Add(time.Hour)), func(t *testing.T, err error) {
			var want x509.HostnameError
			require.ErrorAs(t, err, &want)
		}},
		"expired": {a.server("db.example", fakeNow.Add(-time.Minute)), func(t *testing.T, err error) {
			var want x509.CertificateInvalidError
			require.ErrorAs(t, err, &want)
			require.Equal(t, x509.Expired, want.Reason)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			o := refused(t, guard.Options{TLS: a.client("db.example")}, func(p *peer) { p.secure(c.settings) })
			var failed *guard.TLSError
			require.ErrorAs(t, o.err, &failed)
			c.want(t, o.err)
		})
	}
}

// From TLS 1.3 on the server objects after the handshake is done for the client.
func TestAServerThatMissesTheClientsCertificateIsATLSError(t *testing.T) {
	a := newAuthority(t)
	settings := a.server("db.example", fakeNow.Add(time.Hour))
	settings.ClientAuth = tls.RequireAnyClientCert
	o := refused(t, guard.Options{TLS: a.client("db.example")}, func(p *peer) { p.secure(settings) })
	var failed *guard.TLSError
	require.ErrorAs(t, o.err, &failed)
}

func TestWhatIsNoTLSIsRefused(t *testing.T) {
	a := newAuthority(t)
	violates(t, guard.Options{TLS: a.client("db.example")}, func(p *peer) {
		p.send(greetingPayload(native, wire.CapabilitySSL))
		p.receive()
		p.send(ok) // in the clear, in the place of a handshake
	})
}

func TestAnOKInTheClearBeforeTLSIsRefused(t *testing.T) {
	a := newAuthority(t)
	violates(t, guard.Options{TLS: a.client("db.example")}, func(p *peer) {
		greeting := greetingPayload(native, wire.CapabilitySSL)
		early := append([]byte{byte(len(greeting)), 0, 0, 0}, greeting...)
		go p.write(append(append(early, 7, 0, 0, 2), ok...))
		p.sequence++
		p.receive()
	})
}

func TestAnErrorBeforeTLSIsMarked(t *testing.T) {
	o := refused(t, guard.Options{TLS: &tls.Config{}}, func(p *peer) { p.send([]byte("\xff\x15\x04#28000no")) })
	var failure *guard.Failure
	require.ErrorAs(t, o.err, &failure)
	require.True(t, failure.BeforeTLS)
}

func TestAPanicInTheCallersTLSSettingsEndsTheLoginOnly(t *testing.T) {
	a := newAuthority(t)
	settings := a.client("db.example")
	settings.VerifyConnection = func(tls.ConnectionState) error { panic("in the caller's function") }
	served := a.server("db.example", fakeNow.Add(time.Hour))
	o := refused(t, guard.Options{TLS: settings}, func(p *peer) { p.secure(served) })
	requirePanic(t, o.err)
}
