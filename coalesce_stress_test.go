package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// stressTime is how long a stress test goes on.
const stressTime = time.Second

// owner is a caller with sessions of its own, which nobody else writes: it knows what they
// must be.
type owner struct {
	*mysqlsession.Store
	number int
	random *rand.Rand
	made   int64 // calls that can be combined

	key   string
	value string // "": there is no session
	turn  int
}

// step makes a call, and reads what it has done.
func (o *owner) step(ctx context.Context) error {
	o.turn++
	o.made++
	next := fmt.Sprintf("value %d of owner %d", o.turn, o.number)
	var err error
	switch action := o.random.IntN(7); {
	case action == 0:
		err, o.value = o.Delete(ctx, "name", o.key), ""
	case action == 1:
		err = o.expect(o.Touch(ctx, "name", o.key, time.Hour))
	case action == 2:
		old := o.key
		o.key = fmt.Sprintf("%d-%d", o.number, o.random.IntN(1<<30))
		err = o.Set(ctx, "name", o.key, []byte(next), time.Minute, &mysqlsession.SetOptions{OldKey: old, Metadata: member(fmt.Sprint(o.number)).Metadata})
		o.value = next
		if err == nil {
			o.made++
			if _, gone := o.Get(ctx, "name", old); !errors.Is(gone, mysqlsession.ErrNotFound) {
				return fmt.Errorf("the replaced session: %w", gone)
			}
		}
	case action == 3:
		err = o.expect(o.Set(ctx, "name", o.key, []byte(next), time.Minute, &mysqlsession.SetOptions{MustExist: true}))
		if o.value != "" {
			o.value = next
		}
	default:
		err, o.value = o.Set(ctx, "name", o.key, []byte(next), time.Minute, nil), next
	}
	if err != nil {
		return err
	}
	o.made++
	got, err := o.Get(ctx, "name", o.key)
	if err := o.expect(err); err != nil {
		return err
	}
	if string(got) != o.value {
		return fmt.Errorf("read %q after %q was written", got, o.value)
	}
	return nil
}

// expect is nil if the error is the one that there must be.
func (o *owner) expect(err error) error {
	if o.value == "" && errors.Is(err, mysqlsession.ErrNotFound) {
		return nil
	}
	if o.value == "" && err == nil {
		return errors.New("a session that was deleted is there")
	}
	return err
}

func TestAReadThatStartsAfterAWriteReturnedSeesItAndTheFiguresAddUp(t *testing.T) {
	const owners = 48
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, lanes := range []int{1, 4} {
			t.Run(fmt.Sprint(lanes, " lanes"), func(t *testing.T) {
				cfg := server.NewDatabase(t)
				createNewTables(t, cfg, nil)
				cfg.PoolSize, cfg.CoalesceMaxLanes = 4, lanes
				var batches, batched, most atomic.Int64
				var waited atomic.Int64
				cfg.Trace = &mysqlsession.Trace{Batch: func(info mysqlsession.BatchInfo) {
					batches.Add(1)
					batched.Add(int64(info.Calls))
					most.Store(max(most.Load(), int64(info.Calls)))
					waited.Add(int64(info.Wait))
					if info.Err != nil || info.Duration <= 0 || info.Wait <= 0 || info.Pool == "" {
						t.Errorf("%+v", info)
					}
				}}
				store := openStore(t, cfg)
				began := time.Now()
				var group sync.WaitGroup
				var made atomic.Int64
				for number := range owners {
					group.Go(func() {
						o := &owner{Store: store, number: number, random: rand.New(rand.NewPCG(1, uint64(number))), key: fmt.Sprint(number)}
						defer func() { made.Add(o.made) }()
						for time.Since(began) < stressTime {
							if err := o.step(t.Context()); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				group.Wait()
				await(t, "the lanes are free", func() bool { return store.Pool().Stat().Lanes == 0 })
				stat := store.Pool().Stat()
				assert.Equal(t, made.Load(), stat.LoneCallCount+stat.BatchedCallCount)
				assert.Equal(t, batches.Load(), stat.BatchCount)
				assert.Equal(t, batched.Load(), stat.BatchedCallCount)
				assert.Greater(t, stat.BatchedCallCount, 2*stat.BatchCount, "calls were combined")
				assert.Greater(t, most.Load(), int64(3))
				assert.GreaterOrEqual(t, int64(stat.BatchWaitTime), waited.Load(), "the wait of the first of each, and of others")
				assert.LessOrEqual(t, stat.MaxLanes, lanes)
				assert.Positive(t, stat.MaxLanes)
				assert.Zero(t, stat.Waiting)
				await(t, "connections are given back", func() bool { return store.Pool().Stat().AcquiredConns == 0 })
				assert.Zero(t, stat.BrokenDestroyCount)
				require.NoError(t, store.Close())
				closed := store.Pool().Stat()
				assert.Equal(t, stat.BatchedCallCount, closed.BatchedCallCount, "what a closed store has done stays counted")
				assert.Zero(t, closed.MaxLanes)
			})
		}
	})
}

func TestBatchesOnTheSameSessionsDoNotDeadlock(t *testing.T) {
	const stores, callers, keys = 6, 48, 24
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.PoolSize = 8
		admin := server.AdminIn(t, cfg.Database)
		pool := openStore(t, cfg).Pool()
		var lanes []*mysqlsession.Store // each store has one at the least
		for range stores {
			store, err := mysqlsession.NewStore(pool, cfg)
			require.NoError(t, err)
			defer func() { assert.NoError(t, store.Close()) }()
			lanes = append(lanes, store)
		}
		deadlocks := func() int {
			if server.MariaDB() {
				var name string
				var n int
				require.NoError(t, admin.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").Scan(&name, &n))
				return n
			}
			return count(t, admin, "SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'")
		}
		before := deadlocks()
		began := time.Now()
		var group sync.WaitGroup
		var made atomic.Int64
		for caller := range callers {
			group.Go(func() {
				random, store := rand.New(rand.NewPCG(2, uint64(caller))), lanes[caller%stores]
				for time.Since(began) < stressTime {
					key, other := fmt.Sprint("key", random.IntN(keys)), fmt.Sprint("key", random.IntN(keys))
					var err error
					switch random.IntN(6) {
					case 0:
						err = store.Touch(t.Context(), "name", key, time.Hour)
					case 1:
						err = store.Set(t.Context(), "name", key, []byte("rotated"), time.Minute, &mysqlsession.SetOptions{OldKey: other})
					case 2:
						err = store.Set(t.Context(), "name", key, []byte("with metadata"), time.Minute, member(fmt.Sprint("subject", random.IntN(3))))
					case 3:
						err = store.Set(t.Context(), "name", key, []byte("live"), time.Minute, must(other, "subject"))
					case 4:
						if random.IntN(4) == 0 {
							err = store.Delete(t.Context(), "name", key)
						}
					default:
						err = store.Set(t.Context(), "name", key, []byte("plain"), time.Minute, nil)
					}
					if err != nil && !errors.Is(err, mysqlsession.ErrNotFound) {
						t.Error(err)
						return
					}
					made.Add(1)
				}
			})
		}
		group.Wait()
		stat := pool.Stat()
		assert.Greater(t, stat.BatchedCallCount, stat.BatchCount, "calls were combined")
		// InnoDB sees one now and then where an id is deleted and inserted at the same time.
		assert.Less(t, deadlocks()-before, int(made.Load())/50)
	})
}
