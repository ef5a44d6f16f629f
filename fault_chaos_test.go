//go:build unix

package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

// flipper alters one byte, once: the one at an offset of whichever connection gets there first.
func flipper(offset int64, mask byte, flipped *atomic.Bool) func(int64, byte) byte {
	return func(at int64, b byte) byte {
		if at == offset && flipped.CompareAndSwap(false, true) {
			return b ^ mask
		}
		return b
	}
}

// Without TLS nothing protects a value from a bit that flips on the way. What must not
// happen is that the connection goes on out of step, that anything hangs, or that memory
// follows a length that is none.
func TestAByteThatIsAlteredAnywhereLeavesNothingBehind(t *testing.T) {
	const rounds, furthest, limit = 25, 500, 150 * time.Millisecond
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) {
			cfg.ReadTimeout, cfg.ConnectTimeout, cfg.SSLMode = limit, limit, mysqlsession.SSLModeDisabled
		})
		f.secrets = []string{f.cfg.Password}
		var flips, errors int
		for range rounds {
			var flipped atomic.Bool
			direction := faultproxy.Direction(random.IntN(2))
			offset, mask := random.Int64N(furthest), byte(1+random.IntN(255))
			if random.IntN(2) == 0 { // the flip may then be in a login
				if conn, err := f.pool.Acquire(t.Context()); err == nil {
					conn.Discard()
				}
			}
			f.proxy.Set(direction, faultproxy.Rule{Alter: flipper(offset, mask, &flipped)})
			value := f.tag()
			for range 4 {
				err := f.call(t, t.Context(), 4*limit, func(ctx context.Context) error {
					if err := f.store.Set(ctx, "name", value, []byte(value), time.Minute, nil); err != nil {
						return err
					}
					got, err := f.store.Get(ctx, "name", value)
					if err == nil {
						requireAlmost(t, value, string(got))
					}
					return err
				})
				if err != nil {
					errors++
				}
			}
			f.proxy.Clear()
			f.proxy.Cut() // a length that was altered may have the server wait
			f.requireRecovery(t, recovery)
			if flipped.Load() {
				flips++
			}
		}
		require.Positive(t, errors)
		require.Greater(t, flips, rounds/2)
		f.healed(t)
	})
}

// requireAlmost sees that a value is one's own, but for a byte, or for its length.
func requireAlmost(t *testing.T, want, got string) {
	t.Helper()
	if strings.HasPrefix(want, got) || strings.HasPrefix(got, want) {
		return
	}
	require.Len(t, got, len(want), "I8")
	different := 0
	for i := range want {
		if want[i] != got[i] {
			different++
		}
	}
	require.LessOrEqual(t, different, 1, "I8: %q where %q was stored", got, want)
}

// register is a session that one caller writes, and what it may hold.
type register struct {
	key   string
	sure  string   // the last value whose write was acknowledged; "": none, or deleted
	maybe []string // those whose outcome is unknown: the server may be at them still
}

func (r *register) wrote(value string, err error) {
	switch {
	case err == nil:
		r.sure = value
	case !mysqlsession.SafeToRetry(err):
		r.maybe = append(r.maybe, value)
	}
}

func (r *register) may(value string) bool { return value == r.sure || slices.Contains(r.maybe, value) }

// writer uses a store while everything goes wrong, and checks what it is told.
type writer struct {
	t       *testing.T
	f       *faulty
	name    string
	random  *rand.Rand
	written int
	done    int // calls that succeeded
}

// once does one thing to a register.
func (w *writer) once(ctx context.Context, r *register) {
	if w.random.IntN(3) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(w.random.Int64N(int64(30*time.Millisecond))))
		defer cancel()
	}
	err := w.f.call(w.t, ctx, 10*time.Second, func(ctx context.Context) error {
		switch w.random.IntN(5) {
		case 0, 1:
			w.written++
			value := fmt.Sprintf("%s=%d", r.key, w.written)
			err := w.f.store.Set(ctx, "name", r.key, []byte(value), time.Minute, nil)
			r.wrote(value, err)
			return err
		case 2:
			err := w.f.store.Delete(ctx, "name", r.key)
			r.wrote("", err)
			return err
		default:
			return w.read(ctx, r)
		}
	})
	if err == nil {
		w.done++
	} else if !foreseen(err) {
		w.t.Error(err)
	}
}

