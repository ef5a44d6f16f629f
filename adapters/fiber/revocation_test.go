package fiberstorage_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// onSessions runs body with the storages of two processes.
func onSessions(t *testing.T, body func(t *testing.T, store *mysqlsession.Store, c *clock, ours, theirs *fiberstorage.Storage)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, c := openStore(t, server, nil)
		body(t, store, c, fiberstorage.NewSessions(store, "name"), fiberstorage.NewSessions(store, "name"))
	})
}

func isGone(t *testing.T, storage *fiberstorage.Storage, key string) {
	t.Helper()
	value, err := storage.Get(key)
	require.NoError(t, err)
	require.Nil(t, value)
}

func TestASessionThatWasRevokedIsNotSavedAgainByWhoHadSetIt(t *testing.T) {
	onSessions(t, func(t *testing.T, _ *mysqlsession.Store, _ *clock, ours, theirs *fiberstorage.Storage) {
		require.NoError(t, ours.Set("id", []byte("old"), time.Hour))
		require.NoError(t, theirs.Delete("id"))
		require.ErrorIs(t, ours.Set("id", []byte("late"), time.Hour), mysqlsession.ErrNotFound)
		require.ErrorIs(t, ours.Set("id", []byte("late"), 0), mysqlsession.ErrNotFound)
		isGone(t, ours, "id")
	})
}

func TestASessionThatWasRevokedIsNotSavedAgainByWhoHadFoundIt(t *testing.T) {
	long := fmt.Sprintf("%060d", 1)
	onSessions(t, func(t *testing.T, store *mysqlsession.Store, _ *clock, ours, theirs *fiberstorage.Storage) {
		for id, revoke := range map[string]func() error{
			"deleted": func() error { return theirs.Delete("deleted") },
			long:      func() error { return theirs.Delete(long) },
			"reset":   theirs.Reset,
			"subject": func() error {
				_, err := store.DeleteSubject(t.Context(), "name", "audience", "ada")
				return err
			},
		} {
			require.NoError(t, theirs.Set(id, []byte("old"), time.Hour))
			if id == "subject" {
				require.NoError(t, store.Set(t.Context(), "name", id, []byte("old"), time.Hour,
					&mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: "audience", Subject: "ada"}}}))
			}
			value, err := ours.Get(id)
			require.NoError(t, err)
			require.Equal(t, "old", string(value))
			require.NoError(t, revoke())
			require.ErrorIs(t, ours.Set(id, []byte("late"), time.Hour), mysqlsession.ErrNotFound, id)
			isGone(t, ours, id)
		}
	})
}

func TestASessionThatThisProcessHasDeletedIsNotSavedAgain(t *testing.T) {
	onSessions(t, func(t *testing.T, _ *mysqlsession.Store, _ *clock, ours, theirs *fiberstorage.Storage) {
		require.NoError(t, theirs.Set("id", []byte("old"), time.Hour))
		require.NoError(t, ours.Delete("id"))
		require.ErrorIs(t, ours.Set("id", []byte("late"), time.Hour), mysqlsession.ErrNotFound)
		require.NoError(t, theirs.Set("other", []byte("old"), time.Hour))
		require.NoError(t, ours.Set("other", []byte("gone"), -1))
		require.ErrorIs(t, ours.Set("other", []byte("late"), time.Hour), mysqlsession.ErrNotFound)
		isGone(t, ours, "id")
		isGone(t, ours, "other")
	})
}

func TestASessionThatHasExpiredIsNotSavedAgain(t *testing.T) {
	onSessions(t, func(t *testing.T, _ *mysqlsession.Store, c *clock, ours, _ *fiberstorage.Storage) {
		require.NoError(t, ours.Set("id", []byte("old"), time.Minute))
		c.advance(time.Hour)
		require.ErrorIs(t, ours.Set("id", []byte("late"), time.Hour), mysqlsession.ErrNotFound)
		isGone(t, ours, "id")
	})
}

func TestASessionThatLivesIsSavedAgainByAnyProcess(t *testing.T) {
	onSessions(t, func(t *testing.T, _ *mysqlsession.Store, c *clock, ours, theirs *fiberstorage.Storage) {
		require.NoError(t, ours.Set("id", []byte("0"), time.Minute))
		for i := range 6 {
			c.advance(50 * time.Second) // each save moves the expiry
			storage := []*fiberstorage.Storage{ours, theirs}[i%2]
			value, err := storage.Get("id")
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), string(value))
			require.NoError(t, storage.Set("id", fmt.Append(nil, i+1), time.Minute))
		}
	})
}

// What was not stored is new still: a save that failed may be tried again.
func TestANewSessionWhoseSaveFailedIsStillNew(t *testing.T) {
	onSessions(t, func(t *testing.T, _ *mysqlsession.Store, _ *clock, ours, _ *fiberstorage.Storage) {
		require.ErrorIs(t, ours.Set("id", make([]byte, 2<<20), time.Hour), mysqlsession.ErrValueTooLarge)
		require.NoError(t, ours.Set("id", []byte("value"), time.Hour))
	})
}

func TestOfMoreIDsThanAreRememberedTheLatestAreProtected(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		storage := fiberstorage.NewSessionsOf(store, "name", 2)
		for _, id := range []string{"first", "second", "third"} {
			require.NoError(t, storage.Set(id, []byte("old"), time.Hour))
			require.NoError(t, store.Delete(t.Context(), "name", id))
		}
		require.ErrorIs(t, storage.Set("third", []byte("late"), time.Hour), mysqlsession.ErrNotFound)
		require.ErrorIs(t, storage.Set("second", []byte("late"), time.Hour), mysqlsession.ErrNotFound)
		require.NoError(t, storage.Set("first", []byte("late"), time.Hour), "what the README says remains")
	})
}

// A limiter's window ends, and a token is used up; the next one has the same key.
func TestAGeneralStorageSetsAgainWhatWasDeletedOrHasExpired(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, c := openStore(t, server, nil)
		storage := fiberstorage.NewGeneral(store, "name")
		require.NoError(t, storage.Set("key", []byte("first"), time.Minute))
		require.NoError(t, storage.Delete("key"))
		require.NoError(t, storage.Set("key", []byte("second"), time.Minute))
		c.advance(time.Hour)
		isGone(t, storage, "key")
		require.NoError(t, storage.Set("key", []byte("third"), time.Minute))
		value, err := storage.Get("key")
		require.NoError(t, err)
		require.Equal(t, "third", string(value))
	})
}
