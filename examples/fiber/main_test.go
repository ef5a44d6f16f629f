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

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	dbtest.Main(m)
}

// start runs the service and returns its address. end interrupts it, once.
func start(t *testing.T, arguments ...string) (address string, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append(arguments, "-listen", "127.0.0.1:0"), writer)
		_ = writer.Close() // always nil
		ended <- err
	}()
	end = func() {
		if ctx.Err() == nil {
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(end)
	line, err := bufio.NewReader(reader).ReadString('\n')
	require.NoError(t, err)
	address, _, found := strings.Cut(line, ";")
	require.True(t, found, line)
	return address, end
}

// browser is somebody's, with its cookies.
type browser struct {
	client  *http.Client
	address string
}

func newBrowser(t *testing.T, address string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{&http.Client{Jar: jar, Transport: transport}, address}
}

// sends asserts the answer's status and returns its body.
func (b *browser) sends(t *testing.T, method, path string, status int) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, b.address+path, http.NoBody)
	require.NoError(t, err)
	response, err := b.client.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, errors.Join(err, response.Body.Close()))
	require.Equal(t, status, response.StatusCode, "%s", body)
	return strings.TrimSpace(string(body))
}

func (b *browser) posts(t *testing.T, path string) {
	t.Helper()
	b.sends(t, http.MethodPost, path, http.StatusOK)
}

func (b *browser) sees(t *testing.T, want string) {
	t.Helper()
	require.Equal(t, want, b.sends(t, http.MethodGet, "/", http.StatusOK))
}

func TestTheServiceKnowsWhoIsSignedInAndForgetsWhoHasGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		address, _ := start(t, "-dsn", server.NewDatabase(t).ConnString())
		phone, desk, other := newBrowser(t, address), newBrowser(t, address), newBrowser(t, address)
		phone.sees(t, "nobody is signed in")
		phone.posts(t, "/login?user=ada")
		phone.sees(t, "ada, visit 1")
		phone.sees(t, "ada, visit 2")
		phone.posts(t, "/login?user=grace")
		phone.sees(t, "grace, visit 1")
		phone.posts(t, "/logout")
		phone.sees(t, "nobody is signed in")

		phone.posts(t, "/login?user=ada")
		desk.posts(t, "/login?user=ada")
		other.posts(t, "/login?user=grace")
		phone.posts(t, "/logout-everywhere")
		phone.sees(t, "nobody is signed in")
		desk.sees(t, "nobody is signed in")
		other.sees(t, "grace, visit 1")
	})
}

func TestARestartSignsNobodyOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		dsn := server.NewDatabase(t).ConnString()
		address, end := start(t, "-dsn", dsn)
		b := newBrowser(t, address)
		b.posts(t, "/login?user=ada")
		end()
		b.address, _ = start(t, "-dsn", dsn)
		b.sees(t, "ada, visit 1")
	})
}

func TestAnOutageSignsNobodyOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		address, _ := start(t, "-dsn", cfg.ConnString())
		b := newBrowser(t, address)
		b.posts(t, "/login?user=ada")
		_, err := admin.Exec("RENAME TABLE sessions TO away")
		require.NoError(t, err)
		b.sends(t, http.MethodGet, "/", http.StatusServiceUnavailable)
		b.sends(t, http.MethodPost, "/login?user=grace", http.StatusServiceUnavailable)
		b.sends(t, http.MethodPost, "/logout", http.StatusServiceUnavailable)
		_, err = admin.Exec("RENAME TABLE away TO sessions")
		require.NoError(t, err)
		b.sees(t, "ada, visit 1")
		b.sends(t, http.MethodGet, "/nowhere", http.StatusNotFound)
	})
}

func TestWithoutADatabaseItStartsOne(t *testing.T) {
	address, _ := start(t)
	b := newBrowser(t, address)
	b.posts(t, "/login?user=ada")
	b.sees(t, "ada, visit 1")
}

func TestWhatCannotBeDoneIsAnError(t *testing.T) {
	require.ErrorIs(t, run(t.Context(), []string{"-help"}, io.Discard), flag.ErrHelp)
	require.ErrorIs(t, run(t.Context(), []string{"-dsn", "mysql://?x=y"}, io.Discard), mysqlsession.ErrInvalidConfig)
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		err := run(t.Context(), []string{"-dsn", server.NewDatabase(t).ConnString(), "-listen", "127.0.0.1:nowhere"}, io.Discard)
		require.ErrorAs(t, err, new(*net.OpError))
	})
}
