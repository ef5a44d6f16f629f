package main

import (
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/examples/internal/exampletest"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	dbtest.Main(m)
}

func TestVisitorsFindTheirSessions(t *testing.T) { exampletest.Run(t, newServer) }

func TestNobodyCannotSignIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		address, _ := exampletest.Start(t, newServer, "-dsn", server.NewDatabase(t).ConnString())
		v := exampletest.NewVisitor(t, address)
		v.Sends(http.MethodPost, "/login", http.StatusBadRequest)
		v.Sees("nobody is signed in")
	})
}

func TestADatabaseThatIsAwaySignsNobodyOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		proxy, err := faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))))
		require.NoError(t, err)
		t.Cleanup(proxy.Close)
		cfg.Host, cfg.Port, cfg.Socket = proxy.Address().IP.String(), uint16(proxy.Address().Port), ""
		address, _ := exampletest.Start(t, newServer, "-dsn", cfg.ConnString())
		v := exampletest.NewVisitor(t, address)
		v.Posts("/login?user=ada")
		proxy.Refuse()
		proxy.Reset()
		for _, path := range []string{"/login?user=ada", "/logout", "/logout-everywhere"} {
			v.Sends(http.MethodPost, path, http.StatusServiceUnavailable)
		}
		v.Sends(http.MethodGet, "/", http.StatusServiceUnavailable)
	})
}
