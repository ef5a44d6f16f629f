package scsstore_test

import (
	"os"
	"reflect"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	scsstore "github.com/mysqlsession/mysqlsession/adapters/scs"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/pagetest"
)

func TestTheReadmesGoCodeIsThatOfTheExamplesWhichAreCompiledAndRun(t *testing.T) {
	pagetest.Readme(t, nil, "sql")
}

func TestTheReadmeHasEveryOption(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	options := reflect.TypeFor[scsstore.Options]()
	for i := range options.NumField() {
		assert.Contains(t, string(readme), "| `"+options.Field(i).Name+"` |")
	}
}

func TestTheReadmesExampleSignsAUserOutEverywhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store := open(t, server.NewDatabase(t))
		manager := newSessionsByUser(store)
		one, other := saved(t, manager, "user", "ada"), saved(t, manager, "user", "ada")
		grace, nobody := saved(t, manager, "user", "grace"), saved(t, manager, "basket", 7)
		late := load(t, manager, one)
		sessions, err := store.ReadMetadata(t.Context(), "session", "web", "ada")
		require.NoError(t, err)
		require.Len(t, sessions, 2)

		deleted, err := store.DeleteSubject(t.Context(), "session", "web", "ada")
		require.NoError(t, err)
		require.EqualValues(t, 2, deleted)
		_, _, err = manager.Commit(late)
		require.ErrorIs(t, err, mysqlsession.ErrNotFound)
		for _, token := range []string{one, other} {
			require.Empty(t, manager.Keys(load(t, manager, token)))
		}
		require.Equal(t, "grace", manager.GetString(load(t, manager, grace), "user"))
		require.Equal(t, 7, manager.GetInt(load(t, manager, nobody), "basket"))
	})
}

func TestTheReadmesUserNeedsNoMoreThanItSays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		open(t, cfg)
		cfg = server.NewUser(t, cfg, "SELECT, INSERT, UPDATE, DELETE")
		store, err := mysqlsession.Open(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, store.Close()) })
		for _, manager := range []*scs.SessionManager{newSessions(store), newSessionsByUser(store)} {
			ctx := load(t, manager, saved(t, manager, "user", "ada"))
			require.NoError(t, manager.RenewToken(ctx))
			_, _, err = manager.Commit(ctx)
			require.NoError(t, err)
			require.NoError(t, manager.Destroy(ctx))
		}
		_, err = store.Cleanup(t.Context())
		require.NoError(t, err)
	})
}
