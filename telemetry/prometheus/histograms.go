package mysqlsessionprom

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/known"
)

// series is the key of one line of a histogram.
type series struct{ pool, operation, outcome string }

// lines are a histogram's, each found without a lock and without hashing its labels.
type lines struct {
	vector *prometheus.HistogramVec
	labels func(s series) []string
	known  *known.Values[series, prometheus.Observer]
}

func (l *lines) observe(s series, value float64) {
	line := l.known.Of(s, func(s series) *prometheus.Observer {
		line := l.vector.WithLabelValues(l.labels(s)...)
		return &line
	})
	(*line).Observe(value)
}

// histograms are what the hooks are told.
type histograms struct {
	call, connect, acquire, use, batch, batchSize lines

	leaks *prometheus.CounterVec
}

func newHistograms() histograms {
	// From a tenth of a millisecond, which is a lone read from a server nearby, to ten
	// seconds, twice what calls wait for one thing unless told.
	durations := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	// To get an idle connection takes a microsecond.
	finer := append([]float64{.000001, .00001}, durations...)
	byPool := func(s series) []string { return []string{s.pool} }
	byOutcome := func(s series) []string { return []string{s.pool, s.outcome} }
	byOperation := func(s series) []string { return []string{s.pool, s.operation} }
	byBoth := func(s series) []string { return []string{s.pool, s.operation, s.outcome} }
	return histograms{
		call:      newLines("call_duration_seconds", "How long operations on sessions take their callers, by operation and outcome.", durations, byBoth, "pool", "operation", "outcome"),
		connect:   newLines("pool_connect_duration_seconds", "How long attempts to open a connection take, by outcome.", durations, byOutcome, "pool", "outcome"),
		acquire:   newLines("pool_acquire_duration_seconds", "How long it takes to get a connection, by outcome.", finer, byOutcome, "pool", "outcome"),
		use:       newLines("pool_use_duration_seconds", "How long connections are held.", durations, byPool, "pool"),
		batch:     newLines("batch_duration_seconds", "How long batches run, by operation and outcome.", durations, byBoth, "pool", "operation", "outcome"),
		batchSize: newLines("batch_calls", "How many calls batches serve, by operation.", []float64{1, 2, 4, 8, 16, 32, 64, 128}, byOperation, "pool", "operation"),
		leaks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mysqlsession_pool_leaks_total",
			Help: "Connections held for longer than LeakThreshold, by state: suspected, and returned of those that came back after all.",
		}, []string{"pool", "state"}),
	}
}

func newLines(name, help string, buckets []float64, values func(series) []string, labels ...string) lines {
	options := prometheus.HistogramOpts{Name: "mysqlsession_" + name, Help: help, Buckets: buckets}
	return lines{prometheus.NewHistogramVec(options, labels), values, &known.Values[series, prometheus.Observer]{}}
}

func (h *histograms) all() []prometheus.Collector {
	return []prometheus.Collector{h.call.vector, h.connect.vector, h.acquire.vector, h.use.vector, h.batch.vector, h.batchSize.vector, h.leaks}
}

// Trace is what to set in Config, or to give to mysqlsession.JoinTraces, so that the
// collector is told how long things take.
func (c *Collector) Trace() *mysqlsession.Trace {
	h := &c.histograms
	return &mysqlsession.Trace{
		Call: func(_ context.Context, info mysqlsession.CallInfo) {
			h.call.observe(series{info.Pool, info.Operation, outcome(info.Err)}, info.Duration.Seconds())
		},
		Batch: func(info mysqlsession.BatchInfo) {
			h.batch.observe(series{info.Pool, info.Operation, outcome(info.Err)}, info.Duration.Seconds())
			h.batchSize.observe(series{pool: info.Pool, operation: info.Operation}, float64(info.Calls))
		},
		Connect: func(info mysqlsession.ConnectInfo) {
			h.connect.observe(series{pool: info.Pool, outcome: outcome(info.Err)}, info.Duration.Seconds())
		},
		Acquire: func(info mysqlsession.AcquireInfo) {
			h.acquire.observe(series{pool: info.Pool, outcome: outcome(info.Err)}, info.Duration.Seconds())
		},
		Release: func(info mysqlsession.ReleaseInfo) {
			h.use.observe(series{pool: info.Pool}, info.Duration.Seconds())
		},
		Leak: func(info mysqlsession.LeakInfo) {
			state := "suspected"
			if info.Returned {
				state = "returned"
			}
			h.leaks.WithLabelValues(info.Pool, state).Inc()
		},
	}
}

// outcome is "ok", or the kind of the error.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return mysqlsession.ErrorKind(err)
}
