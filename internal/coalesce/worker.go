package coalesce

import (
	"context"
	"runtime"
	"slices"
	"time"
)

// openPause is how long a worker that has got no lane waits before it asks again.
const openPause = 10 * time.Millisecond

// work serves those who wait, on one lane, until nobody does.
func (g *Group[T]) work(number int) {
	var calls []*Call[T]
	for {
		lane, err := g.config.Open(g.opening)
		if err != nil {
			g.giveUp(number, err)
			return
		}
		if lane != nil {
			calls = g.serve(number, lane, calls)
			lane.Close()
		}
		if g.retire(number) {
			return
		}
		if lane == nil {
			g.pause()
		}
	}
}

// pause keeps a worker from asking for a lane over and over where Open says at once that
// there is none.
func (g *Group[T]) pause() {
	select {
	case <-time.After(openPause):
	case <-g.opening.Done():
	}
}

// serve runs batches on a lane. It returns the slice that it used.
func (g *Group[T]) serve(number int, lane Lane[T], calls []*Call[T]) []*Call[T] {
	for {
		// Those whom the last batch has woken get to run first: what they ask for next can
		// be in this one. Where nobody else is ready to run it costs next to nothing.
		runtime.Gosched()
		ctx, cancel := context.WithCancel(g.ctx)
		if calls = g.take(number, calls[:0], lane.Budget(), cancel); len(calls) == 0 {
			cancel()
			return calls
		}
		lane.Run(ctx, calls)
		cancel()
		g.mu.Lock()
		// Not the calls that run alone: those may wait for a connection, or a login.
		g.running.Observe(time.Since(g.slots[number].began))
		g.ranLocked(number, len(calls))
		g.hireLocked()
		g.mu.Unlock()
		for i, c := range calls {
			calls[i] = nil // it is the caller's again
			c.done <- struct{}{}
		}
		if lane.Wanted() {
			return calls
		}
	}
}

// take takes the calls of the next batch: those of the kind whose first call has waited longest.
func (g *Group[T]) take(number int, calls []*Call[T], budget int, cancel context.CancelFunc) []*Call[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.resumeLocked(number)
	g.slots[number].opening = false
	if g.queued == 0 || g.busy > g.lanes.limit {
		return calls
	}
	now := time.Now()
	q, count := g.nextLocked(now, budget)
	for count == 0 {
		q, count = g.nextLocked(now, budget)
	}
	if fit := g.config.Kinds[q.first.Kind].Fit; fit != nil {
		count = fit(count)
	}
	b := &batch{cancel: cancel, calls: count}
	var waited time.Duration
	for range count {
		c := q.first
		g.dequeueLocked(c)
		c.state, c.batch = callRunning, b
		waited += now.Sub(c.since)
		calls = append(calls, c)
	}
	g.slots[number].began, g.slots[number].waited = now, waited
	g.steppedLocked(now, count)
	g.stat.WaitTime += waited
	g.stat.Batches++
	g.stat.Calls += int64(count)
	g.config.Backlog.Leave(count)
	return calls
}

// nextLocked says how many calls of which queue could be the next batch. Calls for which that
// would be in vain are told so. Somebody must be waiting; nobody may be left of the one queue
// that was looked at.
func (g *Group[T]) nextLocked(now time.Time, budget int) (q *queue[T], count int) {
	for i := range g.queues {
		if other := &g.queues[i]; other.first != nil && (q == nil || other.first.order < q.first.order) {
			q = other
		}
	}
	most := g.config.Kinds[q.first.Kind].MaxCalls
	for c := q.first; c != nil && count < most; {
		next := c.next
		if g.inVainLocked(c, now) {
			g.stat.TooLate++
			g.refuseLocked(c, g.config.ErrTooLate)
		} else {
			if budget -= c.Weight; budget < 0 && count > 0 {
				break
			}
			count++
		}
		c = next
	}
	return q, count
}

// retire ends a worker, unless there is work for it.
func (g *Group[T]) retire(number int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.queued > 0 && g.busy <= g.lanes.limit {
		g.slots[number].opening = true
		return false
	}
	g.vacateLocked(number)
	return true
}

// giveUp ends a worker whose lane could not be opened. If no other one serves those who
// wait, or is being opened to do so, they are told why.
func (g *Group[T]) giveUp(number int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.vacateLocked(number)
	if !g.servedLocked() {
		g.failLocked(err)
	}
}

// servedLocked reports whether a lane that is in use will soon serve those who wait. One
// that is held up in a batch may be so for longer than they wait; one that takes long to
// open still has their calls to do.
func (g *Group[T]) servedLocked() bool {
	return slices.ContainsFunc(g.slots, func(s slot) bool { return s.used && (s.opening || !s.stalled) })
}
