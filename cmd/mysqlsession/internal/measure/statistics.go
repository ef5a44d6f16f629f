package measure

import (
	"math"
	"slices"
)

// median is the middle of the values; NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// confidence is that with which an interval has the median in it.
const confidence = 0.95

// leastRounds is how many rounds an interval of that confidence needs.
const leastRounds = 6

// interval is where the median of what the values are drawn from is, with the confidence. It
// assumes nothing about how they are distributed: that all n of them are on one side of the
// median is as likely as n times heads or n times tails, and so on for all but k. ok is false
// of too few values: then it is all of them.
func interval(values []float64) (low, high float64, ok bool) {
	if len(values) == 0 {
		return math.NaN(), math.NaN(), false
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	outside, term := 0.0, math.Pow(0.5, float64(n))
	k := 0
	for ; k < n/2; k++ {
		if outside += 2 * term; outside > 1-confidence {
			break
		}
		term *= float64(n-k) / float64(k+1)
	}
	if k == 0 {
		return sorted[0], sorted[n-1], false
	}
	return sorted[k-1], sorted[n-k], true
}
