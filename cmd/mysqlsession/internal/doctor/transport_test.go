package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

// distant is a connection that looks as if it led to another machine.
type distant struct{ *net.TCPConn }

func (distant) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 3306} }

// fromAfar makes the server one on another machine, by a name.
func fromAfar(cfg mysqlsession.Config) mysqlsession.Config {
	near := addressOf(&cfg)
	cfg.Host = "db.example"
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		socket, err := new(net.Dialer).DialContext(ctx, "tcp", near)
		if err != nil {
			return nil, err
		}
		return distant{socket.(*net.TCPConn)}, nil
	}
	return cfg
}

// trusting accepts any certificate by a look of its own, as an application may have one.
func trusting(cfg mysqlsession.Config) mysqlsession.Config {
	cfg.SSLMode = mysqlsession.SSLModeVerifyIdentity
	cfg.TLSConfig = &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil }}
	return cfg
}

func TestAConnectionThatOthersCanReadIsFoundOnlyOffTheMachine(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		none(t, examined(t, cfg), "warning: TLS")

		secret := fromAfar(cfg)
		secret.SSLMode = mysqlsession.SSLModeRequired
		one(t, examined(t, secret), "warning: TLS is used without looking at the server's certificate")
		none(t, examined(t, trusting(secret)), "warning: TLS")

		// The server remembers the login, so that the next one needs no key.
		found := examined(t, fromAfar(cfg))
		one(t, found, "warning: TLS is not used")
		const forgetful = "uses caching_sha2_password without TLS: logins work only until"
		if server.MariaDB() {
			require.NotContains(t, found, forgetful)
		} else {
			one(t, found, "warning: account "+cfg.Username+"@% "+forgetful)
		}
	})
}

func TestACertificateThatEndsIsFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := trusting(migrated(t, server))
		none(t, examined(t, cfg), "warning: TLS")
		cfg.Clock = func() time.Time { return time.Now().AddDate(200, 0, 0) }
		one(t, examined(t, cfg), "warning: TLS ends with the server's certificate on ")
	})
}

func TestAServerThatCannotBeUsedIsAFindingWithItsFix(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		good := migrated(t, server)
		address := addressOf(&good)
		user := "'" + good.Username + "'"
		socket := filepath.Join(t.TempDir(), "s")
		for name, test := range map[string]struct {
			spoil func(cfg *mysqlsession.Config)
			want  string
		}{
			"refused":          {func(cfg *mysqlsession.Config) { cfg.Port = 1 }, "127.0.0.1:1 cannot be reached: nothing listens there; systemctl start"},
			"no such socket":   {func(cfg *mysqlsession.Config) { cfg.Socket = socket }, socket + " cannot be reached: there is no such socket; "},
			"no such name":     {func(cfg *mysqlsession.Config) { cfg.Host, cfg.Port = "nowhere.invalid", 0 }, "nowhere.invalid:3306 cannot be reached: its name is not known; "},
			"silence":          {silent, address + " does not answer within ConnectTimeout, 100ms; firewalls"},
			"a wrong password": {func(cfg *mysqlsession.Config) { cfg.Password = "a wrong password, which stays here" }, address + " denies the login of user " + user},
			"another's database": {func(cfg *mysqlsession.Config) { cfg.Database = "mysql" },
				address + " lets user " + user + " do nothing in database `mysql`; GRANT SELECT, INSERT, UPDATE, DELETE ON `mysql`.* TO " + user + "@'%';"},
			"no such zone":      {func(cfg *mysqlsession.Config) { cfg.TimeZone = "Mars/Base" }, address + " does not know time zone 'Mars/Base'; time_zone=+00:00 in the DSN"},
			"no such charset":   {func(cfg *mysqlsession.Config) { cfg.Charset = "klingon" }, address + " does not know character set 'klingon'; charset=utf8mb4 in the DSN"},
			"unknown authority": {func(cfg *mysqlsession.Config) { cfg.SSLMode = mysqlsession.SSLModeVerifyCA }, address + " has a certificate of an authority that is not known here; ssl_ca=FILE"},
		} {
			t.Run(name, func(t *testing.T) {
				cfg := good
				test.spoil(&cfg)
				found := examined(t, cfg)
				require.Len(t, found, 1, "there is nothing else to know")
				one(t, found, "error: "+test.want)
			})
		}
	})
}

