//go:build !race

package mysqlsession_test

// The race detector allocates itself, so counts mean nothing under it. "make test" runs
// this file in a pass of its own, without the detector (scripts/test-without-race).

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestReadingAndStoringASessionAllocateLittleMoreThanTheValue(t *testing.T) {
	const runs = 200
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		for _, transport := range server.Transports() {
			store := openStore(t, transport.Over(cfg))
			ctx, value := context.Background(), make([]byte, 1<<10)
			set := testing.AllocsPerRun(runs, func() {
				if err := store.Set(ctx, "name", "key", value, time.Hour, nil); err != nil {
					t.Error(err)
				}
			})
			get := testing.AllocsPerRun(runs, func() {
				if _, err := store.Get(ctx, "name", "key"); err != nil {
					t.Error(err)
				}
			})
			require.LessOrEqual(t, get, 4.0, "get over %s", transport.Name)
			require.LessOrEqual(t, set, 3.0, "set over %s", transport.Name)
			t.Logf("%s: get %v, set %v", transport.Name, get, set)
		}
	})
}

func TestAcquiringAnIdleConnectionAllocatesOnlyItsHandle(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store := openStore(t, server.NewDatabase(t))
		pool, ctx := store.Pool(), context.Background()
		allocations := testing.AllocsPerRun(200, func() {
			conn, err := pool.Acquire(ctx)
			if err != nil {
				t.Fatal(err)
			}
			conn.Release()
		})
		require.LessOrEqual(t, allocations, 1.0)
	})
}

// Callers are refused when there are too many: what that costs is paid by all of them.
func TestBeingRefusedAllocatesNothing(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 1, Backlog: -1}, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
		held := hold(t, pool, 1)
		ctx := context.Background()
		allocations := testing.AllocsPerRun(1000, func() {
			if _, err := pool.Acquire(ctx); err != mysqlsession.ErrBacklogFull {
				t.Error(err)
			}
		})
		require.Zero(t, allocations)
		release(held)
	})
}

// Hooks that nobody has must cost nothing, and those that there are nothing but themselves.
func TestHooksCostNoAllocation(t *testing.T) {
	const runs = 200
	var told int
	busy := &mysqlsession.Trace{
		CallStart:  func(ctx context.Context, _ mysqlsession.CallInfo) context.Context { told++; return ctx },
		Call:       func(context.Context, mysqlsession.CallInfo) { told++ },
		Acquire:    func(mysqlsession.AcquireInfo) { told++ },
		Release:    func(mysqlsession.ReleaseInfo) { told++ },
		Disconnect: func(mysqlsession.DisconnectInfo) { told++ },
		Leak:       func(mysqlsession.LeakInfo) { told++ },
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		ctx, value := context.Background(), make([]byte, 1<<10)
		measured := func(trace *mysqlsession.Trace, threshold time.Duration) (get, acquire float64) {
			cfg.Trace, cfg.LeakThreshold = trace, threshold
			store := openStore(t, cfg)
			require.NoError(t, store.Set(ctx, "name", "key", value, time.Hour, nil))
			get = testing.AllocsPerRun(runs, func() {
				if _, err := store.Get(ctx, "name", "key"); err != nil {
					t.Error(err)
				}
			})
			acquire = testing.AllocsPerRun(runs, func() {
				conn, err := store.Pool().Acquire(ctx)
				if err != nil {
					t.Fatal(err)
				}
				conn.Release()
			})
			return get, acquire
		}
		get, acquire := measured(nil, 0)
		require.LessOrEqual(t, get, 4.0)
		require.LessOrEqual(t, acquire, 1.0, "its handle")
		tracedGet, tracedAcquire := measured(busy, time.Minute)
		require.Equal(t, get, tracedGet)
		require.Equal(t, acquire, tracedAcquire)
		require.Greater(t, told, 4*runs)
	})
}
