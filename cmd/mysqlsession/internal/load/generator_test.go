package load

import (
	"context"
	"database/sql"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// limit is how long anything may take.
const limit = 20 * time.Second

// watched is a load in a database of its own, with notes of its calls.
type watched struct {
	*Generator
	t     *testing.T
	admin *sql.DB

	answered, failed, batches, writes atomic.Int64
	lastError                         atomic.Value
}

func newLoad(t *testing.T, server dbtest.Server) *watched {
	t.Helper()
	w := &watched{t: t}
	config := server.NewDatabase(t)
	w.admin = server.AdminIn(t, config.Database)
	config.TableName, config.TableNameMeta = "some_load", "some_load_meta"
	config.Trace = &mysqlsession.Trace{
		Call: func(_ context.Context, info mysqlsession.CallInfo) {
			if info.Operation == "set" {
				w.writes.Add(1)
			}
			if info.Err == nil || info.Err == mysqlsession.ErrNotFound {
				w.answered.Add(1)
				return
			}
			w.failed.Add(1)
			w.lastError.Store(info.Err.Error())
		},
		Batch: func(mysqlsession.BatchInfo) { w.batches.Add(1) },
	}
	w.Generator = New(config, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w
}

// awaits waits until something is so.
func (w *watched) awaits(what string, is func() bool) {
	w.t.Helper()
	require.Eventually(w.t, is, limit, time.Millisecond, what)
}

// awaitMore waits until a count has grown.
func (w *watched) awaitMore(what string, count *atomic.Int64, by int64) {
	w.t.Helper()
	before := count.Load()
	w.awaits(what, func() bool { return count.Load() >= before+by })
}

func (w *watched) tables() (n int) {
	w.t.Helper()
	require.NoError(w.t, w.admin.QueryRow("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()").Scan(&n))
	return n
}

func TestNothingHappensUntilSomebodyLooksAndNothingStaysAtTheEnd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		w := newLoad(t, server)
		w.Change(Default)
		require.Empty(t, w.Pools())
		require.Zero(t, w.tables())
		require.Zero(t, w.answered.Load())

		w.Look()
		w.awaitMore("calls", &w.answered, 1000)
		require.Len(t, w.Pools(), 1)
		require.Equal(t, 2, w.tables())
		var rows int
		require.NoError(t, w.admin.QueryRow("SELECT COUNT(*) FROM some_load").Scan(&rows))
		require.Positive(t, rows)
		require.LessOrEqual(t, rows, sessions)

		require.NoError(t, w.Close())
		require.Zero(t, w.tables())
		require.Empty(t, w.Pools())
		require.NoError(t, w.Close(), "closing again")
	})
}

func TestPoolsAreExchangedUnderTheCallersAndNoCallFails(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		w := newLoad(t, server)
		s := Default
		s.Delay, s.Callers = 1, 16 // few enough that nobody waits for long
		w.Change(s)
		w.Look()
		w.awaitMore("batches", &w.batches, 10)
		for round := range 4 {
			s.Coalesce, s.PoolSize, s.Backlog = round%2 == 1, 2+round, 100*(1+round)
			w.Change(s)
			w.awaits("the pool", func() bool {
				pools := w.Pools()
				return len(pools) == 1 && pools[0].Stat().MaxConns == s.PoolSize && pools[0].Stat().MaxWaiting == s.Backlog
			})
			w.awaitMore("calls", &w.answered, 500)
			if s.Coalesce {
				w.awaitMore("batches", &w.batches, 10)
			}
			require.NoError(t, w.Problem())
		}
		require.Zero(t, w.failed.Load(), "%v", w.lastError.Load())
		w.awaits("no more connections than one pool's", func() bool {
			var n int
			err := w.admin.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()").Scan(&n)
			return err == nil && n <= s.PoolSize+1
		})
	})
}

func TestCallersComeAndGoAndDoWhatTheSettingsSay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		w := newLoad(t, server)
		s := Default
		s.Delay, s.Writes, s.ValueSize = 0, 100, 333
		w.Change(s)
		w.Look()
		w.awaitMore("writes", &w.writes, 500)
		var size int
		require.NoError(t, w.admin.QueryRow("SELECT MAX(LENGTH(data)) FROM some_load").Scan(&size))
		require.Equal(t, 333, size)

		for range 3 {
			s.Callers = 0
			w.Change(s)
			w.awaitQuiet()
			require.Zero(t, w.Pools()[0].Stat().Waiting)
			s.Callers = 3
			w.Change(s)
			w.awaitMore("calls", &w.answered, 100)
		}
	})
}

