package guard

import (
	"fmt"
	"slices"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// The authentication methods that are allowed: none of them reveals the password to who
// listens, or to a server that asks for it over an unprotected connection.
const (
	methodNative      = "mysql_native_password"
	methodCachingSHA2 = "caching_sha2_password"
	methodEd25519     = "client_ed25519"
)

// What follows caching_sha2_password's scramble
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html).
const (
	requestKey         = 0x02
	fastAuthentication = 0x03
	fullAuthentication = 0x04
)

// receive reads the server's next packet, checks it and puts the library's version of
// it together.
func (c *conn) receive() error {
	switch c.state {
	case serverAnswers, serverSendsKey, serverDecides:
	default:
		return Violation("unforeseen read on our side")
	}
	payload, err := c.readPacket(maxPacket)
	if err != nil {
		return err
	}
	kind, err := wire.LoginKind(payload)
	if err != nil {
		return Violation("unknown packet in the login")
	}
	switch {
	case kind == wire.LoginError:
		return c.failure(payload, false)
	case kind == wire.LoginOK && c.state != serverSendsKey:
		return c.welcome(payload)
	case kind == wire.LoginSwitch && c.state == serverAnswers && !c.switched:
		return c.switchMethod(payload)
	case kind == wire.LoginMoreData && c.state == serverAnswers && c.method == methodCachingSHA2:
		return c.cachingSHA2(payload)
	case kind == wire.LoginMoreData && c.state == serverSendsKey:
		return c.takeKey(payload)
	}
	return Violation("packet in the login that has no place there")
}

// failure is the server's error, which ends the login.
func (c *conn) failure(payload []byte, beforeTLS bool) error {
	f, err := wire.ParseFailure(payload)
	if err != nil {
		return Violation("malformed error packet")
	}
	return &Failure{Failure: f, BeforeTLS: beforeTLS}
}

// welcome is the server's OK. The library learns that it is one; what else it says is
// for those who speak the protocol afterwards.
func (c *conn) welcome(payload []byte) error {
	if _, err := wire.ParseOK(payload); err != nil {
		return Violation("malformed OK packet")
	}
	c.state = loggedIn
	c.deliver(wire.AppendOK(nil, wire.OK{}))
	return nil
}

// switchMethod is the server's wish for another method.
func (c *conn) switchMethod(payload []byte) error {
	wish, err := wire.ParseAuthSwitch(payload)
	if err != nil {
		return Violation("malformed request for another authentication method")
	}
	size := wire.AuthDataSize
	switch wish.Plugin {
	case methodNative, methodCachingSHA2:
	case methodEd25519:
		size = 32
	default:
		return Violation(fmt.Sprintf("the server asks for %s; allowed are %s, %s and %s",
			describeMethod(wish.Plugin), methodNative, methodCachingSHA2, methodEd25519))
	}
	// Servers end the data with a NUL that is no part of them. Left in place it would
	// make caching_sha2_password's scramble wrong, and every login a full one.
	if len(wish.Data) == size+1 && wish.Data[size] == 0 {
		wish.Data = wish.Data[:size]
	}
	if len(wish.Data) != size {
		return Violation("random data of the wrong length for the authentication method")
	}
	c.method, c.switched, c.state = wish.Plugin, true, libraryScrambles
	c.deliver(wire.AppendAuthSwitch(nil, wish))
	return nil
}

// cachingSHA2 is whether the server remembers the password's hash, or needs the password.
func (c *conn) cachingSHA2(payload []byte) error {
	data, err := wire.ParseMoreData(payload)
	if err != nil || len(data) != 1 {
		return Violation("malformed answer of caching_sha2_password")
	}
	switch data[0] {
	case fastAuthentication:
		c.state = serverDecides
	case fullAuthentication:
		if !c.confidential() && c.options.Key == nil && !c.options.AskForKey {
			return ErrKeyRetrieval
		}
		c.state = libraryTells
	default:
		return Violation("malformed answer of caching_sha2_password")
	}
	c.deliver(wire.AppendMoreData(nil, data))
	return nil
}

// describeMethod names an authentication method if it is a known one: a peer's own words
// stay out of errors.
func describeMethod(name string) string {
	known := []string{
		"mysql_clear_password", "mysql_old_password", "sha256_password", "dialog", "parsec", "auth_gssapi_client",
		"authentication_kerberos_client", "authentication_ldap_sasl_client", "authentication_openid_connect_client",
		"authentication_webauthn_client", "authentication_windows_client",
	}
	if slices.Contains(known, name) {
		return name
	}
	return "an unknown authentication method"
}
