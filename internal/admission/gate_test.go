package admission_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/admission"
)

// enter starts an Enter and says how it ended.
func enter(ctx context.Context, g *admission.Gate, limit time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := g.Enter(ctx, limit, true)
		done <- err
	}()
	synctest.Wait()
	return done
}

func TestWaitersAreServedInTheOrderTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.New(1, 10)
		_, err := g.Enter(t.Context(), time.Second, true)
		require.NoError(t, err)
		first := enter(t.Context(), g, time.Second)
		second := enter(t.Context(), g, time.Second)
		require.Equal(t, 2, g.Stat().Waiting)

		g.Leave(0)
		synctest.Wait()
		require.NoError(t, <-first)
		require.Empty(t, second, "the second must wait for the first")
		g.Leave(0)
		require.NoError(t, <-second)
		require.Zero(t, g.Stat().Waiting)
	})
}

func TestTheBacklogIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.New(1, 2)
		_, err := g.Enter(t.Context(), time.Second, true)
		require.NoError(t, err)
		first, second := enter(t.Context(), g, time.Minute), enter(t.Context(), g, time.Minute)
		waited, err := g.Enter(t.Context(), time.Minute, true)
		require.ErrorIs(t, err, admission.ErrFull)
		require.False(t, waited)
		g.Leave(0)
		require.NoError(t, <-first)
		third := enter(t.Context(), g, time.Minute)
		g.Leave(0)
		g.Leave(0)
		require.NoError(t, <-second)
		require.NoError(t, <-third)
	})
}

func TestNobodyMayWaitWithANegativeBacklog(t *testing.T) {
	g := admission.New(1, -1)
	_, err := g.Enter(t.Context(), time.Second, true)
	require.NoError(t, err)
	_, err = g.Enter(t.Context(), time.Second, true)
	require.ErrorIs(t, err, admission.ErrFull)
}

func TestBackgroundWorkWaitsWithoutTakingRoomInTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.New(1, 1)
		_, err := g.Enter(t.Context(), time.Second, true)
		require.NoError(t, err)
		background := make(chan error, 1)
		go func() {
			_, err := g.Enter(t.Context(), time.Minute, false)
			background <- err
		}()
		synctest.Wait()
		require.Zero(t, g.Stat().Waiting)
		counted := enter(t.Context(), g, time.Minute)
		require.Equal(t, 1, g.Stat().Waiting)
		g.Leave(0)
		require.NoError(t, <-background)
		g.Leave(0)
		require.NoError(t, <-counted)
	})
}

func TestAWaitEndsWithItsLimitItsContextOrTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.New(1, 10)
		_, err := g.Enter(t.Context(), time.Second, true)
		require.NoError(t, err)

		began := time.Now()
		require.ErrorIs(t, <-enter(t.Context(), g, 3*time.Second), admission.ErrTimeout)
		require.Equal(t, 3*time.Second, time.Since(began))

		ctx, cancel := context.WithCancel(t.Context())
		cancelled := enter(ctx, g, time.Minute)
		cancel()
		require.ErrorIs(t, <-cancelled, context.Canceled)

		closed := enter(t.Context(), g, time.Minute)
		g.Close()
		require.ErrorIs(t, <-closed, admission.ErrClosed)
		_, err = g.Enter(t.Context(), time.Minute, true)
		require.ErrorIs(t, err, admission.ErrClosed)
		require.Equal(t, admission.Stat{Waited: 3, TimedOut: 1, Cancelled: 1}, g.Stat())
	})
}

func TestWhoParksATurnIsServedBeforeAllOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.New(2, 10)
		for range 2 {
			_, err := g.Enter(t.Context(), time.Second, true)
			require.NoError(t, err)
		}
		waiting := enter(t.Context(), g, time.Minute)
		parked := make(chan error, 1)
		go func() { parked <- g.Park(t.Context(), time.Minute, func() {}) }()
		synctest.Wait()
		require.Empty(t, parked)

		g.Leave(0) // the other holder's turn
		require.NoError(t, <-parked)
		require.Empty(t, waiting, "one turn is in use, the other parked")
		g.Unpark()
		require.NoError(t, <-waiting)
		g.Unpark()
		g.Leave(0)
		g.Leave(0)
		for range 2 {
			waited, err := g.Enter(t.Context(), time.Second, true)
			require.NoError(t, err)
			require.False(t, waited, "both turns must be free again, and no more")
		}
		last := enter(t.Context(), g, time.Second)
		require.ErrorIs(t, <-last, admission.ErrTimeout)
	})
}

