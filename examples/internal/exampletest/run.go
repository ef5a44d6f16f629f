package exampletest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/examples/internal/service"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// starter is Start for one service.
type starter func(t *testing.T, arguments ...string) (address string, end func())

// Run takes visitors through the service, on every server.
func Run[S service.Server](t *testing.T, open func(store *mysqlsession.Store) (S, error)) {
	start := func(t *testing.T, arguments ...string) (string, func()) {
		t.Helper()
		return Start(t, open, arguments...)
	}
	for _, journey := range []struct {
		name string
		run  func(t *testing.T, server dbtest.Server, start starter)
	}{
		{"it knows who is signed in and forgets who has gone", signInAndOut},
		{"a restart signs nobody out", restart},
		{"an outage signs nobody out", outage},
	} {
		t.Run(journey.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, server dbtest.Server) { journey.run(t, server, start) })
		})
	}
}

func signInAndOut(t *testing.T, server dbtest.Server, start starter) {
	address, _ := start(t, "-dsn", server.NewDatabase(t).ConnString())
	phone, desk, other := NewVisitor(t, address), NewVisitor(t, address), NewVisitor(t, address)
	phone.Sees("nobody is signed in")
	phone.Posts("/login?user=ada")
	phone.Sees("ada, visit 1")
	phone.Sees("ada, visit 2")
	phone.Posts("/login?user=grace")
	phone.Sees("grace, visit 1")
	phone.Posts("/logout")
	phone.Sees("nobody is signed in")

	phone.Posts("/login?user=ada")
	desk.Posts("/login?user=ada")
	desk.Sees("ada, visit 1")
	other.Posts("/login?user=grace")
	phone.Posts("/logout-everywhere")
	phone.Sees("nobody is signed in")
	desk.Sees("nobody is signed in")
	other.Sees("grace, visit 1")
}

func restart(t *testing.T, server dbtest.Server, start starter) {
	dsn := server.NewDatabase(t).ConnString()
	address, end := start(t, "-dsn", dsn)
	v := NewVisitor(t, address)
	v.Posts("/login?user=ada")
	end()
	v.Address, _ = start(t, "-dsn", dsn)
	v.Sees("ada, visit 1")
}

func outage(t *testing.T, server dbtest.Server, start starter) {
	cfg := server.NewDatabase(t)
	admin := server.AdminIn(t, cfg.Database)
	address, _ := start(t, "-dsn", cfg.ConnString())
	v := NewVisitor(t, address)
	v.Posts("/login?user=ada")
	_, err := admin.ExecContext(t.Context(), "RENAME TABLE sessions TO away")
	require.NoError(t, err)
	v.Sends(http.MethodGet, "/", http.StatusServiceUnavailable)
	v.Sends(http.MethodPost, "/login?user=grace", http.StatusServiceUnavailable)
	v.Sends(http.MethodPost, "/logout", http.StatusServiceUnavailable)
	_, err = admin.ExecContext(t.Context(), "RENAME TABLE away TO sessions")
	require.NoError(t, err)
	v.Sees("ada, visit 1")
}
