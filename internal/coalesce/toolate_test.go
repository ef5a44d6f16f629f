package coalesce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

// within makes a call whose context ends after so long.
func (f *fixture) within(limit time.Duration, asked int) *pending {
	c := coalesce.NewCall[question]()
	c.Weight, c.Value = 1, question{asked: asked}
	ctx, leave := context.WithTimeout(f.t.Context(), limit)
	p := &pending{call: c, leave: leave, done: make(chan error, 1)}
	go func() { p.done <- f.Wait(ctx, c) }()
	synctest.Wait()
	return p
}

// turn is how long a batch takes in these tests. Of a lane that took much longer, others would
// take the place.
const turn = 10 * time.Millisecond

// slow is a group whose only lane takes two calls each turn, of which three wait.
func slow(t *testing.T) (f *fixture, running *batch, waiting []*pending) {
	f = newFixture(t, func(c *coalesce.Config[question]) { c.Kinds[0].MaxCalls = 2 })
	lane := f.begin()
	waiting = f.ask(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	time.Sleep(turn)
	f.end(lane)
	for range 3 {
		running = f.next()
		if len(running.asked) == 2 && running.asked[1] == 6 {
			break
		}
		time.Sleep(turn)
		running.finish()
	}
	f.served(waiting[:4]...)
	return f, running, waiting[4:]
}

func TestWhoWouldBeTooLateIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, running, waiting := slow(t)
		began := time.Now()
		// A turn and a half for those ahead, and one of one's own.
		short := f.within(5*turn/2-1, 10)
		f.failed(errTooLate, short)
		require.Zero(t, time.Since(began))
		require.Equal(t, 3, f.backlog.count(), "it takes no room")
		require.EqualValues(t, 1, f.Stat().TooLate)
		long := f.within(4*turn, 11)
		f.waiting(long)
		unbounded := f.ask(0, 12)
		f.waiting(unbounded...)

		running.finish()
		f.nextOf(7, 8).finish()
		f.nextOf(9, 11).finish()
		f.nextOf(12).finish()
		f.served(append(append(waiting, long), unbounded...)...)
		f.idle()
	})
}

// In a queue that moves slower than it did, some are still there when it is too late to begin.
func TestABatchIsNotWastedOnCallsThatItWouldServeTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, running, waiting := slow(t)
		late := f.within(4*turn, 10)
		inTime := f.ask(0, 11)
		f.waiting(late)
		time.Sleep(4*turn - 1)
		running.finish()
		f.nextOf(7, 8).finish()
		f.failed(errTooLate, late)
		f.nextOf(9, 11).finish()
		f.served(append(waiting, inTime...)...)
		require.Zero(t, f.backlog.count())
		require.EqualValues(t, 1, f.Stat().TooLate)
		f.idle()
	})
}

// Of two kinds, one has only calls for which it is too late.
func TestABatchOfAnotherKindRunsWhereAllOfTheFirstWouldBeTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, running, waiting := slow(t)
		waiting = append(waiting, f.ask(0, 10)...)
		late := []*pending{f.within(6*turn, 11), f.within(6*turn, 12)}
		f.waiting(late...)
		other := f.ask(1, 13)
		time.Sleep(3 * turn)
		running.finish()
		f.nextOf(7, 8).finish()
		last := f.nextOf(9, 10)
		time.Sleep(3*turn - 1)
		last.finish()
		f.nextOf(13).finish()
		f.failed(errTooLate, late...)
		f.served(append(waiting, other...)...)
		f.idle()
	})
}

// Otherwise nobody would find out that batches have become shorter again.
func TestTheLastCallInTheQueueRunsHoweverLittleTimeItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, running, waiting := slow(t)
		running.finish()
		f.nextOf(7, 8).finish()
		nine := f.nextOf(9)
		late := f.within(turn/10, 10)
		nine.finish()
		f.nextOf(10).finish()
		f.served(append(waiting, late)...)
		f.idle()
	})
}

// Calls that run alone may have waited for a connection, and batches that take so long that
// their lanes count as held up are batches too.
func TestSlowCallsThatRanAloneAndSlowBatchesDoNotHaveTheQueueTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *coalesce.Config[question]) { c.Kinds[0].MaxCalls = 2 })
		for range 2 {
			lane := f.begin()
			time.Sleep(5 * time.Second)
			f.end(lane)
		}
		lane := f.begin()
		var waiting []*pending
		for asked := range 20 {
			waiting = append(waiting, f.within(3*time.Second, asked))
		}
		f.end(lane)
		for range 10 {
			b := f.next()
			time.Sleep(120 * time.Millisecond)
			b.finish()
		}
		f.served(waiting...)
		require.Zero(t, f.Stat().TooLate)
		f.idle()
	})
}

// A lane that is held up says nothing of when it will go on, and a queue that was slow
// before it was empty nothing of now.
func TestNobodyIsTurnedAwayWithoutAPaceThatSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		first := f.ask(0, 1)
		time.Sleep(time.Second)
		short := f.within(time.Millisecond, 2)
		f.waiting(short)
		f.end(lane)
		f.nextOf(1, 2).finish()
		f.served(append(first, short)...)

		lane = f.begin()
		again := f.within(time.Millisecond, 3)
		f.waiting(again)
		f.end(lane)
		f.nextOf(3).finish()
		f.served(again)
		f.idle()
	})
}
