// SPDX-License-Identifier: AGPL-3.0-or-later

// Package obstest is an OTLP receiver for tests: spans come to it over a real connection in the real format. It is imported
// by tests only.
package obstest

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span that arrived, with what identifies its process.
type Span struct {
	Name                string
	Trace, ID, Parent   string
	Kind                string
	Scope               string
	Failed              bool
	Attrs, Resource     map[string]string
	Links               []string
	Events              []string
	StartTime, FinishAt time.Time
}

// Receiver collects spans.
type Receiver struct {
	// URL is its address, without a path.
	URL string

	mu      sync.Mutex
	spans   []Span
	headers []http.Header
}

// patience is how long Wait waits.
const patience = 20 * time.Second

// Start starts a receiver of OTLP over HTTP that lives as long as the test.
func Start(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		in := &collector.ExportTraceServiceRequest{}
		if err != nil || req.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, in) != nil {
			t.Errorf("the receiver was sent what is no export: %v %s", err, req.Header.Get("Content-Type"))
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Add(in, req.Header)
		answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(answer)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	r.URL = srv.URL
	return r
}

// Add takes the spans of an export.
func (r *Receiver) Add(in *collector.ExportTraceServiceRequest, header http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers = append(r.headers, header.Clone())
	for _, rs := range in.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				r.spans = append(r.spans, read(s, ss.GetScope().GetName(), attributes(rs.GetResource().GetAttributes())))
			}
		}
	}
}

func read(s *tracepb.Span, scope string, res map[string]string) Span {
	out := Span{
		Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
		Parent: hex.EncodeToString(s.GetParentSpanId()), Kind: s.GetKind().String(), Scope: scope,
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, Attrs: attributes(s.GetAttributes()), Resource: res,
		StartTime: time.Unix(0, int64(s.GetStartTimeUnixNano())), FinishAt: time.Unix(0, int64(s.GetEndTimeUnixNano())), //nolint:gosec // times of now
	}
	for _, l := range s.GetLinks() {
		out.Links = append(out.Links, hex.EncodeToString(l.GetTraceId()))
	}
	for _, e := range s.GetEvents() {
		out.Events = append(out.Events, e.GetName())
	}
	return out
}

func attributes(list []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			m[kv.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[kv.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		case *commonpb.AnyValue_BoolValue:
			m[kv.GetKey()] = strconv.FormatBool(v.BoolValue)
		default:
			m[kv.GetKey()] = kv.GetValue().String()
		}
	}
	return m
}

// Spans returns what arrived so far.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// Headers returns the headers of the exports so far.
func (r *Receiver) Headers() []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.headers)
}

// Wait waits for a span that fits and returns it.
func (r *Receiver) Wait(t testing.TB, what string, fits func(Span) bool) Span {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		for _, s := range r.Spans() {
			if fits(s) {
				return s
			}
		}
		if time.Now().After(deadline) {
			var names []string
			for _, s := range r.Spans() {
				names = append(names, s.Name)
			}
			t.Fatalf("no span arrived: %s; there are %q", what, names)
		}
		<-time.After(20 * time.Millisecond)
	}
}
