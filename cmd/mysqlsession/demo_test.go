//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

const (
	laptopAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	phoneAgent  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)

// TestStoryOfTheDemonstration is what the program asks its user to try, on every server.
func TestStoryOfTheDemonstration(t *testing.T) {
	for _, server := range dbtest.Servers(t) {
		t.Run(server.Name, func(t *testing.T) {
			config := server.NewDatabase(t)
			admin := server.AdminIn(t, config.Database)
			p := startDemo(t, dsnVariable+"="+config.ConnString())
			rows := func(table string) (n int) {
				require.NoError(t, admin.QueryRow("SELECT COUNT(*) FROM "+table).Scan(&n))
				return n
			}
			laptop, phone := p.browser(laptopAgent), p.browser(phoneAgent)

			assert.Contains(t, laptop.look(), "you have no session and no cookie")
			assert.Empty(t, laptop.key())
			assert.Zero(t, rows(demoTable))

			assert.Contains(t, laptop.post("/count"), "1 time<")
			assert.Contains(t, laptop.look(), "2 times")
			assert.Equal(t, 1, rows(demoTable))
			anonymous := laptop.key()

			page := laptop.post("/sign-in", "name", "Ada 愛")
			assert.Contains(t, page, "Hello, Ada 愛")
			assert.Contains(t, page, "3 times")
			assert.NotEqual(t, anonymous, laptop.key())
			assert.NotContains(t, page, laptop.key())

			page = phone.post("/sign-in", "name", "Ada 愛")
			assert.Contains(t, page, "Firefox on Linux")
			assert.Contains(t, page, `Safari on iPhone <span class="tag">this one</span>`)
			assert.Contains(t, laptop.look(), "Safari on iPhone")

			assert.Contains(t, phone.post("/sign-out"), "signed out, in this browser")
			assert.NotContains(t, laptop.look(), "Safari on iPhone")

			phone.post("/sign-in", "name", "Ada 愛")
			assert.Contains(t, phone.post("/sign-out-everywhere"), "2 sessions ended")
			assert.Contains(t, laptop.look(), "Your session has ended")
			assert.Zero(t, rows(demoTable+"_meta"))
			assert.LessOrEqual(t, rows(demoTable), 1, "more is left than the id that was replaced at the sign-in")

			assert.Zero(t, p.interrupt(syscall.SIGINT))
			p.assertNothingLeft()
		})
	}
}

func TestDemonstrationWithAServerOfItsOwnLeavesNothing(t *testing.T) {
	requireServerProgram(t)
	for _, end := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGINT, 0}, {syscall.SIGTERM, 0}, {syscall.SIGHUP, 0}, {syscall.SIGKILL, -1}} {
		t.Run(end.signal.String(), func(t *testing.T) {
			p := startDemo(t)
			assert.Contains(t, p.said, "--socket="+p.folder)
			assert.Contains(t, p.browser(laptopAgent).post("/sign-in", "name", "Ada"), "Hello, Ada")
			assert.Equal(t, end.code, p.interrupt(end.signal))
			p.assertNothingLeft()
		})
	}
}

func TestDatabaseThatGoesAwaySignsNobodyOut(t *testing.T) {
	requireServerProgram(t)
	p := startDemo(t)
	b := p.browser(laptopAgent)
	b.post("/sign-in", "name", "Ada")
	key := b.key()

	require.NoError(t, syscall.Kill(p.serverPid(), syscall.SIGSTOP))
	status, page := b.do(http.MethodGet, "/", nil)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Contains(t, page, "The database does not answer")
	require.NoError(t, syscall.Kill(p.serverPid(), syscall.SIGCONT))
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		_, page := b.do(http.MethodGet, "/", nil)
		assert.Contains(c, page, "Hello, Ada")
	}, 20*time.Second, 50*time.Millisecond)

	require.NoError(t, syscall.Kill(p.serverPid(), syscall.SIGKILL))
	for _, target := range []string{"/sign-out", "/sign-out-everywhere", "/count"} {
		status, _ = b.do(http.MethodPost, target, nil)
		assert.Equal(t, http.StatusServiceUnavailable, status)
	}
	assert.Equal(t, key, b.key())
	assert.Zero(t, p.interrupt(syscall.SIGINT))
	p.assertNothingLeft()
}

func TestAddressThatIsTakenIsExchangedUnlessItWasAskedFor(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { assert.NoError(t, taken.Close()) }()

	d := &demo{listen: taken.Addr().String()}
	listener, err := d.bind(t.Context())
	require.NoError(t, err)
	assert.NotEqual(t, taken.Addr().String(), listener.Addr().String())
	assert.True(t, listener.Addr().(*net.TCPAddr).IP.IsLoopback())
	require.NoError(t, listener.Close())

	d.listenGiven = true
	_, err = d.bind(t.Context())
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, taken.Addr().String())
}

