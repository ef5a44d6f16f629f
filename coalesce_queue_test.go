package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// calling makes a call on a goroutine and says how it ended.
func calling(do call) <-chan error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	return done
}

func TestCallsThatWaitForALaneAndThoseThatWaitForAConnectionShareTheBacklog(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.Backlog = 8
		c := newCompany(t, cfg)
		second, err := mysqlsession.NewStore(c.Pool(), cfg)
		require.NoError(t, err)
		defer func() { assert.NoError(t, second.Close()) }()
		_, err = second.Get(t.Context(), "name", "nobody")
		require.ErrorIs(t, err, mysqlsession.ErrNotFound)

		ended := make(chan error, cfg.Backlog)
		wait := func(do call) {
			before := c.Pool().Stat().Waiting
			go func() { ended <- do() }()
			await(t, "it waits", func() bool { return c.Pool().Stat().Waiting == before+1 })
		}
		acquireOne := func() error {
			conn, err := c.Pool().Acquire(t.Context())
			if err == nil {
				conn.Release()
			}
			return err
		}
		doOne := func() error {
			return c.Pool().Do(t.Context(), func(*mysqlsession.Conn) error { return nil })
		}
		secondSet := func() error { return second.Set(t.Context(), "name", "second", nil, time.Minute, nil) }
		all := []call{c.set(t, "a", "1"), acquireOne, c.set(t, "b", "1"), secondSet, doOne, secondSet, c.set(t, "c", "1")}
		letGo := c.block(t) // the first of the backlog
		for _, do := range all {
			wait(do)
		}
		require.Equal(t, cfg.Backlog, c.Pool().Stat().Waiting)
		full := c.Pool().Stat().BacklogFullCount
		for i, do := range append(all, c.touch(t, "a", time.Hour), c.delete(t, "a"), c.set(t, "a", "", member("subject"))) {
			assert.Equal(t, mysqlsession.ErrBacklogFull, do(), "call %d, at once", i)
		}
		require.Equal(t, full+10, c.Pool().Stat().BacklogFullCount)
		require.Equal(t, cfg.Backlog, c.Pool().Stat().Waiting)
		letGo()
		for range all {
			assert.NoError(t, <-ended)
		}
		require.Zero(t, c.Pool().Stat().Waiting)
	})
}

// A lane waits for a connection for the sake of its calls, which are counted by themselves.
func TestALanesOwnWaitForAConnectionIsNotInTheBacklog(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.Backlog = 3
		c := newCompany(t, cfg)
		c.rest(t)
		held := hold(t, c.Pool(), 1)
		ctx, leave := context.WithCancel(t.Context())
		first := calling(func() error { return c.Touch(ctx, "name", "first", time.Minute) })
		await(t, "it waits", func() bool { return c.Pool().Stat().Waiting == 1 })
		second := calling(c.set(t, "a", "1"))
		await(t, "it waits", func() bool { return c.Pool().Stat().Waiting == 2 })
		leave() // now the second one is served by a lane that has yet to get a connection
		require.ErrorIs(t, <-first, context.Canceled)
		third := calling(c.set(t, "b", "1"))
		await(t, "it waits", func() bool { return c.Pool().Stat().Waiting == 2 && c.Pool().Stat().Lanes == 1 })
		fourth := calling(c.set(t, "c", "1"))
		await(t, "it waits", func() bool { return c.Pool().Stat().Waiting == 3 })
		require.Equal(t, mysqlsession.ErrBacklogFull, c.set(t, "d", "1")())
		release(held)
		for _, done := range []<-chan error{second, third, fourth} {
			require.NoError(t, <-done)
		}
		require.Zero(t, c.Pool().Stat().Waiting)
	})
}

