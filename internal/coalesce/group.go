// Package coalesce combines calls that wait at the same moment into batches. It knows
// nothing of what the calls do, and does no I/O.
//
// The contract with callers:
//
//  1. A call that finds a lane free runs at once, on its own goroutine and with its own
//     context, between Begin and End. It waits for no company.
//  2. A call that finds all lanes in use waits. The next lane that is free takes what has
//     come by then, in the order of arrival, oldest kind first, as one batch.
//  3. A batch is taken when its lane is ready to run it. A call that comes later is never
//     in it: a read that starts after a write returned cannot have been read before it.
//  4. Calls of one batch are given to Run in the order of their arrival.
//  5. A caller whose context ends leaves at once: out of the queue as if it had never come,
//     out of a batch with ErrLeftBatch, while the batch goes on. A batch that everybody
//     has left is given a short time to end by itself, so that its lane can be used again.
//  6. A batch holds at most its kind's number of calls, and at most its lane's budget of
//     weight, but always one call.
//  7. A lane that cannot be opened leaves the calls to the others. The last one tells
//     everybody who waits why.
//  8. A caller whose context will end before its call is through, as the queue moves now, is
//     told at once; and when its turn comes, if its batch would take too long for it.
//  9. A lane that is held up, by a lock on the server for instance, does not hold up those
//     who wait: another one takes its place until it goes on.
package coalesce

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/pace"
)

// Errors of Wait for a caller whose context ended.
var (
	ErrLeftQueue = errors.New("left before the call was run")
	ErrLeftBatch = errors.New("left while the call was being run")
)

const (
	// abandonedGrace is how long a batch that everybody has left may take to end.
	abandonedGrace = 250 * time.Millisecond
	// stallAfter is how long a lane may be busy with one batch and still count as one
	// that will soon be free. Where batches take longer because the server is that far
	// away, the lanes become as many as they may, as is right there.
	stallAfter = 50 * time.Millisecond
)

// Lane is what batches run on, one at a time.
type Lane[T any] interface {
	// Budget is the most weight that a batch may have.
	Budget() int
	// Run does the calls' work and sets their values and errors. It returns soon after
	// ctx ends.
	Run(ctx context.Context, calls []*Call[T])
	// Wanted reports whether others wait for what the lane holds. It is closed and opened
	// anew then, which lets them pass.
	Wanted() bool
	// Close gives back what the lane holds.
	Close()
}

// Backlog bounds how many calls may wait. It is called with the group's lock held.
type Backlog interface {
	Join() error     // one more wants to wait
	Leave(calls int) // so many do not wait any more
}

// Kind is what is true of all calls of one kind.
type Kind struct {
	// MaxCalls is the most calls of a batch.
	MaxCalls int
	// Fit says how many of n calls that could be taken make a good batch, from 1 to n.
	// nil: all.
	Fit func(n int) int
}

// Config says what a group works with.
type Config[T any] struct {
	Kinds    []Kind
	MaxLanes int
	// Open makes a lane ready. Neither a lane nor an error: try again, if somebody waits.
	Open    func(ctx context.Context) (Lane[T], error)
	Backlog Backlog
	// Timeout is how long a call may wait to be taken into a batch; then it gets ErrTimeout.
	Timeout    time.Duration
	ErrTimeout error
	// ErrTooLate is for calls whose context would end before they are through. nil: they
	// wait for that.
	ErrTooLate error
	// ErrClosed is for calls that wait when the group is closed, or come later.
	ErrClosed error
	// CloseGrace is how long batches may go on when the group is closed. Then their contexts
	// end, with ErrClosed as the cause.
	CloseGrace time.Duration
}

// Group combines calls. It is safe for concurrent use.
type Group[T any] struct {
	config  Config[T]
	ctx     context.Context // the batches'
	cancel  context.CancelCauseFunc
	opening context.Context // Open's, which ends first
	refuse  context.CancelFunc
	workers sync.WaitGroup

	// mu guards what follows. Nothing blocks under it.
	mu      sync.Mutex
	queues  []queue[T] // by kind
	queued  int        // calls in all of them
	arrived uint64
	slots   []slot // one for each lane that there may be
	free    []int  // slots that are not in use
	busy    int    // slots in use by lanes that are not held up
	lanes   lanes
	step    pace.Estimate // from one batch that is taken to the next, lately
	taken   float64       // calls in those, on average
	stepped time.Time     // when the last one was; zero: nobody waited behind it
	running pace.Estimate // how long batches run, lately
	timer   *time.Timer   // looks after those who wait; nil until the first one does
	armed   bool
	closed  bool
	stat    Stat
}

