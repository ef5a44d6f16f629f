package mysqlsession_test

import (
	"bufio"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// watched is a witness of a pool on a backend in fake time, where bounds are exact.
func watched(pool *mysqlsession.Pool, b *backend) *witness {
	w := newWitness(pool, b.open, echoOn(pool))
	w.slack = 0
	return w
}

func TestWhoFindsEveryConnectionBusyWaitsForItsContextAndLeavesNoTrace(t *testing.T) {
	const limit = 100 * time.Millisecond
	inPool(t, mysqlsession.Config{PoolSize: 3}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		w := watched(pool, b)
		held := hold(t, pool, 3)
		err := w.call(t, within(t, limit), limit, func(ctx context.Context) error { return w.echo(ctx, "text") })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, mysqlsession.SafeToRetry(err))
		require.Zero(t, pool.Stat().Waiting)
		release(held)
		w.settled(t)
		require.Equal(t, 3, b.dialled())
	})
}

// A release and the end of a wait that meet must not lose the connection between them.
func TestNoConnectionIsLostWhenWaitsEndAsConnectionsAreReleased(t *testing.T) {
	const size, callers, each = 2, 10, 10_000
	b := &backend{t: t, limit: size, quit: make(chan struct{})}
	defer close(b.quit)
	pool, err := mysqlsession.NewPool(t.Context(), mysqlsession.Config{PoolSize: size, DialFunc: b.dial})
	require.NoError(t, err)
	defer func() { require.NoError(t, pool.Close()) }()
	w := newWitness(pool, b.open, echoOn(pool))
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for range each {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				conn, err := pool.Acquire(ctx)
				if err == nil {
					conn.Release()
				} else if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	require.Positive(t, pool.Stat().CanceledAcquireCount)
	release(hold(t, pool, size))
	w.settled(t)
	require.Equal(t, size, b.dialled())
}

// In lines of waiters, each with a dial of its own, the last of 2000 was told after minutes.
func TestThousandsOfCallersOfAServerThatIsDownAreToldTogether(t *testing.T) {
	const callers, size, concurrent, dialTime = 2000, 10, 3, 50 * time.Millisecond
	cfg := mysqlsession.Config{PoolSize: size, MaxConcurrentDials: concurrent}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		w := watched(pool, b)
		b.set(func() { b.down, b.dialTime = errRefused, dialTime })
		acquire(t, pool).Discard()
		synctest.Wait()
		before := b.dialled()
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				err := w.call(t, t.Context(), dialTime+250*time.Millisecond, func(ctx context.Context) error { return w.echo(ctx, "text") })
				assert.ErrorIs(t, err, mysqlsession.ErrUnavailable)
				assert.True(t, mysqlsession.SafeToRetry(err))
			})
		}
		group.Wait()
		require.LessOrEqual(t, b.dialled()-before, concurrent+size, "dials are for all, not for each")
		synctest.Wait()
		require.Zero(t, pool.Stat().TotalConns)
		b.set(func() { b.down = nil })
		w.settled(t)
	})
}

func TestAForgottenConnectionIsCountedAndTakenBackByClose(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 1, ConnectTimeout: time.Second}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		forgotten := acquire(t, pool)
		w := watched(pool, b)
		for range 3 {
			err := w.call(t, t.Context(), time.Second, func(ctx context.Context) error { return w.echo(ctx, "text") })
			require.ErrorIs(t, err, mysqlsession.ErrAcquireTimeout)
			require.Equal(t, 1, pool.Stat().AcquiredConns)
		}
		began := time.Now()
		require.NoError(t, pool.Close())
		require.Equal(t, closeGrace, time.Since(began))
		require.Zero(t, pool.Stat().AcquiredConns)
		require.ErrorIs(t, forgotten.Conn().Ping(t.Context()), mysqlsession.ErrClosed)
	})
}

func TestAnAcquireInsideOfAnotherEndsAndIsNoDeadlock(t *testing.T) {
	const limit = 2 * time.Second
	inPool(t, mysqlsession.Config{PoolSize: 1, ConnectTimeout: limit}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		w := watched(pool, b)
		err := w.call(t, t.Context(), limit, func(ctx context.Context) error {
			return pool.Do(ctx, func(*mysqlsession.Conn) error { return w.echo(ctx, "inner") })
		})
		require.ErrorIs(t, err, mysqlsession.ErrAcquireTimeout)
		w.settled(t)
		require.Equal(t, 1, b.dialled())
	})
}

