// Package pace tells how long something takes, lately, and how long it may well take.
package pace

import (
	"math"
	"time"
)

// Estimate is how long something takes: a mean, and a mean deviation from it, of what was
// observed lately. Both are kept as TCP keeps its round trip time (RFC 6298, section 2).
// The zero value knows nothing. It is not safe for concurrent use.
type Estimate struct{ mean, deviation time.Duration }

// How much of the figures the last observation makes, as a power of two.
const (
	meanShift      = 3
	deviationShift = 2
)

// deviations is how many mean deviations more than the mean are allowed for. Of a normal
// distribution, these are 1.6 standard deviations: 5 % are later.
const deviations = 2

// Observe takes in that it took so long.
func (e *Estimate) Observe(took time.Duration) {
	if !e.Known() {
		e.mean, e.deviation = max(took, 1), took/2
		return
	}
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