// slot is a lane, seen from the group.
type slot struct {
	used    bool
	began   time.Time     // when what it does now began
	waited  time.Duration // by the calls of its batch, together
	stalled bool          // it is held up, and does not count as busy
	opening bool          // it is being opened for those who wait
}

// Stat is what a group has done, and does now.
type Stat struct {
	Waiting   int           // calls that wait to be taken into a batch
	Lanes     int           // in use
	LaneLimit int           // that may be in use
	Alone     int64         // calls that found a lane free
	Batches   int64         // batches run
	Calls     int64         // calls in them
	WaitTime  time.Duration // spent waiting by those
	TooLate   int64         // calls that got ErrTooLate
	TimedOut  int64         // calls that got ErrTimeout
	Left      int64         // calls whose caller left the queue
}

// Add adds the figures of another group.
func (s *Stat) Add(other Stat) {
	s.Waiting += other.Waiting
	s.Lanes += other.Lanes
	s.LaneLimit += other.LaneLimit
	s.Alone += other.Alone
	s.Batches += other.Batches
	s.Calls += other.Calls
	s.WaitTime += other.WaitTime
	s.TooLate += other.TooLate
	s.TimedOut += other.TimedOut
	s.Left += other.Left
}

// New returns a group.
func New[T any](config Config[T]) *Group[T] {
	g := &Group[T]{
		config: config,
		queues: make([]queue[T], len(config.Kinds)),
		slots:  make([]slot, config.MaxLanes),
		lanes:  newLanes(config.MaxLanes),
	}
	for i := range g.slots {
		g.free = append(g.free, len(g.slots)-1-i)
	}
	g.ctx, g.cancel = context.WithCancelCause(context.Background())
	g.opening, g.refuse = context.WithCancel(g.ctx)
	return g
}

// batch is a set of calls that run together.
type batch struct {
	cancel context.CancelFunc
	calls  int
	left   int // callers that have left
}

// Begin takes a lane if one is free and nobody waits. Then the caller runs its call itself,
// and calls End with the lane's number.
func (g *Group[T]) Begin() (lane int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.queued > 0 || !g.roomLocked() {
		return 0, false
	}
	g.stat.Alone++
	return g.occupyLocked(), true
}

// End gives a lane back, on which one call has run.
func (g *Group[T]) End(lane int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ranLocked(lane, 1)
	g.vacateLocked(lane)
	g.hireLocked()
}

// roomLocked reports whether another lane may be in use.
func (g *Group[T]) roomLocked() bool { return g.busy < g.lanes.limit && len(g.free) > 0 }

func (g *Group[T]) occupyLocked() int {
	last := len(g.free) - 1
	lane := g.free[last]
	g.free = g.free[:last]
	g.slots[lane] = slot{used: true, began: time.Now()}
	g.busy++
	return lane
}

func (g *Group[T]) vacateLocked(lane int) {
	if !g.slots[lane].stalled {
		g.busy--
	}
	g.slots[lane] = slot{}
	g.free = append(g.free, lane)
}

// ranLocked notes that so many calls have run on a lane, and that it goes on if it was
// held up.
func (g *Group[T]) ranLocked(lane, calls int) {
	now := time.Now()
	s := &g.slots[lane]
	spent := s.waited + time.Duration(calls)*now.Sub(s.began)
	g.lanes.observe(s.began, now, calls, spent, g.busy, g.queued > 0)
	s.began, s.waited = now, 0
	g.resumeLocked(lane)
}

// resumeLocked counts a lane that was held up as busy again.
func (g *Group[T]) resumeLocked(lane int) {
	if g.slots[lane].stalled {
		g.slots[lane].stalled = false
		g.busy++
	}
}

// hireLocked has workers serve those who wait, if lanes are free.
func (g *Group[T]) hireLocked() {
	if g.queued > 0 && g.roomLocked() {
		lane := g.occupyLocked()
		g.slots[lane].opening = true
		g.workers.Go(func() { g.work(lane) })
	}
}

// Wait has the call run in a batch and returns its error.
func (g *Group[T]) Wait(ctx context.Context, c *Call[T]) error {
	if ctx.Err() != nil {
		return ErrLeftQueue
	}
	if err := g.enqueue(ctx, c); err != nil {
		return err
	}
	if ctx.Done() == nil {
		<-c.done
		return c.Err
	}
	select {
	case <-c.done:
		return c.Err
	case <-ctx.Done():
		return g.leave(c)
	}
}

