package mysqlsessionotel_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/telemetrytest"
	mysqlsessionotel "github.com/mysqlsession/mysqlsession/telemetry/otel"
)

// nowhere takes spans as an exporter does, and drops them.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }

// BenchmarkCost tells what telemetry costs reads of 64 callers, in paired rounds:
// go test -run '^$' -bench Cost -benchtime 101x .
func BenchmarkCost(b *testing.B) {
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(nowhere{}))
	b.Cleanup(func() { require.NoError(b, tracers.Shutdown(context.Background())) })
	listener := func(name string, tracers trace.TracerProvider, of func(n int) context.Context) telemetrytest.Listener {
		telemetry, err := mysqlsessionotel.New(mysqlsessionotel.Options{MeterProvider: meters, TracerProvider: tracers})
		require.NoError(b, err)
		return telemetrytest.Listener{Name: name, Trace: telemetry.Trace(), Context: of}
	}
	request := func(flags trace.TraceFlags) context.Context {
		return trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags,
		}))
	}
	sampled, dropped := request(trace.FlagsSampled), request(0)
	telemetrytest.Cost(b,
		listener("metrics", tracenoop.NewTracerProvider(), nil),
		listener("metrics and spans, of none", tracers, func(int) context.Context { return dropped }),
		listener("metrics and spans, of 1 %", tracers, func(n int) context.Context {
			if n%100 == 0 {
				return sampled
			}
			return dropped
		}),
		listener("metrics and spans, of all", tracers, func(int) context.Context { return sampled }),
	)
}

// BenchmarkHooks tells what a call's hooks take by themselves.
func BenchmarkHooks(b *testing.B) {
	info := mysqlsession.CallInfo{Pool: "pool", Operation: "get", Database: "shop", Table: "sessions", System: "mariadb", Address: "db:3306", Duration: time.Millisecond}
	for _, c := range []struct {
		name    string
		meters  metric.MeterProvider
		tracers trace.TracerProvider
	}{
		{"metrics", sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())), tracenoop.NewTracerProvider()},
		{"none-sampled", metricnoop.NewMeterProvider(), sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))},
		{"all-sampled", metricnoop.NewMeterProvider(), sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))},
	} {
		telemetry, err := mysqlsessionotel.New(mysqlsessionotel.Options{MeterProvider: c.meters, TracerProvider: c.tracers})
		require.NoError(b, err)
		hooks := telemetry.Trace()
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					ctx := context.Background()
					if hooks.CallStart != nil {
						ctx = hooks.CallStart(ctx, info)
					}
					hooks.Call(ctx, info)
				}
			})
		})
	}
}
