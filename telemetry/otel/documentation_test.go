package mysqlsessionotel_test

import (
	"context"
	"fmt"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	mysqlsessionotel "github.com/mysqlsession/mysqlsession/telemetry/otel"
)

func ExampleNew() {
	cfg, drop := dbtest.Example()
	defer drop()
	// In a service these have exporters; without Options the global ones are used.
	reader, spans := sdkmetric.NewManualReader(), tracetest.NewInMemoryExporter()
	telemetry, err := mysqlsessionotel.New(mysqlsessionotel.Options{
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg.Trace = telemetry.Trace()
	ctx := context.Background()
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	unregister, err := telemetry.Register(store.Pool())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unregister()
	if err := store.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := store.Get(ctx, "session", "no-such-id"); err != nil {
		fmt.Println(err)
	}
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name, span.SpanKind)
	}
	var exported metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &exported); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(exported.ScopeMetrics[0].Metrics), "instruments")
	// Output:
	// mysqlsession: session not found
	// get sessions client
	// 10 instruments
}
