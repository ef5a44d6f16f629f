package mysqlsession_test

import (
	"context"
	"flag"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/paired"
)

const (
	// leastCalls is how many calls each caller makes of a line that is measured by time:
	// with a thousand callers a short time is less than one turn of everybody.
	leastCalls = 8
	// overtime is how many times the asked time a line may take for that.
	overtime = 10
)

// operation is one call of one caller; n counts that caller's calls.
type operation func(ctx context.Context, caller, n int) error

// workload is what one line measures.
type workload struct {
	callers int
	conns   int // connections behind it, which the warm-up opens
	rows    int // how many operations one call is
	call    operation
}

// pace says how long a workload is measured.
type pace struct {
	calls int           // of each caller, at least
	time  time.Duration // 0: the calls are all
}

// benchPace is the pace that -benchtime asks for. A time is that of each line, which is
// measured once: the testing package's own way, which is to try with more and more calls,
// does not go with callers that must all be busy from the first to the last moment. A
// number of calls is divided among the callers.
func benchPace(callers int) pace {
	asked := flag.Lookup("test.benchtime").Value.String()
	if number, ok := strings.CutSuffix(asked, "x"); ok {
		calls, _ := strconv.Atoi(number)
		return pace{calls: max(1, calls/callers)}
	}
	duration, err := time.ParseDuration(asked)
	if err != nil {
		duration = time.Second
	}
	return pace{calls: leastCalls, time: duration}
}

// measure runs the workload at the pace and reports what it cost, for each operation.
func measure(b *testing.B, w workload, p pace) {
	b.ReportAllocs()
	if p.time > 0 {
		// All connections are open and have prepared their statements, and what adapts to
		// the load has done so, before the clock starts.
		drive(b, workload{callers: max(w.callers, w.conns), call: w.call}, pace{calls: 4})
		drive(b, w, pace{calls: 1, time: p.time / 4})
	}
	b.ResetTimer()
	r := drive(b, w, p)
	b.StopTimer()
	all := slices.Sorted(slices.Values(slices.Concat(r.latencies...)))
	if len(all) == 0 || b.Failed() {
		return
	}
	operations := float64(len(all) * w.rows)
	microseconds := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	// The testing package would divide by its b.N.
	b.ReportMetric(float64(r.elapsed.Nanoseconds())/operations, "ns/op")
	b.ReportMetric(math.Round(float64(r.allocations)/operations), "allocs/op")
	b.ReportMetric(math.Round(float64(r.allocated)/operations), "B/op")
	b.ReportMetric(operations/r.elapsed.Seconds(), "ops/s")
	b.ReportMetric(microseconds(all[len(all)/2]), "p50-us")
	b.ReportMetric(microseconds(all[len(all)*99/100]), "p99-us")
	b.ReportMetric(microseconds(r.cpu)/operations, "cpu-us/op")
	b.ReportMetric(unfairness(r.latencies), "unfair")
}

// unfairness is the slowest caller's mean latency against the median caller's.
func unfairness(latencies [][]time.Duration) float64 {
	var means []float64
	for _, own := range latencies {
		var sum time.Duration
		for _, latency := range own {
			sum += latency
		}
		if len(own) > 0 {
			means = append(means, float64(sum)/float64(len(own)))
		}
	}
	slices.Sort(means)
	return means[len(means)-1] / means[len(means)/2]
}

// record is what a drive took.
type record struct {
	latencies              [][]time.Duration // of each caller
	elapsed, cpu           time.Duration
	allocations, allocated uint64
}

// drive runs the workload from all its callers at the same time.
func drive(b *testing.B, w workload, p pace) record {
	r := record{latencies: make([][]time.Duration, w.callers)}
	until := &finish{pace: p}
	until.short.Store(int64(w.callers))
	start := make(chan struct{})
	var group sync.WaitGroup
	for caller := range w.callers {
		// Room that hardly has to grow: growing would count as the peer's allocation.
		r.latencies[caller] = make([]time.Duration, 0, max(64, 1<<17/w.callers))
		group.Go(func() {
			<-start
			own := r.latencies[caller]
			for n := 0; until.more(n); n++ {
				began := time.Now()
				if err := w.call(context.Background(), caller, n); err != nil {
					until.failed.Store(true)
					b.Error(err)
					return
				}
				own = append(own, time.Since(began))
			}
			r.latencies[caller] = own
		})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := paired.ProcessCPU()
	until.began = time.Now()
	close(start)
	group.Wait()
	r.elapsed, r.cpu = time.Since(until.began), paired.ProcessCPU()-cpu
	runtime.ReadMemStats(&after)
	r.allocations, r.allocated = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return r
}

// finish tells callers when to end. With a time they end together: those that are done
// early must not leave the others a quieter server.
type finish struct {
	pace
	began  time.Time
	short  atomic.Int64 // callers that have not made all their calls
	failed atomic.Bool
}

// more reports whether a caller that has made n calls makes another one.
func (f *finish) more(n int) bool {
	if n == f.calls {
		f.short.Add(-1)
	}
	if f.failed.Load() {
		return false
	}
	if f.time == 0 {
		return n < f.calls
	}
	elapsed := time.Since(f.began)
	return elapsed < f.time || f.short.Load() > 0 && elapsed < overtime*f.time
}
