// Package admission bounds how many may use something at the same time, and how many may
// wait for it. It knows nothing of what is used.
package admission

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/pace"
)

// Errors of Enter.
var (
	ErrFull    = errors.New("backlog is full")
	ErrTimeout = errors.New("waited too long")
	ErrClosed  = errors.New("gate is closed")
	// ErrTooLate is for a caller whose context would end before it is through.
	ErrTooLate = errors.New("the wait is longer than the context's time")
)

// Gate admits a fixed number of holders. Who finds it full waits, first come first
// served, if the backlog has room. It is safe for concurrent use.
type Gate struct {
	// mu guards what follows. Under it nothing blocks: no I/O, no callback, no channel
	// that may be full.
	mu      sync.Mutex
	free    int
	parked  int // turns taken out of use
	backlog int // how many counted waiters there may be
	waiting int // counted waiters
	queue   list.List
	step    pace.Estimate // from one admission out of the queue to the next, lately
	stepped time.Time     // when the last one was; zero: nobody waited then
	hold    pace.Estimate // how long holders hold, lately
	closed  bool
	stat    Stat
}

// Stat is what a gate has seen.
type Stat struct {
	Waiting   int           // counted waiters now
	Waited    int64         // counted entries that had to wait, whatever became of them
	WaitTime  time.Duration // spent waiting by those that were admitted in the end
	Full      int64         // entries refused because the backlog was full
	TimedOut  int64         // waits that ended by their limit
	Cancelled int64         // waits that ended by their context, or entries that came with an ended one
	TooLate   int64         // entries refused because their context would have ended first
}

// waiter is one that waits. Its channel is closed when it is admitted, or when the gate
// is closed.
type waiter struct {
	admitted chan struct{}
	since    time.Time
	deadline time.Time // zero: none
	counted  bool
	refused  error // why it is not admitted
}

// New returns a gate for size holders at a time and backlog waiters; a negative backlog
// lets nobody wait.
func New(size, backlog int) *Gate { return &Gate{free: size, backlog: max(backlog, 0)} }

// Enter waits until the caller may hold, at most for limit. A caller that is not counted
// neither needs room in the backlog nor takes any: background work. waited reports
// whether there was a wait; an error leaves the caller outside.
func (g *Gate) Enter(ctx context.Context, limit time.Duration, counted bool) (waited bool, err error) {
	ended := ctx.Err()
	deadline, _ := ctx.Deadline()
	g.mu.Lock()
	switch {
	case g.closed:
		g.mu.Unlock()
		return false, ErrClosed
	case ended != nil:
		g.stat.Cancelled++
		g.mu.Unlock()
		return false, ended
	case g.free > 0:
		g.free--
		g.mu.Unlock()
		return false, nil
	case counted && g.waiting >= g.backlog:
		g.stat.Full++
		g.mu.Unlock()
		return false, ErrFull
	case counted && g.tooLateLocked(deadline):
		g.stat.TooLate++
		g.mu.Unlock()
		return false, ErrTooLate
	}
	w := &waiter{admitted: make(chan struct{}), counted: counted, since: time.Now(), deadline: deadline}
	place := g.queue.PushBack(w)
	if counted {
		g.stat.Waited++
		g.waiting++
	}
	g.mu.Unlock()
	return true, g.wait(ctx, limit, w, place)
}

// tooLateLocked reports whether a caller that would have to wait can be told now that it
// would be served too late: everybody ahead has a turn first, and then it has its own. Where
// nobody has moved yet there is no pace that says so, and one waits: whoever is turned away
// might have been served.
func (g *Gate) tooLateLocked(deadline time.Time) bool {
	return !deadline.IsZero() && g.step.Known() &&
		time.Until(deadline) < pace.Sum(float64(g.queue.Len()), &g.step, &g.hold)
}

// inVainLocked reports whether a turn would be in vain for one that waits, since its context
// will end within it. The last one in the queue has its turn all the same: without turns
// nobody would learn that they have become shorter.
func (g *Gate) inVainLocked(w *waiter, now time.Time) bool {
	return !w.deadline.IsZero() && w.counted && g.queue.Len() > 0 && w.deadline.Sub(now) < g.hold.Likely()
}

