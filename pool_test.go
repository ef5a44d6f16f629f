package mysqlsession_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func TestWaitersGetConnectionsInTheOrderTheyCame(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 2}, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
		held := hold(t, pool, 2)
		const waiters = 6
		order := make(chan int, waiters)
		for i := range waiters {
			go func() {
				conn, err := pool.Acquire(t.Context())
				if err == nil {
					order <- i
					conn.Release()
				}
			}()
			synctest.Wait()
			require.Equal(t, i+1, pool.Stat().Waiting)
		}
		held[0].Release()
		for want := range waiters {
			require.Equal(t, want, <-order)
		}
		held[1].Release()
		require.Zero(t, pool.Stat().Waiting)
	})
}

func TestExactlyBacklogCallersMayWaitAndTheNextIsRefusedAtOnce(t *testing.T) {
	for _, backlog := range []int{-1, 1, 3} {
		inPool(t, mysqlsession.Config{PoolSize: 2, Backlog: backlog}, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
			held := hold(t, pool, 2)
			var waiting []<-chan error
			for range max(backlog, 0) {
				waiting = append(waiting, acquiring(t.Context(), pool))
			}
			began := time.Now()
			for range 3 {
				_, err := pool.Acquire(t.Context())
				require.ErrorIs(t, err, mysqlsession.ErrBacklogFull)
				require.True(t, mysqlsession.SafeToRetry(err))
			}
			require.Zero(t, time.Since(began))
			stat := pool.Stat()
			require.Equal(t, max(backlog, 0), stat.Waiting)
			require.Equal(t, max(backlog, 0), stat.MaxWaiting)
			require.Equal(t, int64(3), stat.BacklogFullCount)
			release(held)
			for _, done := range waiting {
				require.NoError(t, <-done)
			}
		})
	}
}

func TestAWaitEndsAfterExactlyConnectTimeout(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 1, ConnectTimeout: 3 * time.Second}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		held := hold(t, pool, 1)
		began := time.Now()
		_, err := pool.Acquire(t.Context())
		require.Equal(t, 3*time.Second, time.Since(began))
		require.ErrorIs(t, err, mysqlsession.ErrAcquireTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, mysqlsession.SafeToRetry(err))
		require.Equal(t, int64(1), pool.Stat().AcquireTimeoutCount)
		require.Zero(t, pool.Stat().Waiting)
		release(held)
		require.NoError(t, <-acquiring(t.Context(), pool), "the turn of one that gave up is not lost")
		require.Equal(t, 1, b.dialled())
	})
}

func TestAWaitEndsWithTheCallersContext(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 1}, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
		held := hold(t, pool, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := pool.Acquire(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, mysqlsession.ErrAcquireTimeout, "it is not the pool's limit that ended it")
		require.True(t, mysqlsession.SafeToRetry(err))

		because := errors.New("the request was abandoned")
		abandoned, abandon := context.WithCancelCause(t.Context())
		done := acquiring(abandoned, pool)
		abandon(because)
		err = <-done
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, because)
		_, err = pool.Acquire(abandoned)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, int64(3), pool.Stat().CanceledAcquireCount)
		release(held)
		_, err = pool.Acquire(abandoned)
		require.ErrorIs(t, err, context.Canceled, "also when a connection is free")
	})
}

