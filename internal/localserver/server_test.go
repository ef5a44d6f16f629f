//go:build unix

package localserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onEachServer runs a test on every server program of this machine.
func onEachServer(t *testing.T, test func(t *testing.T, binary Binary)) {
	for _, binary := range requirePrograms(t) {
		t.Run(binary.Flavor+" "+binary.Version, func(t *testing.T) { test(t, binary) })
	}
}

// requirePrograms returns the server programs of this machine. Where there is none, the
// tests of this package have nothing to work on, which is fine where the other tests run
// on servers that are named, or in containers.
func requirePrograms(t *testing.T) []Binary {
	t.Helper()
	found := Find()
	if len(found) > 0 {
		return found
	}
	if os.Getenv("MYSQLSESSION_TEST_DSNS") != "" || exec.Command("docker", "info").Run() == nil {
		t.Skip("no server program on this machine; other tests run on other servers")
	}
	require.Fail(t, "no server program on this machine; install one: apt-get install mariadb-server-core")
	return nil
}

func start(t *testing.T, options Options) *Server {
	t.Helper()
	requirePrograms(t)
	begin := time.Now()
	s, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Logf("%s %s ready after %s", s.Binary.Flavor, s.Binary.Version, time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() { assert.NoError(t, s.Stop()) })
	return s
}

func (s *Server) address() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }

func login(t *testing.T, s *Server, address, password string, options ...client.Option) (*client.Conn, error) {
	t.Helper()
	connection, err := client.ConnectWithContext(t.Context(), address, s.Username, password, s.Database, 10*time.Second, options...)
	if err == nil {
		t.Cleanup(func() { _ = connection.Close() })
	}
	return connection, err
}

func mustLogin(t *testing.T, s *Server, address string, options ...client.Option) *client.Conn {
	t.Helper()
	connection, err := login(t, s, address, s.Password, options...)
	require.NoError(t, err)
	return connection
}

func TestServerTakesSessionsOnItsPortAndItsSocket(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		s := start(t, Options{Binary: binary})
		for _, address := range []string{s.address(), s.Socket} {
			connection := mustLogin(t, s, address)
			for _, statement := range []string{
				"CREATE TABLE IF NOT EXISTS sessions (sid VARBINARY(43) PRIMARY KEY, data MEDIUMBLOB) ENGINE=InnoDB",
				// As large as any session may be.
				"REPLACE INTO sessions VALUES ('a', REPEAT('x', 15 << 20))",
			} {
				_, err := connection.Execute(statement)
				require.NoError(t, err)
			}
			result, err := connection.Execute("SELECT LENGTH(data) FROM sessions")
			require.NoError(t, err)
			length, err := result.GetInt(0, 0)
			require.NoError(t, err)
			assert.EqualValues(t, 15<<20, length)
		}
	})
}

func TestServerWithAccountsRefusesWrongPasswordsAndOtherUsers(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		s := start(t, Options{Binary: binary, Accounts: true})
		_, err := login(t, s, s.address(), "wrong")
		require.ErrorContains(t, err, "ERROR 1045")
		for _, address := range []string{s.address(), s.Socket} {
			_, err = client.Connect(address, "root", "", "")
			assert.ErrorContains(t, err, "ERROR 1")

			connection := mustLogin(t, s, address)
			_, err = connection.Execute("CREATE USER IF NOT EXISTS other@'%' IDENTIFIED BY 'secret'")
			assert.NoError(t, err)
		}
	})
}

func TestServerWithTLSShowsACertificateForLoopbackThatTheCASigned(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		s := start(t, Options{Binary: binary, Accounts: true, TLS: true})
		pem, err := os.ReadFile(s.CA)
		require.NoError(t, err)
		authorities := x509.NewCertPool()
		require.True(t, authorities.AppendCertsFromPEM(pem))
		certificate, err := tls.LoadX509KeyPair(s.ClientCertificate, s.ClientKey)
		require.NoError(t, err)
		connection := mustLogin(t, s, s.address())
		for _, statement := range []string{
			"CREATE USER strict@'%' IDENTIFIED BY 'secret' REQUIRE X509",
			"GRANT ALL PRIVILEGES ON session.* TO strict@'%'",
		} {
			_, err := connection.Execute(statement)
			require.NoError(t, err)
		}
		for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
			strict, err := client.Connect(s.address(), "strict", "secret", s.Database, func(c *client.Conn) error {
				c.SetTLSConfig(&tls.Config{RootCAs: authorities, ServerName: name, Certificates: []tls.Certificate{certificate}})
				return nil
			})
			require.NoError(t, err, name)
			assert.NoError(t, strict.Close())
		}
	})
}

func TestServerWithoutTLSHasNone(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		s := start(t, Options{Binary: binary})
		_, err := login(t, s, s.address(), s.Password, func(c *client.Conn) error {
			c.SetTLSConfig(&tls.Config{InsecureSkipVerify: true})
			return nil
		})
		require.Error(t, err)
	})
}

func TestSocketOnlyServerHasNoPort(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		s := start(t, Options{Binary: binary, SocketOnly: true})
		assert.Zero(t, s.Port)
		connection := mustLogin(t, s, s.Socket)
		result, err := connection.Execute("SELECT @@skip_networking")
		require.NoError(t, err)
		off, err := result.GetInt(0, 0)
		require.NoError(t, err)
		assert.EqualValues(t, 1, off)
	})
}

