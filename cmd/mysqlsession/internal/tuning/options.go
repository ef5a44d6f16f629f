package tuning

import (
	"fmt"
	"time"
)

// Options say what is searched for, and how.
type Options struct {
	Target Target `json:"target"`
	// Instances is how many processes share the server and the rate. Each has a pool.
	Instances int `json:"instances"`
	// Headroom is the share by which the rate is higher when pool sizes are tried.
	Headroom float64 `json:"headroom"`
	// Patience is how long a caller may wait in a stall before an error serves it better.
	Patience time.Duration `json:"patience_ns"`
	// Limit bounds the time of the search.
	Limit time.Duration `json:"limit_ns"`
}

const (
	mostInstances = 64
	// patienceFactor is how many times the target's latency a caller waits unless told otherwise.
	patienceFactor = 20
	// The bounds of what follows from that.
	leastPatience = 100 * time.Millisecond
	mostPatience  = 5 * time.Second
)

// DefaultPatience is what follows from a target.
func DefaultPatience(t Target) time.Duration {
	return min(max(patienceFactor*t.Latency, leastPatience), mostPatience)
}

// Validate reports what cannot be searched for.
func (o Options) Validate() error {
	if err := o.Target.Validate(); err != nil {
		return err
	}
	switch {
	case o.Instances < 1 || o.Instances > mostInstances:
		return fmt.Errorf("instances is %d, must be from 1 to %d", o.Instances, mostInstances)
	case !(o.Headroom >= 0 && o.Headroom <= 2):
		return fmt.Errorf("headroom is %v, must be from 0 to 2", o.Headroom)
	case o.Patience < time.Millisecond || o.Patience > time.Hour:
		return fmt.Errorf("patience is %v, must be from %v to %v", o.Patience, time.Millisecond, time.Hour)
	case o.Limit < time.Second || o.Limit > time.Hour:
		return fmt.Errorf("limit is %v, must be from %v to %v", o.Limit, time.Second, time.Hour)
	}
	return nil
}

// Room is how many connections each instance may have, and how that comes about.
type Room struct {
	MaxConnections int `json:"max_connections"`
	Others         int `json:"others"` // connected already
	Reserve        int `json:"reserve"`
	Instances      int `json:"instances"`
	Each           int `json:"each"`
}

// leastReserve is how many connections are left for administration and whatever else comes.
const leastReserve = 10

// mostPool is the largest pool that is tried: a server has long had enough to do then.
const mostPool = 512

// newRoom divides a server's connections.
func newRoom(maxConnections, others, instances int) Room {
	r := Room{MaxConnections: maxConnections, Others: others, Instances: instances}
	r.Reserve = max(leastReserve, (maxConnections+9)/10)
	r.Each = max(0, (maxConnections-r.Reserve-others)/instances)
	return r
}

// String is the arithmetic.
func (r Room) String() string {
	return fmt.Sprintf("(max_connections %d - reserve %d - others %d) / %d = %d for each instance",
		r.MaxConnections, r.Reserve, r.Others, r.Instances, r.Each)
}

// sizes are those of pools that are tried, from small to large.
func (r Room) sizes() (sizes []int) {
	most := min(r.Each, mostPool)
	if most == 1 {
		return []int{1}
	}
	for size := 2; size <= most; size *= 2 {
		sizes = append(sizes, size)
	}
	return sizes
}
