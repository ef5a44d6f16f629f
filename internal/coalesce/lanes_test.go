//go:build !race

// What the lanes rule makes of a server is told by some seconds of its time, in which
// millions of calls are made: the race detector would take a minute for them.

package coalesce_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// fixed is the best throughput with a number of lanes that never changes. The best one is
// always among these few; what lies between them and beyond is no better.
func fixed(t *testing.T, w world, length time.Duration, counts ...int) (best float64) {
	for _, count := range counts {
		synctest.Test(t, func(t *testing.T) {
			throughput, _ := simulate(w, count).run(10*time.Millisecond, length)
			best = max(best, throughput)
		})
	}
	return best
}

// Near a server lanes take turns on its processors, so few large batches are best.
func TestNearAServerTheLanesAreFewAndNoFixedNumberIsMuchBetter(t *testing.T) {
	for _, processors := range []int{1, 2} {
		for _, callers := range []int{16, 64, 256} {
			t.Run(fmt.Sprintf("%d processors, %d callers", processors, callers), func(t *testing.T) {
				w := near(callers, processors)
				best := fixed(t, w, 50*time.Millisecond, 1, 2, 3, 4, 16)
				synctest.Test(t, func(t *testing.T) {
					throughput, limit := simulate(w, 0).run(200*time.Millisecond, 400*time.Millisecond)
					t.Logf("%.0f a second, %.2f of the best fixed number, %.1f lanes", throughput, throughput/best, limit)
					require.LessOrEqual(t, limit, 4.5)
					require.GreaterOrEqual(t, throughput, 0.85*best)
				})
			})
		}
	}
}

// Far from it they wait side by side, so each caller is best served on a lane of its own,
// as long as there are enough.
func TestFarFromAServerTheLanesAreManyWithinASecond(t *testing.T) {
	for _, distance := range []time.Duration{time.Millisecond, 2400 * us} {
		for _, callers := range []int{16, 64} {
			t.Run(fmt.Sprintf("%v, %d callers", distance, callers), func(t *testing.T) {
				w := far(callers, distance)
				most := float64(min(callers, 16)) / (distance + w.statement + w.row).Seconds()
				if callers > 16 {
					most = fixed(t, w, 200*time.Millisecond, 16)
				}
				synctest.Test(t, func(t *testing.T) {
					throughput, limit := simulate(w, 0).run(time.Second, 500*time.Millisecond)
					t.Logf("%.0f a second, %.2f of the most there can be, %.1f lanes", throughput, throughput/most, limit)
					require.GreaterOrEqual(t, limit, 13.0)
					require.GreaterOrEqual(t, throughput, 0.95*most)
				})
			})
		}
	}
}

func TestAServerOfManyProcessorsGetsManyLanesThoughItIsNear(t *testing.T) {
	w := near(64, 8)
	best := fixed(t, w, 50*time.Millisecond, 4, 8, 12, 16)
	synctest.Test(t, func(t *testing.T) {
		throughput, limit := simulate(w, 0).run(500*time.Millisecond, 300*time.Millisecond)
		t.Logf("%.0f a second, %.2f of the best fixed number, %.1f lanes", throughput, throughput/best, limit)
		require.GreaterOrEqual(t, limit, 8.0)
		require.GreaterOrEqual(t, throughput, 0.85*best)
	})
}

// Commits take as long as the disk does, whether each waits for itself or all for one.
func TestCommitsThatTakeLongAreWaitedForSideBySide(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared %v", shared), func(t *testing.T) {
			w := near(16, 2)
			w.flush, w.shared = time.Millisecond, shared
			best := fixed(t, w, 200*time.Millisecond, 1, 2, 4, 16)
			synctest.Test(t, func(t *testing.T) {
				throughput, limit := simulate(w, 0).run(time.Second, 500*time.Millisecond)
				t.Logf("%.0f a second, %.2f of the best fixed number, %.1f lanes", throughput, throughput/best, limit)
				require.GreaterOrEqual(t, throughput, 0.9*best)
			})
		})
	}
}

// What was taken for an overloaded server once was one whose times merely vary: compared
// with its best case, all it did was slow, and one lane was left.
func TestANoisyServerIsNotTakenForAnOverloadedOne(t *testing.T) {
	for _, w := range []world{near(64, 2), far(16, time.Millisecond)} {
		w.noise = 0.5
		best := fixed(t, w, 200*time.Millisecond, 1, 2, 3, 4, 16)
		synctest.Test(t, func(t *testing.T) {
			throughput, limit := simulate(w, 0).run(1500*time.Millisecond, 500*time.Millisecond)
			t.Logf("%.0f a second, %.2f of the best fixed number, %.1f lanes", throughput, throughput/best, limit)
			require.GreaterOrEqual(t, throughput, 0.8*best)
		})
	}
}

func TestTheLanesFollowAServerThatMovesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := near(16, 2), far(16, 2400*us)
		s := simulate(here, 0)
		var means []float64
		var watcher sync.WaitGroup
		watcher.Go(func() {
			for _, w := range []world{here, there, here} {
				s.becomes(w)
				time.Sleep(1500 * time.Millisecond)
				mean := 0.0
				for range 50 {
					time.Sleep(10 * time.Millisecond)
					mean += float64(s.Stat().LaneLimit) / 50
				}
				means = append(means, mean)
			}
		})
		s.run(time.Second, 5200*time.Millisecond)
		watcher.Wait()
		t.Logf("near %.1f, far %.1f, near again %.1f lanes", means[0], means[1], means[2])
		require.LessOrEqual(t, means[0], 4.5)
		require.GreaterOrEqual(t, means[1], 12.0)
		require.LessOrEqual(t, means[2], 4.5)
	})
}

func TestABurstOfLocksDoesNotTakeTheLanesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := far(64, time.Millisecond)
		s := simulate(w, 0)
		least, after := 16, 0.0
		var watcher sync.WaitGroup
		watcher.Go(func() {
			time.Sleep(time.Second)
			w.locked = true
			s.becomes(w)
			time.Sleep(50 * time.Millisecond)
			w.locked = false
			s.becomes(w)
			for range 300 { // until all have gone on, and a second more
				time.Sleep(10 * time.Millisecond)
				least = min(least, s.Stat().LaneLimit)
			}
			for range 50 {
				time.Sleep(10 * time.Millisecond)
				after += float64(s.Stat().LaneLimit) / 50
			}
		})
		s.run(time.Second, 3600*time.Millisecond)
		watcher.Wait()
		t.Logf("%d lanes at least, %.1f afterwards", least, after)
		require.GreaterOrEqual(t, least, 4)
		require.GreaterOrEqual(t, after, 12.0)
	})
}
