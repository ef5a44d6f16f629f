package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/cookiejar"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// start runs the program on a database, and returns its address and what ends it.
func start(t *testing.T, cfg mysqlsession.Config) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-dsn", cfg.ConnString(), "-listen", "127.0.0.1:0"}, writer)
		ended <- errors.Join(err, writer.Close())
	}()
	stop = func() {
		cancel()
		assert.NoError(t, <-ended)
	}
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		cancel()
		require.NoError(t, <-ended)
	}
	return regexp.MustCompile(`http://[^;]+`).FindString(line), stop
}

// browser is somebody who visits the service.
type browser struct {
	t       *testing.T
	client  *http.Client
	address string
}

func newBrowser(t *testing.T, address string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true}
	return &browser{t, &http.Client{Jar: jar, Transport: transport}, address}
}

// sees asserts what the page says.
func (b *browser) sees(want string) {
	b.t.Helper()
	require.Equal(b.t, want, b.do(http.MethodGet, "/", http.StatusOK))
}

func (b *browser) posts(path string) {
	b.t.Helper()
	b.do(http.MethodPost, path, http.StatusOK)
}

func (b *browser) do(method, path string, status int) string {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.address+path, http.NoBody)
	require.NoError(b.t, err)
	response, err := b.client.Do(request)
	require.NoError(b.t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	require.NoError(b.t, response.Body.Close())
	require.Equal(b.t, status, response.StatusCode)
	return strings.TrimSpace(string(body))
}

func TestTheServiceKnowsWhoIsSignedIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		address, stop := start(t, server.NewDatabase(t))
		defer stop()
		phone, desk := newBrowser(t, address), newBrowser(t, address)
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
		desk.sees("ada, visit 1")
		phone.posts("/logout-everywhere")
		desk.sees("nobody is signed in")
		phone.sees("nobody is signed in")
	})
}

func TestSessionsOutliveTheServiceAndItsKeyIsGiven(t *testing.T) {
	t.Setenv("SESSION_KEY", strings.Repeat("k", 32))
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		address, stop := start(t, cfg)
		ada := newBrowser(t, address)
		ada.posts("/login?user=ada")
		stop()
		ada.address, stop = start(t, cfg)
		ada.sees("ada, visit 1")
		stop()

		t.Setenv("SESSION_KEY", strings.Repeat("n", 32))
		ada.address, stop = start(t, cfg)
		ada.sees("nobody is signed in") // and no error for a cookie that nobody can read
		stop()
	})
}

func TestAnOutageIsNoSignOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		address, stop := start(t, cfg)
		defer stop()
		ada := newBrowser(t, address)
		ada.posts("/login?user=ada")
		rename := func(from, to string) {
			_, err := admin.ExecContext(t.Context(), "RENAME TABLE "+from+" TO "+to)
			require.NoError(t, err)
		}
		rename("sessions", "away")
		ada.do(http.MethodGet, "/", http.StatusServiceUnavailable)
		ada.do(http.MethodPost, "/login?user=grace", http.StatusServiceUnavailable)
		rename("away", "sessions")
		ada.sees("ada, visit 1")
	})
}

func TestWhatCannotBeDoneIsAnError(t *testing.T) {
	require.ErrorIs(t, run(t.Context(), []string{"-help"}, io.Discard), flag.ErrHelp)
	require.ErrorIs(t, run(t.Context(), []string{"-dsn", "mysql://?x=y"}, io.Discard), mysqlsession.ErrInvalidConfig)
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		require.Error(t, run(t.Context(), []string{"-dsn", server.NewDatabase(t).ConnString(), "-listen", "nowhere"}, io.Discard))
	})
}
