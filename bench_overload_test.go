package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

const (
	overloadConns   = 4
	overloadCallers = 8 * overloadConns     // that keep the connections busy, when each waits for its answer
	overloadTimeout = 50 * time.Millisecond // that each call has
)

// BenchmarkOverload offers more calls than a store can serve, and reports how many it does
// serve in time, how long those take, and what a call costs that is turned away. The store
// has four connections that are a millisecond away, so what bounds it is not the processor,
// which those who call have a use for. Every call has 50 ms. Calls are offered at a steady
// rate, whatever becomes of them: 1x is what callers get who each wait for their answer. One
// iteration is a pair: a fifth of a second of such callers, then half a second of those calls.
// The share of the peak is the pairs' median.
//
// With a long backlog it is the callers' time that bounds the queue, and those who are served
// have waited for most of it. A short one, of as many as those callers are, keeps latency too.
func BenchmarkOverload(b *testing.B) {
	cfg := benchDatabase(b)
	for _, mode := range []mysqlsession.CoalesceMode{mysqlsession.CoalesceOff, mysqlsession.CoalesceOn} {
		for _, backlog := range []int{1000, overloadCallers} {
			cfg.Coalesce, cfg.DialFunc, cfg.Backlog = mode, links[1].dial, backlog
			store := overloadStore(b, cfg)
			closedLoop(b, store, time.Second) // until it has found its pace
			for _, times := range []float64{1, 2, 10} {
				b.Run(fmt.Sprintf("coalesce=%s/backlog=%d/%gx", mode, backlog, times), func(b *testing.B) { overload(b, store, times) })
			}
		}
	}
}

// overload offers so many times of what the store can serve.
func overload(b *testing.B, store *mysqlsession.Store, times float64) {
	var all offered
	var shares []float64
	var waited []time.Duration // by callers that each wait for their answer
	for b.Loop() {
		peak, took := closedLoop(b, store, time.Second/5)
		waited = append(waited, took...)
		o := offer(b, store, times*peak, time.Second/2)
		shares = append(shares, 100*float64(len(o.served))/o.elapsed/peak)
		all.add(&o)
	}
	slices.Sort(shares)
	slices.Sort(all.served)
	slices.Sort(all.refused)
	slices.Sort(waited)
	b.ReportMetric(shares[len(shares)/2], "%-of-peak")
	b.ReportMetric(float64(len(all.served))/all.elapsed, "served/s")
	b.ReportMetric(float64(all.late)/all.elapsed, "late/s")
	b.ReportMetric(microseconds(all.served, 99), "served-p99-us")
	b.ReportMetric(microseconds(waited, 99), "peak-p99-us")
	b.ReportMetric(float64(len(all.refused))/all.elapsed, "refused/s")
	b.ReportMetric(microseconds(all.refused, 50), "refused-p50-us")
}

func overloadStore(b *testing.B, cfg mysqlsession.Config) *mysqlsession.Store {
	cfg.PoolSize, cfg.CleanupInterval = overloadConns, -1
	if cfg.Coalesce == mysqlsession.CoalesceOn {
		cfg.CoalesceMaxRows = 4 // or nobody could offer ten times of what is served
	}
	store, err := mysqlsession.Open(b.Context(), cfg)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	return store
}

// closedLoop is how many calls a second the store serves to callers that wait, as many as
// it takes to keep its connections busy, and how long those calls take.
func closedLoop(b *testing.B, store *mysqlsession.Store, during time.Duration) (rate float64, took []time.Duration) {
	var mu sync.Mutex
	var group sync.WaitGroup
	began := time.Now()
	for caller := range overloadCallers {
		group.Go(func() {
			var own []time.Duration
			for count := 0; time.Since(began) < during; count++ {
				asked := time.Now()
				_, err := store.Get(b.Context(), benchName, anyKey(caller, count))
				require.NoError(b, err)
				own = append(own, time.Since(asked))
			}
			mu.Lock()
			took = append(took, own...)
			mu.Unlock()
		})
	}
	group.Wait()
	return float64(len(took)) / time.Since(began).Seconds(), took // the last ones end later
}

// offered is what became of calls that were offered.
type offered struct {
	served, refused []time.Duration // how long those calls took
	late            int
	elapsed         float64 // seconds
}

func (o *offered) add(other *offered) {
	o.served, o.refused = append(o.served, other.served...), append(o.refused, other.refused...)
	o.late += other.late
	o.elapsed += other.elapsed
}

// offer makes so many calls a second.
func offer(b *testing.B, store *mysqlsession.Store, rate float64, during time.Duration) offered {
	var mu sync.Mutex
	var o offered
	call := func(n int) {
		ctx, cancel := context.WithTimeout(context.Background(), overloadTimeout)
		defer cancel()
		began := time.Now()
		_, err := store.Get(ctx, benchName, anyKey(n, n))
		took := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			o.served = append(o.served, took)
		case errors.Is(err, mysqlsession.ErrBacklogFull), errors.Is(err, mysqlsession.ErrAcquireTimeout):
			o.refused = append(o.refused, took)
		case errors.Is(err, context.DeadlineExceeded):
			o.late++
		default:
			b.Error(err)
		}
	}
	began := time.Now()
	var group sync.WaitGroup
	for n := 0; time.Since(began) < during; {
		for due := int(rate * time.Since(began).Seconds()); n < due; n++ {
			group.Go(func() { call(n) })
		}
		time.Sleep(time.Millisecond)
	}
	group.Wait()
	o.elapsed = time.Since(began).Seconds()
	return o
}

// microseconds is a percentile of sorted durations.
func microseconds(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[(len(sorted)-1)*percent/100]) / float64(time.Microsecond)
}
