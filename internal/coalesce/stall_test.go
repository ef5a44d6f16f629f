package coalesce_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

// stallAfter is how long a lane may be busy with one batch before another one takes its place.
const stallAfter = 50 * time.Millisecond

func TestOthersTakeThePlaceOfLanesThatAreHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(4))
		held := f.ask(0, 1)
		one := f.nextOf(1)
		held = append(held, f.ask(0, 2)...)
		other := f.nextOf(2)
		calls := f.ask(0, 3)
		time.Sleep(stallAfter - 1)
		f.noBatch()
		time.Sleep(time.Nanosecond)
		f.nextOf(3).finish()
		f.served(calls...)
		f.waiting(held...)

		calls = f.ask(0, 4)
		f.nextOf(4).finish() // there is room already
		f.served(calls...)
		one.finish()
		other.finish()
		f.served(held...)
		f.idle()
	})
}

func TestACallBetweenBeginAndEndCanBeTheOneThatIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(4))
		one, other := f.begin(), f.begin()
		calls := f.ask(0, 1, 2)
		time.Sleep(stallAfter)
		b := f.nextOf(1, 2)
		third, ok := f.Begin()
		require.True(t, ok, "one of two that are not held up is free")
		_, ok = f.Begin()
		require.False(t, ok)
		b.finish()
		f.served(calls...)
		for _, lane := range []int{third, one, other} {
			f.end(lane)
		}
		f.idle()
	})
}

// Lanes are looked at only while somebody waits, and then not all the time: one that began
// between two looks is noticed at the second.
func TestALaneThatIsHeldUpLaterIsNoticedInTwiceTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(4))
		first, second := f.begin(), f.begin()
		f.ask(0, 1) // and from now on they are looked at
		time.Sleep(10 * time.Millisecond)
		f.end(first)
		held := f.nextOf(1)
		f.end(second)
		f.ask(0, 2)
		other, began := f.nextOf(2), time.Now()
		calls := f.ask(0, 3)
		b := <-f.batches
		require.Equal(t, []int{3}, b.asked)
		require.GreaterOrEqual(t, time.Since(began), stallAfter)
		require.LessOrEqual(t, time.Since(began), 2*stallAfter)
		b.finish()
		f.served(calls...)
		held.finish()
		other.finish()
		f.idle()
	})
}

func TestThereAreNeverMoreLanesThanMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(4))
		var calls []*pending
		for number := range 10 {
			calls = append(calls, f.ask(0, number+1)...)
			time.Sleep(2 * stallAfter)
		}
		require.Len(t, f.batches, 4)
		require.Equal(t, 4, f.Stat().Lanes)
		require.Equal(t, 6, f.Stat().Waiting)
		var held []*batch
		for range 4 {
			held = append(held, f.next())
		}
		held[0].finish()
		f.nextOf(5, 6, 7, 8, 9, 10).finish()
		for _, b := range held[1:] {
			b.finish()
		}
		f.served(calls...)
		f.idle()
	})
}

func TestLanesThatGoOnCountAgainAndAreNoMoreThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(6), func(c *coalesce.Config[question]) { c.Kinds[0].MaxCalls = 1 })
		var held []*batch
		for number := range 6 { // three times as many as may be in use
			f.ask(0, number+1)
			time.Sleep(2 * stallAfter)
			held = append(held, f.next())
		}
		calls := f.ask(0, 11, 12, 13, 14, 15, 16)
		time.Sleep(2 * stallAfter)
		require.Equal(t, 6, f.Stat().Lanes)
		require.Equal(t, 2, f.Stat().LaneLimit)
		f.noBatch()
		for _, b := range held { // all go on at once
			close(b.let)
		}
		synctest.Wait()
		for range 3 {
			require.Len(t, f.batches, 2)
			require.Equal(t, 2, f.Stat().Lanes)
			one, other := f.next(), f.next()
			close(one.let)
			other.finish()
		}
		f.served(calls...)
		f.idle()
	})
}

// A lane that was held up does not count. It must not be taken off a second time when it
// ends without having gone on: there would be room for ever more lanes.
func TestALaneThatEndsWhileItIsHeldUpLeavesTheLimitAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(6))
		for _, err := range []error{errAgain, errOpen} {
			f.opens(func(context.Context) error { time.Sleep(3 * stallAfter); return err })
			calls := f.ask(0, 1)
			time.Sleep(2 * stallAfter)
			require.Greater(t, f.Stat().Lanes, 1)
			calls[0].leave()
			time.Sleep(time.Second)
			f.idle()
			one, other := f.begin(), f.begin()
			_, ok := f.Begin()
			require.False(t, ok, "two are the limit")
			f.end(one)
			f.end(other)
		}
	})
}

func TestACallThatWasHeldUpGivesItsLaneBackOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(4))
		for range 10 {
			one, other := f.begin(), f.begin()
			calls := f.ask(0, 1)
			time.Sleep(stallAfter)
			f.next().finish()
			f.served(calls...)
			f.end(one)
			f.end(other)
			f.idle()
		}
		var lanes []int
		for range f.Stat().LaneLimit {
			lanes = append(lanes, f.begin())
		}
		_, ok := f.Begin()
		require.False(t, ok)
		for _, lane := range lanes {
			f.end(lane)
		}
	})
}

// While a lane was given back and waited for its next connection, the time of its last
// batch still ran: it counted as held up too early, and one lane too many was opened.
func TestALaneThatIsOpenedAnewHasItsFullTimeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(4))
		var held []*batch
		for number := range 2 {
			f.ask(0, number+1)
			held = append(held, f.next())
		}
		f.want(true)
		var opens atomic.Int64
		f.opens(func(context.Context) error {
			opens.Add(1)
			time.Sleep(40 * time.Millisecond)
			return nil
		})
		time.Sleep(30 * time.Millisecond)
		f.ask(0, 3)
		held[0].finish()
		held[1].finish()
		require.EqualValues(t, 2, opens.Load())
		time.Sleep(39 * time.Millisecond)
		require.EqualValues(t, 2, opens.Load(), "no lane has been busy for that long")
		f.want(false)
		time.Sleep(time.Millisecond)
		f.next().finish()
		f.idle()
	})
}
