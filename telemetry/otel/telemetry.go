package mysqlsessionotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/known"
)

// scope is the instrumentation's name.
const scope = "github.com/mysqlsession/mysqlsession/telemetry/otel"

// Options is where telemetry goes. The zero value is usable.
type Options struct {
	// MeterProvider is where metrics go. nil: the global one. That of package
	// metric/noop: nowhere, at no cost.
	MeterProvider metric.MeterProvider
	// TracerProvider is where spans go. nil: the global one. That of package trace/noop:
	// nowhere, at no cost.
	TracerProvider trace.TracerProvider
}

// Telemetry has the instruments and the tracer. It is safe for concurrent use, needs not be
// closed, and may serve any number of stores and pools.
type Telemetry struct {
	meter       metric.Meter
	instruments *instruments // nil: no metrics
	tracer      trace.Tracer // nil: no spans
	calls       known.Values[callKey, call]
	pools       known.Values[string, pool]
}

// New makes a Telemetry. An error is the MeterProvider's.
func New(options Options) (*Telemetry, error) {
	meters, tracers := options.MeterProvider, options.TracerProvider
	if meters == nil {
		meters = otel.GetMeterProvider()
	}
	if tracers == nil {
		tracers = otel.GetTracerProvider()
	}
	t := &Telemetry{}
	if _, nowhere := meters.(metricnoop.MeterProvider); !nowhere {
		t.meter = meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
		var err error
		if t.instruments, err = newInstruments(t.meter); err != nil {
			return nil, err
		}
	}
	if _, nowhere := tracers.(tracenoop.TracerProvider); !nowhere {
		t.tracer = tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
	}
	return t, nil
}

// Trace is what to set in Config, or to give to mysqlsession.JoinTraces, so that calls,
// batches and connections are told of.
func (t *Telemetry) Trace() *mysqlsession.Trace {
	hooks := &mysqlsession.Trace{}
	if t.instruments != nil || t.tracer != nil {
		hooks.Call = t.endCall
	}
	if t.instruments != nil {
		hooks.Connect = t.measureConnect
		hooks.Acquire = t.measureAcquire
		hooks.Release = t.measureRelease
	}
	if t.tracer != nil {
		hooks.CallStart = t.startSpan
		hooks.Batch = t.batchSpan
	}
	return hooks
}

// endCall is one hook and not two that are joined: calls are what there are many of.
func (t *Telemetry) endCall(ctx context.Context, info mysqlsession.CallInfo) {
	if t.instruments != nil {
		t.measureCall(ctx, &info)
	}
	if t.tracer != nil {
		t.endSpan(ctx, info.Err)
	}
}

// Register has the pool's figures observed with each collection of metrics, until unregister
// is called: do so when the pool is closed. Pools that are registered must differ in their
// names (Config.Pool), which is what they are told apart by. An error is the MeterProvider's.
func (t *Telemetry) Register(pool *mysqlsession.Pool) (unregister func() error, err error) {
	if t.instruments == nil {
		return func() error { return nil }, nil
	}
	registration, err := t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		t.observe(o, pool.Stat())
		return nil
	}, t.instruments.observed()...)
	if err != nil {
		return nil, errors.Join(errors.New("mysqlsessionotel: register a pool"), err)
	}
	return registration.Unregister, nil
}
