package mysqlsession

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/mysqlsession/mysqlsession/internal/guard"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// transport is what a login leaves behind: a connection of which not one byte has been
// read beyond the login's last packet.
type transport struct {
	net.Conn                      // the TLS connection, or the socket
	socket        net.Conn        // the bare socket under it, for looking and for closing without a word
	capabilities  wire.Capability // what both sides agreed on
	serverVersion string          // as the greeting has it
	connectionID  uint32
	address       string // what was dialled, for errors
}

// dial connects to one address and logs in.
func dial(ctx context.Context, cfg *Config, to endpoint) (*transport, error) {
	options, err := cfg.guardOptions(to)
	if err != nil {
		return nil, err
	}
	socket, err := cfg.openSocket(ctx, to)
	if err != nil {
		return nil, explainSocket(ctx, err)
	}
	options.AskForKey = cfg.AllowPublicKeyRetrieval || loopback(socket.RemoteAddr())
	session, err := guard.Login(ctx, socket, options, cfg.login)
	if err != nil {
		return nil, cfg.explainLogin(ctx, err)
	}
	return &transport{
		Conn:          session.Conn,
		socket:        socket,
		capabilities:  session.Capabilities,
		serverVersion: session.Greeting.ServerVersion,
		connectionID:  session.Greeting.ConnectionID,
		address:       to.address,
	}, nil
}

func (cfg *Config) guardOptions(to endpoint) (guard.Options, error) {
	settings, err := cfg.tlsConfig(to.host)
	if err != nil {
		return guard.Options{}, err
	}
	mode, err := cfg.sslMode()
	if err != nil {
		return guard.Options{}, err
	}
	key, err := cfg.readServerKey()
	return guard.Options{
		TLS:         settings,
		TLSOptional: mode == SSLModePreferred,
		Local:       to.network == "unix",
		Key:         key,
	}, err
}

// readServerKey reads the file that ServerPublicKey names.
func (cfg *Config) readServerKey() (*rsa.PublicKey, error) {
	if cfg.ServerPublicKey == "" {
		return nil, nil
	}
	text, err := os.ReadFile(cfg.ServerPublicKey)
	if err != nil {
		return nil, detail(ErrInvalidConfig, "ServerPublicKey: %v", err)
	}
	key, err := guard.ParseKey(text)
	if err != nil {
		return nil, detail(ErrInvalidConfig, "ServerPublicKey %q: %v", cfg.ServerPublicKey, err)
	}
	return key, nil
}

// openSocket dials. A panic of DialFunc is contained: in a pool it would be in no
// caller's goroutine. net.Dialer's own settings are the ones wanted: keepalive on, no
// delay.
func (cfg *Config) openSocket(ctx context.Context, to endpoint) (socket net.Conn, err error) {
	if cfg.DialFunc == nil {
		return new(net.Dialer).DialContext(ctx, to.network, to.address)
	}
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("DialFunc: panic (%T)", value)
		}
	}()
	socket, err = cfg.DialFunc(ctx, to.network, to.address)
	if err == nil && socket == nil {
		err = errors.New("DialFunc: neither a connection nor an error")
	}
	return socket, err
}

// loopback reports whether the peer's address is this machine's own.
func loopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// login has go-mysql log in over the guarded connection. What it makes of it is dropped:
// it trusts its peer, and buffers ahead.
func (cfg *Config) login(conn net.Conn, network string) error {
	given := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	_, err := client.ConnectWithDialer(context.Background(), network, "", cfg.Username, cfg.Password, cfg.Database, given,
		func(c *client.Conn) error {
			c.SetAttributes(map[string]string{"_client_name": "mysqlsession", "_client_version": "", "_runtime_version": ""})
			// An UPDATE then counts the rows that it found, also those it left as they were.
			if err := c.SetCapability(mysql.CLIENT_FOUND_ROWS); err != nil {
				return err
			}
			c.UnsetCapability(mysql.CLIENT_QUERY_ATTRIBUTES) // they would change the packet that executes
			return c.SetCollation(cfg.loginCollation())
		})
	return err
}

