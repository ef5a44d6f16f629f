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

func TestWhoseContextWillEndBeforeItsTurnIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		first := f.ask(0, 1)
		time.Sleep(time.Second)
		f.end(lane)
		running := f.nextOf(1) // it had waited for a second
		second := f.ask(0, 2)
		time.Sleep(time.Second) // and the next one has by now

		began := time.Now()
		short := f.within(time.Second-1, 3)
		f.failed(errTooLate, short)
		require.Zero(t, time.Since(began))
		require.Equal(t, 1, f.backlog.count(), "it takes no room")
		require.EqualValues(t, 1, f.Stat().TooLate)
		long := f.within(time.Second+1, 4)
		f.waiting(long)
		unbounded := f.ask(0, 5)
		f.waiting(unbounded...)

		running.finish()
		f.served(first...)
		f.nextOf(2, 4, 5).finish()
		f.served(append(append(second, long), unbounded...)...)
		f.idle()
	})
}

// A lane that is slow once, and a queue that was slow once, say nothing of the next turn.
func TestNobodyIsTurnedAwayUnlessTheQueueWasAndIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lane := f.begin()
		first := f.ask(0, 1)
		time.Sleep(time.Second)
		short := f.within(time.Second/2, 2) // the next one is late, but nobody has been
		f.waiting(short)
		f.end(lane)
		f.nextOf(1, 2).finish()
		f.served(append(first, short)...)

		lane = f.begin()
		again := f.within(time.Second/2, 3) // the last one was late, but nobody is in line
		f.waiting(again)
		f.end(lane)
		f.nextOf(3).finish()
		f.served(again)
		f.idle()
	})
}
