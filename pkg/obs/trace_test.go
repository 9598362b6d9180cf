// SPDX-License-Identifier: AGPL-3.0-or-later

package obs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/obs/obstest"
)

// output is a log that is written while it is read.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

const secret = "a-key-that-nobody-may-see"

func open(t *testing.T, cfg obs.TraceConfig) (*obs.Tracing, *slog.Logger, *output, *prometheus.Registry) {
	t.Helper()
	out := &output{}
	log, err := obs.NewLogger(out, "DEBUG", "json")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	cfg.Service, cfg.Headers = "z4j-test", map[string]string{"api-key": secret}
	tracing, err := obs.OpenTracing(t.Context(), cfg, log, reg)
	if err != nil {
		t.Fatal(err)
	}
	return tracing, log, out, reg
}

func counted(t *testing.T, reg *prometheus.Registry, outcome string, n int) {
	t.Helper()
	want := "# HELP z4j_trace_spans_total Spans by what became of them: exported, failed (the receiver took too long or refused them).\n" +
		"# TYPE z4j_trace_spans_total counter\nz4j_trace_spans_total{outcome=\"" + outcome + "\"} " + strconv.Itoa(n) + "\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "z4j_trace_spans_total"); err != nil {
		t.Error(err)
	}
}

func TestSpansArrive(t *testing.T) {
	receiver := obstest.Start(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	tracing, log, out, reg := open(t, obs.TraceConfig{Endpoint: receiver.URL, Ratio: 1, Namespace: "shop", Environment: "staging"})
	ctx, parent := obs.Start(t.Context(), tracing.Tracer("gateway"), "parent")
	inner, child := obs.Child(ctx, "store", "child")
	log.InfoContext(inner, "in the child")
	log.Info("outside")
	obs.End(child, errors.Join(errors.New("the password is "+secret), domain.ErrTransient))
	obs.End(parent, nil)
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]obstest.Span{}
	for _, s := range receiver.Spans() {
		got[s.Name] = s
	}
	p, c := got["parent"], got["child"]
	if len(got) != 2 || c.Parent != p.ID || c.Trace != p.Trace || p.Parent != "" {
		t.Fatalf("spans: %+v", got)
	}
	if !c.Failed || c.Attrs["error.type"] != domain.CodeUnavailable || p.Failed || strings.Contains(strings.Join(keys(c.Attrs), ""), secret) {
		t.Errorf("outcomes: %+v %+v", p, c)
	}
	for name, want := range map[string]string{
		"service.name": "z4j-test", "service.namespace": "shop", "service.version": domain.Version,
		"deployment.environment": "staging", "deployment.environment.name": "staging",
	} {
		if p.Resource[name] != want {
			t.Errorf("resource %s = %q, want %q", name, p.Resource[name], want)
		}
	}
	if h := receiver.Headers(); len(h) == 0 || h[0].Get("Api-Key") != secret {
		t.Errorf("headers of the export: %v", h)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"trace_id":"`+c.Trace+`"`) || !strings.Contains(lines[0], `"span_id":"`+c.ID+`"`) || strings.Contains(lines[1], "trace_id") {
		t.Errorf("log lines: %s", out)
	}
	counted(t, reg, "exported", 2)
}

func keys(m map[string]string) []string {
	var list []string
	for k, v := range m {
		list = append(list, k, v)
	}
	return list
}

// TestRatio checks both ends: nothing of what nobody asked for, and everything below a parent that is kept.
func TestRatio(t *testing.T) {
	receiver := obstest.Start(t)
	tracing, log, out, _ := open(t, obs.TraceConfig{Endpoint: receiver.URL, Ratio: 0})
	ctx, span := obs.Start(t.Context(), tracing.Tracer("gateway"), "parent")
	_, child := obs.Child(ctx, "store", "child")
	log.InfoContext(ctx, "not recorded")
	if obs.TraceID(ctx) != "" || strings.Contains(out.String(), "trace_id") {
		t.Errorf("a trace that is not kept is named: %q %s", obs.TraceID(ctx), out)
	}
	child.End()
	span.End()
	if err := tracing.Close(t.Context()); err != nil || len(receiver.Spans()) != 0 {
		t.Errorf("%v %+v", err, receiver.Spans())
	}
}

// TestOffCostsNothing: without tracing a span is no allocation.
func TestOffCostsNothing(t *testing.T) {
	var off *obs.Tracing
	tracer := off.Tracer("ingest")
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		inner, span := obs.Start(ctx, tracer, "ingest batch")
		inner, child := obs.Child(obs.WithoutChildren(inner), "store", "transaction")
		obs.End(child, nil)
		obs.End(span, context.Canceled)
		_ = inner
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := off.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestReceiverAway: nobody waits for a receiver that refuses connections, answers nonsense or never answers; one line says
// so, without the key; the stop is bounded.
func TestReceiverAway(t *testing.T) {
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then is the client's end noticed
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(hang)
	var leaked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked.Add(1) }))
	defer other.Close()
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/v1/traces", http.StatusTemporaryRedirect)
	}))
	defer redirecting.Close()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no such key: "+r.Header.Get("Api-Key"), http.StatusUnauthorized)
	}))
	defer echo.Close()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + ln.Addr().String()
	_ = ln.Close()
	for name, tt := range map[string]struct {
		url  string
		lost bool // the end comes before the receiver's answer
		grpc bool
		want string
	}{
		"refused":     {url: closed, lost: true},
		"hangs":       {url: slow.URL, lost: true},
		"redirects":   {url: redirecting.URL, want: "answered 307"},
		"unwelcome":   {url: echo.URL, want: "answered 401"},
		"grpc to 1.1": {url: echo.URL, grpc: true, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			tracing, _, out, _ := open(t, obs.TraceConfig{Endpoint: tt.url, GRPC: tt.grpc, Ratio: 1})
			begin := time.Now()
			// More than fits into the queue: the rest is dropped, nothing blocks.
			for range 6_000 {
				_, span := obs.Start(t.Context(), tracing.Tracer("gateway"), "request")
				span.End()
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("spans without a receiver took %s", took)
			}
			if tt.want != "" {
				deadline := time.Now().Add(15 * time.Second)
				for !strings.Contains(out.String(), tt.want) && time.Now().Before(deadline) {
					<-time.After(10 * time.Millisecond)
				}
			}
			begin = time.Now()
			err := tracing.Close(t.Context())
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("the stop took %s", took)
			}
			if lost := err != nil; lost != tt.lost {
				t.Errorf("end: %v", err)
			}
			if strings.Contains(out.String(), secret) {
				t.Errorf("the key is in the log: %s", out)
			}
			if n := strings.Count(out.String(), "traces are lost"); n > 1 || tt.want != "" && (n != 1 || !strings.Contains(out.String(), tt.want)) {
				t.Errorf("%d lines: %s", n, out)
			}
		})
	}
	if leaked.Load() != 0 {
		t.Error("a redirect was followed, with the key")
	}
}

// TestBusyReceiver: what is refused for the moment is sent again; what is refused in part is counted as lost.
func TestBusyReceiver(t *testing.T) {
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{
			RejectedSpans: 1, ErrorMessage: "because",
		}})
		_, _ = w.Write(answer)
	}))
	defer srv.Close()
	tracing, _, out, reg := open(t, obs.TraceConfig{Endpoint: srv.URL + "/v1/traces", Ratio: 1})
	_, span := obs.Start(t.Context(), tracing.Tracer("gateway"), "request")
	span.End()
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if calls.Load() != 3 || !strings.Contains(out.String(), "refused 1 spans") {
		t.Errorf("%d calls: %s", calls.Load(), out)
	}
	counted(t, reg, "failed", 1)
}

// service is a gRPC receiver of the gRPC project's own making.
type service struct {
	collector.UnimplementedTraceServiceServer
	receiver *obstest.Receiver
	calls    atomic.Int32
}

func (s *service) Export(ctx context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	switch {
	case len(md.Get("api-key")) != 1 || md.Get("api-key")[0] != secret:
		return nil, status.Error(codes.Unauthenticated, "no key")
	case s.calls.Add(1) == 1:
		return nil, status.Error(codes.Unavailable, "not yet")
	}
	s.receiver.Add(in, nil)
	return &collector.ExportTraceServiceResponse{}, nil
}

func TestGRPC(t *testing.T) {
	svc := &service{receiver: &obstest.Receiver{}}
	srv := grpc.NewServer()
	collector.RegisterTraceServiceServer(srv, svc)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Stop()
	tracing, _, out, reg := open(t, obs.TraceConfig{Endpoint: "http://" + ln.Addr().String(), GRPC: true, Ratio: 1})
	_, span := obs.Start(t.Context(), tracing.Tracer("gateway"), "request")
	span.End()
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if spans := svc.receiver.Spans(); len(spans) != 1 || spans[0].Name != "request" || svc.calls.Load() != 2 {
		t.Errorf("%d calls, spans %+v: %s", svc.calls.Load(), spans, out)
	}
	counted(t, reg, "exported", 1)
}
