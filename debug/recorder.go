package debug

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/mysqlsession/mysqlsession"
)

const (
	// mostPools is how many pools, by name, a recorder tells apart. Further ones are not
	// recorded, so that names that never end do not fill the memory.
	mostPools = 64
	// largestBatch is how many calls a batch may have, which the library bounds.
	largestBatch = 128
)

// Recorder counts how long the calls of stores take, how they end, and how large batches
// are: what a pool's own figures do not tell. Its memory is bounded, some 15 KiB for each
// pool, and a call costs it less than 100 ns. It is safe for concurrent use. One recorder may serve
// several stores; those on pools of one name are counted together.
type Recorder struct {
	series atomic.Pointer[map[string]*series] // replaced as a whole
	adding sync.Mutex                         // while it is replaced
}

// series is what is recorded of a pool.
type series struct {
	answered histogram
	rejected atomic.Uint64
	failed   atomic.Uint64
	batches  [largestBatch + 1]atomic.Uint64 // by calls
}

// NewRecorder makes a recorder.
func NewRecorder() *Recorder {
	r := &Recorder{}
	r.series.Store(&map[string]*series{})
	return r
}

// Trace is what to set in Config so that the recorder is told. Others that want to be told
// as well are given to it; any of them may be nil.
func (r *Recorder) Trace(others ...*mysqlsession.Trace) *mysqlsession.Trace {
	own := &mysqlsession.Trace{Call: r.call, Batch: r.batch}
	return mysqlsession.JoinTraces(own, mysqlsession.JoinTraces(others...))
}

func (r *Recorder) call(_ context.Context, info mysqlsession.CallInfo) {
	s := r.of(info.Pool)
	switch {
	case s == nil:
	case info.Err == nil || errors.Is(info.Err, mysqlsession.ErrNotFound):
		s.answered.add(info.Duration)
	case errors.Is(info.Err, mysqlsession.ErrBacklogFull) || errors.Is(info.Err, mysqlsession.ErrAcquireTimeout):
		s.rejected.Add(1)
	default:
		s.failed.Add(1)
	}
}

func (r *Recorder) batch(info mysqlsession.BatchInfo) {
	if s := r.of(info.Pool); s != nil {
		s.batches[min(info.Calls, largestBatch)].Add(1)
	}
}

// of is what is recorded of a pool; nil if there are too many.
func (r *Recorder) of(pool string) *series {
	if s := (*r.series.Load())[pool]; s != nil {
		return s
	}
	r.adding.Lock()
	defer r.adding.Unlock()
	old := *r.series.Load()
	if s := old[pool]; s != nil || len(old) >= mostPools {
		return s
	}
	grown, s := maps.Clone(old), &series{}
	grown[pool] = s
	r.series.Store(&grown)
	return s
}

// calls is a snapshot of what is recorded of a pool.
func (r *Recorder) calls(pool string) *Calls {
	c := &Calls{Answered: []Bucket{}, Batches: []Batches{}}
	s := (*r.series.Load())[pool]
	if s == nil {
		return c
	}
	for b, count := range s.answered.sums() {
		if count > 0 {
			c.Answered = append(c.Answered, Bucket{lowerBound(b), lowerBound(b + 1), count})
		}
	}
	for calls := range s.batches {
		if count := s.batches[calls].Load(); count > 0 {
			c.Batches = append(c.Batches, Batches{calls, count})
		}
	}
	c.Rejected, c.Failed = s.rejected.Load(), s.failed.Load()
	return c
}
