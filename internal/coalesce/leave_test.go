package coalesce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

// abandonedGrace is how long a batch that everybody has left may take to end.
const abandonedGrace = 250 * time.Millisecond

func TestWhoLeavesTheQueueIsOutOfItAsIfItHadNeverCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		calls := f.ask(0, 1, 2, 3, 4)
		for i, leaver := range []int{1, 0, 3} { // from the middle, the front, the end
			calls[leaver].leave()
			f.failed(coalesce.ErrLeftQueue, calls[leaver])
			require.Equal(t, 3-i, f.backlog.count())
			require.Equal(t, 3-i, f.Stat().Waiting)
		}
		calls = append(calls, f.ask(0, 5)...)
		require.EqualValues(t, 3, f.Stat().Left)
		f.end(lane)
		f.nextOf(3, 5).finish()
		f.served(calls[2], calls[4])
		f.idle()
	})
}

func TestACallThatLeftTheQueueCanBeMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		left := f.ask(0, 1)[0]
		left.leave()
		f.failed(coalesce.ErrLeftQueue, left)
		again := f.wait(left.call)
		f.end(lane)
		f.nextOf(1).finish()
		f.served(again)
		f.idle()
	})
}

func TestAContextThatHasEndedDoesNotEvenQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, coalesce.ErrLeftQueue, f.Wait(ctx, coalesce.NewCall[question]()))
		f.noBatch()
		require.Zero(t, f.opened)
		f.idle()
	})
}

func TestWhoLeavesARunningBatchLeavesAtOnceAndTheOthersAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		calls := f.ask(0, 1, 2, 3)
		f.end(lane)
		b := f.next()
		calls[1].leave()
		f.failed(coalesce.ErrLeftBatch, calls[1])
		f.waiting(calls[0], calls[2])
		time.Sleep(10 * time.Second)
		require.NoError(t, b.ctx.Err(), "two others wait for the batch")
		b.finish()
		f.served(calls[0], calls[2])
		f.idle()
	})
}

func TestABatchThatEverybodyHasLeftIsEndedAfterAShortTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		calls := f.ask(0, 1, 2)
		f.end(lane)
		b := f.next()
		later := f.ask(0, 3)
		calls[0].leave()
		time.Sleep(time.Second)
		require.NoError(t, b.ctx.Err())
		calls[1].leave()
		f.failed(coalesce.ErrLeftBatch, calls...)
		time.Sleep(abandonedGrace - 1)
		require.NoError(t, b.ctx.Err(), "it may end by itself")
		f.noBatch()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.ErrorIs(t, b.ctx.Err(), context.Canceled)
		f.nextOf(3).finish()
		f.served(later...)
		f.idle()
	})
}

// The grace of a batch that was left must end only that batch, not the next one on its lane.
func TestABatchThatEndsByItselfAfterEverybodyLeftHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		left := f.ask(0, 1)
		f.end(lane)
		b := f.next()
		later := f.ask(0, 2)
		left[0].leave()
		f.failed(coalesce.ErrLeftBatch, left...)
		b.finish()
		b = f.nextOf(2)
		time.Sleep(10 * abandonedGrace)
		require.NoError(t, b.ctx.Err())
		b.finish()
		f.served(later...)
		f.idle()
	})
}

func TestWhoseContextCannotEndIsServedLikeEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		c := coalesce.NewCall[question]()
		c.Value.asked = 7
		done := make(chan error, 1)
		go func() { done <- f.Wait(context.Background(), c) }()
		synctest.Wait()
		f.end(lane)
		f.nextOf(7).finish()
		require.NoError(t, <-done)
		require.Equal(t, answer(7), c.Value.answer)
		f.idle()
	})
}