func TestAParkedCallerThatGivesUpLosesItsTurnOnlyUntilItIsUnparked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.New(1, 10)
		_, err := g.Enter(t.Context(), time.Second, true)
		require.NoError(t, err)
		require.ErrorIs(t, g.Park(t.Context(), time.Second, func() {}), admission.ErrTimeout)
		require.ErrorIs(t, <-enter(t.Context(), g, time.Second), admission.ErrTimeout)
		g.Unpark()
		require.NoError(t, <-enter(t.Context(), g, time.Second))
	})
}

// A turn that is given in the moment its waiter gives up must go to the next one: a lost
// turn is a connection that nobody ever gets again.
func TestNoTurnIsLostWhenWaitersGiveUpAsTheyAreAdmitted(t *testing.T) {
	const size, callers, rounds = 2, 16, 2000
	g := admission.New(size, callers)
	var holders, most int
	var mu sync.Mutex
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for range rounds {
				ctx, cancel := context.WithCancel(context.Background())
				go cancel()
				if _, err := g.Enter(ctx, time.Minute, true); err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					continue
				}
				mu.Lock()
				holders++
				most = max(most, holders)
				mu.Unlock()
				mu.Lock()
				holders--
				mu.Unlock()
				g.Leave(0)
			}
		})
	}
	group.Wait()
	require.LessOrEqual(t, most, size)
	for range size {
		waited, err := g.Enter(context.Background(), time.Second, true)
		require.NoError(t, err)
		require.False(t, waited, "all turns must be free again")
	}
}

// slowGate is a gate for two at which one is admitted each second, to hold for two, and three wait.
func slowGate(t *testing.T) *admission.Gate {
	g := admission.New(2, 100)
	for range 2 {
		_, err := g.Enter(t.Context(), time.Hour, true)
		require.NoError(t, err)
	}
	var waiting []<-chan error
	for range 53 {
		waiting = append(waiting, enter(t.Context(), g, time.Hour))
	}
	for _, admitted := range waiting[:50] {
		time.Sleep(time.Second)
		g.Leave(2 * time.Second)
		require.NoError(t, <-admitted)
	}
	return g
}

func TestWhoWouldBeTooLateIsToldAtOnce(t *testing.T) {
	// Three turns, and one's own of two seconds.
	const needed = 5 * time.Second
	synctest.Test(t, func(t *testing.T) {
		g := slowGate(t)
		short, cancel := context.WithTimeout(t.Context(), needed-1)
		defer cancel()
		began := time.Now()
		waited, err := g.Enter(short, time.Hour, true)
		require.ErrorIs(t, err, admission.ErrTooLate)
		require.False(t, waited)
		require.Zero(t, time.Since(began))
		require.EqualValues(t, 1, g.Stat().TooLate)
		require.Equal(t, 3, g.Stat().Waiting, "it takes no room")

		long, cancel := context.WithTimeout(t.Context(), needed+time.Millisecond)
		defer cancel()
		require.Empty(t, enter(long, g, time.Hour), "with time enough one waits")
		require.Empty(t, enter(t.Context(), g, time.Hour), "and so does who has any time")
		background := make(chan error, 1)
		go func() {
			_, err := g.Enter(short, time.Hour, false)
			background <- err
		}()
		synctest.Wait()
		require.Empty(t, background, "background work is not asked")
		time.Sleep(time.Minute)
		require.ErrorIs(t, <-background, context.DeadlineExceeded)
		g.Close()
	})
}