// A store with a negative Backlog could use two lanes, which do not become more as long as
// nobody waits: all but two connections were of no use, and the third caller was refused.
func TestWhereNobodyMayWaitEveryConnectionServes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.PoolSize, cfg.Backlog = 6, -1
		g := through(t, &cfg)
		store := openStore(t, cfg)
		_, err := store.Get(t.Context(), "name", "nobody")
		require.ErrorIs(t, err, mysqlsession.ErrNotFound)
		release(hold(t, store.Pool(), cfg.PoolSize))
		g.shutAfter(0)
		get := func() error {
			_, err := store.Get(t.Context(), "name", "nobody")
			return err
		}
		var all []<-chan error
		for range cfg.PoolSize {
			all = append(all, calling(get))
		}
		await(t, "they wait for the server", func() bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.held == cfg.PoolSize || store.Pool().Stat().BacklogFullCount > 0
		})
		require.ErrorIs(t, get(), mysqlsession.ErrBacklogFull)
		g.open()
		for _, done := range all {
			require.ErrorIs(t, <-done, mysqlsession.ErrNotFound)
		}
	})
}

func TestWhoWaitsForALaneForTooLongGetsATimeout(t *testing.T) {
	const timeout = 300 * time.Millisecond
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for name, stuck := range map[string]bool{"for a connection": false, "behind a batch that is stuck": true} {
			t.Run(name, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				createNewTables(t, cfg, nil)
				g := through(t, &cfg)
				cfg.ConnectTimeout = timeout
				c := newCompany(t, cfg)
				c.rest(t)
				var held []*mysqlsession.PoolConn
				if stuck {
					g.shutAfter(0)
				} else {
					held = hold(t, c.Pool(), 1)
				}
				first := calling(c.set(t, "first", "1"))
				if stuck {
					// Its own limit is ReadTimeout.
					g.awaitHeld(t)
				} else {
					await(t, "it waits", func() bool { return c.Pool().Stat().Waiting == 1 })
				}
				began := time.Now()
				var all []<-chan error
				for _, do := range everyKind(c) {
					all = append(all, calling(func() error { return do(t.Context(), "key") }))
				}
				for _, done := range all {
					err := <-done
					assert.ErrorIs(t, err, mysqlsession.ErrAcquireTimeout)
					assert.True(t, mysqlsession.SafeToRetry(err))
					assert.False(t, mysqlsession.OutcomeUnknown(err))
				}
				assert.GreaterOrEqual(t, time.Since(began), timeout)
				assert.Less(t, time.Since(began), 4*time.Second)
				if stuck {
					g.open()
				} else {
					assert.ErrorIs(t, <-first, mysqlsession.ErrAcquireTimeout)
				}
				release(held)
				require.Zero(t, c.Pool().Stat().Waiting)
				require.NoError(t, c.set(t, "later", "1")())
			})
		}
	})
}

func TestClosingAStoreFailsThoseWhoWaitAtOnceAndServesThoseInABatch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for name, owned := range map[string]bool{"with its pool": true, "on another's pool": false} {
			t.Run(name, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				createNewTables(t, cfg, nil)
				g := through(t, &cfg)
				c := newCompany(t, cfg)
				if !owned {
					pool := c.Pool()
					own := cfg
					own.PoolSize, own.CoalesceMaxLanes = 1, 1
					store, err := mysqlsession.NewStore(pool, own)
					require.NoError(t, err)
					c.Store = store
					_, err = c.Get(t.Context(), "name", "nobody")
					require.ErrorIs(t, err, mysqlsession.ErrNotFound)
				}
				require.NoError(t, c.set(t, "a", "old")())
				serve := c.queue(t, c.set(t, "a", "1"), c.set(t, "b", "2"))
				g.shutAfter(1)
				served := make(chan []error, 1)
				go func() { served <- serve() }()
				g.awaitHeld(t)
				var waiting []<-chan error
				for _, do := range everyKind(c) {
					before := c.Pool().Stat().Waiting
					waiting = append(waiting, calling(func() error { return do(t.Context(), "c") }))
					await(t, "it waits", func() bool { return c.Pool().Stat().Waiting == before+1 })
				}
				closed := calling(c.Close)
				for _, done := range waiting {
					require.Equal(t, mysqlsession.ErrClosed, <-done, "while the batch is held up")
				}
				require.Equal(t, mysqlsession.ErrClosed, c.set(t, "c", "3")())
				g.open()
				errorsOnlyOf(t, <-served, nil)
				require.NoError(t, <-closed)
				stat := c.Pool().Stat()
				require.Zero(t, stat.Waiting)
				require.Zero(t, stat.Lanes)
				require.Zero(t, stat.AcquiredConns)
			})
		}
	})
}

