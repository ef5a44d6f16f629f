// Package pace tells how long something takes, lately, and how long it may well take.
package pace

import (
	"math"
	"time"
)

// Estimate is how long something takes: a mean, and a mean deviation from it, of what was
// observed lately. Both are kept as TCP keeps its round trip time (RFC 6298, section 2).
// The zero value knows nothing. It is not safe for concurrent use.
//
// Two things are done so that whoever relies on it does not turn people away for long without
// need. What takes much longer than is likely has waited for something else, mostly, and counts
// as a few times what is likely: one such says little, several soon say that times have changed.
// And if several in a row take far less than the mean, it falls at once, to an eighth at most.
type Estimate struct {
	mean, deviation time.Duration
	quick           int           // observations in a row of less than a quarter of the mean
	slowest         time.Duration // of those
}

// How much of the figures the last observation makes, as a power of two.
const (
	meanShift      = 3
	deviationShift = 2
)

const (
	outlier = 4 // times what is likely count at most
	turned  = 4 // quick ones in a row mean that times have changed; by chance that is rare
	// instant is what no time counts as: from nothing no outlier would lead away.
	instant = 100 * time.Microsecond
)

// deviations is how many mean deviations more than the mean are allowed for. Of a normal
// distribution, these are 1.6 standard deviations: 5 % are later.
const deviations = 2

// Observe takes in that it took so long.
func (e *Estimate) Observe(took time.Duration) {
	switch {
	case !e.Known():
		*e = Estimate{mean: max(took, 1), deviation: took / 2}
		return
	case took >= e.mean/4:
		e.quick, e.slowest = 0, 0
	default:
		e.quick, e.slowest = e.quick+1, max(e.slowest, took)
		if e.quick == turned {
			mean := max(e.slowest, e.mean/8, 1)
			*e = Estimate{mean: mean, deviation: mean / 2}
			return
		}
	}
	took = min(took, outlier*max(e.Likely(), instant))
	off := took - e.mean
	e.deviation += (max(off, -off) - e.deviation) >> deviationShift
	e.mean = max(e.mean+off>>meanShift, 1)
}

// Known reports whether anything has been observed.
func (e *Estimate) Known() bool { return e.mean > 0 }

// Mean is how long it takes; 0: not known.
func (e *Estimate) Mean() time.Duration { return e.mean }

// Likely is how long it may well take; 0: not known.
func (e *Estimate) Likely() time.Duration { return e.mean + deviations*e.deviation }

// Forget begins anew.
func (e *Estimate) Forget() { *e = Estimate{} }

// Sum is how long it may well take to do one thing so many times, one after the other, and
// then another: unevenness evens out with the root of the number.
func Sum(times float64, one *Estimate, then *Estimate) time.Duration {
	mean := times*float64(one.mean) + float64(then.mean)
	variance := times*float64(one.deviation)*float64(one.deviation) + float64(then.deviation)*float64(then.deviation)
	return time.Duration(mean + deviations*math.Sqrt(variance))
}
