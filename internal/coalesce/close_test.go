package coalesce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

// closeGrace is how long batches may go on when a fixture's group is closed.
const closeGrace = 5 * time.Second

// close closes the group and says when that was done.
func (f *fixture) close() <-chan time.Time {
	done := make(chan time.Time, 1)
	go func() {
		f.Close()
		done <- time.Now()
	}()
	synctest.Wait()
	return done
}

func TestCloseFailsAllWhoWaitAtOnceAndLetsBatchesFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(2))
		running := f.ask(0, 1, 2)
		one, other := f.next(), f.next()
		waiting := append(f.ask(0, 3), f.ask(1, 4)...)
		closed := f.close()
		f.failed(errClosed, waiting...)
		require.Zero(t, f.backlog.count())
		f.waiting(running...)

		time.Sleep(time.Second)
		one.finish()
		f.served(running[0])
		require.Empty(t, closed, "the other one is still being run")
		time.Sleep(time.Second)
		require.NoError(t, other.ctx.Err())
		other.finish()
		f.served(running[1])
		require.Equal(t, time.Now(), <-closed, "it ends with the last one")
		f.idle()
	})
}

func TestCloseEndsTheContextsOfBatchesThatDoNotFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		running := f.ask(0, 1)
		b, began := f.next(), time.Now()
		closed := f.close()
		time.Sleep(closeGrace - 1)
		f.waiting(running...)
		require.NoError(t, b.ctx.Err())
		time.Sleep(time.Nanosecond)
		f.failed(context.Canceled, running...)
		require.Equal(t, errClosed, context.Cause(b.ctx))
		require.Equal(t, closeGrace, (<-closed).Sub(began))
		f.idle()
	})
}

// A lane that waits for a connection when the group is closed waits for nobody's sake.
func TestCloseDoesNotWaitForLanesThatAreBeingOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.opens(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		waiting := f.ask(0, 1)
		began := time.Now()
		closed := f.close()
		f.failed(errClosed, waiting...)
		require.Zero(t, (<-closed).Sub(began))
		f.idle()
	})
}

func TestAClosedGroupTakesNoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.Close()
		_, ok := f.Begin()
		require.False(t, ok)
		f.failed(errClosed, f.ask(0, 1)...)
		f.noBatch()
		f.idle()
	})
}

func TestCloseMayBeCalledAgainAndAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		running := f.ask(0, 1)
		b := f.next()
		closes := []<-chan time.Time{f.close(), f.close()}
		time.Sleep(time.Second)
		b.finish()
		f.served(running...)
		for _, closed := range closes {
			require.Equal(t, time.Now(), <-closed, "both wait for the batch")
		}
		f.Close()
		f.idle()
	})
}

func TestCloseDoesNotWaitForCallsThatRunByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		waiting := f.ask(0, 1)
		began := time.Now()
		f.Close()
		require.Zero(t, time.Since(began))
		f.failed(errClosed, waiting...)
		f.end(lane)
		f.idle()
	})
}

func TestWhoLeavesABatchOfAClosedGroupLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		running := f.ask(0, 1)
		b := f.next()
		closed := f.close()
		running[0].leave()
		f.failed(coalesce.ErrLeftBatch, running...)
		began := time.Now()
		require.Equal(t, abandonedGrace, (<-closed).Sub(began))
		require.ErrorIs(t, b.ctx.Err(), context.Canceled)
		f.idle()
	})
}
