// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/z4jdev/z4j/pkg/hosts"
	"github.com/z4jdev/z4j/pkg/httpx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// safeLog collects log lines of concurrent handlers.
type safeLog struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// named answers with its name, and echoes what the service would see.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if websocket.IsWebSocketUpgrade(r) {
			up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
			conn, err := up.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer conn.Close()
			for {
				kind, data, err := conn.ReadMessage()
				if err != nil {
					return
				}
				if err := conn.WriteMessage(kind, append([]byte(name+":"), data...)); err != nil {
					return
				}
			}
		}
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		httpx.WriteJSON(w, http.StatusOK, map[string]any{"service": name, "client": httpx.ClientIP(r.Context()).String(), "bytes": n, "host": r.Host})
	})
}

func newGateway(t *testing.T, cfg Config, logs io.Writer) *Gateway {
	t.Helper()
	list, err := hosts.Build(hosts.Input{Env: []string{"localhost", "127.0.0.1", "z4j.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	if logs == nil {
		logs = io.Discard
	}
	g, err := New(cfg, Deps{
		API: named("api"), Ingest: named("ingest"), Hosts: list,
		Logger: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})), Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func do(g *Gateway, method, host, path, peer string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, body)
	r.Host = host
	r.RemoteAddr = peer
	rec := httptest.NewRecorder()
	g.Handler().ServeHTTP(rec, r)
	return rec
}

const (
	near = "127.0.0.1:1000"
	far  = "203.0.113.9:1000"
)

func TestRoutes(t *testing.T) {
	g := newGateway(t, Config{}, nil)
	for _, tt := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/api/v1/health", 200, `{"status":"ok"}`},
		{"POST", "/api/v1/health", 405, `"Method Not Allowed"`},
		{"GET", "/api/v1/health/ready", 200, `"service":"api"`},
		{"GET", "/api/v1/projects", 200, `"service":"api"`},
		{"GET", "/api", 200, `"service":"api"`},
		{"GET", "/metrics", 200, `"service":"api"`},
		{"GET", "/metrics/celery", 200, `"service":"api"`},
		{"POST", "/api/v1/setup/complete", 200, `"service":"api"`},
		{"POST", "/api/v1/agent/events", 200, `"service":"ingest"`},
		{"GET", "/ws/agent", 200, `"service":"ingest"`},
		{"GET", "/ws/dashboard", 200, `"service":"api"`},
		{"GET", "/ws/other", 404, `"Not Found"`},
		{"GET", "/.well-known/security.txt", 200, "Contact: mailto:"},
		{"GET", "/assets/none.js", 404, `"Not Found"`},
	} {
		rec := do(g, tt.method, "localhost:7700", tt.path, near, nil)
		if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.want) {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, rec.Code, rec.Body)
		}
		if rec.Header().Get("X-Frame-Options") != "DENY" || !strings.HasPrefix(rec.Header().Get("X-Request-ID"), "req_") {
			t.Errorf("%s: headers %v", tt.path, rec.Header())
		}
	}
	for _, path := range []string{"/", "/setup", "/projects/x"} {
		if rec := do(g, "GET", "localhost", path, near, nil); !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %v", path, rec.Code, rec.Header())
		}
	}
}

