package fiberstorage_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// clock is the store's.
type clock struct{ ahead atomic.Int64 } // in seconds

func (c *clock) now() time.Time           { return time.Unix(time.Now().Unix()+c.ahead.Load(), 0) }
func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by / time.Second)) }

// openStore opens a store in a database of its own.
func openStore(t *testing.T, server dbtest.Server, change func(cfg *mysqlsession.Config)) (*mysqlsession.Store, *clock) {
	t.Helper()
	c := new(clock)
	cfg := server.NewDatabase(t)
	cfg.CleanupInterval, cfg.Clock = -1, c.now
	if change != nil {
		change(&cfg)
	}
	store, err := mysqlsession.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context()))
	return store, c
}

// kinds are the two kinds of storages.
var kinds = map[string]func(store *mysqlsession.Store, name string) *fiberstorage.Storage{
	"sessions": fiberstorage.NewSessions,
	"general":  fiberstorage.NewGeneral,
}

// eachKind runs body for each kind of storage on each server.
func eachKind(t *testing.T, body func(t *testing.T, store *mysqlsession.Store, c *clock, storage *fiberstorage.Storage)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for kind, make := range kinds {
			t.Run(kind, func(t *testing.T) {
				store, c := openStore(t, server, nil)
				body(t, store, c, make(store, "name"))
			})
		}
	})
}

// form is one of the two forms of a storage's operations.
type form struct {
	get    func(key string) ([]byte, error)
	set    func(key string, value []byte, exp time.Duration) error
	delete func(key string) error
	reset  func() error
}

func forms(ctx context.Context, s *fiberstorage.Storage) map[string]form {
	return map[string]form{
		"plain": {s.Get, s.Set, s.Delete, s.Reset},
		"with context": {
			func(key string) ([]byte, error) { return s.GetWithContext(ctx, key) },
			func(key string, value []byte, exp time.Duration) error {
				return s.SetWithContext(ctx, key, value, exp)
			},
			func(key string) error { return s.DeleteWithContext(ctx, key) },
			func() error { return s.ResetWithContext(ctx) },
		},
	}
}

// eachForm runs body for each form of each kind of storage on each server.
func eachForm(t *testing.T, body func(t *testing.T, store *mysqlsession.Store, c *clock, f form)) {
	t.Helper()
	for _, name := range []string{"plain", "with context"} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, store *mysqlsession.Store, c *clock, storage *fiberstorage.Storage) {
				body(t, store, c, forms(t.Context(), storage)[name])
			})
		})
	}
}

func (f form) has(t *testing.T, key, value string) {
	t.Helper()
	got, err := f.get(key)
	require.NoError(t, err)
	require.Equal(t, []byte(value), got)
}

func (f form) lacks(t *testing.T, key string) {
	t.Helper()
	got, err := f.get(key)
	require.NoError(t, err)
	require.Nil(t, got)
}

// expiries are when the sessions of a name end, in no order.
func expiries(t *testing.T, store *mysqlsession.Store) (list []time.Time) {
	t.Helper()
	require.NoError(t, store.Each(t.Context(), "name", func(_ string, _ []byte, expires time.Time) error {
		list = append(list, expires)
		return nil
	}))
	return list
}
