package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	dbtest.Main(m)
}

// start runs the service until the test ends, and returns its address.
func start(t *testing.T, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append(arguments, "-listen", "127.0.0.1:0"), writer)
		ended <- errors.Join(err, writer.Close())
	}()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	line, err := bufio.NewReader(reader).ReadString('\n')
	require.NoError(t, err)
	address, _, found := strings.Cut(line, ";")
	require.True(t, found, line)
	return address
}

// visitor is somebody with a browser.
type visitor struct {
	*testing.T
	client  *http.Client
	address string
}

func newVisitor(t *testing.T, address string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t, &http.Client{Jar: jar, Transport: transport}, address}
}

func (v *visitor) sees(want string) {
	v.Helper()
	require.Equal(v, want, v.gets(http.MethodGet, "/", http.StatusOK))
}

func (v *visitor) posts(path string) {
	v.Helper()
	v.gets(http.MethodPost, path, http.StatusOK)
}

// gets sends a request, and asserts the answer's status.
func (v *visitor) gets(method, path string, status int) (body string) {
	v.Helper()
	request, err := http.NewRequestWithContext(v.Context(), method, v.address+path, http.NoBody)
	require.NoError(v, err)
	response, err := v.client.Do(request)
	require.NoError(v, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(v, err)
	require.NoError(v, response.Body.Close())
	require.Equal(v, status, response.StatusCode)
	return strings.TrimSpace(string(content))
}

func TestTheServiceKnowsWhoIsSignedInAndForgetsWhoHasGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		address := start(t, "-dsn", server.NewDatabase(t).ConnString())
		phone, desk := newVisitor(t, address), newVisitor(t, address)
		phone.sees("nobody is signed in")
		phone.posts("/login?user=ada")
		phone.sees("ada, visit 1")
		phone.sees("ada, visit 2")
		phone.posts("/login?user=grace")
		phone.sees("grace, visit 1")
		phone.posts("/logout")
		phone.sees("nobody is signed in")

		phone.posts("/login?user=ada")
		desk.posts("/login?user=ada")
		phone.posts("/logout-everywhere")
		phone.sees("nobody is signed in")
		desk.sees("nobody is signed in")
	})
}

func TestARestartSignsNobodyOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		dsn := server.NewDatabase(t).ConnString()
		var v *visitor
		t.Run("the service", func(t *testing.T) {
			v = newVisitor(t, start(t, "-dsn", dsn))
			v.posts("/login?user=ada")
		})
		v.T, v.address = t, start(t, "-dsn", dsn)
		v.sees("ada, visit 1")
	})
}

func TestAnOutageSignsNobodyOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		v := newVisitor(t, start(t, "-dsn", cfg.ConnString()))
		v.posts("/login?user=ada")
		_, err := admin.ExecContext(t.Context(), "RENAME TABLE sessions TO away")
		require.NoError(t, err)
		v.gets(http.MethodGet, "/", http.StatusServiceUnavailable)
		v.gets(http.MethodPost, "/login?user=grace", http.StatusServiceUnavailable)
		v.gets(http.MethodPost, "/logout", http.StatusServiceUnavailable)
		_, err = admin.ExecContext(t.Context(), "RENAME TABLE away TO sessions")
		require.NoError(t, err)
		v.sees("ada, visit 1")
	})
}

func TestWithoutADatabaseItStartsOne(t *testing.T) {
	v := newVisitor(t, start(t))
	v.posts("/login?user=ada")
	v.sees("ada, visit 1")
}

func TestWhatCannotBeDoneIsAnError(t *testing.T) {
	require.ErrorIs(t, run(t.Context(), []string{"-help"}, io.Discard), flag.ErrHelp)
	require.ErrorIs(t, run(t.Context(), []string{"-dsn", "mysql://?x=y"}, io.Discard), mysqlsession.ErrInvalidConfig)
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		err := run(t.Context(), []string{"-dsn", server.NewDatabase(t).ConnString(), "-listen", "127.0.0.1:nowhere"}, io.Discard)
		require.ErrorAs(t, err, new(*net.OpError))
	})
}