// silent has the server never answer.
func silent(cfg *mysqlsession.Config) {
	cfg.ConnectTimeout = 100 * time.Millisecond
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

func TestAnAccountThatCannotLogInIsAFindingWhoseFixMendsIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.Admin(t)
		account := "'" + cfg.Username + "'@'%'"
		for spoil, want := range map[string]string{
			"ALTER USER " + account + " ACCOUNT LOCK":    " has an account that is locked; ALTER USER " + account + " ACCOUNT UNLOCK;",
			"ALTER USER " + account + " PASSWORD EXPIRE": " has an account whose password has expired; ALTER USER " + account + " IDENTIFIED BY 'a new password' PASSWORD EXPIRE NEVER;",
			"ALTER USER " + account + " REQUIRE SSL":     " denies the login of user '" + cfg.Username + "': the password is wrong, or the account does not exist, or asks for more; the password in MYSQLSESSION_PASSWORD",
		} {
			execute(t, admin, spoil)
			found := examined(t, cfg)
			require.Len(t, found, 1)
			require.Contains(t, found[0], "error: "+addressOf(&cfg)+want)
			execute(t, admin, "ALTER USER "+account+" IDENTIFIED BY '"+cfg.Password+"' REQUIRE NONE PASSWORD EXPIRE NEVER ACCOUNT UNLOCK")
			none(t, examined(t, cfg), "error:")
		}
		admins := cfg
		admins.Username, admins.Password, admins.Database = server.Config.Username, server.Config.Password, "mysqlsession_test_none"
		require.Equal(t, []string{"error: " + addressOf(&cfg) + " has no database `mysqlsession_test_none`; CREATE DATABASE `mysqlsession_test_none`;"}, examined(t, admins))
	})
}

func TestAServerThatTakesTLSOnlySaysSo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.Config
		admin.SSLMode = mysqlsession.SSLModeRequired
		conn, err := mysqlsession.Connect(t.Context(), admin)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		_, err = conn.Exec(t.Context(), "SET GLOBAL require_secure_transport = ON")
		require.NoError(t, err)
		defer func() {
			_, err := conn.Exec(context.WithoutCancel(t.Context()), "SET GLOBAL require_secure_transport = OFF")
			require.NoError(t, err)
		}()
		line := one(t, examined(t, cfg), "error: "+addressOf(&cfg))
		require.Contains(t, line, "ssl=true")
		if !server.MariaDB() { // whose older versions say the same as to a wrong password
			require.Contains(t, line, " takes logins over TLS only; ssl=true&ssl_verify=true in the DSN")
		}
	})
}

func TestAServerThatIsLostWhileItIsLookedAtIsSaid(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		proxy, err := faultproxy.New(addressOf(&cfg))
		require.NoError(t, err)
		t.Cleanup(proxy.Close)
		cfg.Host, cfg.Port = proxy.Address().IP.String(), uint16(proxy.Address().Port)
		conn, err := mysqlsession.Connect(t.Context(), cfg)
		require.NoError(t, err)
		login := proxy.Passed(faultproxy.ToServer)
		require.NoError(t, conn.Close())

		proxy.Set(faultproxy.ToServer, faultproxy.Rule{After: login + 200, Then: faultproxy.Cut})
		found := examined(t, cfg)
		require.Len(t, found, 1, "what was read is not judged by halves")
		one(t, found, "error: "+addressOf(&cfg)+" was lost while it was looked at: ")
	})
}

// privateServer is one with other start options than those of the other tests.
func privateServer(t *testing.T, secure bool, arguments ...string) mysqlsession.Config {
	t.Helper()
	binaries := localserver.Find()
	require.NotEmpty(t, binaries, "neither mariadbd nor mysqld is on this machine")
	server, err := localserver.Start(t.Context(), localserver.Options{Binary: binaries[0], Accounts: true, TLS: secure, Arguments: arguments})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return mysqlsession.Config{Host: server.Host, Port: server.Port, Username: server.Username, Password: server.Password, Database: server.Database}
}

func TestABinaryLogOfStatementsIsAnErrorAndOneThatIsNotFlushedANotice(t *testing.T) {
	cfg := privateServer(t, false, "--log-bin=log", "--server-id=1", "--binlog-format=STATEMENT", "--sync-binlog=0")
	store, err := mysqlsession.Open(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	require.NoError(t, store.Migrate(t.Context()))
	found := examined(t, cfg)
	one(t, found, "error: binlog_format is STATEMENT: the server refuses all writes")
	one(t, found, "notice: sync_binlog is 0")

	err = store.Set(t.Context(), "n", "id", []byte("v"), time.Minute, nil)
	var refusal *mysqlsession.ServerError
	require.True(t, errors.As(err, &refusal), "it is as the finding says: %v", err)
	require.Equal(t, uint16(1665), refusal.Code)

	cfg.SSL = true
	one(t, examined(t, cfg), "error: "+addressOf(&cfg)+" has no TLS, which the configuration asks for")
}
