package mysqlsessionotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mysqlsession/mysqlsession"
)

// startSpan begins a call's span. It is kept under a key of its own, as other hooks may put
// spans of theirs into the context. A call of a request whose own span is dropped has none,
// whatever the sampler would say: to ask it costs more than all else here, and a call's
// span without its request's is an orphan.
func (t *Telemetry) startSpan(ctx context.Context, info mysqlsession.CallInfo) context.Context {
	if parent := trace.SpanFromContext(ctx); !parent.IsRecording() && parent.SpanContext().IsValid() && !parent.SpanContext().IsSampled() {
		return ctx
	}
	c := t.calls.Of(keyOf(&info), newCall)
	inSpan, span := t.tracer.Start(ctx, c.spanName, c.start...)
	if !span.IsRecording() {
		return ctx // nobody will see it
	}
	return context.WithValue(inSpan, t, span)
}

// spanOf is the span of a call; nil if it has none.
func (t *Telemetry) spanOf(ctx context.Context) trace.Span {
	span, _ := ctx.Value(t).(trace.Span)
	return span
}

func (t *Telemetry) endSpan(ctx context.Context, err error) {
	span := t.spanOf(ctx)
	if span == nil {
		return
	}
	t.fail(span, err)
	span.End()
}

// fail marks a span as one of an error, without its text: what is quoted in errors that are
// not the library's nobody knows.
func (t *Telemetry) fail(span trace.Span, err error) {
	if err == nil {
		return
	}
	if kind, code := errorOf(err); kind != "" {
		span.SetStatus(codes.Error, kind)
		span.SetAttributes(failureAttributes(kind, code)...)
	}
}

// batchSpan tells of a batch of which at least one call's span is recorded: as a child of
// the first such span, so that it is sampled as that is, and linked to all of them, as they
// are to it.
func (t *Telemetry) batchSpan(info mysqlsession.BatchInfo) {
	var calls []trace.Span
	for _, ctx := range info.Contexts {
		if span := t.spanOf(ctx); span != nil {
			calls = append(calls, span)
		}
	}
	if len(calls) == 0 {
		return
	}
	end := time.Now()
	links := make([]trace.Link, len(calls))
	for i, call := range calls {
		links[i].SpanContext = call.SpanContext()
	}
	operation := info.Operation
	attributes := placeAttributes(callKey{database: info.Database, table: info.Table, system: info.System, address: info.Address})
	if info.Calls > 1 { // one alone is no batch, says the convention
		operation = "BATCH " + operation
		attributes = append(attributes, semconv.DBOperationBatchSize(info.Calls))
	}
	attributes = append(attributes, semconv.DBOperationName(operation))
	_, span := t.tracer.Start(trace.ContextWithSpan(context.Background(), calls[0]), operation+" "+info.Table,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(end.Add(-info.Duration)), trace.WithLinks(links...), trace.WithAttributes(attributes...))
	for _, call := range calls {
		call.AddLink(trace.Link{SpanContext: span.SpanContext()})
	}
	t.fail(span, info.Err)
	span.End(trace.WithTimestamp(end))
}
