package mysqlsession_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// errRefused is what a dial gets where no server listens.
var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// A server that is shut down can take a login, and say so only behind the set-up's replies.
func TestAServerThatGoesRightBehindTheSetUpIsUnavailable(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 1}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		acquire(t, pool).Discard()
		b.set(func() { b.parting = true })
		_, err := pool.Acquire(t.Context())
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		require.True(t, mysqlsession.SafeToRetry(err))
		b.set(func() { b.parting = false })
		time.Sleep(time.Second) // longer than the pause
		acquire(t, pool).Release()
	})
}

func TestNoMoreThanMaxConcurrentDialsAreUnderWay(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 8, MaxConcurrentDials: 2}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		b.set(func() { b.dialTime = time.Second })
		held := hold(t, pool, 1)
		began := time.Now()
		var done []<-chan error
		for range 6 {
			done = append(done, acquiring(t.Context(), pool))
		}
		for _, d := range done {
			require.NoError(t, <-d)
		}
		release(held)
		require.LessOrEqual(t, time.Since(began), 3*time.Second)
		_, dials := b.peaks()
		require.Equal(t, 2, dials)
	})
}

func TestNewPoolFailsWithTheDialsOwnErrorAndLeavesNothing(t *testing.T) {
	tests := []struct {
		name  string
		alter func(b *backend)
		want  error
		took  time.Duration
	}{
		{"refused", func(b *backend) { b.down = errRefused }, syscall.ECONNREFUSED, 0},
		{"nobody answers", func(b *backend) { b.dialTime = time.Hour }, context.DeadlineExceeded, 2 * time.Second},
		{"silence", func(b *backend) { b.silent = true }, context.DeadlineExceeded, 2 * time.Second},
	}
	for _, test := range tests {
		for _, spare := range []int{0, 1} {
			t.Run(test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := &backend{t: t, limit: 1}
					test.alter(b)
					began := time.Now()
					pool, err := mysqlsession.NewPool(t.Context(), mysqlsession.Config{
						DialFunc: b.dial, Host: "database", ConnectTimeout: 2 * time.Second, PoolSize: 1, MinIdleConns: spare,
					})
					require.Nil(t, pool)
					require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
					require.ErrorIs(t, err, test.want)
					require.ErrorContains(t, err, "database:3306", "it names the address")
					require.Equal(t, test.took, time.Since(began))
					require.Zero(t, b.open())
				})
			})
		}
	}
}

func TestNewPoolEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{t: t, silent: true}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := mysqlsession.NewPool(ctx, mysqlsession.Config{DialFunc: b.dial})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
		require.Zero(t, b.open())
	})
}

// What a caller did not wait for serves the next one.
func TestADialGoesOnWithoutTheCallerThatWantedIt(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 2}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		held := hold(t, pool, 1)
		b.set(func() { b.dialTime = time.Second })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, err := pool.Acquire(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1, pool.Stat().ConstructingConns)
		began := time.Now()
		held = append(held, hold(t, pool, 1)...)
		require.Equal(t, time.Second/2, time.Since(began))
		require.Equal(t, 2, b.dialled())
		release(held)
	})
}

func TestWhileTheServerIsDownCallersFailAtOnceAndDialsAreFew(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 10, MaxConcurrentDials: 3, Host: "database"}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		b.set(func() { b.down = errRefused })
		b.hangUp()
		for range 2 { // the first finds the connection dead
			_ = pool.Do(t.Context(), func(conn *mysqlsession.Conn) error { return conn.Ping(t.Context()) })
		}
		before, began := b.dialled(), time.Now()
		const outage = 30 * time.Second
		for time.Since(began) < outage {
			at := time.Now()
			for range 5 {
				_, err := pool.Acquire(t.Context())
				require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
				require.ErrorIs(t, err, syscall.ECONNREFUSED)
				require.ErrorContains(t, err, "database:3306")
				require.True(t, mysqlsession.SafeToRetry(err))
			}
			require.Zero(t, time.Since(at), "nobody waits")
			time.Sleep(10 * time.Millisecond)
		}
		dials := b.dialled() - before
		require.LessOrEqual(t, dials, 40, "pauses double up to 2 s, each made shorter by up to a half")
		require.GreaterOrEqual(t, dials, 15, "it goes on trying")
		require.Zero(t, b.open())
	})
}

func TestWhenTheServerIsBackOneDialTriesAndTheOthersFollowFewAtATime(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 12, MaxConcurrentDials: 3}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		b.set(func() { b.down = errRefused })
		b.hangUp()
		for range 20 { // until the pause is the longest
			_ = pool.Do(t.Context(), func(conn *mysqlsession.Conn) error { return conn.Ping(t.Context()) })
			time.Sleep(2 * time.Second)
		}
		b.set(func() {
			b.down, b.dialTime = nil, 100*time.Millisecond
			b.dials, b.mostDials, b.most = 0, 0, 0
		})
		back := time.Now()
		var served atomic.Int64
		for range 40 {
			go func() {
				for {
					err := pool.Do(t.Context(), func(*mysqlsession.Conn) error { return nil })
					if err == nil {
						served.Add(1)
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}()
		}
		synctest.Wait()
		require.LessOrEqual(t, b.dialled(), 1, "one tries")
		for served.Load() < 40 {
			time.Sleep(10 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(back), 3*time.Second)
		_, dials := b.peaks()
		require.LessOrEqual(t, dials, 3)
		require.LessOrEqual(t, b.dialled(), 12)
		synctest.Wait()
	})
}

