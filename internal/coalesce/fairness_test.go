package coalesce_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNoCallerIsServedMuchLaterThanTheOthers(t *testing.T) {
	for _, w := range []world{near(16, 2), near(256, 2), far(64, time.Millisecond)} {
		synctest.Test(t, func(t *testing.T) {
			s := simulate(w, 0)
			s.run(50*time.Millisecond, 150*time.Millisecond)
			means := make([]time.Duration, w.callers)
			for i := range means {
				require.NotZero(t, s.made[i], "caller %d has never been served", i)
				means[i] = s.spent[i] / time.Duration(s.made[i])
			}
			slices.Sort(means)
			median, slowest := means[len(means)/2], means[len(means)-1]
			t.Logf("%d callers: median %v, slowest %v", w.callers, median, slowest)
			require.LessOrEqual(t, slowest, 2*median)
		})
	}
}
