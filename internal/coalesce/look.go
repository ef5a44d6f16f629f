package coalesce

import "time"

// armLocked sets the timer that looks after those who wait.
func (g *Group[T]) armLocked(after time.Duration) {
	g.armed = true
	if g.timer == nil {
		g.timer = time.AfterFunc(after, g.look)
		return
	}
	g.timer.Reset(after)
}

// look fails the calls that have waited too long, and has other lanes take the place of
// those that are held up.
func (g *Group[T]) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed = false
	now := time.Now()
	next := stallAfter
	for i := range g.queues {
		// They all may wait for the same time, so the first is the first whose time is over.
		for q := &g.queues[i]; q.first != nil; {
			left := g.config.Timeout - now.Sub(q.first.since)
			if left > 0 {
				next = min(next, left)
				break
			}
			g.stat.TimedOut++
			g.refuseLocked(q.first, g.config.ErrTimeout)
		}
	}
	if g.queued == 0 || g.closed {
		return
	}
	g.armLocked(next)
	g.passLocked(now)
}

// passLocked marks lanes that are held up, and has others take their places.
func (g *Group[T]) passLocked(now time.Time) {
	for i := range g.slots {
		if s := &g.slots[i]; s.used && !s.stalled && now.Sub(s.began) >= stallAfter {
			s.stalled = true
			g.busy--
			g.hireLocked()
		}
	}
}