// steppedLocked takes in that one of those who wait has been admitted.
func (g *Gate) steppedLocked(now time.Time) {
	if !g.stepped.IsZero() {
		g.step.Observe(now.Sub(g.stepped))
	}
	g.stepped = now
	g.emptiedLocked()
}

// emptiedLocked forgets the pace of a queue that is empty: when the next one will be admitted
// says nothing of a queue.
func (g *Gate) emptiedLocked() {
	if g.queue.Len() == 0 {
		g.stepped = time.Time{}
		g.step.Forget()
	}
}

// Park takes the caller's turn out of use until Unpark, because it turned out to be worth
// nothing, and has the caller wait for another one, at most for limit and before all who
// wait already. An error leaves the caller outside. parked is called once the turn is out
// of use, before the wait: whoever sees to Unpark must not do so earlier.
func (g *Gate) Park(ctx context.Context, limit time.Duration, parked func()) error {
	g.mu.Lock()
	g.parked++
	if g.closed {
		g.mu.Unlock()
		return ErrClosed
	}
	var w *waiter
	var place *list.Element
	if g.free > 0 {
		g.free--
	} else {
		w = &waiter{admitted: make(chan struct{}), counted: true, since: time.Now()}
		place = g.queue.PushFront(w)
		g.stat.Waited++
		g.waiting++
	}
	g.mu.Unlock()
	parked()
	if w == nil {
		return nil
	}
	return g.wait(ctx, limit, w, place)
}

// Unpark puts every parked turn into use again.
func (g *Gate) Unpark() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ; g.parked > 0; g.parked-- {
		g.passLocked()
	}
}

func (g *Gate) wait(ctx context.Context, limit time.Duration, w *waiter, place *list.Element) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	select {
	case <-w.admitted:
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = ErrTimeout
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-w.admitted:
		if w.refused != nil {
			return w.refused // and counted already, if it is to be
		}
		if err != nil { // admitted in the moment that it gave up: its turn is the next one's
			g.passLocked()
		}
	default:
		g.queue.Remove(place)
		g.emptiedLocked()
		if w.counted {
			g.waiting--
		}
	}
	switch {
	case err == nil && w.counted:
		g.stat.WaitTime += time.Since(w.since)
	case errors.Is(err, ErrTimeout) && w.counted:
		g.stat.TimedOut++
	case err != nil && w.counted:
		g.stat.Cancelled++
	}
	return err
}

// Join counts one more that waits, elsewhere, for what a holder will do for it. It takes
// room in the backlog as a counted waiter does, until Depart.
func (g *Gate) Join() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return ErrClosed
	case g.waiting >= g.backlog:
		g.stat.Full++
		return ErrFull
	}
	g.waiting++
	return nil
}

// Depart says that so many of those that joined do not wait any more.
func (g *Gate) Depart(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting -= n
}

// Contended reports whether anybody waits to enter.
func (g *Gate) Contended() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.queue.Len() > 0
}

// Leave ends a hold, which has lasted so long; 0: it says nothing of others. The one that has
// waited longest gets its turn, of those for whom it would not be in vain.
func (g *Gate) Leave(held time.Duration) {
	g.mu.Lock()
	if held > 0 {
		g.hold.Observe(held)
	}
	g.passLocked()
	g.mu.Unlock()
}

func (g *Gate) passLocked() {
	for {
		first := g.queue.Front()
		if first == nil {
			g.free++
			return
		}
		w := g.queue.Remove(first).(*waiter)
		if w.counted {
			g.waiting--
		}
		now := time.Now()
		if !g.inVainLocked(w, now) {
			g.steppedLocked(now)
			close(w.admitted)
			return
		}
		g.stat.TooLate++
		w.refused = ErrTooLate
		close(w.admitted)
	}
}

// Close refuses everyone who waits or comes from now on. Holders go on.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for e := g.queue.Front(); e != nil; e = g.queue.Front() {
		w := g.queue.Remove(e).(*waiter)
		w.refused = ErrClosed
		if w.counted {
			g.waiting--
		}
		close(w.admitted)
	}
}

// Stat returns a snapshot.
func (g *Gate) Stat() Stat {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stat
	s.Waiting = g.waiting
	return s
}
