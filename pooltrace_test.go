package mysqlsession_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// poolEvents are what a pool has told.
type poolEvents struct {
	mu          sync.Mutex
	connects    []mysqlsession.ConnectInfo
	acquires    []mysqlsession.AcquireInfo
	releases    []mysqlsession.ReleaseInfo
	disconnects []mysqlsession.DisconnectInfo
	leaks       []mysqlsession.LeakInfo
}

// trace is what tells them.
func (e *poolEvents) trace() *mysqlsession.Trace {
	return &mysqlsession.Trace{
		Connect:    func(info mysqlsession.ConnectInfo) { note(e, &e.connects, info) },
		Acquire:    func(info mysqlsession.AcquireInfo) { note(e, &e.acquires, info) },
		Release:    func(info mysqlsession.ReleaseInfo) { note(e, &e.releases, info) },
		Disconnect: func(info mysqlsession.DisconnectInfo) { note(e, &e.disconnects, info) },
		Leak:       func(info mysqlsession.LeakInfo) { note(e, &e.leaks, info) },
	}
}

func note[Info any](e *poolEvents, list *[]Info, info Info) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*list = append(*list, info)
}

// take returns what a list has, and empties it.
func take[Info any](e *poolEvents, list *[]Info) []Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := *list
	*list = nil
	return taken
}

func TestAPoolTellsOfEachConnectionThatIsOpenedAcquiredReleasedAndClosed(t *testing.T) {
	events := &poolEvents{}
	cfg := mysqlsession.Config{Host: "db.example", Pool: "told", PoolSize: 1, Trace: events.trace()}
	inPool(t, cfg, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
		require.Equal(t, []mysqlsession.ConnectInfo{{Pool: "told", Address: "db.example:3306", System: "mysql"}}, take(events, &events.connects))
		take(events, &events.acquires)
		take(events, &events.releases)

		conn := acquire(t, pool)
		waiting := acquiring(t.Context(), pool)
		time.Sleep(3 * time.Second)
		conn.Release()
		conn.Release()
		require.NoError(t, <-waiting)
		require.Equal(t, []mysqlsession.AcquireInfo{{Pool: "told"}, {Pool: "told", Duration: 3 * time.Second, Waited: true}}, take(events, &events.acquires))
		require.Equal(t, []mysqlsession.ReleaseInfo{{Pool: "told", Duration: 3 * time.Second}, {Pool: "told"}}, take(events, &events.releases))
		require.Empty(t, take(events, &events.disconnects))

		time.Sleep(time.Second)
		require.NoError(t, pool.Close())
		require.Equal(t, []mysqlsession.DisconnectInfo{{Pool: "told", Reason: mysqlsession.DisconnectPoolClosed, Age: 4 * time.Second}}, take(events, &events.disconnects))
	})
}

func TestWhoGetsNoConnectionIsToldOfWithTheError(t *testing.T) {
	events := &poolEvents{}
	cfg := mysqlsession.Config{PoolSize: 1, Backlog: 1, ConnectTimeout: 2 * time.Second, Trace: events.trace()}
	inPool(t, cfg, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
		held := hold(t, pool, 1)
		take(events, &events.acquires)
		waiting := acquiring(t.Context(), pool)
		require.ErrorIs(t, <-acquiring(t.Context(), pool), mysqlsession.ErrBacklogFull)
		require.ErrorIs(t, <-waiting, mysqlsession.ErrAcquireTimeout)
		told := take(events, &events.acquires)
		require.Len(t, told, 2)
		require.ErrorIs(t, told[0].Err, mysqlsession.ErrBacklogFull)
		require.Zero(t, told[0].Duration)
		require.False(t, told[0].Waited)
		require.ErrorIs(t, told[1].Err, mysqlsession.ErrAcquireTimeout)
		require.Equal(t, 2*time.Second, told[1].Duration)
		require.True(t, told[1].Waited)
		release(held)
	})
}

func TestAnAttemptToConnectThatFailsIsToldOfAndAPauseIsNone(t *testing.T) {
	events := &poolEvents{}
	cfg := mysqlsession.Config{Pool: "told", PoolSize: 2, Trace: events.trace()}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		take(events, &events.connects)
		b.set(func() { b.down, b.dialTime = errRefused, time.Second })
		time.Sleep(2 * time.Minute) // the connection has been idle for too long
		for range 3 {
			_, err := pool.Acquire(t.Context())
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		}
		told := take(events, &events.connects)
		require.Len(t, told, 1)
		require.ErrorIs(t, told[0].Err, mysqlsession.ErrUnavailable)
		require.Equal(t, time.Second, told[0].Duration)
		require.Equal(t, "127.0.0.1:3306", told[0].Address)
		require.Empty(t, told[0].System)
	})
}

func TestAConnectionThatIsBeingOpenedWhenThePoolClosesIsToldOfAsThat(t *testing.T) {
	events := &poolEvents{}
	cfg := mysqlsession.Config{PoolSize: 2, Trace: events.trace()}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		take(events, &events.connects)
		held := hold(t, pool, 1)
		b.set(func() { b.dialTime = time.Second })
		waiting := acquiring(t.Context(), pool)
		closed := make(chan error, 1)
		go func() { closed <- pool.Close() }()
		require.Error(t, <-waiting)
		release(held)
		require.NoError(t, <-closed)
		told := take(events, &events.connects)
		require.Len(t, told, 1)
		require.Equal(t, mysqlsession.ErrClosed, told[0].Err)
	})
}