func TestStopLeavesNothingAndMayBeCalledAgain(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		s := start(t, Options{Binary: binary})
		pid, watchdog := s.Pid(), s.watchdog.process.pid
		begin := time.Now()
		require.NoError(t, s.Stop())
		t.Logf("stopped after %s", time.Since(begin).Round(time.Millisecond))
		assert.NoDirExists(t, s.Folder)
		assert.False(t, running(pid), "the server runs")
		assert.False(t, running(watchdog), "the watchdog runs")
		assert.NoError(t, s.Stop())
		assert.Error(t, s.Restart(t.Context()), "a stopped server restarts")
		s.Kill()
	})
}

func TestRestartKeepsPortAndDataAlsoAfterKill(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		s := start(t, Options{Binary: binary, Durable: true, Accounts: true})
		_, err := mustLogin(t, s, s.address()).Execute("CREATE TABLE kept (id INT PRIMARY KEY)")
		require.NoError(t, err)
		address, first := s.address(), s.Pid()

		require.NoError(t, s.Restart(t.Context()))
		second := s.Pid()
		assert.NotEqual(t, first, second)
		_, err = mustLogin(t, s, address).Execute("INSERT INTO kept VALUES (1)")
		require.NoError(t, err)

		s.Kill()
		assert.False(t, running(second))
		_, err = net.Dial("tcp", address)
		require.Error(t, err)

		require.NoError(t, s.Restart(t.Context()))
		result, err := mustLogin(t, s, address).Execute("SELECT COUNT(*) FROM kept")
		require.NoError(t, err)
		rows, err := result.GetInt(0, 0)
		require.NoError(t, err)
		assert.EqualValues(t, 1, rows)
	})
}

func TestPortTakenByAnotherProgramIsExchangedForAFreeOne(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { assert.NoError(t, listener.Close()) }()
		taken := uint16(listener.Addr().(*net.TCPAddr).Port)
		picks := 0
		s := start(t, Options{Binary: binary, pickPort: func() (uint16, error) {
			if picks++; picks <= 2 {
				return taken, nil
			}
			return freePort()
		}})
		assert.Equal(t, 3, picks)
		assert.NotEqual(t, taken, s.Port)
		mustLogin(t, s, s.address())
	})
}

func TestPortThatStaysTakenIsAnErrorThatSaysSo(t *testing.T) {
	requirePrograms(t)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { assert.NoError(t, listener.Close()) }()
	taken := uint16(listener.Addr().(*net.TCPAddr).Port)
	_, err = Start(t.Context(), Options{pickPort: func() (uint16, error) { return taken, nil }})
	require.ErrorContains(t, err, "port "+strconv.Itoa(int(taken)))
	require.ErrorContains(t, err, "in use")
}

func TestFailureShowsTheServersLogAndLeavesNothing(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		temporary := t.TempDir()
		t.Setenv("TMPDIR", temporary)
		_, err := Start(t.Context(), Options{Binary: binary, Arguments: []string{"--no-such-option"}})
		require.ErrorContains(t, err, "before it answered")
		require.ErrorContains(t, err, "no-such-option")
		assertEmpty(t, temporary)
	})
}

func TestProgramThatIsNoServerIsAnError(t *testing.T) {
	_, err := Start(t.Context(), Options{Binary: Binary{Path: filepath.Join(t.TempDir(), "mariadbd"), Flavor: FlavorMariaDB}})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestStartEndsWithItsContextAndLeavesNothing(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		temporary := t.TempDir()
		t.Setenv("TMPDIR", temporary)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := Start(ctx, Options{Binary: binary, Accounts: true})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assertEmpty(t, temporary)
	})
}

func TestTemporaryFolderWithALongNameIsNotUsedForTheSocket(t *testing.T) {
	long := filepath.Join(t.TempDir(), "a-folder-whose-name-alone-is-longer-than-what-the-path-of-a-unix-socket-may-have-on-any-system")
	require.NoError(t, os.Mkdir(long, 0o700))
	t.Setenv("TMPDIR", long)
	s := start(t, Options{})
	mustLogin(t, s, s.Socket)
}

func TestServerThatAppArmorConfinesIsStartedByItsLoader(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		s := start(t, Options{Binary: binary, Accounts: true, confined: func(string) bool { return true }})
		mustLogin(t, s, s.address())
		if loader := loaderOf(binary.Path); loader != "" {
			assert.Equal(t, loader, s.process.command.Path)
		}
	})
}

func TestProfileOfAppArmorCountsOnlyWhenItIsHeeded(t *testing.T) {
	root := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	const path = "/no/such/mysqld"
	assert.False(t, confinedBelow(root, path))
	write("etc/apparmor.d/no.such.mysqld", "")
	assert.False(t, confinedBelow(root, path), "no AppArmor")
	write("sys/module/apparmor/parameters/enabled", "N\n")
	assert.False(t, confinedBelow(root, path), "AppArmor is off")
	write("sys/module/apparmor/parameters/enabled", "Y\n")
	assert.True(t, confinedBelow(root, path))
	assert.False(t, confinedBelow(root, "/no/such/mariadbd"), "another program's profile")
	write("etc/apparmor.d/disable/no.such.mysqld", "")
	assert.False(t, confinedBelow(root, path), "the profile is off")
}

func assertEmpty(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Empty(t, entries)
}
