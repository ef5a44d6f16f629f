package mysqlsession_test

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// A server that had room for half of a pool made it an error machine: slots whose dial was
// refused came back in microseconds and emptied the queue, while the connections that there
// were each needed a round trip.
func TestCallersWaitForTheConnectionsThereAreWhenTheServerTakesNoMore(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 6, MaxConcurrentDials: 6, ConnectTimeout: 5 * time.Second}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		b.set(func() { b.room = 2 })
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				for range 25 {
					require.NoError(t, pool.Do(t.Context(), func(conn *mysqlsession.Conn) error {
						_, err := conn.Exec(t.Context(), "SLEEP 5ms")
						return err
					}))
				}
			})
		}
		began := time.Now()
		group.Wait()
		require.LessOrEqual(t, time.Since(began), 2*time.Second, "500 calls of 5 ms over two connections")
		require.Equal(t, 2, pool.Stat().TotalConns)
		require.Less(t, b.dialled(), 50, "refused dials are few")

		b.set(func() { b.room = 0 })
		time.Sleep(3 * time.Second) // behind the longest pause
		held := hold(t, pool, 6)
		release(held)
	})
}

func TestWhoWaitsForTheOnlyConnectionsIsToldWhenThoseAreLost(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 4, ConnectTimeout: time.Minute}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		last := acquire(t, pool)
		b.set(func() { b.down = errRefused })
		var waiting []<-chan error
		for range 6 {
			waiting = append(waiting, acquiring(t.Context(), pool))
		}
		for i, done := range waiting {
			require.Empty(t, done, "caller "+strconv.Itoa(i)+" must wait for the connection that there is")
		}
		b.hangUp()
		_, err := last.Conn().Exec(t.Context(), "HANG UP")
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		began := time.Now()
		last.Release()
		for _, done := range waiting {
			require.ErrorIs(t, <-done, mysqlsession.ErrUnavailable)
		}
		require.Less(t, time.Since(began), time.Second)
		synctest.Wait()
		require.Zero(t, pool.Stat().Waiting)
	})
}

func TestAConnectionThatTookLongToOpenIsUsed(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 2, KeepaliveTimeout: 50 * time.Millisecond}
	inPool(t, cfg, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		b.set(func() { b.dialTime = 60 * time.Millisecond })
		before := b.dialled()
		release(hold(t, pool, 2))
		require.LessOrEqual(t, b.dialled()-before, 2)
	})
}
