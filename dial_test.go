package mysqlsession_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

const secret = "never-to-be-seen-in-clear"

// network is a DialFunc's world: what answers at which address. Any other address
// refuses. It is for use in a synctest bubble.
type network map[string]func(conn net.Conn)

func (n network) dial(_ context.Context, _, address string) (net.Conn, error) {
	script := n[address]
	if script == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		script(theirs)
	}()
	return ours, nil
}

// The things that servers do.

func stalls(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func says(text string) func(conn net.Conn) {
	return func(conn net.Conn) { _, _ = io.WriteString(conn, text) }
}

// refuses sends an error in the greeting's place.
func refuses(code uint16) func(conn net.Conn) {
	payload := append(binary.LittleEndian.AppendUint16([]byte{0xff}, code), "#HY000the server's words"...)
	return func(conn net.Conn) { sendPacket(conn, 0, payload) }
}

// refusesUser sends an error after the response.
func refusesUser(code uint16) func(conn net.Conn) {
	payload := append(binary.LittleEndian.AppendUint16([]byte{0xff}, code), "#HY000the server's words"...)
	return func(conn net.Conn) {
		greet(conn)
		sendPacket(conn, 2, payload)
	}
}

func welcomes(conn net.Conn) {
	greet(conn)
	sendPacket(conn, 2, wire.AppendOK(nil, wire.OK{Status: wire.StatusAutocommit}))
	stalls(conn)
}

// greet greets without TLS and returns the payload of the response.
func greet(conn net.Conn) []byte {
	sendPacket(conn, 0, wire.AppendGreeting(nil, &wire.Greeting{
		ServerVersion: "9.9.9",
		Capabilities:  wire.CapabilityProtocol41 | wire.CapabilitySecureConn | wire.CapabilityPluginAuth,
		Plugin:        "mysql_native_password",
	}))
	var header [4]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return nil
	}
	payload := make([]byte, int(header[0])|int(header[1])<<8|int(header[2])<<16)
	_, _ = io.ReadFull(conn, payload)
	return payload
}

func sendPacket(conn net.Conn, sequence byte, payload []byte) {
	n := len(payload)
	_, _ = conn.Write(append([]byte{byte(n), byte(n >> 8), byte(n >> 16), sequence}, payload...))
}

// dialIn logs in, in a world of fake time, and returns how long that took.
func dialIn(t *testing.T, world network, cfg mysqlsession.Config) (address string, took time.Duration, err error) {
	t.Helper()
	if cfg.DialFunc == nil {
		cfg.DialFunc = world.dial
	}
	cfg.Host, cfg.Username, cfg.Password = "a", "someone", secret
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var conn net.Conn
		address, conn, err = mysqlsession.Dial(t.Context(), cfg)
		took = time.Since(begin)
		if err == nil {
			_ = conn.Close()
		}
	})
	if err != nil {
		require.NotContains(t, err.Error(), secret)
		require.NotContains(t, err.Error(), "the server's words")
		require.NotContains(t, err.Error(), "\n")
		require.True(t, strings.HasPrefix(err.Error(), "mysqlsession: connect to "), err.Error())
		require.Equal(t, 1, strings.Count(err.Error(), "mysqlsession: "), err.Error())
	}
	return address, took, err
}

func TestDialGoesToTheNextAddressWhenOneCannotServe(t *testing.T) {
	for name, first := range map[string]func(net.Conn){
		"refuses the connection":  nil,
		"closes it":               func(net.Conn) {},
		"has too many":            refuses(1040),
		"is shutting down":        refusesUser(1053),
		"is not a MySQL server":   says("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"has an unheard-of error": refusesUser(60000),
	} {
		t.Run(name, func(t *testing.T) {
			world := network{"a:3306": first, "c:3308": welcomes}
			address, took, err := dialIn(t, world, mysqlsession.Config{Hosts: []string{"b:3307", "c:3308"}})
			require.NoError(t, err)
			require.Equal(t, "c:3308", address)
			require.Zero(t, took)
		})
	}
}

func TestDialDoesNotTryElsewhereWhatIsTheCallersFault(t *testing.T) {
	noTLS := func(conn net.Conn) { greet(conn) }
	for name, c := range map[string]struct {
		first func(net.Conn)
		cfg   mysqlsession.Config
	}{
		"access denied":      {refusesUser(1045), mysqlsession.Config{}},
		"unknown database":   {refusesUser(1049), mysqlsession.Config{}},
		"no TLS":             {noTLS, mysqlsession.Config{SSL: true}},
		"certificate is not": {tlsServer(newCertificate(t)), mysqlsession.Config{SSL: true, SSLVerify: true}},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Hosts = []string{"b:3307"}
			_, _, err := dialIn(t, network{"a:3306": c.first, "b:3307": welcomes}, c.cfg)
			require.ErrorContains(t, err, "a:3306")
			require.NotErrorIs(t, err, mysqlsession.ErrUnavailable)
		})
	}
}

