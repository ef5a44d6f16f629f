package mysqlsession_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// farConn is a connection that does not come from this machine, for all that the
// library can tell. It remembers what was sent.
type farConn struct {
	net.Conn
	sent *sentBytes
}

func (farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 3306} }

func (c farConn) Write(p []byte) (int, error) {
	c.sent.add(p)
	return c.Conn.Write(p)
}

type sentBytes struct {
	mu    sync.Mutex // guards bytes
	bytes bytes.Buffer
}

func (s *sentBytes) add(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes.Write(p)
}

func (s *sentBytes) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes.String()
}

// fromAfar has cfg connect as from another machine, and returns what it sends.
func fromAfar(cfg *mysqlsession.Config) *sentBytes {
	sent := new(sentBytes)
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return farConn{conn, sent}, err
	}
	return sent
}

// elsewhere has cfg believe that the server is at the host.
func elsewhere(cfg *mysqlsession.Config, host string) {
	address := net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	cfg.Host = host
	cfg.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// logIn connects, and returns as whom, and the cipher: "" without TLS.
func logIn(t *testing.T, cfg mysqlsession.Config) (account, cipher string, err error) {
	t.Helper()
	conn, err := mysqlsession.Connect(t.Context(), cfg)
	if err != nil {
		requireDiscreet(t, cfg, err)
		return "", "", err
	}
	defer func() { require.NoError(t, conn.Close()) }()
	require.NoError(t, conn.Query(t.Context(), "SELECT CURRENT_USER()", func(row mysqlsession.Row) error {
		account, _, _ = strings.Cut(row.String(0), "@")
		return nil
	}))
	require.NoError(t, conn.Query(t.Context(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'", func(row mysqlsession.Row) error {
		cipher = row.String(1)
		return nil
	}))
	return account, cipher, nil
}

// requireLogin is a login that must succeed.
func requireLogin(t *testing.T, cfg mysqlsession.Config) {
	t.Helper()
	account, cipher, err := logIn(t, cfg)
	require.NoError(t, err)
	require.Equal(t, cfg.Username, account)
	require.Equal(t, cfg.SSL || cfg.SSLMode != "" && cfg.SSLMode != mysqlsession.SSLModeDisabled, cipher != "")
}

// requireDiscreet is an error of one line that names the place and not the password.
func requireDiscreet(t *testing.T, cfg mysqlsession.Config, err error) {
	t.Helper()
	where := cfg.Socket
	if where == "" {
		where = net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	}
	require.ErrorContains(t, err, "mysqlsession: connect to "+where+": ")
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), cfg.Password)
}

// newAccount makes a user who logs in by a method, "" for the server's favourite, and
// returns cfg as that user. The server has not seen the user's password yet.
func newAccount(t *testing.T, server dbtest.Server, cfg mysqlsession.Config, method, more string) mysqlsession.Config {
	t.Helper()
	cfg.Username, cfg.Password = "login_"+rand.Text()[:16], rand.Text()
	identified := " IDENTIFIED BY '" + cfg.Password + "'"
	switch {
	case method != "" && server.MariaDB():
		identified = " IDENTIFIED VIA " + method + " USING PASSWORD('" + cfg.Password + "')"
	case method != "":
		identified = " IDENTIFIED WITH " + method + " BY '" + cfg.Password + "'"
	}
	createAccount(t, server, cfg, identified+more)
	return cfg
}

func createAccount(t *testing.T, server dbtest.Server, cfg mysqlsession.Config, identified string) {
	t.Helper()
	admin := server.Admin(t)
	account := "'" + cfg.Username + "'@'%'"
	execute(t, admin, "CREATE USER "+account+identified)
	t.Cleanup(func() {
		_, err := admin.Exec("DROP USER " + account)
		require.NoError(t, err)
	})
	execute(t, admin, "GRANT ALL ON "+cfg.Database+".* TO "+account)
}

// hasMethod says whether the server has an authentication plugin.
func hasMethod(t *testing.T, admin *sql.DB, plugin string) bool {
	t.Helper()
	var found int
	require.NoError(t, admin.QueryRow("SELECT COUNT(*) FROM information_schema.plugins "+
		"WHERE plugin_name = ? AND plugin_status = 'ACTIVE'", plugin).Scan(&found))
	return found > 0
}

