package mysqlsession_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

// atMost is options with metadata and a limit.
func atMost(limit int, subjects ...string) *mysqlsession.SetOptions {
	opts := &mysqlsession.SetOptions{MaxPerSubject: limit}
	for _, subject := range subjects {
		opts.Metadata = append(opts.Metadata, mysqlsession.Metadata{Audience: "audience", Subject: subject})
	}
	return opts
}

func TestASetWithALimitTakesTwoRoundTripsAndOneForEachSubjectThatLosesSome(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store := openOnOneConnection(t, server.NewDatabase(t))
		trips := func() uint64 {
			conn, err := store.Pool().Acquire(t.Context())
			require.NoError(t, err)
			defer conn.Release()
			return conn.Conn().RoundTrips()
		}
		costs := func(opts *mysqlsession.SetOptions) uint64 {
			before := trips()
			require.NoError(t, store.Set(t.Context(), "name", newKey(), []byte("value"), time.Minute, opts))
			return trips() - before
		}
		for range 2 { // what evicts two is prepared as well
			costs(atMost(0, "one", "two"))
			costs(atMost(2, "one", "two"))
			costs(atMost(1, "one", "two"))
		}
		costs(atMost(2, "one", "two"))
		assert.EqualValues(t, 3, costs(atMost(1, "one", "two")), "they lose the same sessions")
		costs(atMost(0, "one"))
		costs(atMost(0, "two"))
		assert.EqualValues(t, 4, costs(atMost(1, "one", "two")), "each loses one of its own")
		assert.EqualValues(t, 2, costs(atMost(9, "one", "two")), "nothing is evicted")
		assert.EqualValues(t, 2, costs(atMost(0, "one", "two")), "without a limit")
	})
}

// Whoever signs in sees only what others have committed, so two at the same time must not
// pass one another by. Nor may their locks make them one another's victims.
func TestSignInsOfOneSubjectAtTheSameTimeLeaveExactlyItsLimit(t *testing.T) {
	const callers, limit = 32, 3
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for name, create := range map[string]func(*testing.T, mysqlsession.Config, *sql.DB){"new tables": createNewTables, "the document's tables": createDocumentTables} {
			t.Run(name, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				create(t, cfg, admin)
				stores := []*mysqlsession.Store{openStore(t, cfg), openStore(t, cfg)} // two processes
				for round := range 5 {
					subject := fmt.Sprint("subject", round) // at first it has no sessions
					for range 2 {
						errs := make([]error, callers)
						var group sync.WaitGroup
						for i := range callers {
							group.Go(func() {
								ttl := time.Minute + rand.N(10*time.Second)
								errs[i] = stores[i%2].Set(t.Context(), "name", newKey(), []byte("value"), ttl, atMost(limit, subject))
							})
						}
						group.Wait()
						for _, err := range errs {
							assert.NoError(t, err)
						}
						live, err := stores[0].CountSubject(t.Context(), "name", "audience", subject)
						require.NoError(t, err)
						require.EqualValues(t, limit, live)
					}
				}
				assert.Equal(t, 5*limit, count(t, admin, "SELECT COUNT(*) FROM sessions"))
			})
		}
	})
}

// Sessions of several subjects are stored in either order, while others rotate, touch and
// revoke them. The limits hold at every moment.
func TestALimitHoldsAmongEverythingElse(t *testing.T) {
	const callers, limit = 12, 2
	subjects := []string{"one", "two", "three"}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		store := openStore(t, cfg)
		ctx := t.Context()
		signIn := func(i int) error {
			key, first, second := newKey(), subjects[i%3], subjects[(i+1+i%2)%3]
			opts := atMost(limit, first, second)
			if err := store.Set(ctx, "name", key, []byte("value"), time.Minute+rand.N(time.Minute), opts); err != nil {
				return err
			}
			if err := store.Touch(ctx, "name", key, time.Minute+rand.N(time.Minute)); err != nil && err != mysqlsession.ErrNotFound {
				return err
			}
			opts.OldKey, opts.MustExist, opts.StaleTTL = key, true, time.Duration(i%2)*time.Second
			err := store.Set(ctx, "name", newKey(), []byte("value"), time.Minute+rand.N(time.Minute), opts)
			if err == nil && i%4 == 0 {
				_, err = store.DeleteOthers(ctx, "name", "audience", first, key)
			}
			if err == mysqlsession.ErrNotFound { // evicted
				return nil
			}
			return err
		}
		errs := make(chan error, callers)
		for i := range callers {
			go func() {
				var err error
				for n := 0; n < 8 && err == nil; n++ {
					err = signIn(i + n)
				}
				errs <- err
			}()
		}
		for range callers {
			assert.NoError(t, <-errs)
		}
		for _, subject := range subjects {
			require.NoError(t, store.Set(ctx, "name", newKey(), nil, time.Hour, atMost(limit, subject)))
			live, err := store.CountSubject(ctx, "name", "audience", subject)
			require.NoError(t, err)
			assert.LessOrEqual(t, live, int64(limit))
		}
		assert.Zero(t, count(t, server.AdminIn(t, cfg.Database), "SELECT COUNT(*) FROM sessions WHERE sid LIKE ' %'"), "nobody's turn is left over")
	})
}

