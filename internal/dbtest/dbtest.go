// Package dbtest gives tests real servers to run on.
//
// The servers are those that MYSQLSESSION_TEST_DSNS names, separated by spaces, in
// the form that mysqlsession.ParseConfig reads. Without it they are a private,
// throw-away instance of every mariadbd and mysqld found on this machine, and, when a
// Docker engine answers, a container of each image in MYSQLSESSION_TEST_IMAGES
// ("mysql:8.4 mariadb:11.4" unless told, "none" for no containers). With no server
// at all a test fails and says what to install.
//
// A DSN with a host and a socket is a server that can be reached by both. The file
// that MYSQLSESSION_TEST_CA names signed the certificates of the servers whose DSN
// asks for no TLS: they are tested over TLS too.
//
// A package whose tests use this one needs
//
//	func TestMain(m *testing.M) { dbtest.Main(m) }
package dbtest

import (
	"sync"
	"testing"

	"github.com/mysqlsession/mysqlsession"
)

// Server is a running database server that tests may do anything to but stop.
type Server struct {
	// Name tells the server from the others of this test run: "mariadb-10.11.19".
	Name string
	// Flavor is "mysql" or "mariadb".
	Flavor string
	// Version is what SELECT VERSION() says.
	Version string
	// Config connects as a user with all privileges. It names no database; see NewDatabase.
	Config mysqlsession.Config
	// CA is a file with the certificate of the authority that signed the server's
	// certificate, which is valid for Config.Host. "": not known.
	CA string
	// Socket is the path of the server's Unix socket. "": it has none here.
	Socket string
	// Encrypts says that the server takes TLS even though nobody can say who signed
	// its certificate, as a container that made its own.
	Encrypts bool
}

// MariaDB says whether the server is one of MariaDB's.
func (s Server) MariaDB() bool { return s.Flavor == flavorMariaDB }

// Transport is one of the ways in which bytes travel to a server.
type Transport struct {
	// Name is "tcp", "tls" or "socket".
	Name  string
	apply func(cfg *mysqlsession.Config)
}

// Over returns cfg, changed to travel this way.
func (t Transport) Over(cfg mysqlsession.Config) mysqlsession.Config {
	t.apply(&cfg)
	return cfg
}

// Transports returns every way to reach the server: the one that its Config has, and
// where the server has them TLS and the Unix socket.
func (s Server) Transports() []Transport {
	given := Transport{Name: transportName(s.Config), apply: func(*mysqlsession.Config) {}}
	transports := []Transport{given}
	if given.Name == "tcp" && s.CA != "" {
		transports = append(transports, Transport{Name: "tls", apply: func(cfg *mysqlsession.Config) {
			cfg.SSLMode, cfg.SSLCA = mysqlsession.SSLModeVerifyIdentity, s.CA
		}})
	} else if given.Name == "tcp" && s.Encrypts {
		transports = append(transports, Transport{Name: "tls", apply: func(cfg *mysqlsession.Config) {
			cfg.SSLMode = mysqlsession.SSLModeRequired
		}})
	}
	if given.Name != "socket" && s.Socket != "" {
		transports = append(transports, Transport{Name: "socket", apply: func(cfg *mysqlsession.Config) {
			cfg.Socket = s.Socket
			cfg.SSL, cfg.SSLVerify, cfg.SSLMode = false, false, ""
			cfg.SSLCA, cfg.SSLCert, cfg.SSLKey, cfg.TLSConfig = "", "", "", nil
		}})
	}
	return transports
}

func transportName(cfg mysqlsession.Config) string {
	switch {
	case cfg.Socket != "":
		return "socket"
	case encrypted(cfg):
		return "tls"
	default:
		return "tcp"
	}
}

func encrypted(cfg mysqlsession.Config) bool {
	return cfg.SSL || cfg.SSLMode != "" && cfg.SSLMode != mysqlsession.SSLModeDisabled
}

// process holds what this test process has started. There is one of it because a
// server takes seconds to start and tests of one process share it; Main stops it.
var process struct {
	start   sync.Once
	servers []Server
	err     error
	stop    []func() error
}

// Servers returns the servers to test on, starting them at the first call. It fails
// the test when there is none, or one of them does not work.
func Servers(tb testing.TB) []Server {
	tb.Helper()
	process.start.Do(func() { process.servers, process.err = start() })
	if process.err != nil {
		tb.Fatal(process.err)
	}
	return process.servers
}

// Each runs body as a subtest for each server.
func Each(t *testing.T, body func(t *testing.T, server Server)) {
	t.Helper()
	for _, server := range Servers(t) {
		t.Run(server.Name, func(t *testing.T) { body(t, server) })
	}
}
