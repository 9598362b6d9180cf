// SPDX-License-Identifier: AGPL-3.0-or-later

package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/httpx"
)

// output collects a log that is written while it is read.
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

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

const hopKey = "0123456789abcdef0123456789abcdef"

// settings of a gateway, the role without a database.
func environ(t *testing.T, more ...string) []string {
	t.Helper()
	return append([]string{
		"Z4J_HOME=" + t.TempDir(), "Z4J_HOP_KEY=" + hopKey, "Z4J_API_URL=http://127.0.0.1:1", "Z4J_INGEST_URL=http://127.0.0.1:1",
		"Z4J_PUBLIC_URL=https://z4j.example.com", "Z4J_ALLOWED_HOSTS=z4j.example.com", "Z4J_BIND_HOST=127.0.0.1",
		"Z4J_METRICS_AUTH_TOKEN=scrape-token",
	}, more...)
}

func get(t *testing.T, url string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out: %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestLifeOfAProcess(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	build, sick := make(chan struct{}), make(chan struct{}, 1)
	stopped := false
	spec := Spec{Name: config.RoleGateway, Port: port, New: func(context.Context, *Env) (*Service, error) {
		<-build
		return &Service{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, httpx.ClientIP(r.Context()).String())
			}),
			Run: func(ctx context.Context) error { <-ctx.Done(); stopped = true; return nil },
			Ready: func(context.Context) error {
				select {
				case <-sick:
					return errors.New("no replica answers")
				default:
					return nil
				}
			},
		}, nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &output{}
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, spec, Options{Environ: environ(t), Stderr: log}) }()

	eventually(t, "liveness before the service is built", func() bool { code, _ := get(t, base+"/health", nil); return code == 200 })
	if code, body := get(t, base+"/health/ready", nil); code != 503 || !strings.Contains(body, "starting") {
		t.Errorf("readiness before the service is built: %d %s", code, body)
	}
	signed := func(r *http.Request) {
		httpx.SignHop(r, []byte(hopKey), netip.MustParseAddr("198.51.100.7"), time.Now())
	}
	if code, _ := get(t, base+"/x", signed); code != 503 {
		t.Errorf("a request before the service is built: %d", code)
	}
	close(build)
	eventually(t, "readiness", func() bool { code, _ := get(t, base+"/health/ready", nil); return code == 200 })
	if code, body := get(t, base+"/x", signed); code != 200 || body != "198.51.100.7" {
		t.Errorf("signed request: %d %s", code, body)
	}
	code, body := get(t, base+"/x", nil)
	var refusal struct {
		Error     string `json:"error"`
		Message   string `json:"message"`
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(body), &refusal); code != 403 || err != nil || !strings.Contains(refusal.Message, "gateway only") || refusal.RequestID == "" {
		t.Errorf("unsigned request: %d %s", code, body)
	}
	if code, _ := get(t, base+"/metrics", nil); code != 401 {
		t.Errorf("metrics without the token: %d", code)
	}
	if code, body := get(t, base+"/metrics", func(r *http.Request) { r.Header.Set("Authorization", "Bearer scrape-token") }); code != 200 || !strings.Contains(body, "z4j_build_info") {
		t.Errorf("metrics: %d", code)
	}
	sick <- struct{}{}
	if code, body := get(t, base+"/health/ready", nil); code != 503 || !strings.Contains(body, "no replica answers") {
		t.Errorf("readiness of a sick service: %d %s", code, body)
	}

	cancel()
	eventually(t, "readiness goes first", func() bool {
		code, body := get(t, base+"/health/ready", nil)
		return code == 503 && strings.Contains(body, "stopping")
	})
	if code, _ := get(t, base+"/x", signed); code != 200 {
		t.Errorf("a request while draining: %d", code)
	}
	if err := <-ended; err != nil || !stopped {
		t.Errorf("end: %v, service stopped: %v\n%s", err, stopped, log)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	spec := Spec{Name: config.RoleAPI, Port: 1, Database: true, New: func(context.Context, *Env) (*Service, error) { return nil, errors.New("built") }}
	secrets := []string{"Z4J_SECRET=" + strings.Repeat("m", 40), "Z4J_SESSION_SECRET=" + strings.Repeat("s", 40)}
	for name, tt := range map[string]struct {
		role string
		more []string
		want string
	}{
		"sqlite":       {config.RoleAPI, secrets, "z4j serve"},
		"no secret":    {config.RoleIngest, []string{"Z4J_DATABASE_URL=postgres://u@h/d?sslmode=require"}, "Z4J_SECRET is not set"},
		"no TLS":       {config.RoleAPI, append([]string{"Z4J_DATABASE_URL=postgres://u@h/d"}, secrets...), "Z4J_REQUIRE_DB_SSL=false"},
		"no hop key":   {config.RoleGateway, []string{"Z4J_HOP_KEY="}, "Z4J_HOP_KEY is not set"},
		"bad backends": {config.RoleGateway, []string{"Z4J_API_URL=api:7720"}, "Z4J_API_URL has an entry"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := spec
			s.Name = tt.role
			err := Run(t.Context(), s, Options{Environ: environ(t, tt.more...), Stderr: io.Discard})
			var e *ExitError
			if !errors.As(err, &e) || e.Code != ExitRefused || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestPools checks the budget of connections: serve's halves never exceed the setting, each service gets what it needs,
// and only requests have the short time limits.
func TestPools(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ size, background, requests int }{{20, 10, 10}, {7, 4, 3}, {2, 1, 1}, {1, 1, 1}} {
		cfg := &config.Config{Database: config.Database{
			URL: "postgres://u@db.example.com/z4j", PoolSize: c.size, StatementMS: 10_000, LockMS: 60_000, IdleInTxMS: 5_000,
		}}
		background, requests := StoreOptions(cfg), RequestOptions(cfg)
		if background.ReadConns != c.background || requests.ReadConns != c.requests {
			t.Errorf("a pool of %d is shared %d to %d, want %d to %d", c.size, background.ReadConns, requests.ReadConns, c.background, c.requests)
		}
		if requests.StatementTimeout != 10*time.Second || requests.LockTimeout != time.Minute || requests.IdleInTxTimeout != 5*time.Second {
			t.Errorf("limits of requests: %v %v %v", requests.StatementTimeout, requests.LockTimeout, requests.IdleInTxTimeout)
		}
		if background.StatementTimeout != 30*time.Second || background.LockTimeout != time.Minute || background.IdleInTxTimeout != time.Minute {
			t.Errorf("limits of background work: %v %v %v", background.StatementTimeout, background.LockTimeout, background.IdleInTxTimeout)
		}
	}
}