func TestAnAddressThatStallsLeavesTheOthersTheirTime(t *testing.T) {
	cfg := mysqlsession.Config{ConnectTimeout: 6 * time.Second, Hosts: []string{"b:3307", "c:3308"}}
	world := network{"a:3306": stalls, "b:3307": stalls, "c:3308": welcomes}
	address, took, err := dialIn(t, world, cfg)
	require.NoError(t, err)
	require.Equal(t, "c:3308", address)
	require.Equal(t, 4*time.Second, took)

	delete(world, "b:3307") // what one does not take is left to the others
	world["c:3308"] = stalls
	_, took, err = dialIn(t, world, cfg)
	require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.Equal(t, 6*time.Second, took)
	for _, address := range []string{"a:3306", "b:3307", "c:3308"} {
		require.ErrorContains(t, err, "connect to "+address)
	}
}

func TestOneAddressMayTakeAllTheTime(t *testing.T) {
	_, took, err := dialIn(t, network{"a:3306": stalls}, mysqlsession.Config{ConnectTimeout: 6 * time.Second})
	require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, 6*time.Second, took)
}

func TestDialEndsWithItsContext(t *testing.T) {
	black := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for name, dialFunc := range map[string]func(context.Context, string, string) (net.Conn, error){
		"while dialling": black, "while logging in": network{"a:3306": stalls, "b:3307": stalls}.dial,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				begin := time.Now()
				cfg := mysqlsession.Config{Host: "a", Hosts: []string{"b:3307"}, DialFunc: dialFunc}
				_, _, err := mysqlsession.Dial(ctx, cfg)
				require.ErrorIs(t, err, context.Canceled)
				require.NotErrorIs(t, err, mysqlsession.ErrUnavailable, "it says nothing about the server")
				require.NotContains(t, err.Error(), "b:3307")
				require.Equal(t, time.Second, time.Since(begin))
			})
		})
	}
}

func TestTheServersRefusalNamesWhatItIsAbout(t *testing.T) {
	for _, c := range []struct {
		code      uint16
		text      string
		transient bool
	}{
		{1044, `user "someone", database "somewhere": access denied`, false},
		{1045, `user "someone": access denied`, false},
		{1049, `database "somewhere": unknown database`, false},
		{1130, `user "someone": this host may not connect`, false},
		{1862, `user "someone": password expired`, false},
		{3118, `user "someone"`, false},
		{3159, `user "someone"`, false},
		{4151, `user "someone"`, false},
		{1040, "too many connections", true},
		{1203, "too many connections", true},
		{1129, "this host may not connect", true},
		{1226, "account limit reached", true},
	} {
		_, took, err := dialIn(t, network{"a:3306": refusesUser(c.code)}, mysqlsession.Config{Database: "somewhere"})
		var refused *mysqlsession.ServerError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, c.code, refused.Code)
		require.Equal(t, "the server's words", refused.Message)
		require.ErrorContains(t, err, c.text)
		require.Equal(t, c.transient, errors.Is(err, mysqlsession.ErrUnavailable), "%v", err)
		require.Zero(t, took)
	}
}

// Anyone on the way could say "access denied" before TLS, and have a pool give up.
func TestARefusalBeforeTLSIsNotFinal(t *testing.T) {
	_, _, err := dialIn(t, network{"a:3306": refuses(1045)}, mysqlsession.Config{SSL: true})
	var refused *mysqlsession.ServerError
	require.ErrorAs(t, err, &refused)
	require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
	require.ErrorContains(t, err, "before TLS")
}

func TestWithoutTLSOnTheServerNoCredentialIsSent(t *testing.T) {
	var response []byte
	_, _, err := dialIn(t, network{"a:3306": func(conn net.Conn) { response = greet(conn) }}, mysqlsession.Config{SSL: true})
	require.ErrorIs(t, err, mysqlsession.ErrTLSUnavailable)
	require.Empty(t, response)
}

func TestTheErrorForABrokenProtocolQuotesNothing(t *testing.T) {
	_, _, err := dialIn(t, network{"a:3306": says("HTTP/1.1 400 SECRET\r\n\r\n")}, mysqlsession.Config{})
	require.ErrorIs(t, err, mysqlsession.ErrProtocol)
	require.NotContains(t, err.Error(), "SECRET")
}

