package coalesce_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestALaneThatIsNotThereYetIsTriedAgainWhileSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		var tries atomic.Int64
		f.opens(func(context.Context) error {
			time.Sleep(time.Second)
			if tries.Add(1) < 4 {
				return errAgain
			}
			return nil
		})
		calls := f.ask(0, 1)
		time.Sleep(3 * time.Second)
		calls = append(calls, f.ask(0, 2)...)
		time.Sleep(2 * time.Second)
		f.nextOf(1, 2).finish()
		f.served(calls...)
		require.EqualValues(t, 4, tries.Load())
		f.idle()
	})
}

func TestNobodyTriesToOpenALaneForThoseWhoHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		var tries atomic.Int64
		f.opens(func(context.Context) error {
			tries.Add(1)
			time.Sleep(time.Second)
			return errAgain
		})
		calls := f.ask(0, 1)
		time.Sleep(2500 * time.Millisecond)
		calls[0].leave()
		time.Sleep(time.Minute)
		require.EqualValues(t, 3, tries.Load())
		f.idle()
	})
}

// An Open that says "try again" without having waited for anything must not be asked over
// and over by a worker that takes a whole processor: in fake time the clock would stand still.
func TestTryingAgainTakesABreath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, timeout(time.Second))
		var tries atomic.Int64
		f.opens(func(context.Context) error {
			if tries.Add(1) > 10000 {
				panic("it is asked without end") // nothing else would end the test
			}
			return errAgain
		})
		calls := f.ask(0, 1)
		time.Sleep(time.Second)
		f.failed(errTimeout, calls...)
		require.Less(t, tries.Load(), int64(1000))
		require.Greater(t, tries.Load(), int64(10))
		time.Sleep(time.Second)
		f.idle()
	})
}

func TestALaneThatCannotBeOpenedLeavesTheCallsToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(2))
		lane := f.begin()
		f.opens(func(context.Context) error { return errOpen })
		calls := f.ask(0, 1, 2) // for the second lane
		f.waiting(calls...)
		f.opens(nil)
		f.end(lane)
		f.nextOf(1, 2).finish()
		f.served(calls...)
		f.idle()
	})
}

func TestIfTheLastLaneCannotBeOpenedEverybodyWhoWaitsIsToldWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(2))
		hold := make(chan struct{})
		f.opens(func(context.Context) error { <-hold; return errOpen })
		calls := append(f.ask(0, 1, 2), f.ask(1, 3)...)
		close(hold)
		f.failed(errOpen, calls...)
		f.noBatch()
		f.idle()

		f.opens(nil)
		calls = f.ask(0, 4)
		f.nextOf(4).finish()
		f.served(calls...)
	})
}

// Lanes may take long to open, on a server that is far. When one of many could not be
// opened while the others still were, everybody who waited got its error, though the
// others were about to serve them: all had been counted as held up.
func TestALaneThatCannotBeOpenedLeavesTheCallsToThoseStillBeingOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(4))
		var opens atomic.Int64
		f.opens(func(context.Context) error {
			if opens.Add(1) == 2 {
				time.Sleep(300 * time.Millisecond)
				return errOpen
			}
			time.Sleep(time.Second)
			return nil
		})
		calls := f.ask(0, 1, 2, 3)
		time.Sleep(time.Second)
		f.nextOf(1, 2, 3).finish()
		f.served(calls...)
		time.Sleep(time.Second)
		f.idle()
	})
}

// Who holds up the lanes may do so for longer than anybody waits: those who wait are told
// the truth at once, which is that no other lane can be opened.
func TestLanesThatAreHeldUpDoNotKeepThoseWhoWaitFromLearningWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(4))
		one, other := f.begin(), f.begin()
		f.opens(func(context.Context) error { return errOpen })
		calls := f.ask(0, 1, 2, 3)
		time.Sleep(stallAfter - 1)
		f.waiting(calls...)
		time.Sleep(time.Nanosecond)
		f.failed(errOpen, calls...)
		f.end(one)
		f.end(other)
		f.idle()
	})
}

func TestALaneThatOthersWantIsClosedAndOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		calls := f.ask(0, 1)
		b := f.next()
		calls = append(calls, f.ask(0, 2)...)
		f.want(true)
		hold := make(chan struct{})
		f.opens(func(context.Context) error { <-hold; return nil })
		b.finish()
		require.Equal(t, 1, f.closed, "it should be given back")
		f.noBatch()

		f.want(false)
		close(hold)
		b = f.nextOf(2)
		calls = append(calls, f.ask(0, 3)...)
		b.finish()
		f.nextOf(3).finish()
		f.served(calls...)
		require.Equal(t, 2, f.opened, "nobody wants it: it serves on")
		f.idle()
	})
}

func TestALaneOfWhichNobodyHasNeedIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		for number := range 3 {
			calls := f.ask(0, number+1)
			f.next().finish()
			f.served(calls...)
			f.idle()
		}
		require.Equal(t, 3, f.opened)
	})
}
