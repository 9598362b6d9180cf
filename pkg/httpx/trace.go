// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Tracing says which requests become spans, and whose traces they continue.
//
// The traceparent of a request that the gateway signed is continued, its sampling decision included. One from outside begins
// a new trace that is only linked to it: otherwise whoever can reach the listener could have every request recorded (the
// decision is a function of the trace's id, which the caller chooses) or write into the traces of others.
type Tracing struct {
	Tracer trace.Tracer
	// Skip names the paths of requests that are not traced. May be nil.
	Skip func(path string) bool
	// TrustProxies continues what trusted proxies pass on, too.
	TrustProxies bool
}

var w3c propagation.TraceContext

// traceHeaders are the headers of a trace's context. Baggage is not used, and not passed on either.
func traceHeaders() [3]string { return [3]string{"Traceparent", "Tracestate", "Baggage"} }

// stripTrace removes a trace's context that is not to be believed.
func stripTrace(h http.Header) {
	for _, name := range traceHeaders() {
		h.Del(name)
	}
}

// begin starts the span of a request, or none. It takes the trace's context out of the headers unless somebody vouched for
// it, so that no service behind this one believes it.
func (t *Tracing) begin(r *http.Request, info *requestInfo, peerTrusted bool) *http.Request {
	believed := info.hop || t != nil && t.TrustProxies && peerTrusted
	if t == nil || t.Skip != nil && t.Skip(r.URL.Path) {
		if !believed {
			stripTrace(r.Header)
		}
		return r
	}
	ctx := r.Context()
	opts := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", knownMethod(r.Method)), attribute.String("z4j.request_id", info.id)),
	}
	if outside := w3c.Extract(context.Background(), propagation.HeaderCarrier(r.Header)); believed {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.SpanContextFromContext(outside))
	} else if sc := trace.SpanContextFromContext(outside); sc.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: sc}))
	}
	if !believed {
		stripTrace(r.Header)
	}
	ctx, info.span = t.Tracer.Start(ctx, knownMethod(r.Method), opts...)
	return r.WithContext(ctx)
}

// knownMethod keeps invented methods out of the names of spans.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "_OTHER"
}

// endSpan ends the request's span with the answer's status; only the first call counts.
func (i *requestInfo) endSpan(status int) {
	if i.span == nil || !i.span.IsRecording() {
		return
	}
	i.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		i.span.SetStatus(codes.Error, "")
		i.span.SetAttributes(attribute.String("error.type", strconv.Itoa(status)))
	}
	i.span.End()
}

// SetRoute names the request's span after the route that answers it: a pattern such as /api/v1/projects/{slug}, never the
// path itself, which holds ids and is without bound.
func SetRoute(r *http.Request, route string) {
	info := infoFrom(r.Context())
	if info == nil || info.span == nil || !info.span.IsRecording() {
		return
	}
	info.span.SetName(knownMethod(r.Method) + " " + route)
	info.span.SetAttributes(attribute.String("http.route", route))
}

// InjectTrace writes the context's trace into the headers of a request to another service.
func InjectTrace(ctx context.Context, h http.Header) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return // what a trusted proxy sent passes
	}
	stripTrace(h)
	w3c.Inject(ctx, propagation.HeaderCarrier(h))
}
