package coalesce

import (
	"math/bits"
	"time"
)

const (
	// firstLanes is how many lanes there may be until something is known.
	firstLanes = 2
	// slowFactor is how many times its floor a batch must take to count as slow.
	slowFactor = 2
	// window is how long a floor is looked for, and how long at most it is believed
	// after that. It is short enough to forget a server that was nearer or quicker.
	window = 5 * time.Second
	// roundLeast is the least number of batches that a decision is made from.
	roundLeast = 16
	// sizes is how many classes of batches have floors of their own: 1, 2, 3 to 4, 5 to 8, ...
	sizes = 9
)

// lanes decides how many lanes there may be, from nothing but how long batches take.
//
// One more lane helps if what batches wait for is distance: the network's, or a disk's. They
// wait side by side, and those that arrive meanwhile wait less to be taken. It does harm if
// what they wait for is a processor, the server's or our own: then lanes only take turns,
// and each carries fewer calls for the same price. The two worlds show in the time that a
// batch takes compared with its floor, the least that one of its kind and size took lately:
// far from a processor's limits it stays there however many lanes there are, and near them
// it grows with every lane.
//
// So after each round of batches the limit goes up by one if calls had to wait and three
// quarters of the batches took less than twice their floor, and down by one if half of
// them took more. Counting the slow ones, and not averaging, keeps one that waited for a
// lock from deciding for all. On the way from a few lanes to many a round is a few
// batches a lane, so that takes some dozens of round trips.
//
// It is what TCP Vegas does with a window (Brakmo, Peterson: TCP Vegas, 1995), with lanes
// for segments.
type lanes struct {
	limit  int
	most   int
	floors [][sizes]floor // by kind

	// Of the current round.
	batches int
	slow    int
	wanted  bool // calls had to wait
}

// floor is the least time of one class of batches, in this window and the one before.
type floor struct {
	current, previous time.Duration
	since             time.Time // when the current window began
}

func newLanes(kinds, most int) lanes {
	return lanes{limit: min(firstLanes, most), most: most, floors: make([][sizes]floor, kinds)}
}

// observe takes how long a batch took that has just ended, and whether calls wait now.
func (l *lanes) observe(kind, calls int, took time.Duration, now time.Time, waiting bool) {
	class := min(bits.Len(uint(calls-1)), sizes-1)
	least := l.floors[kind][class].add(took, now)
	l.batches++
	l.wanted = l.wanted || waiting
	if took > slowFactor*least {
		l.slow++
	}
	if l.batches < max(roundLeast, 2*l.limit) {
		return
	}
	switch {
	case l.slow*2 > l.batches:
		l.limit = max(l.limit-1, 1)
	case l.slow*4 < l.batches && l.wanted:
		l.limit = min(l.limit+1, l.most)
	}
	l.batches, l.slow, l.wanted = 0, 0, false
}

// add takes a time in and returns the floor.
func (f *floor) add(took time.Duration, now time.Time) time.Duration {
	switch age := now.Sub(f.since); {
	case age > 2*window || f.current == 0:
		*f = floor{current: took, since: now}
	case age > window:
		*f = floor{current: took, previous: f.current, since: now}
	default:
		f.current = min(f.current, took)
	}
	if f.previous > 0 {
		return min(f.current, f.previous)
	}
	return f.current
}
