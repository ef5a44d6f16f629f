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
	overloadTimeout = 50 * time.Millisecond // that each call has
)

// BenchmarkOverload offers more calls than a store can serve, and reports how many it does
// serve in time, how long those take, and what a call costs that is turned away. The store
// has four connections that are a millisecond away, so what bounds it is not the processor,
// which those who call have a use for. Every call has 50 ms. Calls are offered at a steady
// rate, whatever becomes of them: 1x is what callers get who each wait for their answer.
func BenchmarkOverload(b *testing.B) {
	cfg := benchDatabase(b)
	for _, mode := range []mysqlsession.CoalesceMode{mysqlsession.CoalesceOff, mysqlsession.CoalesceOn} {
		cfg.Coalesce, cfg.DialFunc = mode, links[1].dial
		store := overloadStore(b, cfg)
		peak := closedLoop(b, store)
		for _, times := range []float64{1, 2, 10} {
			b.Run(fmt.Sprintf("coalesce=%s/%gx", mode, times), func(b *testing.B) {
				// One iteration is a hundred milliseconds.
				offer(b, store, times*peak, peak, time.Duration(b.N)*100*time.Millisecond)
			})
		}
	}
}

func overloadStore(b *testing.B, cfg mysqlsession.Config) *mysqlsession.Store {
	cfg.PoolSize, cfg.Backlog, cfg.CleanupInterval = overloadConns, 1000, -1
	if cfg.Coalesce == mysqlsession.CoalesceOn {
		cfg.CoalesceMaxRows = 4 // or nobody could offer ten times of what is served
	}
	store, err := mysqlsession.Open(b.Context(), cfg)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	return store
}

// closedLoop is how many calls a second the store serves to callers that wait, as many as
// it takes to keep its connections busy.
func closedLoop(b *testing.B, store *mysqlsession.Store) float64 {
	const during = time.Second
	var served int
	var mu sync.Mutex
	var group sync.WaitGroup
	for caller := range 8 * overloadConns {
		group.Go(func() {
			count := 0
			for began := time.Now(); time.Since(began) < during; count++ {
				_, err := store.Get(b.Context(), benchName, anyKey(caller, count))
				require.NoError(b, err)
			}
			mu.Lock()
			served += count
			mu.Unlock()
		})
	}
	group.Wait()
	return float64(served) / during.Seconds()
}

// offer makes so many calls a second.
func offer(b *testing.B, store *mysqlsession.Store, rate, peak float64, during time.Duration) {
	var mu sync.Mutex
	var served, refused []time.Duration
	late := 0
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
			served = append(served, took)
		case errors.Is(err, mysqlsession.ErrBacklogFull), errors.Is(err, mysqlsession.ErrAcquireTimeout):
			refused = append(refused, took)
		case errors.Is(err, context.DeadlineExceeded):
			late++
		default:
			b.Error(err)
		}
	}
	b.ResetTimer()
	began := time.Now()
	var group sync.WaitGroup
	for n := 0; time.Since(began) < during; {
		for due := int(rate * time.Since(began).Seconds()); n < due; n++ {
			group.Go(func() { call(n) })
		}
		time.Sleep(time.Millisecond)
	}
	group.Wait()
	elapsed := time.Since(began).Seconds()
	b.StopTimer()
	slices.Sort(served)
	slices.Sort(refused)
	b.ReportMetric(float64(len(served))/elapsed, "served/s")
	b.ReportMetric(100*float64(len(served))/elapsed/peak, "%-of-peak")
	b.ReportMetric(float64(late)/elapsed, "late/s")
	b.ReportMetric(microseconds(served, 99), "served-p99-us")
	b.ReportMetric(float64(len(refused))/elapsed, "refused/s")
	b.ReportMetric(microseconds(refused, 50), "refused-p50-us")
}

// microseconds is a percentile of sorted durations.
func microseconds(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[(len(sorted)-1)*percent/100]) / float64(time.Microsecond)
}
