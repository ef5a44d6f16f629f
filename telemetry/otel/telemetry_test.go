package mysqlsessionotel_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/telemetrytest"
	mysqlsessionotel "github.com/mysqlsession/mysqlsession/telemetry/otel"
)

// capture is where everything is exported to.
type capture struct {
	reader *sdkmetric.ManualReader
	spans  *tracetest.InMemoryExporter
	tracer trace.Tracer
	*mysqlsessionotel.Telemetry
}

func newCapture(t *testing.T) *capture {
	c := &capture{reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(c.reader))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(c.spans))
	t.Cleanup(func() {
		require.NoError(t, meters.Shutdown(context.Background()))
		require.NoError(t, tracers.Shutdown(context.Background()))
	})
	c.tracer = tracers.Tracer("test")
	var err error
	c.Telemetry, err = mysqlsessionotel.New(mysqlsessionotel.Options{MeterProvider: meters, TracerProvider: tracers})
	require.NoError(t, err)
	return c
}

// collect is what is exported of the metrics, by instrument.
func (c *capture) collect(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, c.reader.Collect(t.Context(), &all))
	telemetrytest.KeepsItsSecrets(t, fmt.Sprintf("%+v", all))
	instruments := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		require.Equal(t, "github.com/mysqlsession/mysqlsession/telemetry/otel", scope.Scope.Name)
		require.NotEmpty(t, scope.Scope.SchemaURL)
		for _, m := range scope.Metrics {
			instruments[m.Name] = m
		}
	}
	return instruments
}

// ended are the spans that have ended, and forgets them.
func (c *capture) ended(t *testing.T) []sdktrace.ReadOnlySpan {
	t.Helper()
	stubs := c.spans.GetSpans()
	c.spans.Reset()
	telemetrytest.KeepsItsSecrets(t, fmt.Sprintf("%+v", stubs))
	return stubs.Snapshots()
}

// attributesOf are attributes as a map.
func attributesOf(list []attribute.KeyValue) map[string]any {
	attributes := map[string]any{}
	for _, a := range list {
		attributes[string(a.Key)] = a.Value.AsInterface()
	}
	return attributes
}

// place is what every call's attributes begin with.
func place(traffic *telemetrytest.Traffic) map[string]any {
	return map[string]any{
		"db.system.name": traffic.System, "db.namespace": traffic.Config.Database, "db.collection.name": "sessions",
		"server.address": traffic.Config.Host, "server.port": int64(traffic.Config.Port),
	}
}

// with is a copy of attributes with further ones.
func with(attributes map[string]any, more ...any) map[string]any {
	all := map[string]any{}
	for key, value := range attributes {
		all[key] = value
	}
	for i := 0; i < len(more); i += 2 {
		all[more[i].(string)] = more[i+1]
	}
	return all
}

// counts are how often a histogram was recorded, by its attributes.
func counts(t *testing.T, m metricdata.Metrics) map[string]int {
	t.Helper()
	histogram, ok := m.Data.(metricdata.Histogram[float64])
	require.True(t, ok, "%s is a %T", m.Name, m.Data)
	require.Equal(t, "s", m.Unit)
	require.NotEmpty(t, m.Description)
	recorded := map[string]int{}
	for _, point := range histogram.DataPoints {
		require.GreaterOrEqual(t, point.Sum, 0.0)
		require.Less(t, point.Sum, 60.0*float64(point.Count), "they are seconds")
		recorded[fmt.Sprint(attributesOf(point.Attributes.ToSlice()))] += int(point.Count)
	}
	return recorded
}

// values are what was observed, by the attributes.
func values(t *testing.T, m metricdata.Metrics) map[string]int64 {
	t.Helper()
	sum, ok := m.Data.(metricdata.Sum[int64])
	require.True(t, ok, "%s is a %T", m.Name, m.Data)
	observed := map[string]int64{}
	for _, point := range sum.DataPoints {
		observed[fmt.Sprint(attributesOf(point.Attributes.ToSlice()))] = point.Value
	}
	return observed
}

