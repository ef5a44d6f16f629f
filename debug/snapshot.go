package debug

import (
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// Snapshot is what the page is drawn from, as snapshot.json has it. Counts are since their
// pool, or the recorder, was made: what happened meanwhile is the difference of two snapshots.
type Snapshot struct {
	Elapsed float64        `json:"elapsed"` // milliseconds since the page was made
	Pools   []PoolSnapshot `json:"pools"`   // in the order in which the page was given them
}

// PoolSnapshot is what is known of one pool.
type PoolSnapshot struct {
	Stat  mysqlsession.Stat `json:"stat"`            // durations in nanoseconds
	Calls *Calls            `json:"calls,omitempty"` // nil: nobody records them
}

// Calls is what a recorder has counted of a pool.
type Calls struct {
	// Answered is the calls that had their answer, by duration.
	Answered []Bucket `json:"answered"`
	// Rejected is how many calls were turned away: the backlog was full, or the wait would
	// have been, or was, too long.
	Rejected uint64 `json:"rejected"`
	// Failed is how many ended with any other error, that of their own context included.
	Failed uint64 `json:"failed"`
	// Batches is how many batches there were, by how many calls they served.
	Batches []Batches `json:"batches"`
}

// Bucket is a Count of calls that took From, in nanoseconds, or longer, but less than To. What
// took less than all buckets is in the first, what took more is in the last.
type Bucket struct {
	From  time.Duration `json:"from"`
	To    time.Duration `json:"to"`
	Count uint64        `json:"count"`
}

// Batches is a Count of batches that served so many calls each.
type Batches struct {
	Calls int    `json:"calls"`
	Count uint64 `json:"count"`
}

// Snapshot returns the pools' figures as they are now.
func (p *Page) Snapshot() Snapshot {
	s := Snapshot{Elapsed: float64(time.Since(p.began).Microseconds()) / 1000, Pools: []PoolSnapshot{}}
	for _, pool := range p.pools() {
		if pool == nil {
			continue
		}
		one := PoolSnapshot{Stat: pool.Stat()}
		if p.recorder != nil {
			one.Calls = p.recorder.calls(one.Stat.Pool)
		}
		s.Pools = append(s.Pools, one)
	}
	return s
}