func TestLoginWorksOverEveryTransportByEveryAllowedMethod(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		database := server.NewDatabase(t)
		admin := server.Admin(t)
		for _, method := range []string{"mysql_native_password", "caching_sha2_password", "ed25519"} {
			if !hasMethod(t, admin, method) {
				continue // which one has which is the server's business
			}
			for _, transport := range server.Transports() {
				t.Run(method+"/"+transport.Name, func(t *testing.T) {
					cfg := transport.Over(newAccount(t, server, database, method, ""))
					requireLogin(t, cfg) // the first time
					requireLogin(t, cfg) // and when the server may remember
				})
			}
		}
	})
}

func TestLoginByAnotherMethodIsRefusedByName(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		database := server.NewDatabase(t)
		admin := server.Admin(t)
		for _, method := range []string{"sha256_password", "parsec"} {
			if !hasMethod(t, admin, method) {
				continue
			}
			for _, transport := range server.Transports() {
				t.Run(method+"/"+transport.Name, func(t *testing.T) {
					_, _, err := logIn(t, transport.Over(newAccount(t, server, database, method, "")))
					require.ErrorIs(t, err, mysqlsession.ErrProtocol)
					require.ErrorContains(t, err, "the server asks for "+method)
				})
			}
		}
	})
}

func TestLoginWithTheWrongPasswordNamesTheUser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		database := server.NewDatabase(t)
		for _, transport := range server.Transports() {
			t.Run(transport.Name, func(t *testing.T) {
				cfg := transport.Over(newAccount(t, server, database, "", ""))
				cfg.Password = rand.Text()
				_, _, err := logIn(t, cfg)
				requireServerError(t, err, 1045)
				require.ErrorContains(t, err, `user "`+cfg.Username+`"`)
				require.NotErrorIs(t, err, mysqlsession.ErrUnavailable)
			})
		}
	})
}

func TestLoginToAnUnknownDatabaseNamesIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.Config
		cfg.Database = "no_such_database"
		cfg = newAccount(t, server, cfg, "", "")
		for _, transport := range server.Transports() {
			t.Run(transport.Name, func(t *testing.T) {
				_, _, err := logIn(t, transport.Over(cfg))
				requireServerError(t, err, 1049)
				require.ErrorContains(t, err, `database "no_such_database": unknown database`)
			})
		}
	})
}

func TestLoginToAnotherUsersDatabaseNamesUserAndDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := newAccount(t, server, server.NewDatabase(t), "", "")
		cfg.Database = "mysql"
		_, _, err := logIn(t, cfg)
		requireServerError(t, err, 1044)
		require.ErrorContains(t, err, `user "`+cfg.Username+`", database "mysql": access denied`)
	})
}

// The session's Charset is ascii, which must not lose what the names hold.
func TestLoginWithNamesOutsideASCII(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.Username, cfg.Password = "josé_"+rand.Text()[:8], "pässwörd"+rand.Text()
		createAccount(t, server, cfg, " IDENTIFIED BY '"+cfg.Password+"'")
		conn, err := mysqlsession.Connect(t.Context(), cfg)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	})
}

func TestLoginWithoutAPassword(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.Username, cfg.Password = "login_"+rand.Text()[:16], ""
		createAccount(t, server, cfg, "")
		conn, err := mysqlsession.Connect(t.Context(), cfg)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	})
}

func TestLoginInEachModeOfTLS(t *testing.T) {
	strangers := newAuthority(t).write(t, t.TempDir())
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		if server.CA == "" {
			return // without TLS, or with certificates that nobody knows the signer of
		}
		cfg := newAccount(t, server, server.NewDatabase(t), "", "")
		for _, mode := range []mysqlsession.SSLMode{mysqlsession.SSLModePreferred, mysqlsession.SSLModeRequired} {
			cfg := cfg
			cfg.SSLMode = mode
			requireLogin(t, cfg)
		}
		for _, mode := range []mysqlsession.SSLMode{mysqlsession.SSLModeVerifyCA, mysqlsession.SSLModeVerifyIdentity} {
			cfg := cfg
			cfg.SSLMode, cfg.SSLCA = mode, server.CA
			requireLogin(t, cfg)

			cfg.SSLCA = strangers
			var authority x509.UnknownAuthorityError
			_, _, err := logIn(t, cfg)
			require.ErrorAs(t, err, &authority)
			require.NotErrorIs(t, err, mysqlsession.ErrUnavailable)
		}

		elsewhere(&cfg, "db.example")
		cfg.SSLMode, cfg.SSLCA = mysqlsession.SSLModeVerifyCA, server.CA
		requireLogin(t, cfg)
		cfg.SSLMode = mysqlsession.SSLModeVerifyIdentity
		var hostname x509.HostnameError
		_, _, err := logIn(t, cfg)
		require.ErrorAs(t, err, &hostname)
		require.ErrorContains(t, err, `certificate is not for "db.example"`)

		cfg.SSLCA, cfg.TLSConfig = "", &tls.Config{RootCAs: rootsOf(t, server.CA), ServerName: "localhost"}
		requireLogin(t, cfg)
	})
}

