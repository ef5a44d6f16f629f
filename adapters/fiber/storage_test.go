package fiberstorage_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

const decade = 10 * 365 * 24 * time.Hour

func TestAKeyThatIsNotThereOrHasExpiredIsNilAndNoError(t *testing.T) {
	eachForm(t, func(t *testing.T, _ *mysqlsession.Store, c *clock, f form) {
		f.lacks(t, "expiring")
		require.NoError(t, f.set("expiring", []byte("value"), time.Minute))
		f.has(t, "expiring", "value")
		c.advance(2 * time.Minute)
		f.lacks(t, "expiring")
	})
}

func TestAValueComesBackByteForByteAndASecondOneTakesItsPlace(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	eachForm(t, func(t *testing.T, _ *mysqlsession.Store, c *clock, f form) {
		require.NoError(t, f.set("bytes", every, time.Minute))
		f.has(t, "bytes", string(every))
		require.NoError(t, f.set("bytes", []byte("second"), time.Hour))
		c.advance(2 * time.Minute)
		f.has(t, "bytes", "second")
	})
}

func TestWhatGetReturnsIsTheCallers(t *testing.T) {
	eachForm(t, func(t *testing.T, _ *mysqlsession.Store, _ *clock, f form) {
		value := []byte("value")
		require.NoError(t, f.set("own", value, time.Minute))
		copy(value, "spoil")
		got, err := f.get("own")
		require.NoError(t, err)
		copy(got, "spoil")
		f.has(t, "own", "value")
	})
}

func TestAnEmptyKeyOrValueChangesNothing(t *testing.T) {
	eachForm(t, func(t *testing.T, store *mysqlsession.Store, _ *clock, f form) {
		require.NoError(t, f.set("", []byte("value"), time.Minute))
		require.NoError(t, f.delete(""))
		f.lacks(t, "")
		require.NoError(t, f.set("kept", []byte("value"), time.Minute))
		require.NoError(t, f.set("kept", nil, time.Minute))
		require.NoError(t, f.set("kept", []byte{}, -time.Minute))
		require.NoError(t, f.set("kept", []byte{}, 0))
		f.has(t, "kept", "value")
		assert.Len(t, expiries(t, store), 1)
	})
}

func TestAnExpiryIsInWholeSecondsAndNeverEarly(t *testing.T) {
	eachForm(t, func(t *testing.T, store *mysqlsession.Store, c *clock, f form) {
		for exp, seconds := range map[time.Duration]int64{1: 1, time.Second: 1, 1001 * time.Millisecond: 2, time.Hour: 3600} {
			before := c.now().Unix()
			require.NoError(t, f.set("rounded", []byte("value"), exp))
			after := c.now().Unix()
			list := expiries(t, store)
			require.Len(t, list, 1)
			assert.LessOrEqual(t, before+seconds, list[0].Unix(), "%v", exp)
			assert.GreaterOrEqual(t, after+seconds, list[0].Unix(), "%v", exp)
		}
	})
}

func TestWithoutAnExpiryAKeyLivesForTenYears(t *testing.T) {
	eachForm(t, func(t *testing.T, store *mysqlsession.Store, c *clock, f form) {
		longest, err := store.LongestTTL(t.Context())
		require.NoError(t, err)
		require.Greater(t, longest, decade, "of a server whose dates end sooner this test knows nothing")
		require.NoError(t, f.set("kept", []byte("value"), 0))
		c.advance(decade - time.Hour)
		f.has(t, "kept", "value")
		c.advance(2 * time.Hour)
		f.lacks(t, "kept")
	})
}

