package mysqlsession_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// closeGrace is how long acquired connections have when their pool is closed.
const closeGrace = 5 * time.Second

// closing closes on a goroutine and says when it has.
func closing(t *testing.T, pool *mysqlsession.Pool) <-chan struct{} {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}()
	synctest.Wait()
	return done
}

func TestClosingAnUnusedPoolTakesNoTimeAndMakesItUnusable(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 4, MinIdleConns: 2}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		release(hold(t, pool, 4))
		began := time.Now()
		for range 3 {
			require.NoError(t, pool.Close())
		}
		require.Zero(t, time.Since(began))
		require.Zero(t, b.open())
		_, err := pool.Acquire(t.Context())
		require.ErrorIs(t, err, mysqlsession.ErrClosed)
		err = pool.Do(t.Context(), func(*mysqlsession.Conn) error { panic("must not be called") })
		require.ErrorIs(t, err, mysqlsession.ErrClosed)
		time.Sleep(time.Hour)
		require.Zero(t, b.open(), "nothing is opened any more")
	})
}

func TestClosingAPoolEndsEveryWaitAtOnceAndGivesHoldersTheirTime(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 2}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		held := hold(t, pool, 2)
		waiting := []<-chan error{acquiring(t.Context(), pool), acquiring(t.Context(), pool)}
		began := time.Now()
		closed := closing(t, pool)
		for _, done := range waiting {
			require.ErrorIs(t, <-done, mysqlsession.ErrClosed)
		}
		require.Zero(t, time.Since(began))

		time.Sleep(closeGrace - time.Second)
		for _, conn := range held {
			require.NoError(t, conn.Conn().Ping(t.Context()), "it works until the grace is over")
		}
		held[0].Release()
		synctest.Wait()
		require.Equal(t, 1, b.open())
		held[1].Release()
		<-closed
		require.Equal(t, closeGrace-time.Second, time.Since(began), "it ends with the last one")
	})
}

func TestAHolderThatOutlastsTheGraceIsCutOff(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 3, ReadTimeout: time.Hour}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		idle := acquire(t, pool)
		began := time.Now()
		busy := make(chan error, 1)
		go func() {
			busy <- pool.Do(t.Context(), func(conn *mysqlsession.Conn) error {
				_, err := conn.Exec(t.Context(), "SLEEP 30m")
				return err
			})
		}()
		synctest.Wait()
		first, second := closing(t, pool), closing(t, pool)
		require.Zero(t, time.Since(began))
		<-first
		<-second
		require.Equal(t, closeGrace, time.Since(began))
		require.Zero(t, b.open())
		err := <-busy
		require.ErrorIs(t, err, mysqlsession.ErrClosed)
		require.True(t, mysqlsession.OutcomeUnknown(err))
		require.Equal(t, closeGrace, time.Since(began))
		require.ErrorIs(t, idle.Conn().Ping(t.Context()), mysqlsession.ErrClosed)
		idle.Release() // too late, and no harm
		idle.Discard()
	})
}

func TestClosingAPoolEndsItsDialsAtOnce(t *testing.T) {
	tests := map[string]func(b *backend){
		"while dialling":     func(b *backend) { b.dialTime = time.Hour },
		"while logging in":   func(b *backend) { b.silent = true },
		"in line for a dial": func(b *backend) { b.dialTime = time.Hour },
	}
	for name, alter := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := mysqlsession.Config{PoolSize: 4, MaxConcurrentDials: 2, ConnectTimeout: time.Minute}
			if name == "in line for a dial" {
				cfg.MaxConcurrentDials = 1
			}
			inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
				held := hold(t, pool, 1)
				b.set(func() { alter(b) })
				waiting := []<-chan error{acquiring(t.Context(), pool), acquiring(t.Context(), pool)}
				ctx, cancel := context.WithCancel(t.Context())
				abandoned := acquiring(ctx, pool)
				cancel()
				require.ErrorIs(t, <-abandoned, context.Canceled)
				release(held)
				began := time.Now()
				require.NoError(t, pool.Close())
				for _, done := range waiting {
					require.ErrorIs(t, <-done, mysqlsession.ErrClosed)
				}
				require.Zero(t, time.Since(began))
				require.Zero(t, b.open())
			})
		})
	}
}

func TestClosingAPoolDoesNotWaitForItsSpareConnections(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 4, MinIdleConns: 4, MaxConcurrentDials: 4, ConnectTimeout: time.Minute}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		synctest.Wait()
		b.set(func() { b.silent = true })
		acquire(t, pool).Discard()
		time.Sleep(time.Minute / 2) // the next look at the spare connections begins a dial
		require.Equal(t, 1, pool.Stat().ConstructingConns)
		began := time.Now()
		require.NoError(t, pool.Close())
		require.Zero(t, time.Since(began))
	})
}

func TestClosingAPoolIsBoundedWhenItsServerTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{t: t}
		pool, err := mysqlsession.NewPool(t.Context(), mysqlsession.Config{PoolSize: 8, DialFunc: b.dialDeaf})
		require.NoError(t, err)
		release(hold(t, pool, 8))
		began := time.Now()
		require.NoError(t, pool.Close())
		require.LessOrEqual(t, time.Since(began), closeBound)
		require.Zero(t, b.open())
	})
}