// loginCollation is a collation of Charset that MariaDB and MySQL both number, and below
// 256, as the response has one byte for it: 255, MySQL's own default, makes a MariaDB
// session latin1. It governs how the server reads the names in the login, so names
// outside ASCII need one of UTF-8. SET NAMES follows after the login.
func (cfg *Config) loginCollation() string {
	for _, name := range cfg.Username + cfg.Database {
		if name > 0x7f {
			return "utf8mb4_general_ci"
		}
	}
	switch strings.ToLower(cfg.Charset) {
	case "ascii":
		return "ascii_general_ci"
	case "latin1":
		return "latin1_swedish_ci"
	case "latin2":
		return "latin2_general_ci"
	case "cp1250":
		return "cp1250_general_ci"
	case "cp1251":
		return "cp1251_general_ci"
	case "koi8r":
		return "koi8r_general_ci"
	case "gbk":
		return "gbk_chinese_ci"
	case "big5":
		return "big5_chinese_ci"
	case "utf8", "utf8mb3":
		return "utf8_general_ci"
	case "binary":
		return "binary"
	default:
		return "utf8mb4_general_ci"
	}
}

// explainSocket is the error for a socket that could not be opened, or that failed.
func explainSocket(ctx context.Context, err error) error {
	deadline, ok := ctx.Deadline()
	switch {
	case ctx.Err() != nil:
		err = contextError(ctx, ctx.Err())
	case errors.Is(err, os.ErrDeadlineExceeded) && ok && !time.Now().Before(deadline):
		err = context.DeadlineExceeded // the socket's timer can be the quicker one
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("connection closed by the server: %w", err)
	}
	if errors.Is(err, context.Canceled) {
		return err // it says nothing about the server
	}
	if op, ok := err.(*net.OpError); ok {
		err = op.Err // the rest of it repeats the address
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// outOfTime is the error of what followed or preceded a login and took until ConnectTimeout. A
// bare context.DeadlineExceeded would be taken for the end of the caller's own context.
func outOfTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrUnavailable) {
		return &causeError{ErrUnavailable, err}
	}
	return err
}

// explainLogin is the error for a login that failed.
func (cfg *Config) explainLogin(ctx context.Context, err error) error {
	var violation guard.Violation
	var failure *guard.Failure
	var secure *guard.TLSError
	switch {
	case errors.Is(err, guard.ErrTLSUnavailable):
		return ErrTLSUnavailable
	case errors.Is(err, guard.ErrKeyRetrieval):
		return detail(ErrKeyRetrieval, "use SSL, set ServerPublicKey, or set AllowPublicKeyRetrieval")
	case errors.As(err, &violation):
		return detail(ErrProtocol, "%s", violation)
	case errors.As(err, &failure):
		return cfg.explainFailure(failure)
	case errors.As(err, &secure):
		return &tlsError{secure.Err}
	default:
		return explainSocket(ctx, err)
	}
}

// explainFailure is the error for a server's own. Unless it is about the account, it may
// be gone tomorrow, or be another server's tomorrow, and is ErrUnavailable too. What was
// said before TLS may come from anyone, and is never taken for final.
func (cfg *Config) explainFailure(failure *guard.Failure) error {
	refusal := &ServerError{Code: failure.Code, SQLState: failure.State, Message: string(failure.Message)}
	if failure.BeforeTLS {
		return fmt.Errorf("%w: %w, said before TLS", ErrUnavailable, refusal)
	}
	switch failure.Code {
	case 1044: // access denied to the database
		return &callError{fmt.Sprintf("user %q, database %q", cfg.Username, cfg.Database), refusal}
	case 1049: // unknown database
		return &callError{fmt.Sprintf("database %q", cfg.Database), refusal}
	case 1045, 1698, // access denied; the latter is MariaDB's for a login without password
		1130,       // this host may not connect
		1251, 1524, // the account's authentication method is not one of ours, or not loaded
		1862, 1820, // password expired
		3118, 4151, // account locked, on MySQL and on MariaDB
		3159: // the server wants TLS
		return &callError{fmt.Sprintf("user %q", cfg.Username), refusal}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, refusal)
}

// tlsError is a TLS handshake that failed. Its text quotes nothing of a certificate,
// which is the peer's.
type tlsError struct{ err error }

func (e *tlsError) Error() string {
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var alert *net.OpError
	switch {
	case errors.As(e.err, &hostname):
		return fmt.Sprintf("TLS: the server's certificate is not for %q", hostname.Host)
	case errors.As(e.err, &authority):
		return "TLS: the server's certificate is signed by an unknown authority"
	case errors.As(e.err, &invalid) && invalid.Reason == x509.Expired:
		return "TLS: the server's certificate has expired, or is not valid yet"
	case errors.As(e.err, &invalid):
		return "TLS: the server's certificate is not valid for a server"
	case errors.As(e.err, &alert):
		return "TLS: " + alert.Op + ": " + alert.Err.Error() // one of a fixed set of texts
	default:
		return "TLS: the handshake failed"
	}
}

func (e *tlsError) Unwrap() error { return e.err }
