package coalesce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

func TestALoneCallRunsOnItsCallersGoroutineAndWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(2))
		began := time.Now()
		for range 100 {
			f.End(f.begin())
		}
		require.Zero(t, time.Since(began))
		f.noBatch()
		stat := f.Stat()
		require.EqualValues(t, 100, stat.Alone)
		require.Zero(t, stat.Batches)
		require.Zero(t, f.opened, "it needs no lane opened for it")
		f.idle()
	})
}

func TestNobodyOvertakesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(2))
		lane := f.begin()
		f.opens(func(context.Context) error { return errOpen })
		calls := f.ask(0, 1) // and is left to the lane that is in use
		_, ok := f.Begin()
		require.False(t, ok, "there is room for a lane, but somebody waits already")
		f.opens(nil)
		f.end(lane)
		f.nextOf(1).finish()
		f.served(calls...)
		f.end(f.begin())
		f.idle()
	})
}

func TestCallsThatComeWhileAllLanesAreBusyAreOneBatchInTheOrderTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(2))
		one, other := f.begin(), f.begin()
		_, ok := f.Begin()
		require.False(t, ok)
		calls := f.ask(0, 3, 1, 4, 15, 9, 2, 6)
		f.noBatch()
		require.Equal(t, 7, f.Stat().Waiting)

		time.Sleep(time.Millisecond)
		f.end(other)
		b := f.nextOf(3, 1, 4, 15, 9, 2, 6)
		f.waiting(calls...)
		b.finish()
		f.served(calls...)
		f.end(one)
		f.idle()
		stat := f.Stat()
		require.EqualValues(t, 1, stat.Batches)
		require.EqualValues(t, 7, stat.Calls)
		require.EqualValues(t, 2, stat.Alone)
		require.Equal(t, 7*time.Millisecond, stat.WaitTime)
	})
}

func TestABatchHasTheCallsErrorsEachItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		calls := f.ask(0, 1, 2, 3)
		f.end(lane)
		b := f.next()
		b.fail[2] = context.DeadlineExceeded // any error
		b.finish()
		f.served(calls[0], calls[2])
		f.failed(context.DeadlineExceeded, calls[1])

		again := f.begin()
		retried := f.wait(calls[1].call)
		f.end(again)
		f.next().finish()
		f.served(retried) // the error of last time is gone
		f.idle()
	})
}

func TestTheKindWhoseFirstCallHasWaitedLongestGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		reads := f.ask(0, 1)
		writes := f.ask(1, 2, 3)
		reads = append(reads, f.ask(0, 4, 5)...)
		f.end(lane)
		b := f.nextOf(1, 4, 5)
		reads2 := f.ask(0, 6)
		b.finish()
		f.served(reads...)
		b = f.nextOf(2, 3) // which came before 6
		f.waiting(reads2...)
		b.finish()
		f.served(writes...)
		f.nextOf(6).finish()
		f.served(reads2...)
		f.idle()
	})
}

// With one kind always asked for by more callers than a batch has room for, the other one
// must still get its turns.
func TestNoKindStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *coalesce.Config[question]) { c.Kinds[0].MaxCalls = 2 })
		lane := f.begin()
		f.ask(0, 1, 2, 3, 4)
		rare := f.ask(1, 100)
		f.end(lane)
		for number := 5; ; number += 2 {
			b := f.next()
			f.ask(0, number, number+1)
			b.finish()
			if b.asked[0] == 100 {
				require.Equal(t, 9, number, "two batches were before it")
				break
			}
			require.Less(t, number, 20, "the other kind starves")
		}
		f.served(rare...)
		for len(f.batches) > 0 {
			f.next().finish()
		}
		f.idle()
	})
}

// A session that was written and then read must be read as it was written, though reads
// share statements: the read must not ride on a statement that was sent before.
func TestAReadThatStartsAfterAWriteReturnedIsInNoBatchTakenBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, lanes(2))
		one, other := f.begin(), f.begin()
		write := f.ask(1, 1)
		early := f.ask(0, 2, 3)
		f.end(one)
		writes := f.nextOf(1)
		f.end(other)
		reads := f.nextOf(2, 3)
		write = append(write, f.ask(1, 5)...)
		writes.finish()
		f.served(write[0])
		writes = f.nextOf(5) // so both lanes are busy again

		late := f.ask(0, 4)
		reads.finish()
		f.served(early...)
		f.waiting(late...)
		f.nextOf(4).finish()
		f.served(late...)
		writes.finish()
		f.served(write[1])
		f.idle()
	})
}

// The calls of a batch are taken when its lane is open, not when it starts to open: who
// comes while the lane waits for a connection is in the batch.
func TestABatchIsTakenWhenItsLaneIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.opens(func(context.Context) error { time.Sleep(20 * time.Millisecond); return nil })
		calls := f.ask(0, 1)
		time.Sleep(10 * time.Millisecond)
		calls = append(calls, f.ask(0, 2)...)
		time.Sleep(10 * time.Millisecond)
		f.nextOf(1, 2).finish()
		f.served(calls...)
		f.idle()
	})
}

// Those whom a batch has woken are to be in the next one of the same lane, if they ask at once.
func TestCallersThatABatchServedCanBeInTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		c := coalesce.NewCall[question]()
		c.Value.asked = 1
		errs := make(chan error, 3)
		go func() {
			for range 3 {
				errs <- f.Wait(t.Context(), c)
				c.Value = question{asked: c.Value.asked + 1}
			}
		}()
		synctest.Wait()
		f.end(lane)
		for number := range 3 {
			f.nextOf(number + 1).finish()
			require.NoError(t, <-errs)
		}
		f.idle()
		require.LessOrEqual(t, f.opened, 3)
	})
}