func TestEveryInstrumentOfTheConventionsIsExportedWithWhatHappened(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		c := newCapture(t)
		traffic := telemetrytest.Open(t, server, c.Trace())
		unregister, err := c.Register(traffic.Store.Pool())
		require.NoError(t, err)
		traffic.Answers(t)

		exported := c.collect(t)
		where := place(traffic)
		operation := func(name string, more ...any) string {
			return fmt.Sprint(with(with(where, "db.operation.name", name), more...))
		}
		require.Equal(t, map[string]int{
			operation("set"): telemetrytest.Sets, operation("get"): telemetrytest.Gets + telemetrytest.NotFound,
			operation("update"): telemetrytest.Updates, operation("touch", "error.type", "invalid_ttl"): telemetrytest.Invalid,
		}, counts(t, exported["db.client.operation.duration"]))
		buckets := exported["db.client.operation.duration"].Data.(metricdata.Histogram[float64]).DataPoints[0].Bounds
		require.Equal(t, []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}, buckets, "the conventions recommend them")

		pool := fmt.Sprint(map[string]any{"db.client.connection.pool.name": "telemetry"})
		stat := traffic.Store.Pool().Stat()
		require.Equal(t, int(stat.NewConnsCount), counts(t, exported["db.client.connection.create_time"])[pool])
		require.Equal(t, int(stat.AcquireCount), counts(t, exported["db.client.connection.wait_time"])[pool])
		require.Equal(t, int(stat.AcquireCount), counts(t, exported["db.client.connection.use_time"])[pool])
		state := func(name string) string {
			return fmt.Sprint(map[string]any{"db.client.connection.pool.name": "telemetry", "db.client.connection.state": name})
		}
		require.Equal(t, map[string]int64{state("idle"): 1, state("used"): 0}, values(t, exported["db.client.connection.count"]))
		for name, want := range map[string]int64{
			"idle.max": 1, "idle.min": 1, "max": 1, "pending_requests": 0, "timeouts": 0,
		} {
			require.Equal(t, map[string]int64{pool: want}, values(t, exported["db.client.connection."+name]), name)
		}
		require.Len(t, exported, 10, "and nothing else")

		require.NoError(t, unregister())
		require.NotContains(t, c.collect(t), "db.client.connection.count")
	})
}

func TestAConnectionInUseAndCallersThatWaitAreExported(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		c := newCapture(t)
		traffic := telemetrytest.Open(t, server, c.Trace())
		pool := traffic.Store.Pool()
		_, err := c.Register(pool)
		require.NoError(t, err)
		leave := telemetrytest.OneWaits(t, pool)
		exported := c.collect(t)
		for name, want := range map[string]int64{"db.client.connection.pending_requests": 1, "db.client.connection.max": 1} {
			for _, value := range values(t, exported[name]) {
				require.Equal(t, want, value, name)
			}
		}
		require.Equal(t, map[string]int64{
			"map[db.client.connection.pool.name:telemetry db.client.connection.state:idle]": 0,
			"map[db.client.connection.pool.name:telemetry db.client.connection.state:used]": 1,
		}, values(t, exported["db.client.connection.count"]))
		leave()
	})
}

func TestACallsSpanHasTheConventionsAttributesAndItsCallersParent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		c := newCapture(t)
		traffic := telemetrytest.Open(t, server, c.Trace())
		ctx, request := c.tracer.Start(t.Context(), "request")
		_, err := traffic.Store.Get(ctx, "cookie", "not-there")
		require.ErrorIs(t, err, mysqlsession.ErrNotFound)
		require.Error(t, traffic.Store.Set(ctx, "cookie", "key", nil, -1, nil))
		spans := c.ended(t)
		require.Len(t, spans, 2)
		for i, want := range []struct {
			name       string
			attributes map[string]any
			status     sdktrace.Status
		}{
			{"get sessions", with(place(traffic), "db.operation.name", "get"), sdktrace.Status{}},
			{"set sessions", with(place(traffic), "db.operation.name", "set", "error.type", "invalid_ttl"), sdktrace.Status{Code: codes.Error, Description: "invalid_ttl"}},
		} {
			require.Equal(t, want.name, spans[i].Name())
			require.Equal(t, trace.SpanKindClient, spans[i].SpanKind())
			require.Equal(t, want.attributes, attributesOf(spans[i].Attributes()))
			require.Equal(t, want.status, spans[i].Status(), "to be not there is an answer")
			require.Empty(t, spans[i].Events())
			require.Equal(t, request.SpanContext().SpanID(), spans[i].Parent().SpanID())
			require.True(t, spans[i].EndTime().After(spans[i].StartTime()))
		}
		request.End()
	})
}

