//go:build unix

package mysqlsession_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// pauseServer stops a server's process as it is: the kernel goes on taking connections for
// it. It goes on when the function that is returned is called, at the latest with the test.
func pauseServer(t *testing.T, server dbtest.Private) (resume func()) {
	t.Helper()
	pid := server.Instance.Pid()
	resume = sync.OnceFunc(func() { assert.NoError(t, syscall.Kill(pid, syscall.SIGCONT)) })
	t.Cleanup(resume)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	return resume
}

// killServer ends a server as a crash does. It is back when the test ends.
func killServer(t *testing.T, server dbtest.Private) (restart func()) {
	t.Helper()
	restart = sync.OnceFunc(func() { assert.NoError(t, server.Instance.Restart(context.Background())) })
	t.Cleanup(restart)
	server.Instance.Kill()
	return restart
}

// onPrivate opens a store on a server that may be ended. The witness goes around the proxy.
func onPrivate(t *testing.T, server dbtest.Private, change func(cfg *mysqlsession.Config)) *faulty {
	t.Helper()
	return behindProxy(t, server.Server, change)
}

func TestAfterARestartEveryDeadConnectionIsReplacedUnseen(t *testing.T) {
	const size = 100
	dbtest.EachPrivate(t, func(t *testing.T, server dbtest.Private) {
		f := onPrivate(t, server, func(cfg *mysqlsession.Config) { cfg.PoolSize = size })
		release(hold(t, f.pool, size))
		require.Equal(t, size, f.pool.Stat().IdleConns)
		require.NoError(t, server.Instance.Restart(t.Context()))
		awaitIdleness()
		require.NoError(t, f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.get(ctx, keptValue) }))
		require.NoError(t, f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.set(ctx, "p4yload") }))
		stat := f.pool.Stat()
		require.Zero(t, stat.BrokenDestroyCount, "no call met a dead connection")
		require.EqualValues(t, size, stat.DeadDestroyCount, "the first call swept them all out")
		require.LessOrEqual(t, stat.TotalConns, 2, "as many are opened as are needed")
		f.settled(t)
	})
}

func TestACrashInMidCallIsUnknownToAWriteAndTheStoreIsBackWithTheServer(t *testing.T) {
	dbtest.EachPrivate(t, func(t *testing.T, server dbtest.Private) {
		f := onPrivate(t, server, nil)
		lock := lockSession(t, f.admin, keptKey)
		id := idleConnection(t, f.pool)
		done := make(chan error, 1)
		go func() {
			done <- f.call(t, t.Context(), 20*time.Second, func(ctx context.Context) error { return f.set(ctx, "p4yload") })
		}()
		eventually(t, "the write waits", func() bool { return count(t, f.admin, running, id, "INSERT") == 1 })
		restart := killServer(t, server)
		err := <-done
		_ = lock.Rollback() // its connection is gone too
		require.True(t, mysqlsession.OutcomeUnknown(err), err)
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		require.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET), err)

		for range 3 { // while it is down
			err := f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.get(ctx, keptValue) })
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
			require.True(t, mysqlsession.SafeToRetry(err))
		}
		eventually(t, "what is dead is gone", func() bool { return f.pool.Stat().TotalConns == 0 })
		restart()
		f.settled(t)
		require.NoError(t, f.get(t.Context(), keptValue), "what it had is there, and the write is not")
	})
}

// Of a process that is stopped the kernel takes connections and bytes, and it answers nothing.
func TestAServerThatHangsCostsEachCallItsContextAndThenNothing(t *testing.T) {
	const size, limit, connect = 4, 100 * time.Millisecond, 400 * time.Millisecond
	dbtest.EachPrivate(t, func(t *testing.T, server dbtest.Private) {
		f := onPrivate(t, server, func(cfg *mysqlsession.Config) { cfg.PoolSize, cfg.ConnectTimeout = size, connect })
		release(hold(t, f.pool, size))
		resume := pauseServer(t, server)
		read := func(ctx context.Context) error { return f.get(ctx, keptValue) }
		for range size { // each meets a connection that was idle
			err := f.call(t, within(t, limit), limit, read)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, mysqlsession.ErrUnavailable)
		}
		require.Zero(t, f.pool.Stat().IdleConns, "none of them is used again")

		// There is no greeting for whoever connects. One dial finds out for all.
		err := f.call(t, t.Context(), connect, read)
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		began := time.Now()
		for range 100 {
			require.ErrorIs(t, f.call(t, t.Context(), connect, read), mysqlsession.ErrUnavailable)
		}
		require.Less(t, time.Since(began), 100*limit/2, "nobody waits for what cannot be had")
		resume()
		f.settled(t)
		require.NoError(t, f.get(t.Context(), keptValue))
	})
}

func TestAGracefulShutdownEndsCallsAsACrashDoesAndNothingWorse(t *testing.T) {
	const callers = 6
	dbtest.EachPrivate(t, func(t *testing.T, server dbtest.Private) {
		f := onPrivate(t, server, func(cfg *mysqlsession.Config) {
			cfg.PoolSize, cfg.Coalesce = 3, mysqlsession.CoalesceOn
		})
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for caller := range callers {
			group.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					err := f.call(t, ctx, 20*time.Second, func(ctx context.Context) error {
						return f.echo(ctx, "down-"+strconv.Itoa(caller)+"-"+strconv.Itoa(n))
					})
					if err != nil && ctx.Err() == nil && !errors.Is(err, mysqlsession.ErrUnavailable) {
						t.Error(err)
					}
				}
			})
		}
		acquired := func() int64 { return f.pool.Stat().AcquireCount }
		began := acquired()
		eventually(t, "there is load", func() bool { return acquired() > began+100 })
		_, _ = f.admin.ExecContext(t.Context(), "SHUTDOWN") // whether it still answers is its affair
		eventually(t, "the server is gone", func() bool { return f.admin.PingContext(t.Context()) != nil })
		require.NoError(t, server.Instance.Restart(t.Context()))
		began = acquired()
		eventually(t, "it is used again", func() bool { return acquired() > began+100 })
		stop()
		group.Wait()
		f.settled(t)
	})
}
