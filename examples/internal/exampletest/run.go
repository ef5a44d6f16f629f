package exampletest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/examples/internal/service"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// Run takes visitors through the service, on every server.
func Run(t *testing.T, open service.Open) {
	for _, journey := range []struct {
		name string
		run  func(t *testing.T, server dbtest.Server, open service.Open)
	}{
		{"it knows who is signed in and forgets who has gone", signInAndOut},
		{"a restart signs nobody out", restart},
		{"an outage signs nobody out", outage},
	} {
		t.Run(journey.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, server dbtest.Server) { journey.run(t, server, open) })
		})
	}
}

func signInAndOut(t *testing.T, server dbtest.Server, open service.Open) {
	address, _ := Start(t, open, "-dsn", server.NewDatabase(t).ConnString())
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

func restart(t *testing.T, server dbtest.Server, open service.Open) {
	dsn := server.NewDatabase(t).ConnString()
	address, end := Start(t, open, "-dsn", dsn)
	v := NewVisitor(t, address)
	v.Posts("/login?user=ada")
	end()
	v.Address, _ = Start(t, open, "-dsn", dsn)
	v.Sees("ada, visit 1")
}

func outage(t *testing.T, server dbtest.Server, open service.Open) {
	cfg := server.NewDatabase(t)
	admin := server.AdminIn(t, cfg.Database)
	address, _ := Start(t, open, "-dsn", cfg.ConnString())
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