func rootsOf(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(text))
	return roots
}

func TestLoginWithAClientsCertificate(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		certificate, key, ok := clientCertificate(server)
		if !ok {
			return
		}
		cfg := newAccount(t, server, server.NewDatabase(t), "", " REQUIRE X509")
		cfg.SSLMode, cfg.SSLCA = mysqlsession.SSLModeVerifyIdentity, server.CA
		_, _, err := logIn(t, cfg)
		requireServerError(t, err, 1045)
		cfg.SSLCert, cfg.SSLKey = certificate, key
		requireLogin(t, cfg)
	})
}

// clientCertificate is what lies beside the server's authority.
func clientCertificate(server dbtest.Server) (certificate, key string, ok bool) {
	folder := filepath.Dir(server.CA)
	key = filepath.Join(folder, "client-key.pem")
	for _, name := range []string{"client-cert.pem", "client.pem"} {
		certificate = filepath.Join(folder, name)
		if _, err := os.Stat(certificate); server.CA != "" && err == nil {
			return certificate, key, true
		}
	}
	return "", "", false
}

func TestTheServersKeyIsAskedForOnlyWhereThatIsSafeOrAllowed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		admin := server.Admin(t)
		if !hasMethod(t, admin, "caching_sha2_password") {
			return
		}
		database := server.NewDatabase(t)
		unseen := func() mysqlsession.Config { // each needs an account that the server has not seen yet
			return newAccount(t, server, database, "caching_sha2_password", "")
		}
		rightKey, wrongKey := keyFile(t, serversKey(t, admin)), keyFile(t, strangersKey(t))

		t.Run("on loopback it is", func(t *testing.T) { requireLogin(t, unseen()) })
		t.Run("from afar it is not", func(t *testing.T) {
			cfg := unseen()
			sent := fromAfar(&cfg)
			_, _, err := logIn(t, cfg)
			require.ErrorIs(t, err, mysqlsession.ErrKeyRetrieval)
			for _, way := range []string{"SSL", "ServerPublicKey", "AllowPublicKeyRetrieval"} {
				require.ErrorContains(t, err, way)
			}
			require.NotContains(t, sent.String(), cfg.Password)
		})
		t.Run("nor when TLS was only preferred, and is there", func(t *testing.T) {
			cfg := unseen()
			sent := fromAfar(&cfg)
			cfg.SSLMode = mysqlsession.SSLModePreferred
			requireLogin(t, cfg)
			require.NotContains(t, sent.String(), cfg.Password)
		})
		t.Run("when allowed it is, and then remembered", func(t *testing.T) {
			cfg := unseen()
			sent := fromAfar(&cfg)
			cfg.AllowPublicKeyRetrieval = true
			requireLogin(t, cfg)
			cfg.AllowPublicKeyRetrieval = false
			requireLogin(t, cfg)
			require.NotContains(t, sent.String(), cfg.Password)
		})
		t.Run("when known it need not be", func(t *testing.T) {
			cfg := unseen()
			sent := fromAfar(&cfg)
			cfg.ServerPublicKey = wrongKey
			_, _, err := logIn(t, cfg)
			requireServerError(t, err, 1045)
			cfg.ServerPublicKey = rightKey
			requireLogin(t, cfg)
			require.NotContains(t, sent.String(), cfg.Password)
		})
	})
}

func serversKey(t *testing.T, admin *sql.DB) []byte {
	t.Helper()
	var name, text string
	require.NoError(t, admin.QueryRow("SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key'").Scan(&name, &text))
	return []byte(text)
}

func strangersKey(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func keyFile(t *testing.T, text []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

func TestAServersKeyThatIsNoneIsRefusedBeforeDialling(t *testing.T) {
	for _, path := range []string{"/nowhere.pem", keyFile(t, []byte("no key"))} {
		cfg := mysqlsession.Config{ServerPublicKey: path, DialFunc: func(context.Context, string, string) (net.Conn, error) {
			t.Error("dialled")
			return nil, os.ErrInvalid
		}}
		_, err := mysqlsession.Connect(t.Context(), cfg)
		require.ErrorIs(t, err, mysqlsession.ErrInvalidConfig)
		require.ErrorContains(t, err, "ServerPublicKey")
	}
}

func requireServerError(t *testing.T, err error, code uint16) {
	t.Helper()
	var refused *mysqlsession.ServerError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code)
}
