package mysqlsessionotel

import (
	"context"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"

	"github.com/mysqlsession/mysqlsession"
)

// instruments are all of the conventions' for database clients.
type instruments struct {
	duration metric.Float64Histogram
	create   metric.Float64Histogram
	wait     metric.Float64Histogram
	use      metric.Float64Histogram

	count    metric.Int64ObservableUpDownCounter
	idleMax  metric.Int64ObservableUpDownCounter
	idleMin  metric.Int64ObservableUpDownCounter
	max      metric.Int64ObservableUpDownCounter
	pending  metric.Int64ObservableUpDownCounter
	timeouts metric.Int64ObservableCounter
}

func newInstruments(meter metric.Meter) (*instruments, error) {
	// What the conventions recommend, in seconds.
	var recommended metric.Float64HistogramOption = metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
	// They have none for connections, and the SDK's own are for milliseconds. To get an
	// idle connection takes a microsecond, and to use it for a call a fraction of a millisecond.
	var finer metric.Float64HistogramOption = metric.WithExplicitBucketBoundaries(0.00001, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
	m := &maker{}
	i := &instruments{
		duration: made(m, meter, dbconv.NewClientOperationDuration, recommended).Float64Histogram,
		create:   made(m, meter, dbconv.NewClientConnectionCreateTime, recommended).Float64Histogram,
		wait:     made(m, meter, dbconv.NewClientConnectionWaitTime, finer).Float64Histogram,
		use:      made(m, meter, dbconv.NewClientConnectionUseTime, finer).Float64Histogram,
		count:    made(m, meter, dbconv.NewClientConnectionCountObservable).Int64ObservableUpDownCounter,
		idleMax:  made(m, meter, dbconv.NewClientConnectionIdleMaxObservable).Int64ObservableUpDownCounter,
		idleMin:  made(m, meter, dbconv.NewClientConnectionIdleMinObservable).Int64ObservableUpDownCounter,
		max:      made(m, meter, dbconv.NewClientConnectionMaxObservable).Int64ObservableUpDownCounter,
		pending:  made(m, meter, dbconv.NewClientConnectionPendingRequestsObservable).Int64ObservableUpDownCounter,
		timeouts: made(m, meter, dbconv.NewClientConnectionTimeoutsObservable).Int64ObservableCounter,
	}
	return i, m.err
}

// maker keeps the first error of several.
type maker struct{ err error }

// made makes an instrument.
func made[Instrument, Option any](m *maker, meter metric.Meter, create func(metric.Meter, ...Option) (Instrument, error), options ...Option) Instrument {
	instrument, err := create(meter, options...)
	if m.err == nil {
		m.err = err
	}
	return instrument
}

// observed are those that a pool's figures are for.
func (i *instruments) observed() []metric.Observable {
	return []metric.Observable{i.count, i.idleMax, i.idleMin, i.max, i.pending, i.timeouts}
}

// observe tells a pool's figures. A connection that is neither idle nor being opened is
// used: by a caller, or by what is left of a call that was given up.
func (t *Telemetry) observe(o metric.Observer, stat mysqlsession.Stat) {
	i, p := t.instruments, t.pools.Of(stat.Pool, newPool)
	o.ObserveInt64(i.count, int64(stat.IdleConns), p.idle...)
	o.ObserveInt64(i.count, int64(max(stat.TotalConns-stat.IdleConns-stat.ConstructingConns, 0)), p.used...)
	o.ObserveInt64(i.idleMax, int64(stat.MaxConns), p.observe...)
	o.ObserveInt64(i.idleMin, int64(stat.MinIdleConns), p.observe...)
	o.ObserveInt64(i.max, int64(stat.MaxConns), p.observe...)
	o.ObserveInt64(i.pending, int64(stat.Waiting), p.observe...)
	o.ObserveInt64(i.timeouts, stat.AcquireTimeoutCount+stat.TooLateCount, p.observe...)
}

func (t *Telemetry) measureCall(ctx context.Context, info *mysqlsession.CallInfo) {
	t.instruments.duration.Record(ctx, info.Duration.Seconds(), t.calls.Of(keyOf(info), newCall).record...)
}

func (t *Telemetry) measureConnect(info mysqlsession.ConnectInfo) {
	if info.Err == nil {
		t.instruments.create.Record(context.Background(), info.Duration.Seconds(), t.pools.Of(info.Pool, newPool).record...)
	}
}

func (t *Telemetry) measureAcquire(info mysqlsession.AcquireInfo) {
	if info.Err == nil {
		t.instruments.wait.Record(context.Background(), info.Duration.Seconds(), t.pools.Of(info.Pool, newPool).record...)
	}
}

func (t *Telemetry) measureRelease(info mysqlsession.ReleaseInfo) {
	t.instruments.use.Record(context.Background(), info.Duration.Seconds(), t.pools.Of(info.Pool, newPool).record...)
}