func TestADialFuncThatMisbehavesIsAnError(t *testing.T) {
	for name, dialFunc := range map[string]func(context.Context, string, string) (net.Conn, error){
		"panics":          func(context.Context, string, string) (net.Conn, error) { panic(secret) },
		"returns nothing": func(context.Context, string, string) (net.Conn, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := dialIn(t, nil, mysqlsession.Config{DialFunc: dialFunc})
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
			require.ErrorContains(t, err, "DialFunc")
		})
	}
}

func TestADialFuncsErrorIsPassedOn(t *testing.T) {
	sentinel := errors.New("tunnel is down")
	dialFunc := func(context.Context, string, string) (net.Conn, error) {
		return nil, fmt.Errorf("%w: %w", sentinel, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	}
	_, _, err := dialIn(t, nil, mysqlsession.Config{DialFunc: dialFunc})
	require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
	require.ErrorIs(t, err, sentinel)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestTheLoginOffersWhatTheRestReliesOnAndNoMore(t *testing.T) {
	var response []byte
	world := network{"a:3306": func(conn net.Conn) { response = greet(conn) }}
	_, _, err := dialIn(t, world, mysqlsession.Config{Database: "somewhere"})
	require.ErrorIs(t, err, mysqlsession.ErrUnavailable)

	const want = wire.CapabilityMySQL | wire.CapabilityFoundRows | 1<<2 /* long flags */ | wire.CapabilityConnectWithDB |
		wire.CapabilityProtocol41 | 1<<13 /* transactions */ | wire.CapabilitySecureConn | wire.CapabilityPluginAuth |
		wire.CapabilityConnectAttrs | wire.CapabilityDeprecateEOF
	require.Equal(t, want, wire.Capability(binary.LittleEndian.Uint32(response)))
	require.Contains(t, string(response), "_client_name\x0cmysqlsession")
	require.Contains(t, string(response), "_runtime_version\x00")
	require.NotContains(t, string(response), "go1.")
}

// A collation that the server does not number makes the session latin1, silently.
func TestTheLoginsCollationIsOneThatAllServersNumber(t *testing.T) {
	for _, c := range []struct {
		charset, username string
		collation         byte
	}{
		{"", "", 11}, {"ascii", "", 11}, {"latin1", "", 8}, {"latin2", "", 9}, {"cp1250", "", 26}, {"cp1251", "", 51},
		{"koi8r", "", 7}, {"gbk", "", 28}, {"big5", "", 1}, {"utf8", "", 33}, {"utf8mb3", "", 33}, {"utf8mb4", "", 45},
		{"binary", "", 63}, {"sjis", "", 45}, {"ascii", "josé", 45},
	} {
		var response []byte
		world := network{"a:3306": func(conn net.Conn) { response = greet(conn) }}
		synctest.Test(t, func(t *testing.T) {
			_, _, err := mysqlsession.Dial(t.Context(), mysqlsession.Config{
				Host: "a", Username: c.username, Charset: c.charset, DialFunc: world.dial,
			})
			assert.Error(t, err)
		})
		require.Greater(t, len(response), 32, c.charset)
		require.Equal(t, c.collation, response[8], c.charset)
	}
}

// tlsServer greets with TLS, and goes as far as the client lets it.
func tlsServer(certificate tls.Certificate) func(conn net.Conn) {
	return func(conn net.Conn) {
		sendPacket(conn, 0, wire.AppendGreeting(nil, &wire.Greeting{
			ServerVersion: "9.9.9",
			Capabilities: wire.CapabilityProtocol41 | wire.CapabilitySecureConn | wire.CapabilityPluginAuth |
				wire.CapabilitySSL,
			Plugin: "mysql_native_password",
		}))
		if _, err := io.CopyN(io.Discard, conn, 4+32); err != nil {
			return
		}
		_ = tls.Server(readAhead(conn), &tls.Config{Certificates: []tls.Certificate{certificate}}).Handshake()
	}
}

// readAhead takes what arrives at once, as a kernel does: with net.Pipe alone both ends
// of a TLS handshake may write and wait for each other.
func readAhead(conn net.Conn) net.Conn {
	c := &aheadConn{Conn: conn, arrived: make(chan []byte, 1024)}
	go func() {
		defer close(c.arrived)
		for {
			b := make([]byte, 4096)
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			c.arrived <- b[:n]
		}
	}()
	return c
}

type aheadConn struct {
	net.Conn
	arrived chan []byte
	rest    []byte
}

func (c *aheadConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		c.rest = <-c.arrived
	}
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
