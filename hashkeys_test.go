package mysqlsession_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// storedHash is what lua-resty-session stores for 32 raw bytes.
func storedHash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestWithHashKeysTheTablesHoldNoSessionID(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.HashKeys = true
		createNewTables(t, cfg, nil)
		store, admin := openStore(t, cfg), server.AdminIn(t, cfg.Database)
		raw := sha256.Sum256([]byte("a session"))
		key := base64.RawURLEncoding.EncodeToString(raw[:])
		require.NoError(t, store.Set(t.Context(), "name", key, []byte("value"), time.Minute, &mysqlsession.SetOptions{
			Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: "alice"}},
		}))

		var sid, metaSID string
		require.NoError(t, admin.QueryRowContext(t.Context(), "SELECT sid FROM sessions").Scan(&sid))
		require.NoError(t, admin.QueryRowContext(t.Context(), "SELECT sid FROM sessions_meta").Scan(&metaSID))
		assert.Equal(t, storedHash(raw[:]), sid, "the 32 bytes are hashed, not their text")
		assert.Equal(t, sid, metaSID)
		_, err := store.Get(t.Context(), "name", sid)
		assert.ErrorIs(t, err, mysqlsession.ErrNotFound, "what is in the table opens no session")
	})
}

func TestHashedKeysWorkWithEveryOperation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.HashKeys = true
		createNewTables(t, cfg, nil)
		store, ctx := openStore(t, cfg), t.Context()
		long := strings.Repeat("x", 200) // longer than the column, and no base64url of 32 bytes
		first, second := newKey(), newKey()
		alice := []mysqlsession.Metadata{{Audience: "web", Subject: "alice"}}
		require.NoError(t, store.Set(ctx, "name", first, []byte("1"), time.Minute, &mysqlsession.SetOptions{Metadata: alice}))
		require.NoError(t, store.Set(ctx, "name", long, []byte("2"), time.Minute, &mysqlsession.SetOptions{Metadata: alice}))

		values, err := store.GetMany(ctx, "name", []string{first, long, first, newKey()})
		require.NoError(t, err)
		assert.Equal(t, map[string][]byte{first: []byte("1"), long: []byte("2")}, values, "by the ids that were asked for")
		require.NoError(t, store.Touch(ctx, "name", long, time.Hour))
		require.NoError(t, store.Update(ctx, "name", first, time.Hour, func(old []byte) ([]byte, error) { return append(old, '!'), nil }))
		require.NoError(t, store.Set(ctx, "name", second, []byte("3"), time.Minute, &mysqlsession.SetOptions{
			OldKey: first, StaleTTL: time.Second, MustExist: true, Metadata: alice,
		}))
		require.NoError(t, store.Set(ctx, "name", second, []byte("3"), time.Minute, &mysqlsession.SetOptions{OldKey: second}))
		value, err := store.Get(ctx, "name", second)
		require.NoError(t, err, "a session does not replace itself")
		assert.Equal(t, "3", string(value))

		stored, err := store.ReadMetadata(ctx, "name", "web", "alice")
		require.NoError(t, err)
		assert.Len(t, stored, 3)
		assert.Contains(t, stored, storedHash([]byte(long)))
		require.NoError(t, store.DeleteStored(ctx, "name", storedHash([]byte(long))))
		_, err = store.Get(ctx, "name", long)
		require.ErrorIs(t, err, mysqlsession.ErrNotFound)
		require.NoError(t, store.Delete(ctx, "name", second))
		require.NoError(t, store.Each(ctx, "name", func(key string, value []byte, _ time.Time) error {
			assert.Contains(t, stored, key)
			assert.Equal(t, "1!", string(value))
			return nil
		}))
		deleted, err := store.DeleteSubject(ctx, "name", "web", "alice")
		require.NoError(t, err)
		assert.EqualValues(t, 1, deleted)
	})
}

func TestHashedKeysAreBoundedAndOfPrintableBytes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.HashKeys = true
		store := openStore(t, cfg)
		for _, key := range []string{"", "a b", "é", strings.Repeat("x", 4097)} {
			_, err := store.Get(context.Background(), "name", key)
			assert.ErrorIs(t, err, mysqlsession.ErrInvalidKey)
		}
		require.ErrorIs(t, store.DeleteStored(t.Context(), "name", strings.Repeat("x", 44)), mysqlsession.ErrInvalidKey)
	})
}

// Who looks at a list of sessions has their hashes, and can revoke by them. The cookie has
// the id itself.
func TestASubjectsSessionsCanBeCountedLimitedAndRevokedByTheirHashes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.HashKeys = true
		createNewTables(t, cfg, nil)
		store, ctx := openStore(t, cfg), t.Context()
		var keys []string
		signIn := func(limit int, old string) {
			keys = append(keys, newKey())
			opts := atMost(limit, "alice")
			opts.OldKey, opts.StaleTTL = old, time.Minute
			require.NoError(t, store.Set(ctx, "name", keys[len(keys)-1], nil, time.Hour+time.Duration(len(keys))*time.Minute, opts))
		}
		left := func() (live []int) {
			sessions, err := store.ReadMetadata(ctx, "name", "audience", "alice")
			require.NoError(t, err)
			n, err := store.CountSubject(ctx, "name", "audience", "alice")
			require.NoError(t, err)
			require.EqualValues(t, len(sessions), n)
			for i, key := range keys {
				info, err := store.Inspect(ctx, key)
				if err == nil {
					require.Contains(t, sessions, info.StoredID)
					live = append(live, i)
				}
			}
			return live
		}
		for range 4 {
			signIn(3, "")
		}
		require.Equal(t, []int{1, 2, 3}, left())
		signIn(3, keys[1])
		require.Equal(t, []int{1, 2, 3, 4}, left(), "what it replaces, by its hash, is none of three")
		info, err := store.Inspect(ctx, keys[2])
		require.NoError(t, err)
		require.NoError(t, store.DeleteStored(ctx, "name", info.StoredID))
		deleted, err := store.DeleteOthers(ctx, "name", "audience", "alice", keys[4])
		require.NoError(t, err)
		require.EqualValues(t, 2, deleted)
		require.Equal(t, []int{4}, left())
		deleted, err = store.DeleteOthers(ctx, "name", "audience", "alice", storedHash([]byte("nobody")))
		require.NoError(t, err)
		require.EqualValues(t, 1, deleted)
	})
}
