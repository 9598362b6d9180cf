// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/hosts"
)

// settings loads a configuration of its own home.
func settings(t *testing.T, environ ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load(config.Options{Environ: environ, WorkDir: t.TempDir(), Home: t.TempDir(), Mint: true})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestSettingsReachAService changes every setting in turn and looks at what the services get. A setting that changes
// nothing must be one that the command itself uses, or be reported as without effect; one that is so reported must
// really change nothing.
func TestSettingsReachAService(t *testing.T) {
	t.Parallel()
	// Used by serve itself or while loading.
	direct := strings.Fields(`Z4J_BIND_HOST Z4J_BIND_PORT Z4J_ALLOW_HTTP_PUBLIC_URL Z4J_REQUIRE_DB_SSL Z4J_REQUIRE_REDIS_SSL Z4J_AUTO_MIGRATE Z4J_ALLOWED_HOSTS Z4J_DEBUG_HOST_ERRORS
		Z4J_FIRST_BOOT_TOKEN_TTL_SECONDS Z4J_BOOTSTRAP_ADMIN_EMAIL Z4J_BOOTSTRAP_ADMIN_PASSWORD Z4J_BOOTSTRAP_ADMIN_DISPLAY_NAME
		Z4J_DATABASE_HOST Z4J_DATABASE_PORT Z4J_DATABASE_USER Z4J_DATABASE_PASSWORD Z4J_DATABASE_NAME
		Z4J_LOG_LEVEL Z4J_LOG_FORMAT Z4J_LOG_JSON Z4J_SHUTDOWN_DELAY_SECONDS Z4J_COPY_FROM`)
	// Settings that count in some company only, with values that keep the whole valid.
	secret := strings.Repeat("k", 48)
	company := []string{
		"Z4J_DATABASE_URL=postgres://u:p@db.example.com/z4j?sslmode=require", "Z4J_SECRET=" + strings.Repeat("m", 48), "Z4J_SESSION_SECRET=" + strings.Repeat("s", 48),
		"Z4J_PUBLIC_URL=https://z4j.example.com", "Z4J_ALLOWED_HOSTS=z4j.example.com", "Z4J_METRICS_AUTH_TOKEN=" + secret,
		"Z4J_WS_MAX_FRAME_BYTES=1048576", "Z4J_MAX_WS_FRAME_BYTES=1048576",
	}
	values := map[string]string{
		"Z4J_DATABASE_URL": "postgres://u:p@other.example.com/z4j?sslmode=require", "Z4J_PUBLIC_URL": "https://other.example.com", "Z4J_ENVIRONMENT": "dev",
		"Z4J_REDIS_URL": "rediss://cache.example.com/0", "Z4J_SESSION_COOKIE_SAMESITE": "strict", "Z4J_OPENAPI_VISIBILITY": "public",
		"Z4J_LOG_LEVEL": "DEBUG", "Z4J_LOG_FORMAT": "text", "Z4J_CORS_ORIGINS": "https://a.example.com", "Z4J_REDACTION_EXTRA_KEY_PATTERNS": "x+",
		"Z4J_ALLOWED_HOSTS": "other.example.com", "Z4J_TRUSTED_PROXIES": "10.0.0.0/8", "Z4J_AGENT_IP_ALLOWLIST": "10.0.0.0/8",
		"Z4J_API_IP_ALLOWLIST": "10.0.0.0/8", "Z4J_DASHBOARD_IP_ALLOWLIST": "10.0.0.0/8", "Z4J_DEBUG_HOST_ERRORS": "false",
		"Z4J_AGENT_LONGPOLL_REDISPATCH_MIN_INTERVAL_SECONDS": "20", "Z4J_WS_MAX_FRAME_BYTES": "65536", "Z4J_MAX_WS_FRAME_BYTES": "32768",
		"Z4J_OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "Z4J_OTEL_PROTOCOL": "grpc", "Z4J_OTEL_EXPORTER_OTLP_HEADERS": "api-key=" + secret,
		"Z4J_OTEL_SERVICE_NAME": "shop-brain", "Z4J_OTEL_SERVICE_NAMESPACE": "shop", "Z4J_OTEL_ENVIRONMENT": "staging", "Z4J_OTEL_EXCLUDED_URL_PATTERNS": "^/x",
	}
	wired := func(t *testing.T, environ []string) wiring {
		t.Helper()
		w, err := wire(settings(t, environ...))
		if err != nil {
			t.Fatal(err)
		}
		// The listing for the settings page, and where it lies: they follow every setting.
		w.API.Settings, w.API.Home = nil, ""
		return w
	}
	before := wired(t, company)
	root := reflect.TypeFor[config.Config]()
	tested := 0
	for group := range root.Fields() {
		if group.Type.Kind() != reflect.Struct || !group.IsExported() {
			continue
		}
		for f := range group.Type.Fields() {
			name := f.Tag.Get("env")
			if name == "" || slices.Contains(direct, name) {
				continue
			}
			tested++
			value := values[name]
			if value == "" {
				value = otherValue(f, secret)
			}
			after := wired(t, append(slices.Clone(company), name+"="+value))
			changed := !reflect.DeepEqual(before, after)
			switch why := idle(name); {
			case !changed && why == "":
				t.Errorf("%s=%s changes no service: wire it, or give the reason in idle", name, value)
			case changed && why != "":
				t.Errorf("%s reaches a service now: take it out of idle", name)
			}
		}
	}
	if tested < 40 {
		t.Errorf("only %d settings were tested", tested)
	}
}

// otherValue is a valid value that is not the default.
func otherValue(f reflect.StructField, secret string) string {
	t := f.Type
	switch {
	case t == reflect.TypeFor[config.Secret]() || t == reflect.TypeFor[config.Secrets]():
		return secret + "other"
	case t == reflect.TypeFor[config.Bool]():
		if f.Tag.Get("envDefault") == "true" {
			return "false"
		}
		return "true"
	case f.Tag.Get("max") != "":
		return f.Tag.Get("max")
	}
	return f.Tag.Get("envDefault") + "1" // a number ten times as large
}

func TestWithoutEffect(t *testing.T) {
	t.Parallel()
	list := withoutEffect(settings(t, "Z4J_HOP_KEY="+strings.Repeat("h", 40), "Z4J_SENTRY_DSN=x", "Z4J_LOG_LEVEL=DEBUG"))
	var names []string
	for _, n := range list {
		names = append(names, n.Name)
	}
	if !slices.Equal(names, []string{"Z4J_HOP_KEY", "Z4J_SENTRY_DSN"}) {
		t.Errorf("without effect: %q", names)
	}
}

// TestBrainLife starts and stops the four services in this process, with sockets open, and looks for what they leave.
func TestBrainLife(t *testing.T) {
	defer goleak.VerifyNone(t)
	cfg := settings(t, "Z4J_BIND_PORT=1")
	a := &app{stdout: io.Discard, stderr: io.Discard}
	log := slog.New(slog.DiscardHandler)
	for range 2 { // the second on an existing home
		s, err := a.open(t.Context(), cfg, log, migrateAlways)
		if err != nil {
			t.Fatal(err)
		}
		list, err := hosts.Build(hosts.Input{Auto: []string{"localhost", "127.0.0.1"}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := newBrain(t.Context(), cfg, s, list, log)
		if err != nil {
			t.Fatal(err)
		}
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.run(ctx, ln) }()

		client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
		res, err := client.Get("http://" + ln.Addr().String() + "/api/v1/health/ready") //nolint:noctx // bounded by the client
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Status string }
		err = json.NewDecoder(res.Body).Decode(&answer)
		_ = res.Body.Close()
		if err != nil || answer.Status != "ready" {
			t.Errorf("ready: %+v %v", answer, err)
		}
		// An agent's socket that never says hello.
		agent, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+ln.Addr().String()+"/ws/agent", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()

		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the end of the brain: %v", err)
			}
		case <-time.After(stopLimit + 5*time.Second):
			t.Fatal("the brain does not end")
		}
		_ = agent.Close()
		client.CloseIdleConnections()
		if err := b.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// TestBrainFailsClean checks that a brain that can't be built leaves nothing running.
func TestBrainFailsClean(t *testing.T) {
	defer goleak.VerifyNone(t)
	cfg := settings(t)
	s, err := (&app{}).open(t.Context(), cfg, slog.New(slog.DiscardHandler), migrateAlways)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Secret.Session = ""
	if _, err := newBrain(t.Context(), cfg, s, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "session secret") {
		t.Errorf("a brain without session secret: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Home, "z4j.db")); err != nil {
		t.Error(err)
	}
}
