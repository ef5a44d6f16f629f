package service_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/examples/internal/exampletest"
	"github.com/mysqlsession/mysqlsession/examples/internal/service"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// one is a service with one session, which is everybody's.
func one(store *mysqlsession.Store) (*http.Server, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if err := store.Set(r.Context(), "session", "one", []byte(r.FormValue("user")), time.Hour, nil); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		session, err := store.Get(r.Context(), "session", "one")
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "%s", session)
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}, nil
}

func TestWithoutADatabaseItStartsOne(t *testing.T) {
	address, _ := exampletest.Start(t, one)
	v := exampletest.NewVisitor(t, address)
	v.Posts("/login?user=ada")
	v.Sees("ada")
}

func TestWhatCannotBeDoneIsAnError(t *testing.T) {
	run := func(arguments ...string) error { return service.Run(t.Context(), "one", arguments, io.Discard, one) }
	require.ErrorIs(t, run("-help"), flag.ErrHelp)
	require.Error(t, run("-unknown"))
	require.ErrorIs(t, run("-dsn", "mysql://"), mysqlsession.ErrInvalidConfig)
	require.ErrorIs(t, run("-dsn", "mysql://?x=y"), mysqlsession.ErrInvalidConfig)
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		dsn := server.NewDatabase(t).ConnString()
		for _, address := range []string{"nowhere", "127.0.0.1:nowhere", "256.0.0.1:http"} {
			err := run("-dsn", dsn, "-listen", address)
			require.ErrorAs(t, err, new(*net.OpError))
			assert.ErrorContains(t, err, "listen")
		}
		broken := errors.New("broken")
		arguments := []string{"-dsn", dsn, "-listen", "127.0.0.1:0"}
		require.ErrorIs(t, service.Run(t.Context(), "", arguments, io.Discard, func(*mysqlsession.Store) (*http.Server, error) { return nil, broken }), broken)
		require.ErrorIs(t, service.Run(t.Context(), "", arguments, io.Discard, func(*mysqlsession.Store) (*unable, error) { return &unable{err: broken}, nil }), broken)
	})
}

// unable is a server that cannot serve.
type unable struct {
	http.Server
	err error
}

func (u *unable) Serve(listener net.Listener) error { return errors.Join(u.err, listener.Close()) }