func TestPageAddressIsOneThatABrowserOnThisMachineOpens(t *testing.T) {
	for address, page := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080",
		"0.0.0.0:8080":   "http://localhost:8080",
		"[::]:8080":      "http://localhost:8080",
		"[::1]:8080":     "http://[::1]:8080",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", address)
		require.NoError(t, err)
		assert.Equal(t, page, pageAddress(tcp))
	}
}

// bare is a demonstration on a machine with nothing on it.
func bare() *demo {
	return &demo{private: private{
		out:    &bytes.Buffer{},
		find:   func() []localserver.Binary { return nil },
		engine: func(context.Context) error { return errors.New("no engine") },
	}}
}

func TestMachineWithoutAnyDatabaseIsToldHowToGetOne(t *testing.T) {
	t.Setenv(dsnVariable, "")
	_, err := bare().chooseDatabase(t.Context())
	require.ErrorContains(t, err, dsnVariable)
	require.ErrorContains(t, err, "install")
}

func TestServerThatDoesNotStartIsShownWithItsReason(t *testing.T) {
	t.Setenv(dsnVariable, "")
	d := bare()
	d.find = func() []localserver.Binary {
		return []localserver.Binary{{Path: "/bin/false", Flavor: localserver.FlavorMariaDB, Version: "1.2.3"}}
	}
	_, err := d.chooseDatabase(t.Context())
	require.ErrorContains(t, err, "/bin/false 1.2.3")
}

func TestDSNIsCheckedAndNeverShown(t *testing.T) {
	t.Setenv(dsnVariable, "mysql://user:secret@localhost/database?no_such_parameter=1")
	_, err := bare().chooseDatabase(t.Context())
	require.ErrorContains(t, err, dsnVariable)
	require.ErrorContains(t, err, "no_such_parameter")
	assert.NotContains(t, err.Error(), "secret")
}

func TestTheIntroductionNamesTheDashboardsAddress(t *testing.T) {
	d := bare()
	d.introduce(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, &database{})
	assert.Regexp(t, `Dashboard +http://127\.0\.0\.1:8080/dashboard/\n`, d.out.(*bytes.Buffer).String())
}

func TestDemonstrationUsesTheDatabaseThatAFlagNames(t *testing.T) {
	t.Setenv(dsnVariable, "mysql://user:s3cret@localhost/another")
	d := bare()
	d.target.dsnFile = fileOf(t, "mysql://user:s3cret@localhost/mine")
	db, err := d.chooseDatabase(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "mine", db.config.Database)
	assert.Contains(t, db.name, d.target.dsnFile)
	assert.NotContains(t, db.name, "s3cret")

	d.target.dsnFile = "/nowhere"
	_, err = d.chooseDatabase(t.Context())
	require.ErrorContains(t, err, "/nowhere", "a server of its own is not what was asked for")
}

func TestDemonstrationInAGivenDatabaseKeepsToTablesOfItsOwn(t *testing.T) {
	t.Setenv(dsnVariable, "mysql://user:secret@localhost/database")
	db, err := bare().chooseDatabase(t.Context())
	require.NoError(t, err)
	assert.Equal(t, demoTable, db.config.TableName)
	assert.NotContains(t, db.name+db.look()+db.leaves, "secret")

	t.Setenv(dsnVariable, "mysql://user:secret@localhost/database?table_name=mine")
	db, err = bare().chooseDatabase(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "mine", db.config.TableName)
	assert.Contains(t, db.look(), "FROM mine")
}

// requireServerProgram lets a test that needs a server program go on only where there is
// one. Where there is none, the tests run on servers that are named, or in containers.
func requireServerProgram(t *testing.T) {
	t.Helper()
	if len(localserver.Find()) == 0 {
		servers := dbtest.Servers(t) // fails when there is none of these either
		t.Skipf("no server program on this machine; other tests run on %s", servers[0].Name)
	}
}

func TestCommandsAndFlagsAreDocumented(t *testing.T) {
	root := newRootCommand()
	for _, command := range append(root.Commands(), root) {
		assert.NotEmpty(t, command.Short, command.Name())
	}
	var help bytes.Buffer
	root.SetOut(&help)
	root.SetArgs([]string{"demo", "--help"})
	require.NoError(t, root.ExecuteContext(t.Context()))
	for _, word := range []string{dsnVariable, "--listen", "--image", "127.0.0.1:8080", "--dsn-file", "--password-file", "/dashboard/"} {
		assert.Contains(t, help.String(), word)
	}
}

func TestUnknownCommandsAndArgumentsAreErrors(t *testing.T) {
	for _, arguments := range []string{"nonsense", "demo nonsense", "demo --nonsense"} {
		root := newRootCommand()
		root.SetOut(&bytes.Buffer{})
		root.SetArgs(strings.Fields(arguments))
		require.ErrorContains(t, root.ExecuteContext(t.Context()), "nonsense")
	}
}
