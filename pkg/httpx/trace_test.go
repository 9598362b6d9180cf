// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/obs/obstest"
)

const (
	callersTrace  = "0123456789abcdef0123456789abcdef"
	callersParent = "00-" + callersTrace + "-0123456789abcdef-01"
	callersNo     = "00-" + callersTrace + "-0123456789abcdef-00"
)

// TestWhoseTraceIsContinued plays callers of every kind against a service that keeps no trace of its own choice, and one that
// keeps all.
func TestWhoseTraceIsContinued(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	proxy := netip.MustParsePrefix("192.0.2.0/24")
	for name, tt := range map[string]struct {
		ratio   float64
		signed  bool
		trust   bool
		peer    string
		parent  string
		kept    bool   // there is a span
		trace   string // of this trace, if it is not new
		forward string // what the handler passes on
	}{
		"stranger, nothing is kept":       {peer: "198.51.100.1", parent: callersParent},
		"stranger, all is kept":           {ratio: 1, peer: "198.51.100.1", parent: callersParent, kept: true},
		"stranger asks for none":          {ratio: 1, peer: "198.51.100.1", parent: callersNo, kept: true},
		"proxy without trust":             {peer: "192.0.2.1", parent: callersParent},
		"trusted proxy":                   {trust: true, peer: "192.0.2.1", parent: callersParent, kept: true, trace: callersTrace},
		"trusted proxy, not kept":         {ratio: 1, trust: true, peer: "192.0.2.1", parent: callersNo},
		"stranger beside a trusted proxy": {trust: true, peer: "198.51.100.1", parent: callersParent},
		"gateway":                         {signed: true, peer: "198.51.100.1", parent: callersParent, kept: true, trace: callersTrace},
		"gateway, not kept":               {ratio: 1, signed: true, peer: "198.51.100.1", parent: callersNo},
		"gateway without a trace":         {ratio: 1, signed: true, peer: "198.51.100.1", kept: true},
		"malformed":                       {trust: true, peer: "192.0.2.1", parent: "00-zz-yy-01"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := obstest.Start(t)
			tracing, err := obs.OpenTracing(t.Context(), obs.TraceConfig{Endpoint: receiver.URL, Ratio: tt.ratio}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			passed := http.Header{}
			h := Request(RequestOptions{
				Resolver: NewIPResolver([]netip.Prefix{proxy}), HopKey: key, Tracing: &Tracing{Tracer: tracing.Tracer("test"), TrustProxies: tt.trust},
			})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				SetRoute(r, "/things/{id}")
				passed = r.Header.Clone()
				InjectTrace(r.Context(), passed)
				WriteError(w, r, domain.Errorf(domain.CodeNotFound, "no such thing"))
			}))
			r := httptest.NewRequest(http.MethodGet, "/things/secret-7?token=secret-8", http.NoBody)
			r.RemoteAddr = tt.peer + ":1234"
			if tt.parent != "" {
				r.Header.Set("Traceparent", tt.parent)
			}
			r.Header.Set("Baggage", "user=secret-9")
			if tt.signed {
				SignHop(r, key, netip.MustParseAddr("203.0.113.9"), time.Now())
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if err := tracing.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			var env Envelope
			if err := json.Unmarshal(rec.Body.Bytes(), &env); err != nil {
				t.Fatal(err)
			}
			spans := receiver.Spans()
			if kept := len(spans) == 1; kept != tt.kept || (env.TraceID != "") != tt.kept {
				t.Fatalf("spans %+v, envelope's id %q", spans, env.TraceID)
			}
			parent := passed.Get("Traceparent")
			if strings.Contains(parent, callersTrace) && tt.trace == "" && !tt.signed && !tt.trust {
				t.Errorf("a stranger's trace is passed on: %s", parent)
			}
			if passed.Get("Baggage") != "" {
				t.Error("baggage is passed on")
			}
			if !tt.kept {
				return
			}
			s := spans[0]
			if s.Name != "GET /things/{id}" || s.Attrs["http.response.status_code"] != "404" || s.Failed || strings.Contains(strings.Join(values(s.Attrs), " "), "secret") {
				t.Errorf("span: %+v", s)
			}
			if env.TraceID != s.Trace || !strings.Contains(parent, s.Trace+"-"+s.ID+"-01") {
				t.Errorf("ids: envelope %q, passed on %q, span %s %s", env.TraceID, parent, s.Trace, s.ID)
			}
			switch {
			case tt.trace != "" && (s.Trace != tt.trace || s.Parent != "0123456789abcdef"):
				t.Errorf("the trace is not continued: %+v", s)
			case tt.trace == "" && (s.Trace == callersTrace || s.Parent != ""):
				t.Errorf("a stranger's trace is continued: %+v", s)
			case tt.trace == "" && tt.parent != "" && (len(s.Links) != 1 || s.Links[0] != callersTrace):
				t.Errorf("links: %v", s.Links)
			}
		})
	}
}

func values(m map[string]string) []string {
	var list []string
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

// TestWithoutTracing: nothing of a trace is in the answer, and a stranger's headers do not get any further.
func TestWithoutTracing(t *testing.T) {
	t.Parallel()
	seen := http.Header{}
	var log bytes.Buffer
	h := Request(RequestOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		SetRoute(r, "/x")
		InjectTrace(r.Context(), seen)
		NotFound(w, r)
	}))
	r := httptest.NewRequest(http.MethodPost, "/x", http.NoBody)
	for _, name := range traceHeaders() {
		r.Header.Set(name, callersParent)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	for _, name := range traceHeaders() {
		if seen.Get(name) != "" {
			t.Errorf("%s is passed on", name)
		}
	}
	if strings.Contains(rec.Body.String(), "trace_id") || strings.Contains(log.String(), "trace_id") {
		t.Errorf("%s %s", rec.Body, &log)
	}
}
