// SPDX-License-Identifier: AGPL-3.0-or-later

package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// backend is a replica that answers with its name; ready is the status of its readiness probe.
type backend struct {
	*httptest.Server

	ready atomic.Int64
	calls atomic.Int64
	// hangUp closes the connection in place of an answer.
	hangUp atomic.Bool
}

func newBackend(t *testing.T, name string) *backend {
	t.Helper()
	b := &backend{}
	b.ready.Store(http.StatusOK)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health/ready" {
			w.WriteHeader(int(b.ready.Load()))
			return
		}
		b.calls.Add(1)
		if b.hangUp.Load() {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, name+":"+string(body))
	}))
	t.Cleanup(b.Close)
	return b
}

func newPool(t *testing.T, targets ...string) *Pool {
	t.Helper()
	p, err := NewPool(PoolOptions{Name: "api", Targets: targets, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.transport.CloseIdleConnections)
	return p
}

func call(t *testing.T, p *Pool, method, body string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://api/x", io.MultiReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		req.Body = http.NoBody
	}
	resp, err := p.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func TestPoolSpreadsRequests(t *testing.T) {
	t.Parallel()
	a, b := newBackend(t, "a"), newBackend(t, "b")
	p := newPool(t, a.URL, b.URL)
	for range 20 {
		if _, err := call(t, p, http.MethodGet, ""); err != nil {
			t.Fatal(err)
		}
	}
	if a.calls.Load() != 10 || b.calls.Load() != 10 {
		t.Errorf("%d and %d calls", a.calls.Load(), b.calls.Load())
	}
}

func TestPoolLeavesOutWhatIsNotReady(t *testing.T) {
	t.Parallel()
	a, b := newBackend(t, "a"), newBackend(t, "b")
	p := newPool(t, a.URL, b.URL)
	if p.Available() {
		t.Error("nobody has looked yet")
	}
	a.ready.Store(http.StatusServiceUnavailable)
	p.probeAll(t.Context())
	for range 10 {
		if text, err := call(t, p, http.MethodPost, "1"); err != nil || text != "b:1" {
			t.Fatalf("%q %v", text, err)
		}
	}
	if !p.Available() {
		t.Error("one replica is ready")
	}
	b.ready.Store(http.StatusServiceUnavailable)
	p.probeAll(t.Context())
	if p.Available() {
		t.Error("no replica is ready")
	}
	a.ready.Store(http.StatusOK)
	p.probeAll(t.Context())
	if text, err := call(t, p, http.MethodGet, ""); err != nil || text != "a:" {
		t.Errorf("%q %v", text, err)
	}
}

// TestPoolDeadReplica: no request is lost when a replica is gone before it got it, whatever its method.
func TestPoolDeadReplica(t *testing.T) {
	t.Parallel()
	a, b := newBackend(t, "a"), newBackend(t, "b")
	p := newPool(t, a.URL, b.URL)
	a.Close()
	body := strings.Repeat("x", 300_000)
	for range 10 {
		if text, err := call(t, p, http.MethodPost, body); err != nil || text != "b:"+body {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
	}
}

// TestPoolRepeatsOnlyWhatIsSafe: a replica that hung up may have done the work.
func TestPoolRepeatsOnlyWhatIsSafe(t *testing.T) {
	t.Parallel()
	a, b := newBackend(t, "a"), newBackend(t, "b")
	p := newPool(t, a.URL, b.URL)
	a.hangUp.Store(true)
	b.hangUp.Store(true)
	if _, err := call(t, p, http.MethodPost, "1"); err == nil {
		t.Error("a lost answer to a POST was hidden")
	}
	if n := a.calls.Load() + b.calls.Load(); n != 1 {
		t.Errorf("the POST was sent %d times", n)
	}
	b.hangUp.Store(false)
	for range 4 {
		if text, err := call(t, p, http.MethodGet, ""); err != nil || text != "b:" {
			t.Errorf("%q %v", text, err)
		}
	}
}

// TestPoolFollowsNames: a name stands for all its addresses, and keeps them while it can't be looked up.
func TestPoolFollowsNames(t *testing.T) {
	t.Parallel()
	a := newBackend(t, "a")
	_, port, err := net.SplitHostPort(a.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, "http://api.internal:"+port)
	addresses, failure := []string{"127.0.0.1", "::1"}, error(nil)
	p.resolver = func(context.Context, string) ([]string, error) { return addresses, failure }
	p.resolve(t.Context())
	if n := len(p.list()); n != 2 {
		t.Fatalf("%d replicas", n)
	}
	before := p.list()[0]
	addresses, failure = nil, errors.New("no such host")
	p.resolve(t.Context())
	if n := len(p.list()); n != 2 {
		t.Errorf("%d replicas after a failed look-up", n)
	}
	addresses, failure = []string{"127.0.0.1"}, nil
	p.resolve(t.Context())
	if list := p.list(); len(list) != 1 || list[0] != before {
		t.Errorf("replicas %v", list)
	}
	if text, err := call(t, p, http.MethodGet, ""); err != nil || text != "a:" {
		t.Errorf("%q %v", text, err)
	}
}

func TestPoolRefusesTargets(t *testing.T) {
	t.Parallel()
	for _, targets := range [][]string{nil, {"api:7700"}, {"ftp://api"}, {"http://"}} {
		if _, err := NewPool(PoolOptions{Name: "api", Targets: targets}); err == nil || !strings.Contains(err.Error(), "address of the api service") {
			t.Errorf("%q: %v", targets, err)
		}
	}
}

func TestPoolWithoutReplicas(t *testing.T) {
	t.Parallel()
	p := newPool(t, "http://127.0.0.1:1")
	p.resolver = func(context.Context, string) ([]string, error) { return nil, nil }
	p.resolve(t.Context())
	req := httptest.NewRequest(http.MethodPost, "/x", bytes.NewReader([]byte("x")))
	resp, err := p.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, errNoReplica) {
		t.Errorf("%v", err)
	}
}