func (w *writer) read(ctx context.Context, r *register) error {
	got, err := w.f.store.Get(ctx, "name", r.key)
	if err != nil && !errors.Is(err, mysqlsession.ErrNotFound) {
		return err
	}
	if !r.may(string(got)) {
		w.t.Errorf("I8: %q in the session %s, which was last written %q, and perhaps %q", got, r.key, r.sure, r.maybe)
	}
	return nil
}

// chaos makes one thing go wrong, and right again after a while.
func chaos(ctx context.Context, t *testing.T, f *faulty, server dbtest.Private, random *rand.Rand, n int) {
	wait := func(most time.Duration) { waitUpTo(ctx, random, most) }
	direction := faultproxy.Direction(random.IntN(2))
	switch n % 10 {
	case 0:
		f.proxy.Cut()
	case 1:
		f.proxy.Reset()
	case 2:
		f.proxy.Set(direction, faultproxy.Rule{After: random.Int64N(2000), Then: faultproxy.Cut, Times: 3})
	case 3:
		f.proxy.Set(direction, faultproxy.Rule{After: random.Int64N(2000), Then: faultproxy.Reset, Times: 3})
	case 4:
		f.proxy.Set(direction, faultproxy.Rule{Then: faultproxy.Hold, Times: 2})
	case 5:
		f.proxy.Set(direction, faultproxy.Rule{After: random.Int64N(500), Then: faultproxy.Swallow, Times: 1})
	case 6:
		f.proxy.Set(direction, faultproxy.Rule{Slice: 3, Delay: time.Millisecond})
	case 7:
		f.proxy.Refuse()
		wait(100 * time.Millisecond)
		if err := f.proxy.Admit(); err != nil {
			t.Error(err)
		}
	case 8:
		killSomebody(ctx, f)
	default:
		pid := server.Instance.Pid()
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		wait(200 * time.Millisecond)
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	wait(60 * time.Millisecond)
	f.proxy.Clear()
	wait(60 * time.Millisecond)
}

func waitUpTo(ctx context.Context, random *rand.Rand, most time.Duration) {
	timer := time.NewTimer(time.Duration(random.Int64N(int64(most))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func killSomebody(ctx context.Context, f *faulty) {
	var id int64
	row := f.admin.QueryRowContext(ctx, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = ? ORDER BY RAND() LIMIT 1", f.cfg.Username)
	if row.Scan(&id) == nil {
		_, _ = f.admin.ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", id)) // it may be gone by itself
	}
}

func chaosTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(chaosVariable)
	if text == "" {
		return 3 * time.Second
	}
	duration, err := time.ParseDuration(text)
	require.NoError(t, err)
	return duration
}

func TestWhileEverythingGoesWrongEverySessionHoldsWhatItsWriterWasTold(t *testing.T) {
	const writers, each = 12, 25
	dbtest.EachPrivate(t, func(t *testing.T, server dbtest.Private) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		f := onPrivate(t, server, func(cfg *mysqlsession.Config) {
			cfg.PoolSize, cfg.Coalesce = 4, mysqlsession.CoalesceOn
			cfg.ConnectTimeout, cfg.ReadTimeout = time.Second, time.Second
		})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		all := make([]*writer, writers)
		var group sync.WaitGroup
		for i := range all {
			w := &writer{t: t, f: f, name: fmt.Sprintf("writer-%d", i), random: rand.New(rand.NewPCG(seed, uint64(i)))}
			all[i] = w
			group.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					r := &register{key: fmt.Sprintf("%s-%d", w.name, n)}
					for range each {
						w.once(t.Context(), r)
					}
				}
			})
		}
		random := rand.New(rand.NewPCG(seed, writers))
		for n, end := 0, time.Now().Add(chaosTime(t)); time.Now().Before(end); n++ {
			chaos(ctx, t, f, server, random, n)
			if n%40 == 15 {
				server.Instance.Kill()
			}
			if n%20 == 15 {
				require.NoError(t, server.Instance.Restart(t.Context()))
			}
		}
		f.proxy.Clear()
		f.requireRecovery(t, recovery)
		stop()
		group.Wait()
		f.healed(t)
		done := 0
		for _, w := range all {
			done += w.done
		}
		require.Greater(t, done, 20*writers, "some of it must have worked")
		require.Zero(t, count(t, f.admin, "SELECT COUNT(*) FROM sessions WHERE data <> '' AND sid <> ? AND sid NOT LIKE 'tag-%' AND SUBSTRING_INDEX(data, '=', 1) <> sid",
			keptKey), "I8: no session holds another's value")
		require.False(t, strings.Contains(server.Instance.Log(), "signal 11"), "the server has not crashed by itself")
	})
}
