package dbtest

import (
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mysqlsession/mysqlsession"
)

// Admin returns a database/sql handle that goes another way than the library does,
// for setting up what a test needs and for looking at tables behind the library's
// back. It names no database, may send several statements at once, and is closed at
// the test's end.
func (s Server) Admin(tb testing.TB) *sql.DB {
	tb.Helper()
	return s.AdminIn(tb, "")
}

// AdminIn is Admin with a database to work in.
func (s Server) AdminIn(tb testing.TB, database string) *sql.DB {
	tb.Helper()
	db, err := s.open(database)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// NewDatabase creates an empty database that is dropped at the test's end, and
// returns the server's Config with it.
func (s Server) NewDatabase(tb testing.TB) mysqlsession.Config {
	tb.Helper()
	admin := s.Admin(tb)
	cfg := s.Config
	cfg.Database = "mysqlsession_test_" + rand.Text()
	if _, err := admin.Exec("CREATE DATABASE " + cfg.Database); err != nil {
		tb.Fatalf("creating a scratch database on %s: %v", s.Name, err)
	}
	tb.Cleanup(func() {
		// A transaction that a failed test left open must not hold up the others.
		_, err := admin.Exec("SET SESSION lock_wait_timeout = 10; DROP DATABASE " + cfg.Database)
		if err != nil {
			tb.Errorf("dropping the scratch database on %s: %v", s.Name, err)
		}
	})
	return cfg
}

func (s Server) open(database string) (*sql.DB, error) {
	connector, err := mysql.NewConnector(s.driverConfig(database))
	if err != nil {
		return nil, fmt.Errorf("configuring the administrator's connection: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(1)
	return db, nil
}

// driverConfig says in go-sql-driver's terms what Config says.
func (s Server) driverConfig(database string) *mysql.Config {
	driver := mysql.NewConfig()
	driver.User, driver.Passwd = s.Config.Username, s.Config.Password
	driver.DBName = database
	driver.MultiStatements = true
	driver.InterpolateParams = true
	driver.Timeout = 10 * time.Second
	driver.Logger = &mysql.NopLogger{}
	if s.Config.Socket != "" {
		driver.Net, driver.Addr = "unix", s.Config.Socket
		return driver
	}
	host, port := s.Config.Host, s.Config.Port
	if host == "" {
		host = "127.0.0.1"
	}
	if port == 0 {
		port = 3306
	}
	driver.Net, driver.Addr = "tcp", net.JoinHostPort(host, strconv.Itoa(int(port)))
	if encrypted(s.Config) {
		// Verifying is the library's part, and tested there.
		driver.TLS = &tls.Config{InsecureSkipVerify: true}
		if s.Config.SSLCert != "" {
			pair, err := tls.LoadX509KeyPair(s.Config.SSLCert, s.Config.SSLKey)
			if err == nil {
				driver.TLS.Certificates = []tls.Certificate{pair}
			}
		}
	}
	return driver
}

// NewUser creates a user who may do only what is granted on a database, and returns
// cfg as that user. The user is gone at the test's end.
func (s Server) NewUser(tb testing.TB, cfg mysqlsession.Config, privileges string) mysqlsession.Config {
	tb.Helper()
	admin := s.Admin(tb)
	cfg.Username, cfg.Password = "test_"+rand.Text()[:20], rand.Text()
	account := "'" + cfg.Username + "'@'%'"
	_, err := admin.Exec("CREATE USER " + account + " IDENTIFIED BY '" + cfg.Password + "'")
	if err != nil {
		tb.Fatalf("creating a user on %s: %v", s.Name, err)
	}
	tb.Cleanup(func() {
		if _, err := admin.Exec("DROP USER " + account); err != nil {
			tb.Errorf("dropping a user of %s: %v", s.Name, err)
		}
	})
	if _, err := admin.Exec("GRANT " + privileges + " ON " + cfg.Database + ".* TO " + account); err != nil {
		tb.Fatalf("granting %s on %s: %v", privileges, s.Name, err)
	}
	return cfg
}

// SetGlobal changes one of the server's global settings until the test's end. The
// servers are shared by all tests of a process: a test that uses it must not be parallel.
func (s Server) SetGlobal(tb testing.TB, variable string, value any) {
	tb.Helper()
	admin := s.Admin(tb)
	var before any
	if err := admin.QueryRow("SELECT @@GLOBAL." + variable).Scan(&before); err != nil {
		tb.Fatalf("reading %s of %s: %v", variable, s.Name, err)
	}
	if text, ok := before.([]byte); ok {
		before = string(text)
	}
	if _, err := admin.Exec("SET GLOBAL "+variable+" = ?", value); err != nil {
		tb.Fatalf("setting %s of %s: %v", variable, s.Name, err)
	}
	tb.Cleanup(func() {
		if _, err := admin.Exec("SET GLOBAL "+variable+" = ?", before); err != nil {
			tb.Errorf("setting %s of %s back: %v", variable, s.Name, err)
		}
	})
}
