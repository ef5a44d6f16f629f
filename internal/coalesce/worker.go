package coalesce

import (
	"context"
	"runtime"
	"time"
)

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
		kind := calls[0].Kind
		lane.Run(ctx, calls)
		cancel()
		g.mu.Lock()
		g.ranLocked(number, kind, len(calls))
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
	if g.queued == 0 || g.busy > g.lanes.limit {
		return calls
	}
	var q *queue[T]
	for i := range g.queues {
		if other := &g.queues[i]; other.first != nil && (q == nil || other.first.order < q.first.order) {
			q = other
		}
	}
	kind := &g.config.Kinds[q.first.Kind]
	count := 0
	for c := q.first; c != nil && count < kind.MaxCalls; c = c.next {
		if budget -= c.Weight; budget < 0 && count > 0 {
			break
		}
		count++
	}
	if kind.Fit != nil {
		count = kind.Fit(count)
	}
	now, b := time.Now(), &batch{cancel: cancel, calls: count}
	for range count {
		c := q.first
		g.dequeueLocked(c)
		c.state, c.batch = callRunning, b
		g.stat.WaitTime += now.Sub(c.since)
		calls = append(calls, c)
	}
	g.slots[number].began = now
	g.stat.Batches++
	g.stat.Calls += int64(count)
	g.config.Backlog.Leave(count)
	return calls
}

// retire ends a worker, unless there is work for it.
func (g *Group[T]) retire(number int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.queued > 0 && g.busy <= g.lanes.limit {
		return false
	}
	g.vacateLocked(number)
	return true
}

// giveUp ends a worker whose lane could not be opened. If it is the last one, those who
// wait are told why.
func (g *Group[T]) giveUp(number int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.vacateLocked(number)
	if g.busy == 0 {
		g.failLocked(err)
	}
}