// A server that does not even refuse makes a try last, which nobody else must wait for.
func TestWhileOneDialTriesInVainTheOthersFailAtOnce(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 4, MaxConcurrentDials: 1, ConnectTimeout: 5 * time.Second}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		acquire(t, pool).Discard()
		b.set(func() { b.silent = true })
		_, err := pool.Acquire(t.Context())
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "connect to")
		time.Sleep(time.Second) // behind the pause
		trying := acquiring(t.Context(), pool)
		require.Equal(t, 1, pool.Stat().ConstructingConns)
		began := time.Now()
		for range 3 {
			_, err := pool.Acquire(t.Context())
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		}
		require.Zero(t, time.Since(began))
		require.ErrorIs(t, <-trying, mysqlsession.ErrUnavailable)
	})
}

func TestARefusalForGoodIsNotTriedAgainForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := 0
		cfg := mysqlsession.Config{Host: "a", PoolSize: 1}
		world := network{"a:3306": welcomesAll}
		cfg.DialFunc = func(ctx context.Context, kind, address string) (net.Conn, error) {
			logins++
			return world.dial(ctx, kind, address)
		}
		pool, err := mysqlsession.NewPool(t.Context(), cfg)
		require.NoError(t, err)
		defer func() { require.NoError(t, pool.Close()) }()
		world["a:3306"] = refusesUser(1045)
		conn := acquire(t, pool)
		conn.Discard()
		logins = 0
		for range 100 {
			_, err := pool.Acquire(t.Context())
			var refused *mysqlsession.ServerError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, uint16(1045), refused.Code)
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, logins, 14, "servers lock out whoever tries passwords")
	})
}

// welcomesAll logs in and answers everything.
func welcomesAll(conn net.Conn) { (&backend{}).serve(conn, false, nil) }

func TestBeforeConnectChangesTheCredentialsOfEachConnection(t *testing.T) {
	names := []string{"monday", "tuesday", "wednesday"}
	calls := 0
	cfg := mysqlsession.Config{PoolSize: 3, Username: "nobody", Hosts: []string{"spare:3306"}}
	cfg.BeforeConnect = func(_ context.Context, cfg *mysqlsession.Config) error {
		if cfg.Username != "nobody" || cfg.Hosts[0] != "spare:3306" {
			return errors.New("an earlier change was kept")
		}
		cfg.Username, cfg.Hosts[0] = names[calls], "changed:3306"
		calls++
		return nil
	}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		release(hold(t, pool, 3))
		require.Equal(t, names, b.users)
	})
}

func TestAnErrorOrPanicOfAHookIsTheCallersErrorAndCostsNoSlot(t *testing.T) {
	mine := errors.New("mine")
	fail := false
	hooks := map[string]func(cfg *mysqlsession.Config){
		"BeforeConnect fails": func(cfg *mysqlsession.Config) {
			cfg.BeforeConnect = func(context.Context, *mysqlsession.Config) error { return onlyIf(fail, mine) }
		},
		"BeforeConnect makes nonsense": func(cfg *mysqlsession.Config) {
			cfg.BeforeConnect = func(_ context.Context, cfg *mysqlsession.Config) error {
				if fail {
					cfg.PoolSize = -1
				}
				return nil
			}
		},
		"BeforeConnect panics": func(cfg *mysqlsession.Config) {
			cfg.BeforeConnect = func(context.Context, *mysqlsession.Config) error { return panicIf(fail) }
		},
		"AfterConnect fails": func(cfg *mysqlsession.Config) {
			cfg.AfterConnect = func(context.Context, *mysqlsession.Conn) error { return onlyIf(fail, mine) }
		},
		"AfterConnect panics": func(cfg *mysqlsession.Config) {
			cfg.AfterConnect = func(context.Context, *mysqlsession.Conn) error { return panicIf(fail) }
		},
		"AfterConnect leaves a transaction open": func(cfg *mysqlsession.Config) {
			cfg.AfterConnect = func(ctx context.Context, conn *mysqlsession.Conn) error {
				if !fail {
					return nil
				}
				_, err := conn.Exec(ctx, "BEGIN")
				return err
			}
		},
		"DialFunc panics": func(cfg *mysqlsession.Config) {
			dial := cfg.DialFunc
			cfg.DialFunc = func(ctx context.Context, kind, address string) (net.Conn, error) {
				_ = panicIf(fail)
				return dial(ctx, kind, address)
			}
		},
	}
	for name, hook := range hooks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fail = false
				b := &backend{t: t, limit: 1}
				cfg := mysqlsession.Config{PoolSize: 1, DialFunc: b.dial}
				hook(&cfg)
				pool, err := mysqlsession.NewPool(t.Context(), cfg)
				require.NoError(t, err)
				defer func() { require.NoError(t, pool.Close()) }()
				acquire(t, pool).Discard()
				fail = true
				for range 3 {
					_, err := pool.Acquire(t.Context())
					require.Error(t, err)
					require.NotErrorIs(t, err, mysqlsession.ErrAcquireTimeout)
					time.Sleep(time.Second)
				}
				require.Zero(t, b.open())
				fail = false
				time.Sleep(3 * time.Second)
				acquire(t, pool).Release()
			})
		})
	}
}

func onlyIf(fail bool, err error) error {
	if fail {
		return err
	}
	return nil
}

func panicIf(fail bool) error {
	if fail {
		panic("a hook's")
	}
	return nil
}
