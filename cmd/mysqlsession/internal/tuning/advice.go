package tuning

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// Advice is a setting, and where it comes from.
type Advice struct {
	Field   string `json:"field"`
	Value   string `json:"value"`
	Because string `json:"because"`
}

const (
	// safety is how many times the slowest that was seen a timeout is.
	safety = 10
	// leastConnect is the shortest timeout for a login that is advised: one that a garbage
	// collection, or a lost packet, does not break.
	leastConnect = 250 * time.Millisecond
	// lockWait is the shortest wait for locks that there is. Rows of sessions are locked for
	// the time of one statement.
	lockWait = time.Second
)

// advise makes the configuration with a pool of that size, and says why.
func advise(r *Result, given mysqlsession.Config, size int) (mysqlsession.Config, []Advice) {
	cfg := withPool(given, size)
	waiting, longest := 0, 0.0
	for _, trial := range r.Trials {
		if trial.PoolSize == size {
			waiting, longest = max(waiting, trial.Waiting), max(longest, trial.Longest)
		}
	}
	o := r.Options
	each := o.Target.Rate / float64(o.Instances)
	queue := int(math.Ceil(each * o.Patience.Seconds()))
	cfg.Backlog = roundCount(max(queue, 2*waiting, 1))

	slowest := duration(slices.Max(r.Floor.Connects))
	cfg.ConnectTimeout = roundTime(max(safety*slowest, o.Patience, leastConnect))
	cfg.LockWaitTimeout = lockWait
	cfg.ReadTimeout = roundTime(lockWait + safety*duration(longest))
	cfg.SendTimeout = cfg.ReadTimeout

	return cfg, []Advice{
		{"PoolSize", fmt.Sprint(size), r.sizeReason(size)},
		{"Backlog", fmt.Sprint(cfg.Backlog), fmt.Sprintf(
			"%s requests/s / %d × %v that a caller may wait = %d (Little's law); twice the %d that waited at most here = %d; the larger, rounded up",
			number(o.Target.Rate), o.Instances, o.Patience, queue, waiting, 2*waiting)},
		{"ConnectTimeout", cfg.ConnectTimeout.String(), fmt.Sprintf(
			"the largest of %d × the slowest of %d logins, %v = %v; the %v that a caller may wait for a connection; %v; rounded up",
			safety, len(r.Floor.Connects), short(slowest), short(safety*slowest), o.Patience, leastConnect)},
		{"ReadTimeout", cfg.ReadTimeout.String(), fmt.Sprintf(
			"LockWaitTimeout, so that the server ends such a wait first, + %d × the slowest request, %v = %v; rounded up",
			safety, short(duration(longest)), short(lockWait+safety*duration(longest)))},
		{"SendTimeout", cfg.SendTimeout.String(), "as ReadTimeout: a request is no larger than a reply"},
		{"LockWaitTimeout", cfg.LockWaitTimeout.String(), "the shortest there is: a session's row is locked for one statement"},
	}
}

// sizeReason says what was measured with the size, and with its neighbours.
func (r *Result) sizeReason(size int) string {
	text := fmt.Sprintf("the smallest that kept p%v under %v at %s requests/s (%s and %.0f %% headroom), twice:",
		r.Options.Target.Percentile, r.Options.Target.Latency, number(r.Options.Target.Rate*(1+r.Options.Headroom)),
		number(r.Options.Target.Rate), 100*r.Options.Headroom)
	for _, trial := range r.Trials {
		if trial.PoolSize == size && trial.Met && (trial.Purpose == purposeSize || trial.Purpose == purposeConfirm) {
			text += " " + trial.latency() + ","
		}
	}
	for i, trial := range r.Trials {
		switch again := i+1 < len(r.Trials) && r.Trials[i+1].PoolSize == trial.PoolSize; {
		case trial.PoolSize < size && !trial.Met && !again:
			text += fmt.Sprintf(" %d had %s,", trial.PoolSize, trial.latency())
		case trial.PoolSize > size && trial.Purpose == purposeLarger:
			text += fmt.Sprintf(" %d has %s,", trial.PoolSize, trial.latency())
		}
	}
	return text + fmt.Sprintf(" at most %v", r.Room)
}

// latency is that at the target's percentile, for people.
func (t Trial) latency() string {
	if t.AtPercentile == nil {
		return "too many failures"
	}
	return short(duration(*t.AtPercentile)).String()
}

// withPool is the configuration with a pool of that size. What depends on the size and would
// not go with it gets its default.
func withPool(cfg mysqlsession.Config, size int) mysqlsession.Config {
	cfg.PoolSize = size
	for _, dependent := range []*int{&cfg.MinIdleConns, &cfg.MaxConcurrentDials, &cfg.CoalesceMaxLanes} {
		if *dependent > size {
			*dependent = 0
		}
	}
	return cfg
}

// roundCount is the next number with two digits.
func roundCount(n int) int {
	scale := 1
	for n/scale >= 100 {
		scale *= 10
	}
	return (n + scale - 1) / scale * scale
}

// roundTime is the next multiple of 50 ms, of 500 ms from a second, and of seconds from five.
func roundTime(d time.Duration) time.Duration {
	step := 50 * time.Millisecond
	switch {
	case d > 5*time.Second:
		step = time.Second
	case d > time.Second:
		step = 500 * time.Millisecond
	}
	return (d + step - 1) / step * step
}

// short is a duration with three digits or so.
func short(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	default:
		return d.Round(time.Microsecond)
	}
}

func duration(micros float64) time.Duration { return time.Duration(micros * 1e3) }