// awaitQuiet waits until nothing has been called for a moment.
func (w *watched) awaitQuiet() {
	w.t.Helper()
	last, same := w.answered.Load(), 0
	w.awaits("an end of the calls", func() bool {
		if now := w.answered.Load(); now != last {
			last, same = now, 0
		}
		same++
		return same > 30
	})
}

func TestADelayAppliesToThePoolInUse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		w := newLoad(t, server)
		s := Default
		s.Delay, s.Callers = 0, 1
		w.Change(s)
		w.Look()
		w.awaitMore("calls", &w.answered, 100)
		pool := w.Pools()[0]
		s.Delay = 50
		w.Change(s)
		w.awaits("the delay", func() bool {
			began := time.Now()
			require.NoError(t, pool.Do(context.Background(), func(c *mysqlsession.Conn) error {
				_, err := c.Exec(context.Background(), "DO 1")
				return err
			}))
			return time.Since(began) >= 50*time.Millisecond
		})
		require.Same(t, pool, w.Pools()[0])
	})
}

func TestWhoIsTurnedAwayDoesNotAskAllTheTime(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		w := newLoad(t, server)
		s := Default
		s.Callers, s.PoolSize, s.Backlog, s.Delay = 256, 1, 0, 20
		w.Change(s)
		w.Look()
		w.awaitMore("refusals", &w.failed, 256)
		before, began := w.failed.Load(), time.Now()
		w.awaitMore("refusals", &w.failed, 1000)
		rate := float64(w.failed.Load()-before) / time.Since(began).Seconds()
		require.Less(t, rate, 2*256/(rest/2).Seconds())
	})
}

func TestTheLoadEndsWhenNobodyLooksAnyMore(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		w := newLoad(t, server)
		s := Default
		s.Delay = 0
		w.Change(s)
		w.Look()
		w.awaitMore("calls", &w.answered, 100)
		goroutines := runtime.NumGoroutine()
		w.mu.Lock()
		w.until = time.Now() // a minute later
		w.mu.Unlock()
		w.adjustSoon()
		w.awaits("no caller", func() bool { return runtime.NumGoroutine() <= goroutines-s.Callers })
		w.awaitQuiet()
		w.Look()
		w.awaitMore("calls", &w.answered, 100)
	})
}

func TestADatabaseThatIsAwayIsAProblemAndNotAnEnd(t *testing.T) {
	server := dbtest.Servers(t)[0]
	config := server.NewDatabase(t)
	config.TableName, config.TableNameMeta = "some_load", "some_load_meta"
	config.Database = "there_is_no_such_database"
	g := New(config, slog.New(slog.DiscardHandler))
	g.Look()
	require.Eventually(t, func() bool { return g.Problem() != nil }, limit, time.Millisecond)
	require.Empty(t, g.Pools())
	require.NoError(t, g.Close())
}

func TestManyMayUseALoadAtOnce(t *testing.T) {
	server := dbtest.Servers(t)[0]
	w := newLoad(t, server)
	var done sync.WaitGroup
	for i := range 8 {
		done.Go(func() {
			s := Default
			s.Callers, s.PoolSize, s.Delay = 8*i, 1+i%3, 0
			for range 20 {
				w.Look()
				w.Change(s)
				w.Settings()
				for _, pool := range w.Pools() {
					pool.Stat()
				}
			}
		})
	}
	done.Wait()
	w.Change(Default)
	w.awaitMore("calls", &w.answered, 100)
}

func TestSettingsAreBroughtIntoTheirRanges(t *testing.T) {
	low := Settings{Callers: -1, Writes: -1, ValueSize: -1, PoolSize: -1, Backlog: -1, Delay: -1}
	high := Settings{Callers: 1 << 40, Writes: 1 << 40, ValueSize: 1 << 40, PoolSize: 1 << 40, Backlog: 1 << 40, Delay: 1 << 40, Coalesce: true}
	require.Equal(t, Settings{ValueSize: 1, PoolSize: 1}, low.Clamp())
	require.Equal(t, Settings{Callers: 1024, Writes: 100, ValueSize: 16 << 10, PoolSize: 64, Backlog: 10_000, Delay: 200, Coalesce: true}, high.Clamp())
	require.Equal(t, Default, Default.Clamp())
}
