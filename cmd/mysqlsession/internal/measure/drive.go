package measure

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Call is one operation of one caller; n counts that caller's calls.
type Call func(ctx context.Context, caller, n int) error

// Sample is what a run took.
type Sample struct {
	Elapsed   time.Duration
	Latencies *Latencies
}

// Throughput is calls in a second.
func (s *Sample) Throughput() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Latencies.Count()) / s.Elapsed.Seconds()
}

const (
	// leastCalls is how many calls each caller makes, however short the time is.
	leastCalls = 4
	// overtime is how many times its time a run may take for that.
	overtime = 10
)

// drive runs callers at the same time, each of which makes its next call when the last one
// has been answered. They end together: those that are done early must not leave the others
// a quieter server. The first error ends it.
func drive(ctx context.Context, callers int, duration time.Duration, call Call) (Sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	latencies := make([][]time.Duration, callers)
	until := &finish{duration: duration}
	until.short.Store(int64(callers))
	start := make(chan struct{})
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			<-start
			var own []time.Duration
			for n := 0; ctx.Err() == nil && until.more(n); n++ {
				began := time.Now()
				if err := call(ctx, caller, n); err != nil {
					cancel(err)
					return
				}
				own = append(own, time.Since(began))
			}
			latencies[caller] = own
		})
	}
	until.began = time.Now()
	close(start)
	group.Wait()
	sample := Sample{Elapsed: time.Since(until.began), Latencies: NewLatencies()}
	if ctx.Err() != nil {
		return sample, context.Cause(ctx)
	}
	for _, own := range latencies {
		for _, latency := range own {
			sample.Latencies.Record(latency)
		}
	}
	return sample, nil
}

// finish tells callers when to end.
type finish struct {
	duration time.Duration
	began    time.Time
	short    atomic.Int64 // callers that have not made their least calls
}

// more reports whether a caller that has made n calls makes another one.
func (f *finish) more(n int) bool {
	if n == leastCalls {
		f.short.Add(-1)
	}
	elapsed := time.Since(f.began)
	return elapsed < f.duration || f.short.Load() > 0 && elapsed < overtime*max(f.duration, 100*time.Millisecond)
}