func TestHostCheck(t *testing.T) {
	for _, tt := range []struct {
		name, host, path, peer string
		dev, metricsProtected  bool
		status                 int
		verbose                bool
	}{
		{name: "known", host: "Z4J.example.com.:443", path: "/api/v1/projects", peer: far, status: 200},
		{name: "foreign in production", host: "evil.example.com", path: "/api/v1/projects", peer: near, status: 400},
		{name: "foreign in dev, near", host: "evil.example.com", path: "/", peer: near, dev: true, status: 400, verbose: true},
		{name: "foreign in dev, private", host: "evil.example.com", path: "/", peer: "192.168.1.7:5", dev: true, status: 400, verbose: true},
		{name: "foreign in dev, far", host: "evil.example.com", path: "/", peer: far, dev: true, status: 400},
		{name: "empty", host: "", path: "/", peer: near, status: 400},
		{name: "malformed in dev", host: "a b", path: "/", peer: near, dev: true, status: 400, verbose: true},
		{name: "push socket", host: "evil.example.com", path: "/ws/dashboard", peer: near, status: 400},
		{name: "agents by any name", host: "brain.internal", path: "/ws/agent", peer: far, status: 200},
		{name: "agents' polls by any name", host: "brain.internal", path: "/api/v1/agent/commands", peer: far, status: 200},
		{name: "agents with a malformed name", host: "x y", path: "/ws/agent", peer: far, status: 400},
		{name: "health", host: "10.1.2.3:7700", path: "/api/v1/health", peer: far, status: 200},
		{name: "health, malformed", host: "x y", path: "/api/v1/health/ready", peer: far, status: 200},
		{name: "metrics", host: "10.1.2.3", path: "/metrics", peer: far, status: 400},
		{name: "protected metrics", host: "10.1.2.3", path: "/metrics", peer: far, metricsProtected: true, status: 200},
		{name: "protected metrics under other names", host: "10.1.2.3", path: "/metrics/flower", peer: far, metricsProtected: true, status: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			logs := &safeLog{}
			g := newGateway(t, Config{Dev: tt.dev, MetricsProtected: tt.metricsProtected}, logs)
			rec := do(g, "GET", tt.host, tt.path, tt.peer, nil)
			if rec.Code != tt.status {
				t.Fatalf("status %d: %s", rec.Code, rec.Body)
			}
			if tt.status != 400 {
				return
			}
			var body map[string]any
			if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			details, verbose := body["details"].(map[string]any)
			if body["error"] != "invalid_host" || body["request_id"] != rec.Header().Get("X-Request-ID") || verbose != tt.verbose {
				t.Errorf("body %s", rec.Body)
			}
			if !verbose && (len(body) != 3 || strings.Contains(rec.Body.String(), "z4j.example.com")) {
				t.Errorf("a terse answer must not tell anything: %s", rec.Body)
			}
			if verbose && (details["rejected_host"] == "" || details["fix"] == "" || details["allowed_hosts"] == nil) {
				t.Errorf("details %v", details)
			}
			if tt.host == "evil.example.com" {
				want := "rejected request - Host header 'evil.example.com' is not in the allow-list. Persist it via `z4j allowed-hosts add evil.example.com` or restart with `z4j serve --allowed-host evil.example.com`. Current allow-list: ['localhost', '127.0.0.1', 'z4j.example.com']"
				if strings.Count(logs.String(), want) != 1 || !strings.Contains(logs.String(), "level=INFO") {
					t.Errorf("log:\n%s", logs)
				}
			}
		})
	}
}

func TestAgentHostWarnsOncePerName(t *testing.T) {
	logs := &safeLog{}
	g := newGateway(t, Config{}, logs)
	for range 3 {
		do(g, "GET", "brain.internal", "/ws/agent", far, nil)
		do(g, "GET", "other.internal:7700", "/api/v1/agent/commands", far, nil)
		do(g, "GET", "z4j.example.com", "/ws/agent", far, nil)
	}
	if got := strings.Count(logs.String(), "level=WARN msg=\"agents use"); got != 2 {
		t.Errorf("%d warnings, want 2:\n%s", got, logs)
	}
}

func TestBodyLimits(t *testing.T) {
	g := newGateway(t, Config{}, nil)
	for _, tt := range []struct {
		path   string
		size   int
		status int
	}{
		{"/api/v1/projects", 1 << 20, 200},
		{"/api/v1/projects", 1<<20 + 1, 413},
		{"/api/v1/agent/events", 8 << 20, 200},
		{"/api/v1/agent/events", 8<<20 + 1, 413},
		{"/api/v1/projects/shop/schedules:import", 2 << 20, 200},
	} {
		for _, streamed := range []bool{false, true} {
			r := httptest.NewRequest(http.MethodPost, tt.path, strings.NewReader(strings.Repeat("x", tt.size)))
			r.Host = "localhost"
			if streamed {
				r.ContentLength = -1
			}
			rec := httptest.NewRecorder()
			g.Handler().ServeHTTP(rec, r)
			if rec.Code != tt.status {
				t.Errorf("%s %d bytes (streamed %v): %d", tt.path, tt.size, streamed, rec.Code)
			}
		}
	}
}

func TestClientAddress(t *testing.T) {
	g := newGateway(t, Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, nil)
	for peer, want := range map[string]string{"10.0.0.1:1": "198.51.100.4", "203.0.113.9:1": "203.0.113.9"} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/projects", nil)
		r.Host, r.RemoteAddr = "localhost", peer
		r.Header.Set("X-Forwarded-For", "198.51.100.4")
		rec := httptest.NewRecorder()
		g.Handler().ServeHTTP(rec, r)
		if !strings.Contains(rec.Body.String(), `"client":"`+want+`"`) {
			t.Errorf("peer %s: %s", peer, rec.Body)
		}
	}
}