func TestWithoutAnExpiryAKeyLivesNoLongerThanTheServersDates(t *testing.T) {
	eachForm(t, func(t *testing.T, store *mysqlsession.Store, c *clock, f form) {
		longest, err := store.LongestTTL(t.Context())
		for ; err == nil && longest > decade; longest, err = store.LongestTTL(t.Context()) {
			c.advance(longest - decade/2)
		}
		require.NoError(t, err)
		require.Positive(t, longest)
		last := c.now().Add(longest)
		require.NoError(t, f.set("kept", []byte("value"), 0))
		require.NoError(t, f.set("kept", []byte("second"), 0))
		list := expiries(t, store)
		require.Len(t, list, 1)
		assert.WithinRange(t, list[0], last.Add(-2*time.Minute), last.Add(-30*time.Second))
		require.ErrorIs(t, f.set("kept", []byte("value"), decade), mysqlsession.ErrInvalidTTL, "what was asked for is not cut")
		f.has(t, "kept", "second")
	})
}

func TestANegativeExpiryEndsAKeyAtOnce(t *testing.T) {
	eachForm(t, func(t *testing.T, store *mysqlsession.Store, _ *clock, f form) {
		require.NoError(t, f.set("ended", []byte("value"), time.Hour))
		require.NoError(t, f.set("ended", []byte("value"), -1))
		f.lacks(t, "ended")
		assert.Empty(t, expiries(t, store))
	})
}

func TestDeletingWhatIsNotThereIsNoError(t *testing.T) {
	eachForm(t, func(t *testing.T, _ *mysqlsession.Store, _ *clock, f form) {
		require.NoError(t, f.delete("nobody"))
		require.NoError(t, f.set("somebody", []byte("value"), time.Hour))
		require.NoError(t, f.delete("somebody"))
		f.lacks(t, "somebody")
		require.NoError(t, f.delete("somebody"))
	})
}

func TestResetDeletesAllOfTheNameAndNothingElse(t *testing.T) {
	eachForm(t, func(t *testing.T, store *mysqlsession.Store, _ *clock, f form) {
		require.NoError(t, f.set("a", []byte("value"), time.Hour))
		require.NoError(t, f.set("b", []byte("value"), time.Hour))
		require.NoError(t, store.Set(t.Context(), "another", "theirs", []byte("value"), time.Hour, nil))
		require.NoError(t, f.reset())
		assert.Empty(t, expiries(t, store))
		_, err := store.Get(t.Context(), "another", "theirs")
		require.NoError(t, err)
		require.NoError(t, f.set("c", []byte("value"), time.Hour))
		f.has(t, "c", "value")
	})
}

func TestCloseLeavesTheStoreToItsMaker(t *testing.T) {
	eachKind(t, func(t *testing.T, store *mysqlsession.Store, _ *clock, storage *fiberstorage.Storage) {
		require.NoError(t, storage.Set("key", []byte("value"), time.Hour))
		require.NoError(t, storage.Close())
		require.NoError(t, storage.Close())
		value, err := storage.Get("key")
		require.NoError(t, err)
		require.Equal(t, []byte("value"), value)
		require.NoError(t, store.Pool().Do(t.Context(), func(*mysqlsession.Conn) error { return nil }))
	})
}

func TestAFailureIsAnErrorAndNotAMissingKey(t *testing.T) {
	eachKind(t, func(t *testing.T, store *mysqlsession.Store, _ *clock, storage *fiberstorage.Storage) {
		require.NoError(t, store.Close())
		for name, f := range forms(t.Context(), storage) {
			value, err := f.get("key")
			require.ErrorIs(t, err, mysqlsession.ErrClosed, name)
			require.Nil(t, value)
			require.ErrorIs(t, f.set("key", []byte("value"), time.Hour), mysqlsession.ErrClosed, name)
			require.ErrorIs(t, f.set("key", []byte("value"), 0), mysqlsession.ErrClosed, name)
			require.ErrorIs(t, f.delete("key"), mysqlsession.ErrClosed, name)
			require.ErrorIs(t, f.reset(), mysqlsession.ErrClosed, name)
		}
	})
}