func TestClosingThePoolFailsThoseWhoWaitForALaneOfAStoreOnIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		c := newCompany(t, cfg)
		c.rest(t)
		held := hold(t, c.Pool(), 1)
		var all []<-chan error
		for i := range 6 {
			all = append(all, calling(c.set(t, fmt.Sprint("key", i), "1")))
			await(t, "it waits", func() bool { return c.Pool().Stat().Waiting == i+1 })
		}
		closed := calling(c.Pool().Close)
		for _, done := range all {
			require.ErrorIs(t, <-done, mysqlsession.ErrClosed)
		}
		release(held)
		require.NoError(t, <-closed)
		require.Zero(t, c.Pool().Stat().Waiting)
	})
}

func TestOnOneConnectionNobodyStarves(t *testing.T) {
	const callers = 6 // of each kind
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		c := newCompany(t, cfg)
		const last = 800 * time.Millisecond // of a second
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		kinds := everyKind(c)
		kinds["acquire"] = func(ctx context.Context, _ string) error {
			return c.Pool().Do(ctx, func(conn *mysqlsession.Conn) error {
				_, err := conn.Exec(ctx, "DO 1")
				return err
			})
		}
		kinds["get many"] = func(ctx context.Context, key string) error {
			_, err := c.GetMany(ctx, "name", []string{key})
			return err
		}
		var group sync.WaitGroup
		counts := make(map[string]*[callers]atomic.Int64)
		for name, do := range kinds {
			made := new([callers]atomic.Int64)
			counts[name] = made
			for caller := range callers {
				group.Go(func() {
					for ctx.Err() == nil {
						err := do(ctx, fmt.Sprint(name, caller)[:1]+fmt.Sprint(caller))
						switch {
						case err == nil, errors.Is(err, mysqlsession.ErrNotFound), ctx.Err() != nil:
							made[caller].Add(1)
						case errors.Is(err, mysqlsession.ErrAcquireTimeout) && time.Since(began) > last:
							return // it would not be served before the end
						default:
							t.Error(name, err)
							return
						}
					}
				})
			}
		}
		group.Wait()
		var total, least int64 = 0, 1 << 60
		for _, made := range counts {
			for i := range made {
				total, least = total+made[i].Load(), min(least, made[i].Load())
			}
		}
		assert.Greater(t, least*20, total/int64(len(kinds)*callers), "a twentieth of the mean, at the very least")
	})
}

// Such a lane has nobody to serve any more, and Close waited for it as for a batch: 5 s.
func TestClosingAStoreDoesNotWaitForALaneThatWaitsForAConnection(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		c := newCompany(t, cfg)
		cfg.PoolSize, cfg.CoalesceMaxLanes = 1, 1
		store, err := mysqlsession.NewStore(c.Pool(), cfg)
		require.NoError(t, err)
		c.rest(t)
		held := hold(t, c.Pool(), 1)
		defer release(held)
		set := func(ctx context.Context) error { return store.Set(ctx, "name", "key", nil, time.Minute, nil) }
		ctx, leave := context.WithCancel(t.Context())
		first := calling(func() error { return set(ctx) })
		await(t, "it waits", func() bool { return c.Pool().Stat().Waiting == 1 })
		second := calling(func() error { return set(t.Context()) })
		await(t, "it waits", func() bool { return c.Pool().Stat().Waiting == 2 })
		leave() // the lane is opened for the second one now
		require.ErrorIs(t, <-first, context.Canceled)
		await(t, "the lane waits", func() bool { return c.Pool().Stat().Lanes == 1 })
		began := time.Now()
		require.NoError(t, store.Close())
		require.Less(t, time.Since(began), 3*time.Second)
		require.Equal(t, mysqlsession.ErrClosed, <-second)
	})
}