// dial opens a WebSocket through the gateway.
func dial(t *testing.T, srv *httptest.Server, path, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second}
	conn, resp, err := d.DialContext(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http")+path, header)
	if conn != nil {
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	}
	return conn, resp, err
}

func TestPushSocketOrigin(t *testing.T) {
	for _, tt := range []struct {
		name, origin string
		dev, allowed bool
	}{
		{"page of the brain", "http://localhost:7700", false, true},
		{"another allowed name", "https://z4j.example.com", false, true},
		{"public URL", "https://public.example.com", false, true},
		{"CORS origin", "https://app.example.com", false, true},
		{"foreign page", "https://evil.example.com", false, false},
		{"opaque origin", "null", true, false},
		{"no origin in production", "", false, false},
		{"no origin in dev", "", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateway(t, Config{Dev: tt.dev, PublicURL: "https://public.example.com", CORSOrigins: []string{"https://app.example.com"}}, nil)
			srv := httptest.NewServer(g.Handler())
			defer srv.Close()
			conn, _, err := dial(t, srv, "/ws/dashboard", tt.origin)
			if err != nil {
				t.Fatalf("handshake: %v", err)
			}
			if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			_, data, err := conn.ReadMessage()
			if tt.allowed && string(data) != "api:hello" || !tt.allowed && !websocket.IsCloseError(err, 4403) {
				t.Errorf("got %q, %v", data, err)
			}
		})
	}
}

func TestReverseProxy(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	service := func(name string) *httptest.Server {
		behind := httpx.Request(httpx.RequestOptions{HopKey: key})(named(name))
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Frame-Options", "DENY")
			behind.ServeHTTP(w, r)
		}))
	}
	api, ingest := service("api"), service("ingest")
	defer ingest.Close()
	list, _ := hosts.Build(hosts.Input{Env: []string{"127.0.0.1"}})
	g, err := New(Config{APIURLs: []string{api.URL}, IngestURLs: []string{ingest.URL}, HopKey: key, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Deps{Hosts: list})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(g.Handler())
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	call := func(size int) (int, string, http.Header) {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/api/v1/projects?x=1", io.MultiReader(strings.NewReader(strings.Repeat("x", size))))
		req.Header.Set("X-Forwarded-For", "198.51.100.4")
		req.Header.Set("X-Z4j-Hop-Client", "6.6.6.6")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body), resp.Header
	}
	status, body, header := call(10)
	if status != 200 || !strings.Contains(body, `"client":"198.51.100.4"`) || !strings.Contains(body, strings.TrimPrefix(srv.URL, "http://")) {
		t.Errorf("%d %s", status, body)
	}
	if len(header.Values("X-Frame-Options")) != 1 || len(header.Values("X-Request-Id")) != 1 {
		t.Errorf("doubled headers: %v", header)
	}
	if status, body, _ = call(2 << 20); status != 413 || !strings.Contains(body, "payload_too_large") {
		t.Errorf("large streamed body: %d %s", status, body)
	}
	conn, _, err := dial(t, srv, "/ws/agent", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessage(websocket.BinaryMessage, []byte("frame")); err != nil {
		t.Fatal(err)
	}
	if _, data, err := conn.ReadMessage(); err != nil || string(data) != "ingest:frame" {
		t.Errorf("socket through the proxy: %q %v", data, err)
	}
	_ = conn.Close()
	api.Close()
	if status, body, _ = call(1); status != 503 || !strings.Contains(body, "the api service does not answer") {
		t.Errorf("dead service: %d %s", status, body)
	}
}

func TestNewRefusesMissingParts(t *testing.T) {
	list, _ := hosts.Build(hosts.Input{Auto: []string{"localhost"}})
	if _, err := New(Config{}, Deps{API: named("api"), Ingest: named("ingest")}); err == nil {
		t.Error("no host list accepted")
	}
	if _, err := New(Config{IngestURLs: []string{"ingest:7700"}}, Deps{API: named("api"), Hosts: list}); err == nil || !strings.Contains(err.Error(), "ingest service") {
		t.Errorf("bad address: %v", err)
	}
}

func BenchmarkEdge(b *testing.B) {
	list, err := hosts.Build(hosts.Input{Env: []string{"localhost"}})
	if err != nil {
		b.Fatal(err)
	}
	g, err := New(Config{}, Deps{API: named("api"), Ingest: named("ingest"), Hosts: list, Registry: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/api/v1/health", nil)
	r.Host = "localhost:7700"
	b.ReportAllocs()
	for b.Loop() {
		g.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
}
