package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
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

// browser is somebody's.
type browser struct {
	*testing.T
	client  *http.Client
	address string
}

func newBrowser(t *testing.T, address string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, &http.Client{Jar: jar, Transport: transport}, address}
}

func (b *browser) sees(want string) {
	b.Helper()
	require.Equal(b, want, b.gets(http.MethodGet, "/", http.StatusOK))
}

func (b *browser) posts(path string) {
	b.Helper()
	b.gets(http.MethodPost, path, http.StatusOK)
}

// gets sends a request, and asserts the answer's status.
func (b *browser) gets(method, path string, status int) (body string) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), method, b.address+path, http.NoBody)
	require.NoError(b, err)
	response, err := b.client.Do(request)
	require.NoError(b, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(b, err)
	require.NoError(b, response.Body.Close())
	require.Equal(b, status, response.StatusCode)
	return strings.TrimSpace(string(content))
}

func TestTheServiceKnowsWhoIsSignedInAndForgetsWhoHasGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		address := start(t, "-dsn", server.NewDatabase(t).ConnString())
		phone, desk := newBrowser(t, address), newBrowser(t, address)
		phone.sees("nobody is signed in")
		phone.gets(http.MethodPost, "/login", http.StatusBadRequest)
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
		var b *browser
		t.Run("the service", func(t *testing.T) {
			b = newBrowser(t, start(t, "-dsn", dsn))
			b.posts("/login?user=ada")
		})
		b.T, b.address = t, start(t, "-dsn", dsn)
		b.sees("ada, visit 1")
	})
}

func TestADatabaseThatIsAwaySignsNobodyOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		proxy, err := faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))))
		require.NoError(t, err)
		t.Cleanup(proxy.Close)
		cfg.Host, cfg.Port, cfg.Socket = proxy.Address().IP.String(), uint16(proxy.Address().Port), ""
		b := newBrowser(t, start(t, "-dsn", cfg.ConnString()))
		b.posts("/login?user=ada")
		proxy.Refuse()
		proxy.Reset()
		for _, path := range []string{"/login?user=ada", "/logout", "/logout-everywhere"} {
			b.gets(http.MethodPost, path, http.StatusServiceUnavailable)
		}
		b.gets(http.MethodGet, "/", http.StatusServiceUnavailable)
	})
}

func TestWhatCannotBeStartedSaysWhy(t *testing.T) {
	assert.ErrorIs(t, run(t.Context(), []string{"-dsn", "mysql://"}, io.Discard), mysqlsession.ErrInvalidConfig)
	assert.Error(t, run(t.Context(), []string{"-unknown"}, io.Discard))
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		dsn := server.NewDatabase(t).ConnString()
		assert.ErrorContains(t, run(t.Context(), []string{"-dsn", dsn, "-listen", "256.0.0.1:http"}, io.Discard), "listen")
	})
}
