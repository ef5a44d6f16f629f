package coalesce_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEachWaiterGetsErrTimeoutExactlyAfterItsTime(t *testing.T) {
	for _, limit := range []time.Duration{time.Millisecond, 30 * time.Millisecond, 50 * time.Millisecond, 70 * time.Millisecond, 3 * time.Second} {
		t.Run(limit.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, timeout(limit))
				lane := f.begin() // held up for longer than anybody waits
				took := make(chan time.Duration, 100)
				for i := range 20 {
					go func() {
						began := time.Now()
						if p := f.askWeighing(i%2, i+1, 1); <-p.done == errTimeout {
							took <- time.Since(began)
						}
					}()
					time.Sleep(limit / 7)
				}
				time.Sleep(2 * limit)
				require.Len(t, took, 20, "everybody should have given up")
				for range 20 {
					require.Equal(t, limit, <-took)
				}
				f.noBatch()
				require.Zero(t, f.backlog.count())
				require.EqualValues(t, 20, f.Stat().TimedOut)
				f.end(lane)
				f.idle()
			})
		})
	}
}

func TestATimeoutTakesNobodyWithItWhoCameLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, timeout(time.Second))
		lane := f.begin()
		first := f.ask(0, 1)
		time.Sleep(900 * time.Millisecond)
		later := f.ask(0, 2, 3)
		time.Sleep(100 * time.Millisecond)
		f.failed(errTimeout, first...)
		time.Sleep(900*time.Millisecond - 1)
		f.waiting(later...)
		f.end(lane)
		f.nextOf(2, 3).finish()
		f.served(later...)
		f.idle()
	})
}

// Timeout bounds the wait for a batch. How long that may take is its lane's to say.
func TestABatchThatIsBeingRunIsNotTimedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, timeout(time.Second))
		calls := f.ask(0, 1)
		b := f.next()
		time.Sleep(time.Minute)
		f.waiting(calls...)
		b.finish()
		f.served(calls...)
		f.idle()
	})
}

func TestACallThatTimedOutCanBeMadeAgainAndHasItsFullTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, timeout(time.Second))
		lane := f.begin()
		first := f.ask(0, 1)[0]
		time.Sleep(time.Second)
		f.failed(errTimeout, first)
		time.Sleep(10 * time.Second)
		again := f.wait(first.call)
		time.Sleep(time.Second - 1)
		f.waiting(again)
		time.Sleep(time.Nanosecond)
		f.failed(errTimeout, again)
		f.end(lane)
		f.idle()
	})
}
