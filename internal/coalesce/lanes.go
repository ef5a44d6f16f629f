package coalesce

import "time"

const (
	// leastLanes is how many lanes there may be at first, and at least if so many may be
	// had. With a single one, a call that comes just after a batch has left waits for all
	// of it.
	leastLanes = 2
	// roundTime and roundBatches are how long a round is at least: in time, and in batches
	// for each lane. It is to be long enough for the mean to tell a few percent.
	roundTime    = 20 * time.Millisecond
	roundBatches = 8
	// patience is the most rounds between two trials. It bounds both what trials cost and
	// how long it takes to notice that the server is nearer now, or farther.
	patience = 8
	// gainLeast is what fewer lanes must save of a call's time, in percent. More lanes
	// must only not cost any: each may be a small gain on the way to a large one.
	gainLeast = 3
	// outlier is how many times the usual a call's time counts at most, so that one that
	// waited for a lock does not decide for all.
	outlier = 4
)

// lanes decides how many lanes there may be, from nothing but the time that calls take.
//
// One more lane helps if what batches wait for is distance: the network's, or a disk's. They
// wait side by side, and calls that come meanwhile wait less to be taken. It does harm if
// what they wait for is a processor, the server's or our own: then lanes only take turns,
// and each carries fewer calls for the same price. Where the best number is depends on the
// server, the way to it, and how many ask; no constant is right for two of them.
//
// So it is tried out. What is measured is what callers feel: the mean time from a call's
// arrival to its answer, wait included. After some rounds with the number that has proved
// best so far, there is one with half as many lanes more, or a third less. If calls are
// served sooner, that is the number from then on, and a further step in the same direction
// is tried at once, so that it takes a few rounds from two lanes to many. If not, the old
// number holds, and the next trial, in the other direction, comes after a pause that
// doubles each time. More lanes are tried only if calls had to wait, and fewer only
// compared with those that were really in use.
//
// A server that is merely noisy does not deceive it, since nothing is compared with a best
// case: both sides of a trial have the same noise.
type lanes struct {
	limit int // now
	most  int

	home  int           // the limit that has proved best
	usual time.Duration // a call's time with it; 0: not known
	up    bool          // the direction of this trial, or the next
	pause int           // rounds at home after the next trial that fails
	left  int           // rounds at home until the next trial

	round round
}

// round is what is known of the batches of the current round.
type round struct {
	began   time.Time
	batches int
	calls   int
	spent   time.Duration // by all calls, from arrival to answer
	used    int           // lanes that were in use at the same time
	waited  bool          // calls had to wait
}

func newLanes(most int) lanes {
	first := min(leastLanes, most)
	return lanes{limit: first, most: most, home: first, up: true, pause: 1, left: 1}
}

// observe takes in a batch that has just ended: when it began, how many calls it had, and
// the time that they spent from arrival to answer. So many lanes are in use, and calls may
// be waiting.
func (l *lanes) observe(began, now time.Time, calls int, spent time.Duration, used int, waiting bool) {
	r := &l.round
	if began.Before(r.began) { // with another number of lanes
		return
	}
	if l.usual > 0 {
		spent = min(spent, outlier*l.usual*time.Duration(calls))
	}
	if r.began.IsZero() {
		r.began = began
	}
	r.batches++
	r.calls += calls
	r.spent += spent
	r.used = max(r.used, used)
	r.waited = r.waited || waiting
	if r.batches >= roundBatches*l.limit && now.Sub(r.began) >= roundTime {
		l.decide(r.spent / time.Duration(r.calls))
		l.round = round{began: now}
	}
}

// decide takes the mean time of a round's calls, and sets the limit for the next round.
func (l *lanes) decide(took time.Duration) {
	if l.limit == l.home {
		if l.usual == 0 {
			l.usual = took
		}
		l.usual += (took - l.usual) / 4
		if l.left--; l.left <= 0 {
			l.try()
		}
		return
	}
	enough := l.usual
	if !l.up {
		enough -= l.usual * gainLeast / 100
	}
	if took < enough {
		l.home, l.usual, l.pause = l.limit, took, 1
		l.try()
		return
	}
	l.limit, l.up = l.home, !l.up
	l.left, l.pause = l.pause, min(2*l.pause, patience)
}

// try begins a trial, in the direction that is next if that can be.
func (l *lanes) try() {
	for range 2 {
		if l.limit = l.step(); l.limit != l.home {
			return
		}
		l.up = !l.up
	}
}

// step is the limit of a trial, or home if there is nothing to try.
func (l *lanes) step() int {
	if l.up {
		if !l.round.waited {
			return l.home
		}
		return min(l.home+max(1, l.home/2), l.most)
	}
	used := min(l.home, l.round.used)
	if fewer := used - max(1, used/3); fewer >= leastLanes {
		return fewer
	}
	return l.home
}