func (g *Group[T]) enqueue(ctx context.Context, c *Call[T]) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return g.config.ErrClosed
	}
	deadline, _ := ctx.Deadline()
	if g.tooLateLocked(deadline) {
		g.stat.TooLate++
		return g.config.ErrTooLate
	}
	if err := g.config.Backlog.Join(); err != nil {
		return err
	}
	g.arrived++
	c.state, c.order, c.since, c.deadline, c.batch, c.Err = callQueued, g.arrived, time.Now(), deadline, nil, nil
	g.queues[c.Kind].push(c)
	g.queued++
	if !g.armed {
		g.armLocked(min(g.config.Timeout, stallAfter))
	}
	g.hireLocked()
	return nil
}

// tooLateLocked reports whether a call can be told now that it would be served too late:
// those ahead are taken in batches, and then its own batch runs. Where nobody has been taken
// yet there is no pace that says so, and one waits: whoever is turned away might have been
// served.
func (g *Group[T]) tooLateLocked(deadline time.Time) bool {
	return !deadline.IsZero() && g.step.Known() && g.config.ErrTooLate != nil &&
		time.Until(deadline) < pace.Sum(float64(g.queued)/g.taken, &g.step, &g.running)
}

// inVainLocked reports whether a batch would be in vain for a call, since its context will
// end while it runs. The last call in the queue runs all the same: without batches nobody
// would learn that they take less time again.
func (g *Group[T]) inVainLocked(c *Call[T], now time.Time) bool {
	return !c.deadline.IsZero() && g.queued > 1 && g.config.ErrTooLate != nil && c.deadline.Sub(now) < g.running.Likely()
}

// takenOver is over how many batches the calls in them are averaged.
const takenOver = 8

// steppedLocked takes in that so many calls have been taken.
func (g *Group[T]) steppedLocked(now time.Time, calls int) {
	if !g.stepped.IsZero() {
		if !g.step.Known() {
			g.taken = float64(calls)
		}
		g.taken += (float64(calls) - g.taken) / takenOver
		g.step.Observe(now.Sub(g.stepped))
	}
	g.stepped = now
	g.emptiedLocked()
}

// emptiedLocked forgets the pace of a queue that is empty: when the next call will be taken
// says nothing of a queue.
func (g *Group[T]) emptiedLocked() {
	if g.queued == 0 {
		g.stepped = time.Time{}
		g.step.Forget()
	}
}

// leave takes a caller out whose context has ended.
func (g *Group[T]) leave(c *Call[T]) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.state == callQueued {
		g.dequeueLocked(c)
		g.emptiedLocked()
		c.state = callIdle
		g.stat.Left++
		g.config.Backlog.Leave(1)
		return ErrLeftQueue
	}
	select {
	case <-c.done: // in the same moment
		return c.Err
	default:
	}
	b := c.batch
	if b.left++; b.left == b.calls {
		time.AfterFunc(abandonedGrace, b.cancel)
	}
	return ErrLeftBatch
}

func (g *Group[T]) dequeueLocked(c *Call[T]) {
	g.queues[c.Kind].remove(c)
	g.queued--
}

// Refuse gives everybody who waits now an error.
func (g *Group[T]) Refuse(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failLocked(err)
}

// failLocked gives everybody who waits an error.
func (g *Group[T]) failLocked(err error) {
	for i := range g.queues {
		for q := &g.queues[i]; q.first != nil; {
			g.refuseLocked(q.first, err)
		}
	}
}

func (g *Group[T]) refuseLocked(c *Call[T], err error) {
	g.dequeueLocked(c)
	g.emptiedLocked()
	g.config.Backlog.Leave(1)
	c.state, c.Err = callIdle, err
	c.done <- struct{}{}
}

// Stat returns a snapshot.
func (g *Group[T]) Stat() Stat {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stat
	s.Waiting, s.Lanes, s.LaneLimit = g.queued, len(g.slots)-len(g.free), g.lanes.limit
	return s
}

// Close gives everybody who waits ErrClosed, and waits for the batches that are being run:
// after CloseGrace their contexts end. Calls between Begin and End are not waited for.
func (g *Group[T]) Close() {
	g.mu.Lock()
	g.closed = true
	g.failLocked(g.config.ErrClosed)
	if g.timer != nil {
		g.timer.Stop()
	}
	g.mu.Unlock()
	g.refuse()
	end := time.AfterFunc(g.config.CloseGrace, func() { g.cancel(g.config.ErrClosed) })
	g.workers.Wait()
	end.Stop()
	g.cancel(nil)
}