func TestACallEndsWithItsContext(t *testing.T) {
	eachKind(t, func(t *testing.T, _ *mysqlsession.Store, _ *clock, storage *fiberstorage.Storage) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		f := forms(ctx, storage)["with context"]
		_, err := f.get("key")
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, f.set("key", []byte("value"), time.Hour), context.Canceled)
		require.ErrorIs(t, f.delete("key"), context.Canceled)
		require.ErrorIs(t, f.reset(), context.Canceled)
	})
}

// oddKeys are no ids of sessions.
var oddKeys = []string{
	" ", "a b", "tab\t", "\x00", "\x7f", "ä", "\xff\xfe", "GET_/path?query=1_body" + strings.Repeat("/long", 9),
	strings.Repeat("k", 44), strings.Repeat("k", 5000),
}

// plainKeys are.
var plainKeys = []string{"!", "~", "127.0.0.1", "::1", strings.Repeat("k", 43), "'OR'1'='1", "a", "A"}

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestAnyKeyIsAKeyOfItsOwn(t *testing.T) {
	keys := append(append([]string{}, oddKeys...), plainKeys...)
	eachForm(t, func(t *testing.T, store *mysqlsession.Store, _ *clock, f form) {
		for i, key := range keys {
			require.NoError(t, f.set(key, fmt.Append(nil, i), time.Hour), "%q", key)
		}
		for i, key := range keys {
			f.has(t, key, fmt.Sprint(i))
		}
		require.Len(t, expiries(t, store), len(keys))
		for _, key := range keys {
			require.NoError(t, f.delete(key))
			f.lacks(t, key)
		}
	})
}

func TestASessionIsStoredUnderItsIDAndUnderAHashIfThatIsNone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		storage := fiberstorage.NewSessions(store, "name")
		for _, key := range plainKeys {
			require.NoError(t, storage.Set(key, []byte("value of "+key), time.Hour))
			value, err := store.Get(t.Context(), "name", key)
			require.NoError(t, err, "%q", key)
			require.Equal(t, "value of "+key, string(value))
		}
		for _, key := range oddKeys {
			require.NoError(t, storage.Set(key, []byte("value of "+key), time.Hour))
			value, err := store.Get(t.Context(), "name", hashOf(key))
			require.NoError(t, err, "%q", key)
			require.Equal(t, "value of "+key, string(value))
		}
	})
}

// A limiter whose keys are addresses has the same ones as every other, and the table each
// id but once: what one counted was gone with the next request to the other.
func TestGeneralStoragesInOneTableShareNoKeyWhoeverChoosesIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		names := []string{"a", "ab", ""}
		keys := []string{"127.0.0.1", "b127.0.0.1", "long " + strings.Repeat("k", 50), hashOf("long " + strings.Repeat("k", 50)), hashOf("\x01a127.0.0.1")}
		for _, name := range names {
			for _, key := range keys {
				require.NoError(t, fiberstorage.NewGeneral(store, name).Set(key, []byte(name+" "+key), time.Hour))
			}
		}
		for _, name := range names {
			for _, key := range keys {
				value, err := fiberstorage.NewGeneral(store, name).Get(key)
				require.NoError(t, err)
				require.Equal(t, name+" "+key, string(value))
			}
		}
		require.Error(t, fiberstorage.NewGeneral(store, strings.Repeat("n", 256)).Set("key", []byte("value"), time.Hour))
	})
}

