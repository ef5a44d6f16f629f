package coalesce

import "math"

// FixLanes has so many lanes from now on, whatever batches take.
func (g *Group[T]) FixLanes(count int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lanes.limit, g.lanes.round.batches = count, math.MinInt/2 // the round never ends
}