// A turn that does not come is an error after LockWaitTimeout, once, and holds up no other
// subject.
func TestATurnThatDoesNotComeCostsLockWaitTimeoutOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.LockWaitTimeout = time.Second
		createNewTables(t, cfg, nil)
		store, admin := openStore(t, cfg), server.AdminIn(t, cfg.Database)
		require.NoError(t, store.Set(t.Context(), "name", newKey(), nil, time.Minute, atMost(1, "subject")))
		stuck, err := admin.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = stuck.ExecContext(t.Context(), "INSERT INTO sessions VALUES (?, 'name', '', '2001-02-03')", mysqlsession.TurnKey("name", "audience", "subject"))
		require.NoError(t, err)

		began := time.Now()
		requireServerError(t, store.Set(t.Context(), "name", newKey(), nil, time.Minute, atMost(1, "subject")), 1205)
		assert.Less(t, time.Since(began), 1900*time.Millisecond)
		require.NoError(t, store.Set(t.Context(), "name", newKey(), nil, time.Minute, atMost(1, "another")))
		require.NoError(t, store.Set(t.Context(), "name", newKey(), nil, time.Minute, atMost(0, "subject")))
		require.NoError(t, stuck.Commit(), "a turn that is left over")
		require.NoError(t, store.Set(t.Context(), "name", newKey(), nil, time.Minute, atMost(1, "subject")))
		assert.Equal(t, 2, count(t, admin, "SELECT COUNT(*) FROM sessions"), "is cleared away")
	})
}

// The transaction is cut after every few of its bytes, in each of its three round trips. What
// the caller is told must agree with what the server has: the new session and the eviction,
// or neither.
func TestASetWithALimitThatIsCutAnywhereIsWholeOrNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.PoolSize = 1 })
		set := func(ctx context.Context, key string, limit int) error {
			return f.store.Set(ctx, "name", key, []byte("p4yload"), time.Minute, atMost(limit, "subject"))
		}
		told := map[string]int{}
		for _, direction := range []faultproxy.Direction{faultproxy.ToServer, faultproxy.ToClient} {
			for i := range 3 {
				require.NoError(t, set(t.Context(), fmt.Sprint("warm", i), 1))
			}
			passed := f.proxy.Passed(direction)
			require.NoError(t, set(t.Context(), "warm", 1))
			whole := f.proxy.Passed(direction) - passed
			for after := int64(0); after <= whole; after += 1 + whole/40 {
				from, to := fmt.Sprintf("from-%d-%d", direction, after), fmt.Sprintf("to-%d-%d", direction, after)
				require.NoError(t, set(t.Context(), "warm", 1))
				require.NoError(t, set(t.Context(), from, 1)) // prepared
				f.quiet(t)
				f.proxy.Set(direction, faultproxy.Rule{After: after, Then: faultproxy.Cut, Times: 1})
				err := f.call(t, t.Context(), 0, func(ctx context.Context) error { return set(ctx, to, 1) })
				f.proxy.Clear()
				eventually(t, "the server is through with it", func() bool {
					return count(t, f.admin, "SELECT COUNT(*) FROM information_schema.INNODB_TRX") == 0
				})
				// What was cut behind the COMMIT leaves the turn, which has expired.
				left := texts(t, f.admin, "SELECT sid FROM sessions_meta ORDER BY sid")
				require.Equal(t, left, texts(t, f.admin, "SELECT sid FROM sessions WHERE sid <> ? AND exp > NOW() ORDER BY sid", keptKey))
				require.Len(t, left, 1, err)
				switch {
				case err == nil:
					told["done"]++
					assert.Equal(t, to, left[0])
				case mysqlsession.OutcomeUnknown(err):
					told["unknown "+left[0][:4]]++
				default:
					told["not applied"]++
				}
			}
		}
		f.healed(t)
		require.Positive(t, told["done"], "most are lost before their COMMIT, and repeated unseen")
		require.Positive(t, told["unknown to-0"]+told["unknown to-1"], "some behind it")
		require.Zero(t, told["not applied"], "another connection always took it")
	})
}

// A subject that somebody has filled with sessions can still sign in, and loses what is too
// much by and by.
func TestOfVeryManySessionsEachSetEvictsSome(t *testing.T) {
	const many = 2500
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		store, admin := openStore(t, cfg), server.AdminIn(t, cfg.Database)
		numbers := "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 500) "
		for i := range many / 500 {
			execute(t, admin, "INSERT INTO sessions (sid, name, data, exp) "+numbers+
				"SELECT CONCAT('s', n + ?), 'name', '', '2037-01-01' + INTERVAL n + ? SECOND FROM numbers", i*500, i*500)
		}
		execute(t, admin, "INSERT INTO sessions_meta (aud, sub, sid) SELECT 'audience', 'subject', sid FROM sessions")
		for _, left := range []int64{many + 1 - 1024, many + 2 - 2*1024, 10, 10} {
			require.NoError(t, store.Set(t.Context(), "name", newKey(), nil, time.Minute, atMost(10, "subject")))
			live, err := store.CountSubject(t.Context(), "name", "audience", "subject")
			require.NoError(t, err)
			require.Equal(t, left, live)
		}
		assert.Equal(t, 9, count(t, admin, "SELECT COUNT(*) FROM sessions WHERE exp >= '2037-01-01' + INTERVAL 2492 SECOND"), "those that expire last stay")
	})
}