func TestWhatTheServerRefusesIsExportedWithItsCode(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		c := newCapture(t)
		traffic := telemetrytest.Open(t, server, c.Trace())
		traffic.Answers(t) // the store knows the schema
		c.ended(t)
		_, err := server.AdminIn(t, traffic.Config.Database).Exec("DROP TABLE sessions_meta, sessions")
		require.NoError(t, err)
		_, err = traffic.Store.Get(t.Context(), "cookie", "key")
		require.ErrorIs(t, err, mysqlsession.ErrSchema)
		want := with(place(traffic), "db.operation.name", "get", "error.type", "schema", "db.response.status_code", "1146")
		require.Equal(t, want, attributesOf(c.ended(t)[0].Attributes()))
		require.Equal(t, 1, counts(t, c.collect(t)["db.client.operation.duration"])[fmt.Sprint(want)])
	})
}

func TestABatchsSpanIsLinkedToTheCallsThatItServesAndTheyToIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		c := newCapture(t)
		traffic := telemetrytest.Open(t, server, c.Trace())
		made := traffic.Batches(t)
		require.NoError(t, traffic.Store.Close())
		calls, batches := map[trace.SpanID]sdktrace.ReadOnlySpan{}, []sdktrace.ReadOnlySpan{}
		largest := 0
		for _, span := range c.ended(t) {
			if span.Name() == "set sessions" && attributesOf(span.Attributes())["db.operation.name"] == "set" && !span.Parent().IsValid() {
				calls[span.SpanContext().SpanID()] = span
			} else {
				batches = append(batches, span)
			}
		}
		require.Len(t, calls, made)
		served := map[trace.SpanID]int{}
		for _, batch := range batches {
			size := len(batch.Links())
			want := with(place(traffic), "db.operation.name", "BATCH set", "db.operation.batch.size", int64(size))
			name := "BATCH set sessions"
			if size == 1 {
				want, name = with(place(traffic), "db.operation.name", "set"), "set sessions"
			}
			require.Equal(t, want, attributesOf(batch.Attributes()))
			require.Equal(t, name, batch.Name())
			require.Equal(t, trace.SpanKindClient, batch.SpanKind())
			require.Contains(t, calls, batch.Parent().SpanID())
			for _, link := range batch.Links() {
				call := calls[link.SpanContext.SpanID()]
				require.NotNil(t, call)
				served[link.SpanContext.SpanID()]++
				require.Len(t, call.Links(), 1)
				require.Equal(t, batch.SpanContext().SpanID(), call.Links()[0].SpanContext.SpanID())
				require.False(t, batch.StartTime().Before(call.StartTime()))
				require.False(t, batch.EndTime().After(call.EndTime()))
			}
			largest = max(largest, size)
		}
		require.Greater(t, largest, 1)
		require.Len(t, served, int(traffic.Store.Pool().Stat().BatchedCallCount))
		for id, times := range served {
			require.Equal(t, 1, times, "%v", id)
		}
	})
}

func TestAnOutageIsExportedAsErrorsOfItsKind(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		const failures = 5
		c := newCapture(t)
		traffic := telemetrytest.Open(t, server, c.Trace())
		traffic.Answers(t)
		c.ended(t)
		traffic.Outage(t, failures)
		failed := 0
		for _, span := range c.ended(t) {
			require.Equal(t, sdktrace.Status{Code: codes.Error, Description: "unavailable"}, span.Status())
			require.Equal(t, "unavailable", attributesOf(span.Attributes())["error.type"])
			failed++
		}
		require.Equal(t, failures, failed)
		failure := with(place(traffic), "db.operation.name", "get", "error.type", "unavailable")
		exported := c.collect(t)
		require.Equal(t, failures, counts(t, exported["db.client.operation.duration"])[fmt.Sprint(failure)])
		created := counts(t, exported["db.client.connection.create_time"])
		require.Equal(t, int(traffic.Store.Pool().Stat().NewConnsCount), created["map[db.client.connection.pool.name:telemetry]"], "attempts in vain have no such time")
	})
}