// The hook and the counters of Stat must not tell different stories.
func TestConnectionsThatAreClosedAreToldOfByTheReasonThatIsCounted(t *testing.T) {
	events := &poolEvents{}
	cfg := mysqlsession.Config{
		PoolSize: 4, KeepaliveTimeout: time.Minute, MaxConnLifetime: 2 * time.Minute, MaxConnLifetimeJitter: -1, HealthCheckPeriod: time.Hour, Trace: events.trace(),
	}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		counts := func() map[mysqlsession.DisconnectReason]int64 {
			told := map[mysqlsession.DisconnectReason]int64{}
			for _, info := range take(events, &events.disconnects) {
				told[info.Reason]++
			}
			return told
		}
		time.Sleep(time.Minute + 1)
		acquire(t, pool).Release() // the first one was idle
		conn := acquire(t, pool)
		time.Sleep(2*time.Minute + 1)
		conn.Release() // too old
		acquire(t, pool).Discard()
		release(hold(t, pool, 2))
		b.set(func() { b.readOnly = true })
		conn = acquire(t, pool)
		_, err := conn.Conn().Exec(t.Context(), "WRITE")
		require.ErrorIs(t, err, mysqlsession.ErrNotWritable)
		conn.Release()             // broken, and the other one is left behind
		acquire(t, pool).Release() // a new one
		synctest.Wait()
		stat := pool.Stat()
		require.Equal(t, map[mysqlsession.DisconnectReason]int64{
			mysqlsession.DisconnectMaxIdle: stat.MaxIdleDestroyCount, mysqlsession.DisconnectMaxLifetime: stat.MaxLifetimeDestroyCount,
			mysqlsession.DisconnectDead: stat.DeadDestroyCount, mysqlsession.DisconnectBroken: stat.BrokenDestroyCount,
		}, counts())
		require.NotContains(t, []int64{stat.MaxIdleDestroyCount, stat.MaxLifetimeDestroyCount, stat.DeadDestroyCount, stat.BrokenDestroyCount}, int64(0))
		require.NoError(t, pool.Close())
		require.Equal(t, map[mysqlsession.DisconnectReason]int64{mysqlsession.DisconnectPoolClosed: 1}, counts())
	})
}

func TestAPanicInAHookOfConnectingIsToldOf(t *testing.T) {
	events := &poolEvents{}
	calls := 0
	cfg := mysqlsession.Config{PoolSize: 2, Trace: events.trace(), BeforeConnect: func(context.Context, *mysqlsession.Config) error {
		if calls++; calls > 1 {
			panic(errors.New("a hook's"))
		}
		return nil
	}}
	inPool(t, cfg, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
		take(events, &events.connects)
		held := hold(t, pool, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := pool.Acquire(ctx)
		require.Error(t, err)
		release(held)
		told := take(events, &events.connects)
		require.NotEmpty(t, told)
		require.ErrorContains(t, told[0].Err, "panicked")
	})
}

// A panic in a hook is its caller's, who may survive it, as handlers of net/http do. The
// connection must not be lost with it.
func TestAPanicInAHookOfAPoolCostsNoConnection(t *testing.T) {
	var armed atomic.Bool
	boom := func() {
		if armed.CompareAndSwap(true, false) {
			panic("a hook's")
		}
	}
	for hook, trace := range map[string]*mysqlsession.Trace{
		"Acquire": {Acquire: func(mysqlsession.AcquireInfo) { boom() }},
		"Release": {Release: func(mysqlsession.ReleaseInfo) { boom() }},
	} {
		t.Run(hook, func(t *testing.T) {
			events := &poolEvents{}
			cfg := mysqlsession.Config{PoolSize: 1, ConnectTimeout: time.Second, Trace: mysqlsession.JoinTraces(events.trace(), trace)}
			inPool(t, cfg, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
				armed.Store(true)
				idle := func(*mysqlsession.Conn) error { return nil }
				assert.Panics(t, func() { _ = pool.Do(t.Context(), idle) })
				if !assert.Zero(t, pool.Stat().AcquiredConns) {
					return
				}
				assert.NoError(t, pool.Do(t.Context(), idle))
				assert.Len(t, take(events, &events.releases), len(take(events, &events.acquires)))
				assert.EqualValues(t, 1, pool.Stat().NewConnsCount, "it was fit")
			})
		})
	}
}

func TestAPanicInTheHookOfConnectingLeavesNoSocketOpen(t *testing.T) {
	var armed atomic.Bool
	cfg := mysqlsession.Config{PoolSize: 2, ConnectTimeout: time.Second, Trace: &mysqlsession.Trace{Connect: func(mysqlsession.ConnectInfo) {
		if armed.Load() {
			panic("a hook's")
		}
	}}}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		held := hold(t, pool, 1)
		armed.Store(true)
		require.ErrorIs(t, <-acquiring(t.Context(), pool), mysqlsession.ErrAcquireTimeout)
		assert.Equal(t, 1, b.open())
		armed.Store(false)
		release(held)
	})
}

func TestAnAttemptThatFailsIsToldOfWithTheAddressThatBeforeConnectHasChosen(t *testing.T) {
	events := &poolEvents{}
	cfg := mysqlsession.Config{PoolSize: 2, Trace: events.trace(), BeforeConnect: func(_ context.Context, cfg *mysqlsession.Config) error {
		cfg.Host = "chosen.example"
		return nil
	}}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		require.Equal(t, "chosen.example:3306", take(events, &events.connects)[0].Address)
		held := hold(t, pool, 1)
		b.set(func() { b.down = errRefused })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := pool.Acquire(ctx)
		require.Error(t, err)
		require.Equal(t, "chosen.example:3306", take(events, &events.connects)[0].Address)
		release(held)
	})
}