func TestAnIdleConnectionIsClosedAfterKeepaliveTimeout(t *testing.T) {
	t.Run("when it would be used", func(t *testing.T) {
		cfg := mysqlsession.Config{PoolSize: 2, KeepaliveTimeout: time.Minute, HealthCheckPeriod: time.Hour}
		inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
			time.Sleep(time.Minute)
			acquire(t, pool).Release()
			require.Equal(t, 1, b.dialled(), "a minute is no longer than a minute")
			time.Sleep(time.Minute + 1)
			acquire(t, pool).Release()
			require.Equal(t, 2, b.dialled())
			require.Equal(t, int64(1), pool.Stat().MaxIdleDestroyCount)
		})
	})
	t.Run("when nobody uses it", func(t *testing.T) {
		cfg := mysqlsession.Config{PoolSize: 4, KeepaliveTimeout: time.Minute}
		inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
			release(hold(t, pool, 4))
			time.Sleep(time.Minute)
			require.Equal(t, 4, b.open())
			time.Sleep(16 * time.Second) // the sweep comes every 15 s
			require.Zero(t, b.open())
			stat := pool.Stat()
			require.Equal(t, int64(4), stat.MaxIdleDestroyCount)
			require.Zero(t, stat.IdleConns)
			require.Zero(t, stat.TotalConns)
		})
	})
	t.Run("never", func(t *testing.T) {
		inPool(t, mysqlsession.Config{KeepaliveTimeout: -1, MaxConnLifetime: -1}, func(t *testing.T, b *backend, _ *mysqlsession.Pool) {
			time.Sleep(100 * time.Hour)
			require.Equal(t, 1, b.open())
			require.Equal(t, 1, b.dialled())
		})
	})
}

func TestConnectionsEndWithinTheirLifetimeAndNotAllAtOnce(t *testing.T) {
	const size = 16
	cfg := mysqlsession.Config{
		PoolSize: size, KeepaliveTimeout: -1, HealthCheckPeriod: time.Second,
		MaxConnLifetime: 10 * time.Minute, MaxConnLifetimeJitter: 4 * time.Minute,
	}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		release(hold(t, pool, size))
		time.Sleep(6*time.Minute - time.Second)
		require.Equal(t, size, b.open())
		ends, before := 0, size
		for range 4*60 + 3 {
			time.Sleep(time.Second)
			if now := b.open(); now < before {
				ends++
				before = now
			}
		}
		require.Zero(t, b.open())
		require.Greater(t, ends, size/2, "they must not all go at the same time")
		require.Equal(t, int64(size), pool.Stat().MaxLifetimeDestroyCount)
	})
}

func TestAConnectionInUseEndsItsLifetimeWithItsRelease(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 1, MaxConnLifetime: time.Minute, MaxConnLifetimeJitter: -1}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		conn := acquire(t, pool)
		time.Sleep(time.Hour)
		require.NoError(t, conn.Conn().Ping(t.Context()))
		conn.Release()
		synctest.Wait()
		require.Zero(t, b.open())
		require.Equal(t, int64(1), pool.Stat().MaxLifetimeDestroyCount)
	})
}

func TestMinIdleConnsAreOpenedAndKept(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 5, MinIdleConns: 3, KeepaliveTimeout: time.Minute, HealthCheckPeriod: 10 * time.Second}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		synctest.Wait()
		require.Equal(t, 3, pool.Stat().IdleConns)
		held := hold(t, pool, 2)
		time.Sleep(11 * time.Second)
		require.Equal(t, 3, pool.Stat().IdleConns, "two more are opened")
		held = append(held, hold(t, pool, 3)...)
		time.Sleep(11 * time.Second)
		require.Zero(t, pool.Stat().IdleConns, "PoolSize holds")
		release(held)
		time.Sleep(10 * time.Minute)
		stat := pool.Stat()
		require.Equal(t, 3, stat.IdleConns, "what has been idle for too long is replaced")
		require.Equal(t, 3, b.open())
		require.Positive(t, stat.MaxIdleDestroyCount)
	})
}

// A connection that was opened for spare is as good as any other.
func TestSpareConnectionsAreUsedWithoutADial(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 5, MinIdleConns: 5, KeepaliveTimeout: -1}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		synctest.Wait()
		release(hold(t, pool, 5))
		require.Equal(t, 5, b.dialled())
		require.Equal(t, 5, pool.Stat().IdleConns)
	})
}

func TestAConnectionWithSomethingOpenIsClosedOnItsRelease(t *testing.T) {
	for _, statements := range [][]string{{"BEGIN"}, {"SET autocommit = 0"}} {
		inPool(t, mysqlsession.Config{PoolSize: 1}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
			require.NoError(t, pool.Do(t.Context(), func(conn *mysqlsession.Conn) error {
				for _, statement := range statements {
					exec(t, conn, statement)
				}
				return nil
			}))
			require.NoError(t, pool.Do(t.Context(), func(conn *mysqlsession.Conn) error { return conn.Ping(t.Context()) }))
			require.Equal(t, 2, b.dialled())
			require.Equal(t, int64(1), pool.Stat().BrokenDestroyCount)
		})
	}
}