// fiber's strings are views of buffers that the next request fills. A caller that leaves a
// batch leaves its key in it, and a batch that the server refuses is sent again, one by one.
func TestABatchGoesOnWithTheKeyOfACallerThatHasUsedItsMemoryAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		var database string
		store, _ := openStore(t, server, func(cfg *mysqlsession.Config) {
			database = cfg.Database
			cfg.PoolSize, cfg.CoalesceMaxLanes, cfg.LockWaitTimeout = 1, 1, time.Second
		})
		storage := fiberstorage.NewSessions(store, "name")
		require.NoError(t, store.Set(t.Context(), "name", "held", []byte("old"), time.Hour, nil))
		conn, err := store.Pool().Acquire(t.Context())
		require.NoError(t, err)

		// The first call has the lane and waits for the connection, the others wait for the lane.
		first, _ := left(t, func(ctx context.Context) error { return storage.DeleteWithContext(ctx, "nobody") })
		awaitWaiting(t, store, 1)
		held, _ := left(t, func(ctx context.Context) error {
			return storage.SetWithContext(ctx, "held", []byte("new"), time.Hour)
		})
		awaitWaiting(t, store, 2)
		key, value := []byte("key-of-this-caller"), []byte("value")
		here, leave := left(t, func(ctx context.Context) error {
			return storage.SetWithContext(ctx, unsafe.String(&key[0], len(key)), value, time.Hour)
		})
		awaitWaiting(t, store, 3)
		rows := lockRow(t, server, database, "held")
		conn.Release()
		require.NoError(t, <-first)
		awaitWaiting(t, store, 0)
		leave()
		err = <-here
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, mysqlsession.OutcomeUnknown(err), "the batch has it")
		copy(key, "KEY-OF-ANOTHER-ONE")
		copy(value, "VALUE")
		require.Error(t, <-held)
		require.NoError(t, rows.Rollback())

		got, err := storage.Get("key-of-this-caller") // behind the batch
		require.NoError(t, err)
		require.Equal(t, "value", string(got))
		got, err = storage.Get(string(key))
		require.NoError(t, err)
		require.Nil(t, got)
	})
}

// lockRow holds the row of an id until the transaction ends.
func lockRow(t *testing.T, server dbtest.Server, database, id string) *sql.Tx {
	t.Helper()
	tx, err := server.AdminIn(t, database).Begin()
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	var sid string
	require.NoError(t, tx.QueryRow("SELECT sid FROM sessions WHERE sid = ? FOR UPDATE", id).Scan(&sid))
	return tx
}

// left starts a call that leave ends.
func left(t *testing.T, call func(ctx context.Context) error) (err <-chan error, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	result := make(chan error, 1)
	go func() { result <- call(ctx) }()
	return result, cancel
}

func awaitWaiting(t *testing.T, store *mysqlsession.Store, calls int) {
	t.Helper()
	require.Eventually(t, func() bool { return store.Pool().Stat().Waiting == calls }, 10*time.Second, time.Millisecond)
}

func TestStoragesMayBeUsedByManyAtOnce(t *testing.T) {
	eachKind(t, func(t *testing.T, _ *mysqlsession.Store, _ *clock, storage *fiberstorage.Storage) {
		const callers, rounds = 16, 12
		var group sync.WaitGroup
		for caller := range callers {
			group.Go(func() {
				for round := range rounds {
					key, want := fmt.Sprint("key-", caller, "-", round), fmt.Sprint(caller, round)
					assert.NoError(t, storage.Set(key, []byte(want), time.Hour))
					assert.NoError(t, storage.Set(key, []byte(want), time.Hour))
					got, err := storage.Get(key)
					assert.NoError(t, err)
					assert.Equal(t, want, string(got))
					if round%2 == 0 {
						assert.NoError(t, storage.Delete(key))
					}
					got, err = storage.Get("shared")
					assert.NoError(t, err)
					assert.Contains(t, []string{"", "shared"}, string(got))
					if err := storage.Set("shared", []byte("shared"), 0); err != nil {
						assert.ErrorIs(t, err, mysqlsession.ErrNotFound)
					}
				}
			})
		}
		group.Wait()
		for caller := range callers {
			for round := range rounds {
				got, err := storage.Get(fmt.Sprint("key-", caller, "-", round))
				require.NoError(t, err)
				require.Equal(t, round%2 == 0, got == nil)
			}
		}
	})
}