// In a queue that moves slower than it did, some are still there when it is too late to begin.
func TestATurnIsNotWastedOnWhoseContextWouldEndInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := slowGate(t)
		limited, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		late := enter(limited, g, time.Hour)
		inTime := enter(t.Context(), g, time.Hour)
		for range 3 {
			g.Leave(0)
		}
		time.Sleep(9 * time.Second)
		require.Empty(t, late)
		g.Leave(0)
		require.ErrorIs(t, <-late, admission.ErrTooLate)
		require.NoError(t, <-inTime, "the turn is the next one's")
		require.EqualValues(t, 1, g.Stat().TooLate)
		require.Zero(t, g.Stat().Waiting)

		// The last one has its turn all the same: otherwise nobody would find out that turns
		// have become shorter.
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		last := enter(short, g, time.Hour)
		g.Leave(0)
		require.NoError(t, <-last)
	})
}

func TestAPaceIsForgottenAlsoWhenAQueueIsEmptyBecauseItsLastHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := slowGate(t)
		ctx, leave := context.WithCancel(t.Context())
		last := enter(ctx, g, time.Hour)
		for range 3 {
			g.Leave(time.Second)
		}
		leave()
		require.ErrorIs(t, <-last, context.Canceled)
		time.Sleep(10 * time.Minute)
		waiting := []<-chan error{enter(t.Context(), g, time.Hour), enter(t.Context(), g, time.Hour)}
		g.Leave(time.Second)
		require.NoError(t, <-waiting[0])
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		served := enter(short, g, time.Hour)
		g.Leave(time.Second)
		g.Leave(time.Second)
		require.NoError(t, <-waiting[1])
		require.NoError(t, <-served)
	})
}

// Some hold for a whole job; most for one statement.
func TestOneWhoHeldForLongDoesNotHaveTheQueueTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.New(1, 100)
		for range 50 {
			_, err := g.Enter(t.Context(), time.Hour, true)
			require.NoError(t, err)
			time.Sleep(time.Millisecond)
			g.Leave(time.Millisecond)
		}
		_, err := g.Enter(t.Context(), time.Hour, true)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var waiting []<-chan error
		for range 50 {
			waiting = append(waiting, enter(limited, g, time.Hour))
		}
		g.Leave(time.Minute)
		for _, admitted := range waiting {
			require.NoError(t, <-admitted)
			time.Sleep(time.Millisecond)
			g.Leave(time.Millisecond)
		}
	})
}

func TestEveryWaitIsCountedForOneEnd(t *testing.T) {
	g := admission.New(1, 1000)
	_, err := g.Enter(t.Context(), time.Hour, true)
	require.NoError(t, err)
	g.Leave(time.Millisecond)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Millisecond)
				if _, err := g.Enter(ctx, 2*time.Millisecond, true); err == nil {
					began := time.Now()
					runtime.Gosched()
					for time.Since(began) < time.Millisecond {
						runtime.Gosched()
					}
					g.Leave(time.Since(began))
				}
				cancel()
			}
		})
	}
	group.Wait()
	stat := g.Stat()
	require.Zero(t, stat.Waiting)
	require.LessOrEqual(t, stat.TimedOut+stat.Cancelled+stat.TooLate, int64(8*200))
	require.Positive(t, stat.TimedOut+stat.Cancelled+stat.TooLate)
	waited, err := g.Enter(t.Context(), time.Second, true)
	require.NoError(t, err)
	require.False(t, waited, "no turn was lost")
	_, err = g.Enter(t.Context(), time.Millisecond, true)
	require.ErrorIs(t, err, admission.ErrTimeout, "and none was won")
}

// A queue that does not move says nothing of when it will, and one that was slow before
// it was empty nothing of now.
func TestNobodyIsTurnedAwayWithoutAPaceThatSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.New(1, 10)
		_, err := g.Enter(t.Context(), time.Hour, true)
		require.NoError(t, err)
		first := enter(t.Context(), g, time.Hour)
		time.Sleep(time.Minute)
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		second := enter(short, g, time.Hour)
		require.Empty(t, second)
		g.Leave(0)
		require.NoError(t, <-first)
		g.Leave(0)
		require.NoError(t, <-second, "it is served in time")
		third := enter(short, g, time.Hour)
		require.Empty(t, third)
		g.Leave(0)
		require.NoError(t, <-third)
		g.Leave(0)
	})
}
