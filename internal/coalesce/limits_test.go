package coalesce_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

func TestABatchHasNoMoreCallsThanItsKindMayHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *coalesce.Config[question]) { c.Kinds[0].MaxCalls, c.Kinds[1].MaxCalls = 3, 1 })
		lane := f.begin()
		calls := append(f.ask(0, 1, 2, 3, 4, 5, 6, 7), f.ask(1, 8, 9)...)
		f.end(lane)
		f.nextOf(1, 2, 3).finish()
		f.nextOf(4, 5, 6).finish()
		f.nextOf(7).finish()
		f.nextOf(8).finish()
		f.nextOf(9).finish()
		f.served(calls...)
		f.idle()
	})
}

func TestFitSaysHowManyOfThoseThatCouldBeTakenAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offered []int
		even := func(n int) int {
			offered = append(offered, n)
			return max(n/2*2, 1)
		}
		f := newFixture(t, func(c *coalesce.Config[question]) { c.Kinds[0] = coalesce.Kind{MaxCalls: 5, Fit: even} })
		lane := f.begin()
		calls := f.ask(0, 1, 2, 3, 4, 5, 6, 7)
		f.end(lane)
		f.nextOf(1, 2, 3, 4).finish()
		f.nextOf(5, 6).finish()
		f.nextOf(7).finish()
		f.served(calls...)
		require.Equal(t, []int{5, 3, 1}, offered)
		f.idle()
	})
}

func TestABatchIsNoHeavierThanItsLanesBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.budget = 100
		lane := f.begin()
		var calls []*pending
		for i, weight := range []int{60, 40, 1, 99, 50, 51} {
			calls = append(calls, f.askWeighing(0, i+1, weight))
		}
		f.end(lane)
		f.nextOf(1, 2).finish()
		f.nextOf(3, 4).finish()
		f.nextOf(5).finish()
		f.nextOf(6).finish()
		f.served(calls...)
		f.idle()
	})
}

func TestACallThatIsHeavierThanTheBudgetRunsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.budget = 100
		lane := f.begin()
		calls := []*pending{f.askWeighing(0, 1, 10), f.askWeighing(0, 2, 500), f.askWeighing(0, 3, 0)}
		f.end(lane)
		f.nextOf(1).finish()
		f.nextOf(2).finish()
		f.nextOf(3).finish()
		f.served(calls...)
		f.idle()
	})
}

func TestWhoFindsTheBacklogFullGetsItsErrorAndNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.backlog.most = 2
		lane := f.begin()
		calls := f.ask(0, 1, 2)
		refused := f.ask(1, 3)
		f.failed(errFull, refused...)
		require.Equal(t, 2, f.Stat().Waiting)
		f.end(lane)
		b := f.nextOf(1, 2)
		require.Zero(t, f.backlog.count(), "who is in a batch waits no more")
		again := f.wait(refused[0].call)
		b.finish()
		f.served(calls...)
		f.nextOf(3).finish()
		f.served(again)
		f.idle()
	})
}
