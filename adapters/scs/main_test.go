package scsstore_test

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) {
	// Failing databases are what many tests are about.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	dbtest.Main(m)
}

// open opens a store with its tables, for the length of the test.
func open(t *testing.T, cfg mysqlsession.Config) *mysqlsession.Store {
	t.Helper()
	cfg.CleanupInterval = -1
	store, err := mysqlsession.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

// token is one as scs makes them.
func token() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}