func TestABrokenConnectionIsReplacedAndItsSlotIsNotLost(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 2}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		for range 10 {
			err := pool.Do(t.Context(), func(conn *mysqlsession.Conn) error {
				_, err := conn.Exec(t.Context(), "HANG UP")
				return err
			})
			require.True(t, mysqlsession.OutcomeUnknown(err), err)
		}
		require.Equal(t, int64(10), pool.Stat().BrokenDestroyCount)
		release(hold(t, pool, 2))
	})
}

func TestDoReturnsTheFunctionsErrorAndKeepsTheConnection(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 1}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		mine := errors.New("mine")
		require.ErrorIs(t, pool.Do(t.Context(), func(*mysqlsession.Conn) error { return mine }), mine)
		require.NoError(t, pool.Do(t.Context(), func(conn *mysqlsession.Conn) error { return conn.Ping(t.Context()) }))
		require.Equal(t, 1, b.dialled())
	})
}

func TestAPanicInDoGoesOnAndDiscardsTheConnection(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 1}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		require.PanicsWithValue(t, "mine", func() {
			_ = pool.Do(t.Context(), func(*mysqlsession.Conn) error { panic("mine") })
		})
		synctest.Wait()
		require.Zero(t, pool.Stat().TotalConns)
		require.NoError(t, pool.Do(t.Context(), func(conn *mysqlsession.Conn) error { return conn.Ping(t.Context()) }))
		require.Equal(t, 2, b.dialled())
	})
}

func TestASecondReleaseDoesNothing(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 1}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		first := acquire(t, pool)
		first.Release()
		second := acquire(t, pool)
		first.Release() // must neither free nor close what is another's now
		first.Discard()
		require.NoError(t, second.Conn().Ping(t.Context()))
		require.Equal(t, 1, pool.Stat().AcquiredConns)
		third := acquiring(t.Context(), pool)
		require.Equal(t, 1, pool.Stat().Waiting)
		second.Release()
		require.NoError(t, <-third)
		require.Equal(t, 1, b.dialled())
	})
}

func TestADiscardedConnectionIsClosedAndItsSlotIsFree(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 1}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		conn := acquire(t, pool)
		conn.Discard()
		conn.Release()
		conn.Discard()
		require.ErrorIs(t, conn.Conn().Ping(t.Context()), mysqlsession.ErrClosed)
		acquire(t, pool).Release()
		require.Equal(t, 2, b.dialled())
	})
}

func TestStatSaysWhatThePoolHasAndWhatItHasDone(t *testing.T) {
	cfg := mysqlsession.Config{Pool: "sessions", PoolSize: 2, Backlog: 5}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		b.set(func() { b.dialTime = time.Second })
		first := acquire(t, pool)
		second := acquire(t, pool) // takes a dial
		waiting := acquiring(t.Context(), pool)
		time.Sleep(2 * time.Second)
		stat := pool.Stat()
		require.Equal(t, mysqlsession.Stat{
			Pool: "sessions", MaxConns: 2, TotalConns: 2, AcquiredConns: 2, Waiting: 1, MaxWaiting: 5,
			AcquireCount: 3, AcquireDuration: time.Second, EmptyAcquireCount: 1, NewConnsCount: 2,
		}, stat, "NewPool's own acquire counts")
		first.Release()
		require.NoError(t, <-waiting)
		second.Release()
		stat = pool.Stat()
		require.Equal(t, mysqlsession.Stat{
			Pool: "sessions", MaxConns: 2, TotalConns: 2, IdleConns: 2, MaxWaiting: 5,
			AcquireCount: 4, AcquireDuration: 3 * time.Second, EmptyAcquireCount: 1, EmptyAcquireWaitTime: 2 * time.Second, NewConnsCount: 2,
		}, stat)
	})
}