// What is not sampled must not cost links, and other hooks' spans are not ours to end.
func TestSpansThatAreNotSampledAndSpansOfOthersAreLeftAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		spans := tracetest.NewInMemoryExporter()
		never := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.NeverSample()))
		silent, err := mysqlsessionotel.New(mysqlsessionotel.Options{MeterProvider: metricnoop.NewMeterProvider(), TracerProvider: never})
		require.NoError(t, err)
		first, second := newCapture(t), newCapture(t)
		traffic := telemetrytest.Open(t, server, mysqlsession.JoinTraces(first.Trace(), silent.Trace(), second.Trace()))
		made := traffic.Batches(t)
		require.NoError(t, traffic.Store.Close())
		require.Empty(t, spans.GetSpans())
		for _, c := range []*capture{first, second} {
			calls := 0
			for _, span := range c.ended(t) {
				if attributesOf(span.Attributes())["db.operation.name"] == "set" && len(span.Links()) <= 1 && span.InstrumentationScope().Name != "" {
					calls++
				}
			}
			require.GreaterOrEqual(t, calls, made, "each has all of its own")
		}
		require.NoError(t, never.Shutdown(context.Background()))
	})
}

func TestACallOfARequestThatIsNotSampledHasNoSpan(t *testing.T) {
	c := newCapture(t)
	hooks := c.Trace()
	dropped := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}}))
	info := mysqlsession.CallInfo{Operation: "get", Table: "sessions"}
	ctx := hooks.CallStart(dropped, info)
	require.Equal(t, dropped, ctx)
	hooks.Call(ctx, info)
	hooks.Batch(mysqlsession.BatchInfo{Operation: "get", Calls: 1, Contexts: []context.Context{ctx}})
	require.Empty(t, c.ended(t))
	require.Zero(t, testing.AllocsPerRun(100, func() { hooks.Call(hooks.CallStart(dropped, info), info) }), "nor does it cost memory")
	require.Len(t, counts(t, c.collect(t)["db.client.operation.duration"]), 1, "but it is measured")
}

func TestNothingIsDoneForProvidersThatGoNowhere(t *testing.T) {
	silent, err := mysqlsessionotel.New(mysqlsessionotel.Options{MeterProvider: metricnoop.NewMeterProvider(), TracerProvider: tracenoop.NewTracerProvider()})
	require.NoError(t, err)
	require.Zero(t, *silent.Trace())
	unregister, err := silent.Register(nil)
	require.NoError(t, err)
	require.NoError(t, unregister())
}

func TestTheGlobalProvidersAreTheDefault(t *testing.T) {
	reader, spans := sdkmetric.NewManualReader(), tracetest.NewInMemoryExporter()
	meters, tracers := otel.GetMeterProvider(), otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetMeterProvider(meters); otel.SetTracerProvider(tracers) })
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	telemetry, err := mysqlsessionotel.New(mysqlsessionotel.Options{})
	require.NoError(t, err)
	hooks := telemetry.Trace()
	info := mysqlsession.CallInfo{Operation: "get", Table: "sessions", Address: "/run/mysqld.sock"}
	hooks.Call(hooks.CallStart(t.Context(), info), info)
	require.Len(t, spans.GetSpans(), 1)
	require.Equal(t, "/run/mysqld.sock", attributesOf(spans.GetSpans()[0].Attributes)["server.address"], "of a socket it is the path")
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	require.NotEmpty(t, all.ScopeMetrics)
}

// A database whose address changes with each connection must not fill the memory.
func TestAddressesThatNeverEndAreStillMeasured(t *testing.T) {
	c := newCapture(t)
	hooks := c.Trace()
	const addresses = 5000
	for i := range addresses {
		info := mysqlsession.CallInfo{Operation: "get", Table: "sessions", Address: net.JoinHostPort("db", strconv.Itoa(i))}
		hooks.Call(hooks.CallStart(t.Context(), info), info)
	}
	require.Len(t, c.ended(t), addresses)
}
