package mysqlsession_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// inLeakPool is inPool with a threshold of 10 s.
func inLeakPool(t *testing.T, cfg mysqlsession.Config, test func(t *testing.T, pool *mysqlsession.Pool, events *poolEvents, log *bytes.Buffer)) {
	t.Helper()
	events, log := &poolEvents{}, &bytes.Buffer{}
	cfg.Pool, cfg.LeakThreshold, cfg.Trace, cfg.Logger = "leaky", 10*time.Second, events.trace(), slog.New(slog.NewTextHandler(log, nil))
	inPool(t, cfg, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) { test(t, pool, events, log) })
}

// forgetsToRelease is what is to be found in the stack.
func forgetsToRelease(t *testing.T, pool *mysqlsession.Pool) *mysqlsession.PoolConn {
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	return conn
}

func TestAConnectionThatIsHeldForTooLongIsReportedOnceWithTheStackThatAcquiredIt(t *testing.T) {
	inLeakPool(t, mysqlsession.Config{PoolSize: 2}, func(t *testing.T, pool *mysqlsession.Pool, events *poolEvents, log *bytes.Buffer) {
		conn := forgetsToRelease(t, pool)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Empty(t, take(events, &events.leaks), "ten seconds are no longer than ten seconds")
		time.Sleep(10 * time.Minute)
		leaks := take(events, &events.leaks)
		require.Len(t, leaks, 1)
		require.Equal(t, "leaky", leaks[0].Pool)
		require.Equal(t, 11*time.Second, leaks[0].Held, "looks are one second apart at most")
		require.False(t, leaks[0].Returned)
		first, rest, _ := strings.Cut(leaks[0].Stack, "\n")
		require.Equal(t, "github.com/mysqlsession/mysqlsession_test.forgetsToRelease", first)
		require.Regexp(t, `^\t\S*leak_test\.go:\d+\n`, rest)
		require.Contains(t, rest, "TestAConnectionThatIsHeldForTooLong")
		require.Equal(t, 1, strings.Count(log.String(), "\n"))
		require.Contains(t, log.String(), "level=WARN")
		require.Contains(t, log.String(), "forgetsToRelease")
		conn.Release()
	})
}

func TestALeakThatWasNoneIsReportedAsThat(t *testing.T) {
	inLeakPool(t, mysqlsession.Config{PoolSize: 2}, func(t *testing.T, pool *mysqlsession.Pool, events *poolEvents, log *bytes.Buffer) {
		conn := forgetsToRelease(t, pool)
		time.Sleep(time.Minute)
		require.Len(t, take(events, &events.leaks), 1)
		conn.Release()
		conn.Release()
		leaks := take(events, &events.leaks)
		require.Len(t, leaks, 1)
		require.True(t, leaks[0].Returned)
		require.Equal(t, time.Minute, leaks[0].Held)
		require.Contains(t, leaks[0].Stack, "forgetsToRelease")
		require.Equal(t, 2, strings.Count(log.String(), "level=WARN"))
		time.Sleep(time.Minute)
		require.Empty(t, take(events, &events.leaks), "nobody holds it")

		acquire(t, pool).Release() // a later holder is another one
		conn = acquire(t, pool)
		time.Sleep(9 * time.Second)
		conn.Release()
		require.Empty(t, take(events, &events.leaks))
	})
}

func TestDoIsLookedAfterTooAndItsCallerIsTheFirstOfTheStack(t *testing.T) {
	inLeakPool(t, mysqlsession.Config{PoolSize: 1}, func(t *testing.T, pool *mysqlsession.Pool, events *poolEvents, _ *bytes.Buffer) {
		err := pool.Do(t.Context(), func(*mysqlsession.Conn) error {
			time.Sleep(time.Minute)
			return nil
		})
		require.NoError(t, err)
		leaks := take(events, &events.leaks)
		require.Len(t, leaks, 2)
		require.True(t, leaks[1].Returned)
		require.Equal(t, leaks[0].Stack, leaks[1].Stack)
		require.True(t, strings.HasPrefix(leaks[0].Stack, "github.com/mysqlsession/mysqlsession_test.TestDoIsLookedAfterToo"), leaks[0].Stack)
	})
}

// A leaked connection that Close takes away was not given back.
func TestALeakThatCloseEndsIsNotReportedAsGivenBack(t *testing.T) {
	inLeakPool(t, mysqlsession.Config{PoolSize: 1}, func(t *testing.T, pool *mysqlsession.Pool, events *poolEvents, _ *bytes.Buffer) {
		conn := forgetsToRelease(t, pool)
		time.Sleep(time.Minute)
		require.NoError(t, pool.Close())
		conn.Release()
		leaks := take(events, &events.leaks)
		require.Len(t, leaks, 1)
		require.False(t, leaks[0].Returned)
	})
}

func TestWithoutAThresholdNobodyIsLookedAfter(t *testing.T) {
	for _, off := range []time.Duration{0, -1} {
		events := &poolEvents{}
		inPool(t, mysqlsession.Config{PoolSize: 1, LeakThreshold: off, Trace: events.trace()}, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
			conn := forgetsToRelease(t, pool)
			time.Sleep(24 * time.Hour)
			conn.Release()
			require.Empty(t, take(events, &events.leaks))
		})
	}
}
