package coalesce

import "time"

const (
	// leastLanes is how many lanes there may be at first, and at least if so many may be
	// had. With a single one, a call that comes just after a batch has left waits for all
	// of it.
	leastLanes = 2
	// roundTime and roundBatches are how long a round is at least: in time, and in batches
	// for each lane. It is to be long enough for the mean to tell some percent.
	roundTime    = 20 * time.Millisecond
	roundBatches = 8
	// patience is the most rounds between two trials. It bounds what trials cost, and how
	// long it takes to notice that a few lanes more or less would do better now.
	patience = 8
	// What a trial must save of a call's time to be kept, in percent. Near a server more
	// lanes may be a small gain on the way to a large one, and fewer that are about as good
	// are no gain. Far from it more lanes are kept unless they do harm.
	nearMoreMustSave  = 1
	nearFewerMustSave = 3
	farMoreMustSave   = -3
	farFewerMustSave  = 5
	// distance is how long a batch must take at the least for the way there and back, or a
	// slow disk, to be most of it: a statement by itself costs the processors of both sides
	// some 100 us, and a transaction with its commit on a good disk up to 500.
	distance = 750 * time.Microsecond
	// window is how long the least time of a batch is looked for, and how long it is
	// believed after that.
	window = 5 * time.Second
	// outlier is how many times the usual a call's time counts at most, so that one that
	// waited for a lock does not decide for all.
	outlier = 4
	// upheaval is how many times longer or shorter than usual calls must take for what
	// was tried before to mean nothing any more.
	upheaval = 2
)

// lanes decides how many lanes there may be, from nothing but the time that calls take.
//
// One more lane helps if what batches wait for is distance: the network's, or a disk's. They
// wait side by side, and calls that come meanwhile wait less to be taken. It does harm if
// what they wait for is a processor, the server's or our own: then lanes only take turns,
// and each carries fewer calls for the same price. Which number is best depends on the
// server, the way to it, and how many ask; none is right for all.
//
// So it is tried out, by what callers feel: the mean time from a call's arrival to its
// answer. Home is the number that has proved best. Now and then there is a round with half
// as many lanes more, or a third less, and then one at home again, since the load may have
// changed meanwhile. If calls were served sooner than in the rounds at home before and after,
// the trial's number is home, and a further step the same way is tried at once: from two
// lanes to many it takes about a dozen rounds. If not, the next trial goes the other way, after a
// pause that doubles each time. More lanes are tried only if calls had to wait, and fewer
// only counted from those that were really in use.
//
// Where a trial is neither better nor worse by more than chance makes of a round, distance
// decides. If even the quickest of the batches lately took so long that nearly all of it was
// waiting, one more lane costs nearly nothing and spares a wait: then all are the first
// guess. Near by it costs a statement more, so it must help.
//
// Nothing is compared with another kind or size of batch. A server that is merely noisy, or
// whose commits wait for one another, is so in all rounds.
type lanes struct {
	limit int // now
	most  int

	home  int           // the limit that has proved best
	usual time.Duration // a call's time at home; 0: not known
	up    bool          // the direction of this trial, or the next
	pause int           // rounds at home after the next trial that fails
	left  int           // rounds at home until the next trial

	least least // the least time of a batch lately
	away  bool  // the server was far when the last round ended

	trial int           // the limit that was tried last
	tried time.Duration // a call's time with it; 0: it is decided

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

// least is the least of the times in this window and the one before.
type least struct {
	current, previous time.Duration
	since             time.Time // when the current window began
}

func (l *least) add(took time.Duration, now time.Time) {
	switch age := now.Sub(l.since); {
	case age > 2*window || l.current == 0:
		*l = least{current: took, since: now}
	case age > window:
		*l = least{current: took, previous: l.current, since: now}
	default:
		l.current = min(l.current, took)
	}
}

func (l *least) get() time.Duration {
	if l.previous > 0 {
		return min(l.current, l.previous)
	}
	return l.current
}

// far reports whether what batches wait for is mostly distance.
func (l *lanes) far() bool { return l.least.get() >= distance }

func newLanes(most int) lanes {
	first := min(leastLanes, most)
	return lanes{limit: first, most: most, home: first, up: true, pause: 1, left: 1}
}

// observe takes in a batch that has just ended: when it began, how many calls it had, and
// the time that they spent from arrival to answer. So many lanes are in use, and calls may
// be waiting.
func (l *lanes) observe(began, now time.Time, calls int, spent time.Duration, used int, waiting bool) {
	l.least.add(now.Sub(began), now)
	r := &l.round
	if began.Before(r.began) { // in the round before, maybe with another limit
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
	if moved := l.far() != l.away; moved {
		l.away = !l.away
		if l.away {
			// All lanes are the better guess to begin with, and fewer are tried from there.
			l.limit, l.home, l.tried, l.up = l.most, l.most, 0, false
			l.usual, l.pause, l.left = 0, 1, 1
			return
		}
	}
	switch {
	case l.limit != l.home:
		l.trial, l.tried = l.limit, took
		l.limit = l.home
	case l.tried > 0:
		before := l.usual
		l.learn(took)
		l.judge((before + took) / 2)
	default:
		l.learn(took)
		if l.left--; l.left <= 0 {
			l.try()
		}
	}
}

// learn takes in what a round at home took.
func (l *lanes) learn(took time.Duration) {
	if took > upheaval*l.usual || took*upheaval < l.usual {
		l.usual, l.pause, l.left = took, 1, 1
	}
	l.usual += (took - l.usual) / 4
}

// judge ends a trial, beside which calls took so long at home.
func (l *lanes) judge(atHome time.Duration) {
	tried, mustSave := l.tried, l.mustSave()
	l.tried = 0
	if tried < atHome*(100-mustSave)/100 {
		l.home, l.usual, l.pause = l.trial, tried, 1
		l.try()
		return
	}
	l.up = !l.up
	l.left, l.pause = l.pause, min(2*l.pause, patience)
}

// mustSave is what a trial must save of a call's time, in percent.
func (l *lanes) mustSave() time.Duration {
	switch far := l.far(); {
	case l.up && far:
		return farMoreMustSave
	case l.up:
		return nearMoreMustSave
	case far:
		return farFewerMustSave
	default:
		return nearFewerMustSave
	}
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
	if l.far() && !l.round.waited {
		return l.home // nobody would be better company
	}
	used := min(l.home, l.round.used)
	if fewer := used - max(1, used/3); fewer >= leastLanes {
		return fewer
	}
	return l.home
}
