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

// slow is a group whose only lane takes two calls each second, of which three wait.
func slow(t *testing.T) (f *fixture, running *batch, waiting []*pending) {
	f = newFixture(t, func(c *coalesce.Config[question]) { c.Kinds[0].MaxCalls = 2 })
	lane := f.begin()
	waiting = f.ask(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	time.Sleep(time.Second)
	f.end(lane)
	for range 3 {
		running = f.next()
		if len(running.asked) == 2 && running.asked[1] == 6 {
			break
		}
		time.Sleep(time.Second)
		running.finish()
	}
	f.served(waiting[:4]...)
	return f, running, waiting[4:]
}

func TestWhoWouldBeTooLateIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, running, waiting := slow(t)
		began := time.Now()
		// Three turns of half a second; a batch of one's own takes some time too.
		short := f.within(3*time.Second/2, 10)
		f.failed(errTooLate, short)
		require.Zero(t, time.Since(began))
		require.Equal(t, 3, f.backlog.count(), "it takes no room")
		require.EqualValues(t, 1, f.Stat().TooLate)
		long := f.within(3*time.Second, 11)
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