// An operation that needed a second connection would wait for itself with a pool of one.
func TestNoOperationOfAStoreNeedsTwoConnections(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.PoolSize, cfg.ConnectTimeout = 1, time.Second })
		s, ctx := f.store, t.Context()
		options := &mysqlsession.SetOptions{OldKey: "old", Metadata: []mysqlsession.Metadata{{Audience: "a", Subject: "s"}}}
		require.NoError(t, s.Migrate(ctx))
		require.NoError(t, s.Set(ctx, "name", "new", nil, time.Minute, options))
		require.NoError(t, s.Touch(ctx, "name", "new", time.Minute))
		require.NoError(t, s.Each(ctx, "name", func(key string, _ []byte, _ time.Time) error {
			return s.Set(ctx, "name", key, []byte("from within"), time.Minute, nil)
		}))
		require.NoError(t, s.Update(ctx, "name", "new", time.Minute, func(old []byte) ([]byte, error) {
			_, err := s.Get(ctx, "name", "new")
			return old, err
		}))
		_, err := s.GetMany(ctx, "name", []string{"new", "none"})
		require.NoError(t, err)
		_, err = s.ReadMetadata(ctx, "name", "a", "s")
		require.NoError(t, err)
		_, err = s.DeleteSubject(ctx, "name", "a", "s")
		require.NoError(t, err)
		_, err = s.Cleanup(ctx)
		require.NoError(t, err)
		_, err = s.Check(ctx)
		require.NoError(t, err)
		_, err = s.DeleteAll(ctx, "name")
		require.NoError(t, err)
		f.settled(t)
	})
}

// The store's clock may be set; what the pool measures does not follow.
func TestAClockThatJumpsEndsNoConnection(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		now := time.Now()
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.Clock = func() time.Time { return now } })
		for _, jump := range []time.Duration{time.Hour, -2 * time.Hour, 48 * time.Hour} {
			now = now.Add(jump)
			require.NoError(t, f.echo(t.Context(), f.tag()))
		}
		require.EqualValues(t, 1, f.pool.Stat().NewConnsCount)
		f.settled(t)
	})
}

// A time without its monotonic part would follow the machine's clock when that is set, and
// end all connections, or none, at once. No test can set that clock: this one looks for
// what takes the monotonic part away.
func TestThePoolsTimesAreMonotonic(t *testing.T) {
	wallOnly := []string{"Round", "Truncate", "UTC", "Local", "In", "Unix", "UnixMilli", "UnixMicro", "UnixNano", "AddDate", "Date"}
	for _, name := range []string{"pool.go", "poolconn.go", "connector.go", "dialer.go", "internal/admission/gate.go"} {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok && slices.Contains(wallOnly, selector.Sel.Name) {
				t.Errorf("%s: %s gives a time of the wall clock's", set.Position(n.Pos()), selector.Sel.Name)
			}
			return true
		})
	}
}

// In the same microsecond a call is cancelled and its reply is there. The caller gets one or
// the other, and the connection goes on only if the reply was read.
func TestACancellationThatMeetsTheReplyLeavesTheConnectionInStepOrClosed(t *testing.T) {
	const rounds, callers = 5000, 4 // the matrix wants 100,000, which takes ten times as long
	cfg := scriptedConfig()
	var group sync.WaitGroup
	var answered, cancelled [callers]int
	for caller := range callers {
		group.Go(func() {
			var conn *mysqlsession.Conn
			var far net.Conn
			var serving sync.WaitGroup
			hangUp := func() {
				if conn != nil {
					_ = conn.Close()
					_ = far.Close()
					serving.Wait()
				}
			}
			for n := range rounds {
				if conn == nil || !conn.Reusable() {
					hangUp()
					var near net.Conn
					near, far = net.Pipe()
					conn = mysqlsession.NewConn(near, near, wire.CapabilityDeprecateEOF, "8.4.0", cfg)
					end := &serverEnd{Conn: far, reader: bufio.NewReader(far)} // a small one: there are many
					serving.Go(func() { echoes(end) })
				}
				want := string(rune('a'+n%26)) + string(rune('a'+n/26%26))
				ctx, cancel := context.WithCancel(context.Background())
				go cancel()
				err := conn.Query(ctx, want, func(row mysqlsession.Row) error { return requireSame(want, row.String(0)) })
				switch {
				case err == nil:
					answered[caller]++
				case errors.Is(err, context.Canceled):
					cancelled[caller]++
				default:
					t.Error(err)
				}
			}
			hangUp()
		})
	}
	group.Wait()
	require.Positive(t, slices.Max(answered[:]))
	require.Positive(t, slices.Max(cancelled[:]))
}

// echoes sends every statement back.
func echoes(p *serverEnd) {
	for {
		_, statement, err := p.command()
		if err != nil {
			return
		}
		p.reply(resultSet(textRow, string(statement)))
	}
}
