// SPDX-License-Identifier: AGPL-3.0-or-later

package obs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/z4jdev/z4j/pkg/domain"
)

// Bounds of the spans that wait for the receiver. A full queue drops spans; it never makes a request wait.
const (
	traceQueue = 4096
	traceBatch = 512
	traceDelay = 2 * time.Second
)

// TraceConfig says where spans go and which are kept.
type TraceConfig struct {
	// Endpoint is the receiver's address, GRPC the protocol (otherwise protobuf over HTTP), Headers go with each export.
	Endpoint string
	GRPC     bool
	Headers  map[string]string
	// Ratio is the share of traces begun here that are kept, 0 to 1.
	Ratio float64
	// Service, Namespace and Environment identify the process; empty ones are left out.
	Service, Namespace, Environment string
}

// Tracing makes spans and sends them. Nil is tracing that is off; all methods work on it.
type Tracing struct {
	provider *sdktrace.TracerProvider
	client   *otlpClient
}

// OpenTracing begins to send spans to the receiver of cfg. Failures to send are logged at most once a minute and counted
// in z4j_trace_spans_total; nobody waits for them. Close ends it.
func OpenTracing(ctx context.Context, cfg TraceConfig, log *slog.Logger, reg prometheus.Registerer) (*Tracing, error) {
	client, err := newOTLPClient(cfg, log, reg)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("trace exporter: %w", err)
	}
	return &Tracing{client: client, provider: sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(traceQueue), sdktrace.WithMaxExportBatchSize(traceBatch),
			sdktrace.WithBatchTimeout(traceDelay), sdktrace.WithExportTimeout(exportLimit)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Ratio))),
		sdktrace.WithResource(traceResource(ctx, cfg)),
	)}, nil
}

// traceResource identifies the process. OTEL_RESOURCE_ATTRIBUTES may add to it.
func traceResource(ctx context.Context, cfg TraceConfig) *resource.Resource {
	attrs := []attribute.KeyValue{
		attribute.String("service.version", domain.Version), attribute.String("service.instance.id", uuid.NewString()),
	}
	add := func(value string, names ...string) {
		for _, name := range names {
			if value != "" {
				attrs = append(attrs, attribute.String(name, value))
			}
		}
	}
	add(cfg.Service, "service.name")
	add(cfg.Namespace, "service.namespace")
	// The second name is the one of today's conventions; existing boards ask for the first.
	add(cfg.Environment, "deployment.environment", "deployment.environment.name")
	// A part that can't be found out is left out: no reason to go without traces.
	res, _ := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(attrs...))
	return res
}

// Tracer returns the tracer of a part of the product; nil when tracing is off.
func (t *Tracing) Tracer(part string) trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer("z4j/"+part, trace.WithInstrumentationVersion(domain.Version))
}

// closeLimit bounds Close: whatever the receiver does, the process stops.
const closeLimit = 3 * time.Second

// Close sends what waits, for at most three seconds. The error says that spans were lost.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	err := t.provider.Shutdown(ctx)
	t.client.abort()
	if err != nil {
		return errors.New("spans not sent before the end: the receiver did not take them in time")
	}
	return nil
}

// Start begins a span: a child of the context's span, or a new trace. With a nil tracer there is none, and nothing is
// allocated; the span that is returned then takes every call.
func Start(ctx context.Context, t trace.Tracer, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if t == nil {
		return ctx, noop.Span{}
	}
	return t.Start(ctx, name, opts...)
}

// Child begins a span below the one that is being recorded in the context; without such a one there is none.
func Child(ctx context.Context, part, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, noop.Span{}
	}
	return parent.TracerProvider().Tracer("z4j/"+part, trace.WithInstrumentationVersion(domain.Version)).Start(ctx, name, opts...)
}

// WithoutChildren returns a context in which Child begins no span, while log lines still name the trace: for work in
// thousands of small steps, whose spans would tell less than the one around them.
func WithoutChildren(ctx context.Context) context.Context {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	return trace.ContextWithSpanContext(ctx, trace.SpanContextFromContext(ctx))
}

// End ends a span with the outcome of its work. Of an error only the kind is kept: its text may quote data.
func End(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", ErrorType(err)))
	}
	span.End()
}

// ErrorType names the kind of an error in a fixed set of words.
func ErrorType(err error) string {
	known, isKnown := errors.AsType[*domain.Error](err)
	switch {
	case isKnown:
		return known.Code
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return domain.CodeTimeout
	case errors.Is(err, domain.ErrTransient):
		return domain.CodeUnavailable
	case errors.Is(err, domain.ErrNotFound):
		return domain.CodeNotFound
	case errors.Is(err, domain.ErrConflict):
		return domain.CodeConflict
	}
	return domain.CodeInternal
}

// TraceID is the id of the trace that the context's work is recorded in; empty when it is not recorded: an id that leads
// nowhere helps nobody.
func TraceID(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsSampled() || !sc.HasTraceID() {
		return ""
	}
	return sc.TraceID().String()
}

// traceHandler adds the ids of the context's trace and span to log lines.
type traceHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() && sc.IsSampled() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}
