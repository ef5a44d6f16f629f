package mysqlsession_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func TestTheModeOfTLSFollowsFromTheFields(t *testing.T) {
	given := &tls.Config{}
	for _, c := range []struct {
		cfg  mysqlsession.Config
		want mysqlsession.SSLMode
	}{
		{mysqlsession.Config{}, mysqlsession.SSLModeDisabled},
		{mysqlsession.Config{SSL: true}, mysqlsession.SSLModeRequired},
		{mysqlsession.Config{SSL: true, SSLVerify: true}, mysqlsession.SSLModeVerifyIdentity},
		{mysqlsession.Config{SSLMode: "disabled"}, mysqlsession.SSLModeDisabled},
		{mysqlsession.Config{SSLMode: "preferred"}, mysqlsession.SSLModePreferred},
		{mysqlsession.Config{SSLMode: "required"}, mysqlsession.SSLModeRequired},
		{mysqlsession.Config{SSLMode: "verify_ca", SSL: true}, mysqlsession.SSLModeVerifyCA},
		{mysqlsession.Config{SSLMode: "verify_identity", SSL: true, SSLVerify: true}, mysqlsession.SSLModeVerifyIdentity},
		{mysqlsession.Config{SSL: true, TLSConfig: given}, mysqlsession.SSLModeRequired},
		{mysqlsession.Config{SSLMode: "verify_ca", SSLCA: "ca.pem", SSLCert: "c", SSLKey: "k"}, mysqlsession.SSLModeVerifyCA},
	} {
		got, err := mysqlsession.SSLModeOf(c.cfg)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
}

func TestFieldsOfTLSThatContradictEachOtherAreRefused(t *testing.T) {
	unverified := &tls.Config{InsecureSkipVerify: true}
	for _, c := range []struct {
		cfg  mysqlsession.Config
		text string
	}{
		{mysqlsession.Config{SSLVerify: true}, "SSLVerify true: needs SSL"},
		{mysqlsession.Config{SSLVerify: true, SSLMode: "verify_identity"}, "SSLVerify true: needs SSL"},
		{mysqlsession.Config{SSLMode: "REQUIRED"}, `SSLMode "REQUIRED": must be one of disabled`},
		{mysqlsession.Config{SSL: true, SSLMode: "disabled"}, "SSLMode disabled: contradicts SSL"},
		{mysqlsession.Config{SSL: true, SSLMode: "preferred"}, "SSLMode preferred: contradicts SSL"},
		{mysqlsession.Config{SSL: true, SSLVerify: true, SSLMode: "verify_ca"}, "SSLMode verify_ca: contradicts SSLVerify"},
		{mysqlsession.Config{SSL: true, SSLVerify: true, SSLMode: "required"}, "SSLMode required: contradicts SSLVerify"},
		{mysqlsession.Config{SSL: true, SSLCA: "ca.pem"}, `SSLCA "ca.pem": needs SSLMode verify_ca or verify_identity`},
		{mysqlsession.Config{SSLCA: "ca.pem"}, "not disabled"},
		{mysqlsession.Config{SSL: true, SSLCert: "c.pem"}, "must be set together"},
		{mysqlsession.Config{SSL: true, SSLKey: "k.pem"}, "must be set together"},
		{mysqlsession.Config{SSLCert: "c.pem", SSLKey: "k.pem"}, `SSLCert "c.pem": needs SSL`},
		{mysqlsession.Config{TLSConfig: &tls.Config{}}, "TLSConfig set: needs SSL"},
		{mysqlsession.Config{SSLMode: "verify_ca", TLSConfig: &tls.Config{}, SSLCA: "ca.pem"}, "must not come with SSLCA"},
		{mysqlsession.Config{SSL: true, SSLVerify: true, TLSConfig: unverified}, "InsecureSkipVerify true: contradicts"},
	} {
		_, err := mysqlsession.SSLModeOf(c.cfg)
		require.ErrorIs(t, err, mysqlsession.ErrInvalidConfig)
		require.ErrorContains(t, err, c.text)
		require.ErrorIs(t, mysqlsession.Validate(c.cfg), mysqlsession.ErrInvalidConfig)
	}
}

func TestTheCallersTLSSettingsAreCopiedAndGivenTheHostName(t *testing.T) {
	given := &tls.Config{MinVersion: tls.VersionTLS13}
	cfg := mysqlsession.Config{SSL: true, TLSConfig: given}
	got, err := mysqlsession.TLSConfigOf(cfg, "db.example")
	require.NoError(t, err)
	require.NotSame(t, given, got)
	require.Empty(t, given.ServerName)
	require.Equal(t, "db.example", got.ServerName)
	require.False(t, got.InsecureSkipVerify)
	require.EqualValues(t, tls.VersionTLS13, got.MinVersion)

	given.ServerName = "other.example"
	got, err = mysqlsession.TLSConfigOf(cfg, "db.example")
	require.NoError(t, err)
	require.Equal(t, "other.example", got.ServerName)
}

func TestFilesThatHoldNoCertificateAreNamed(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk.pem")
	require.NoError(t, os.WriteFile(junk, []byte("no certificate"), 0o600))
	for _, c := range []struct {
		cfg  mysqlsession.Config
		text string
	}{
		{mysqlsession.Config{SSLMode: "verify_ca", SSLCA: "/nowhere.pem"}, "SSLCA: open /nowhere.pem"},
		{mysqlsession.Config{SSLMode: "verify_ca", SSLCA: junk}, "no certificate in PEM"},
		{mysqlsession.Config{SSL: true, SSLCert: junk, SSLKey: junk}, "SSLCert"},
		{mysqlsession.Config{SSL: true, SSLCert: "/nowhere.pem", SSLKey: junk}, "SSLCert"},
	} {
		_, err := mysqlsession.TLSConfigOf(c.cfg, "db.example")
		require.ErrorIs(t, err, mysqlsession.ErrInvalidConfig)
		require.ErrorContains(t, err, c.text)
	}
}

// Each mode against each certificate; the certificates that MySQL makes for itself name
// nobody.
func TestEachModeVerifiesWhatItPromises(t *testing.T) {
	const host = "db.example"
	folder := t.TempDir()
	ours, other := newAuthority(t), newAuthority(t)
	ca := ours.write(t, folder)
	good := ours.sign(t, x509.Certificate{DNSNames: []string{host}})
	nameless := ours.sign(t, x509.Certificate{Subject: pkix.Name{CommonName: "MySQL_Server_9.7_Auto_Generated_Server_Certificate"}})
	misnamed := ours.sign(t, x509.Certificate{DNSNames: []string{"other.example"}})
	forged := other.sign(t, x509.Certificate{DNSNames: []string{host}})
	expired := ours.sign(t, x509.Certificate{DNSNames: []string{host}, NotAfter: time.Now().Add(-time.Minute)})

	type accepted struct{ preferred, required, verifyCA, verifyIdentity bool }
	for name, c := range map[string]struct {
		certificate tls.Certificate
		want        accepted
	}{
		"good":     {good, accepted{true, true, true, true}},
		"nameless": {nameless, accepted{true, true, true, false}},
		"misnamed": {misnamed, accepted{true, true, true, false}},
		"forged":   {forged, accepted{true, true, false, false}},
		"expired":  {expired, accepted{true, true, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			got := accepted{
				handshake(t, mysqlsession.Config{SSLMode: "preferred"}, host, c.certificate) == nil,
				handshake(t, mysqlsession.Config{SSLMode: "required"}, host, c.certificate) == nil,
				handshake(t, mysqlsession.Config{SSLMode: "verify_ca", SSLCA: ca}, host, c.certificate) == nil,
				handshake(t, mysqlsession.Config{SSLMode: "verify_identity", SSLCA: ca}, host, c.certificate) == nil,
			}
			require.Equal(t, c.want, got)
		})
	}

	var authority x509.UnknownAuthorityError
	require.ErrorAs(t, handshake(t, mysqlsession.Config{SSLMode: "verify_ca", SSLCA: ca}, host, forged), &authority)
	require.ErrorAs(t, handshake(t, mysqlsession.Config{SSLMode: "verify_ca"}, host, good), &authority, "the system's authorities")
	var invalid x509.CertificateInvalidError
	require.ErrorAs(t, handshake(t, mysqlsession.Config{SSLMode: "verify_ca", SSLCA: ca}, host, expired), &invalid)
	var hostname x509.HostnameError
	require.ErrorAs(t, handshake(t, mysqlsession.Config{SSLMode: "verify_identity", SSLCA: ca}, host, misnamed), &hostname)
}

func TestOldVersionsOfTLSAreNotSpoken(t *testing.T) {
	client, err := mysqlsession.TLSConfigOf(mysqlsession.Config{SSL: true}, "db.example")
	require.NoError(t, err)
	server := &tls.Config{Certificates: []tls.Certificate{newCertificate(t)}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	require.Error(t, shake(t, client, server))
}

// handshake is what a client with this configuration makes of the server's certificate.
func handshake(t *testing.T, cfg mysqlsession.Config, host string, certificate tls.Certificate) error {
	t.Helper()
	client, err := mysqlsession.TLSConfigOf(cfg, host)
	require.NoError(t, err)
	return shake(t, client, &tls.Config{Certificates: []tls.Certificate{certificate}})
}

func shake(t *testing.T, client, server *tls.Config) error {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Server(readAhead(theirs), server).Handshake()
	}()
	err := tls.Client(ours, client).HandshakeContext(t.Context())
	_ = ours.Close()
	<-done
	_ = theirs.Close()
	return err
}

// certificateAuthority signs certificates.
type certificateAuthority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T) *certificateAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &certificateAuthority{key: key, certificate: &x509.Certificate{}}
	self := x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true}
	a.certificate, err = x509.ParseCertificate(a.create(t, self, &self, key.Public()))
	require.NoError(t, err)
	return a
}

func (a *certificateAuthority) create(t *testing.T, template x509.Certificate, parent *x509.Certificate, key crypto.PublicKey) []byte {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key, a.key)
	require.NoError(t, err)
	return der
}

// sign makes a certificate for a server.
func (a *certificateAuthority) sign(t *testing.T, template x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{a.create(t, template, a.certificate, key.Public())}, PrivateKey: key}
}

// write puts the authority's certificate into a file.
func (a *certificateAuthority) write(t *testing.T, folder string) (path string) {
	t.Helper()
	path = filepath.Join(folder, "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// newCertificate is a server's that nobody trusts.
func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	return newAuthority(t).sign(t, x509.Certificate{DNSNames: []string{"a"}})
}
