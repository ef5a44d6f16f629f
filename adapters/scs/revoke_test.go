package scsstore_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	scsstore "github.com/mysqlsession/mysqlsession/adapters/scs"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// refusesLate asserts that a session that has ended stays so.
func (f form) refusesLate(t *testing.T, id string) {
	t.Helper()
	require.ErrorIs(t, f.commit(id, []byte("late"), soon()), mysqlsession.ErrNotFound)
	f.lacks(t, id)
}

func TestALateSaveDoesNotBringBackWhatWasDeletedHere(t *testing.T) {
	eachForm(t, scsstore.Options{}, func(t *testing.T, f form, _ *mysqlsession.Store) {
		id := token()
		require.NoError(t, f.commit(id, []byte("data"), soon()))
		require.NoError(t, f.discard(id))
		f.refusesLate(t, id)

		unknown := token()
		require.NoError(t, f.discard(unknown))
		f.refusesLate(t, unknown)

		past := token()
		require.NoError(t, f.commit(past, nil, time.Time{}))
		f.refusesLate(t, past)
	})
}

func TestALateSaveDoesNotBringBackWhatWasDeletedElsewhere(t *testing.T) {
	eachForm(t, scsstore.Options{}, func(t *testing.T, f form, store *mysqlsession.Store) {
		elsewhere := scsstore.New(store) // another process remembers nothing of this one
		saved, found := token(), token()
		require.NoError(t, f.commit(saved, []byte("data"), soon()))
		require.NoError(t, elsewhere.Commit(found, []byte("data"), soon()))
		f.holds(t, found, "data")
		require.NoError(t, elsewhere.Delete(saved))
		require.NoError(t, store.Delete(t.Context(), "session", found))
		f.refusesLate(t, saved)
		f.refusesLate(t, found)
	})
}

func TestALateSaveDoesNotBringBackWhatHasExpired(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		ahead := clockAhead(&cfg)
		for _, f := range forms(t.Context(), scsstore.New(open(t, cfg))) {
			id := token()
			require.NoError(t, f.commit(id, []byte("data"), soon()))
			ahead.Add(int64(2 * time.Minute))
			f.refusesLate(t, id)
		}
	})
}

func TestWhatWasLookedForInVainMayBeSaved(t *testing.T) {
	eachForm(t, scsstore.Options{}, func(t *testing.T, f form, _ *mysqlsession.Store) {
		id := token()
		f.lacks(t, id)
		require.NoError(t, f.commit(id, []byte("data"), soon()))
		f.holds(t, id, "data")
	})
}

func TestAFailedSaveOfANewSessionMayBeTriedAgain(t *testing.T) {
	eachForm(t, scsstore.Options{}, func(t *testing.T, f form, store *mysqlsession.Store) {
		id := token()
		require.ErrorIs(t, f.commit(id, make([]byte, 2<<20), soon()), mysqlsession.ErrValueTooLarge)
		require.NoError(t, f.commit(id, []byte("data"), soon()))
	})
}

// What remains, as the README says: ids that so many others have pushed out of the memory.
func TestTheMemoryHoldsTheIDsThatWereUsedLast(t *testing.T) {
	eachForm(t, scsstore.Options{Remember: 3}, func(t *testing.T, f form, store *mysqlsession.Store) {
		ids := make([]string, 5)
		for i := range ids {
			ids[i] = token()
			require.NoError(t, f.commit(ids[i], []byte("data"), soon()))
		}
		for range 10 {
			f.lacks(t, token()) // what is not there takes no room
		}
		_, err := store.DeleteAll(t.Context(), "session")
		require.NoError(t, err)
		for _, id := range ids[2:] {
			f.refusesLate(t, id)
		}
		require.NoError(t, f.commit(ids[0], []byte("late"), soon()))
		f.holds(t, ids[0], "late")
	})
	eachForm(t, scsstore.Options{Remember: -1}, func(t *testing.T, f form, _ *mysqlsession.Store) {
		id := token()
		require.NoError(t, f.commit(id, []byte("data"), soon()))
		require.NoError(t, f.discard(id))
		require.NoError(t, f.commit(id, []byte("late"), soon()))
		f.holds(t, id, "late")
	})
}

// Requests load and save the same sessions while each of these is deleted, here or by
// another process: whatever the order, none of them is there afterwards.
func TestDeletionWinsOverSavesAtTheSameTime(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.PoolSize = 4
		store := open(t, cfg)
		here, elsewhere := scsstore.New(store), scsstore.New(store)
		ids := make([]string, 30)
		for i := range ids {
			ids[i] = token()
			require.NoError(t, elsewhere.Commit(ids[i], []byte("0"), soon()))
		}
		var saving, deleting sync.WaitGroup
		deleted := make(chan struct{})
		for worker := range 8 {
			saving.Go(func() {
				for round := 0; ; round++ {
					id := ids[(worker*7+round)%len(ids)]
					_, found, err := here.FindCtx(t.Context(), id)
					assert.NoError(t, err)
					if found {
						err := here.CommitCtx(t.Context(), id, []byte(strconv.Itoa(round)), soon())
						assert.True(t, err == nil || errors.Is(err, mysqlsession.ErrNotFound), "%v", err)
					}
					select {
					case <-deleted:
						return
					default:
					}
				}
			})
		}
		for worker, s := range []*scsstore.Store{here, elsewhere} {
			deleting.Go(func() {
				for i := worker; i < len(ids); i += 2 {
					assert.NoError(t, s.DeleteCtx(t.Context(), ids[i]))
				}
			})
		}
		deleting.Wait()
		close(deleted)
		saving.Wait()
		all, err := here.AllCtx(t.Context())
		require.NoError(t, err)
		require.Empty(t, all)
	})
}
