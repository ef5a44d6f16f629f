package debug

import (
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
	call, batch := []func(mysqlsession.CallInfo){r.call}, []func(mysqlsession.BatchInfo){r.batch}
	var migration []func(mysqlsession.MigrationStep)
	for _, other := range others {
		if other == nil {
			continue
		}
		if other.Call != nil {
			call = append(call, other.Call)
		}
		if other.Batch != nil {
			batch = append(batch, other.Batch)
		}
		if other.Migration != nil {
			migration = append(migration, other.Migration)
		}
	}
	return &mysqlsession.Trace{Call: all(call), Batch: all(batch), Migration: all(migration)}
}

// all calls each hook, in order; nil if there is none.
func all[Info any](hooks []func(Info)) func(Info) {
	switch len(hooks) {
	case 0:
		return nil
	case 1:
		return hooks[0]
	}
	return func(info Info) {
		for _, hook := range hooks {
			hook(info)
		}
	}
}

func (r *Recorder) call(info mysqlsession.CallInfo) {
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
