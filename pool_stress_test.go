package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// caller uses a pool in every way there is, at random.
type caller struct {
	t      *testing.T
	pool   *mysqlsession.Pool
	name   string
	random *rand.Rand
}

// echo asks the server for a text that nobody else asks for, and sees that it gets that
// and no other.
func (c *caller) echo(ctx context.Context, conn *mysqlsession.Conn, n int) error {
	want := fmt.Sprintf("%s.%d", c.name, n)
	rows := 0
	err := conn.Query(ctx, "ECHO "+want, func(row mysqlsession.Row) error {
		rows++
		if got := row.String(0); got != want {
			c.t.Errorf("the reply to %q was given to %q", got, want)
		}
		return nil
	})
	if err == nil && rows != 1 {
		c.t.Errorf("%d rows", rows)
	}
	return err
}

func (c *caller) up(most time.Duration) time.Duration {
	return time.Duration(c.random.Int64N(int64(most)))
}

// once does one thing.
func (c *caller) once(n int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch c.random.IntN(4) {
	case 0:
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, c.up(30*time.Millisecond))
		defer stop()
	case 1:
		timer := time.AfterFunc(c.up(10*time.Millisecond), cancel)
		defer timer.Stop()
	}
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if err := c.echo(ctx, conn.Conn(), n); err != nil {
		return err
	}
	switch c.random.IntN(12) {
	case 0:
		conn.Discard()
	case 1:
		_, err = conn.Conn().Exec(ctx, "HANG UP")
	case 2:
		_, err = conn.Conn().Exec(ctx, "BEGIN")
	case 3:
		_, err = conn.Conn().Exec(ctx, fmt.Sprintf("SLEEP %s", c.up(20*time.Millisecond)))
	case 4:
		err = conn.Conn().Close()
	case 5:
		conn.Release()
		conn.Release()
	default:
		err = c.echo(ctx, conn.Conn(), n)
	}
	return err
}

// foreseen reports whether an error is one that such use must expect.
func foreseen(err error) bool {
	for _, expected := range []error{
		context.Canceled, context.DeadlineExceeded, mysqlsession.ErrBacklogFull, mysqlsession.ErrAcquireTimeout,
		mysqlsession.ErrUnavailable, mysqlsession.ErrClosed,
	} {
		if errors.Is(err, expected) {
			return true
		}
	}
	return err == nil
}

// stress has many callers use a pool until they are through.
func stress(t *testing.T, pool *mysqlsession.Pool, seed uint64, callers, each int, pause bool) {
	var group sync.WaitGroup
	for i := range callers {
		c := &caller{t: t, pool: pool, name: fmt.Sprint(i), random: rand.New(rand.NewPCG(seed, uint64(i)))}
		group.Go(func() {
			for n := range each {
				if err := c.once(n); !foreseen(err) {
					t.Error(err)
				}
				if pause {
					time.Sleep(c.up(20 * time.Millisecond)) // of fake time
				}
			}
		})
	}
	group.Wait()
}

// The limit is asserted by the backend at every dial.
func TestThePoolNeverHasMoreSocketsThanItMay(t *testing.T) {
	for _, size := range []int{1, 3, 8} {
		cfg := mysqlsession.Config{
			PoolSize: size, Backlog: 12, MinIdleConns: size / 2, MaxConcurrentDials: max(size/2, 1), ConnectTimeout: 100 * time.Millisecond,
			KeepaliveTimeout: 20 * time.Millisecond, MaxConnLifetime: 200 * time.Millisecond, HealthCheckPeriod: 7 * time.Millisecond,
		}
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
				b.set(func() { b.dialTime = 3 * time.Millisecond })
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				outages := time.AfterFunc(300*time.Millisecond, func() {
					b.set(func() { b.down = errRefused })
					b.hangUp()
					time.Sleep(100 * time.Millisecond)
					b.set(func() { b.down = nil })
				})
				defer outages.Stop()
				stress(t, pool, seed, 16, 60, true)
				sockets, _ := b.peaks()
				require.Equal(t, size, sockets, "the load must have reached the limit")

				time.Sleep(3 * time.Second) // behind the last pause
				synctest.Wait()
				stat := pool.Stat()
				require.Zero(t, stat.AcquiredConns)
				require.Zero(t, stat.Waiting)
				require.LessOrEqual(t, stat.IdleConns, size)
				release(hold(t, pool, size)) // no slot is lost
				time.Sleep(time.Second)
				stat = pool.Stat()
				require.Positive(t, stat.BrokenDestroyCount)
				require.Positive(t, stat.MaxIdleDestroyCount)
			})
		})
	}
}

// In real time goroutines meet in other ways than they do in a bubble.
func TestUnderStressNobodyGetsAnothersReplyAndNoSlotIsLost(t *testing.T) {
	const size = 4
	b := &backend{t: t, limit: size, quit: make(chan struct{})}
	defer close(b.quit)
	pool, err := mysqlsession.NewPool(t.Context(), mysqlsession.Config{
		DialFunc: b.dial, PoolSize: size, Backlog: 20, KeepaliveTimeout: 5 * time.Millisecond,
		MaxConnLifetime: 30 * time.Millisecond, HealthCheckPeriod: 2 * time.Millisecond,
	})
	require.NoError(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	stress(t, pool, seed, 16, 120, false)
	release(hold(t, pool, size))

	var group sync.WaitGroup
	group.Go(func() { stress(t, pool, seed+1, 8, 50, false) })
	require.NoError(t, pool.Close()) // with everything going on
	group.Wait()
	require.Zero(t, b.open())
	eventually(t, "nothing is left", func() bool { return pool.Stat().TotalConns == 0 }) // puddle counts it a moment longer
}
