package measure

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMedianIsTheMiddle(t *testing.T) {
	require.InDelta(t, 3.0, median([]float64{5, 1, 3}), 0)
	require.InDelta(t, 2.5, median([]float64{4, 1, 3, 2}), 0)
	require.True(t, math.IsNaN(median(nil)))
}

func TestIntervalLeavesOutAsManyAsItsConfidenceAllows(t *testing.T) {
	values := func(n int) (v []float64) {
		for i := range n {
			v = append(v, float64(n-i)) // not sorted
		}
		return v
	}
	for _, c := range []struct {
		n         int
		low, high float64
		ok        bool
	}{
		// The ranks of the sign test's intervals, as tables have them.
		{1, 1, 1, false}, {5, 1, 5, false}, {6, 1, 6, true}, {8, 1, 8, true}, {9, 2, 8, true}, {12, 3, 10, true}, {20, 6, 15, true},
	} {
		low, high, ok := interval(values(c.n))
		require.Equal(t, c, struct {
			n         int
			low, high float64
			ok        bool
		}{c.n, low, high, ok})
	}
}

// TestIntervalHoldsTheMedianAsOftenAsItSays draws from a distribution that is far from
// symmetric, whose median is known.
func TestIntervalHoldsTheMedianAsOftenAsItSays(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	const draws = 4000
	for _, n := range []int{6, 9, 15} {
		held := 0
		for range draws {
			values := make([]float64, n)
			for i := range values {
				values[i] = random.ExpFloat64()
			}
			if low, high, ok := interval(values); ok && low <= math.Ln2 && math.Ln2 <= high {
				held++
			}
		}
		require.Greater(t, float64(held)/draws, confidence-0.01, n)
	}
}

func TestVerdicts(t *testing.T) {
	quietControls := []float64{1.01, 0.99, 1.02, 0.98, 1.01}
	noisyControls := []float64{1.4, 0.7, 1.3, 0.8, 1.5}
	for name, c := range map[string]struct {
		pairs, controls []float64
		conclusion      Conclusion
		says            string
	}{
		"clearly faster":                   {[]float64{2.1, 1.9, 2, 2.2, 1.8, 2}, quietControls, Faster, "2.00× as fast"},
		"clearly slower":                   {[]float64{0.5, 0.6, 0.5, 0.4, 0.5, 0.5}, quietControls, Slower, "slower: 0.50×"},
		"a little, on a quiet machine":     {[]float64{1.05, 1.04, 1.06, 1.05, 1.05, 1.05}, quietControls, Faster, "1.05× as fast"},
		"much, on a noisy machine":         {[]float64{9, 7, 8, 10, 6, 8}, noisyControls, Faster, "8.00× as fast"},
		"the same":                         {[]float64{1.1, 0.9, 1, 1.05, 0.95, 1}, quietControls, NoDecision, "interval includes 1"},
		"some, on a noisy machine":         {[]float64{1.3, 1.4, 1.2, 1.5, 1.3, 1.3}, noisyControls, NoDecision, "too noisy, ±40 %"},
		"less than between runs of a peer": {[]float64{1.02, 1.02, 1.03, 1.02, 1.02, 1.02}, []float64{1.04, 1.04, 0.96}, NoDecision, "too noisy"},
		"too few rounds":                   {[]float64{2, 2, 2, 2, 2}, quietControls, NoDecision, "5 of 6 rounds needed"},
		"one round, without a control":     {[]float64{2}, nil, NoDecision, "1 of 6 rounds"},
	} {
		t.Run(name, func(t *testing.T) {
			v := judge(c.pairs, c.controls)
			require.Equal(t, c.conclusion, v.Conclusion)
			require.Contains(t, v.String(), c.says)
			require.Equal(t, c.conclusion == NoDecision, v.Reason != "")
			require.False(t, math.IsNaN(v.Noise))
		})
	}
}

// TestRunsOfOnePeerThatDifferAtRandomGiveNoVerdict compares a peer with itself, on a machine
// whose speed is a matter of luck: a verdict would be wrong.
func TestRunsOfOnePeerThatDifferAtRandomGiveNoVerdict(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	const lines = 2000
	wrong := 0
	for range lines {
		speed := func() float64 { return math.Exp(0.3 * random.NormFloat64()) }
		var pairs, again []float64
		last := [2]float64{speed(), speed()}
		for i := range 6 {
			pairs = append(pairs, last[0]/last[1])
			peer := 1 - i%2
			next := [2]float64{speed(), speed()}
			again = append(again, next[peer]/last[peer])
			last = next
		}
		if judge(pairs, again[:5]).Conclusion != NoDecision {
			wrong++
		}
	}
	require.Less(t, float64(wrong)/lines, 0.05)
}

func TestControlsAreNeighboursOfOnePeer(t *testing.T) {
	ratios := controls([]int{0, 1, 1, 0, 0, 1}, [][]float64{{10, 20, 30}, {100, 300, 500}})
	require.Equal(t, []float64{3, 1.5}, ratios)
}

func TestLatenciesKeepThreeDigits(t *testing.T) {
	l := NewLatencies()
	require.Zero(t, l.At(99))
	for i := 1; i <= 10_000; i++ {
		l.Record(time.Duration(i) * 100 * time.Microsecond)
	}
	require.InEpsilon(t, 0.5, l.At(50).Seconds(), 0.001)
	require.InEpsilon(t, 0.99, l.At(99).Seconds(), 0.001)
	require.InEpsilon(t, 1, l.Longest().Seconds(), 0.001)
	other := NewLatencies()
	other.Record(time.Hour)         // counts as the longest that there is
	other.Record(-time.Millisecond) // a clock that was set back
	l.Add(other)
	require.EqualValues(t, 10_002, l.Count())
	require.InEpsilon(t, 600, l.Longest().Seconds(), 0.001)
}

func TestCurveEndsWhereCallsAreTooFew(t *testing.T) {
	l := NewLatencies()
	require.Empty(t, l.Curve())
	for i := range 1000 {
		l.Record(time.Duration(i) * time.Millisecond)
	}
	curve := l.Curve()
	require.InDelta(t, 99.7, curve[len(curve)-1].Percentile, 0, "three of a thousand are beyond it")
	for i := 1; i < len(curve); i++ {
		require.Greater(t, curve[i].Percentile, curve[i-1].Percentile)
		require.GreaterOrEqual(t, curve[i].Micros, curve[i-1].Micros)
	}
}
