// SPDX-License-Identifier: AGPL-3.0-or-later

package allinone_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// modes checks the permissions of the state directory and its files.
func modes(t *testing.T, h *home, want map[string]os.FileMode) {
	t.Helper()
	for name, mode := range want {
		info, err := os.Stat(h.file(name))
		if err != nil {
			t.Error(err)
		} else if got := info.Mode().Perm(); got != mode {
			t.Errorf("mode of %q is %04o, want %04o", name, got, mode)
		}
	}
}

func TestFirstBoot(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	b := h.serve(t)
	modes(t, h, map[string]os.FileMode{"": 0o700, "secret.env": 0o600, "z4j.db": 0o600})

	secrets, err := os.ReadFile(h.file("secret.env"))
	if err != nil {
		t.Fatal(err)
	}
	for name, length := range map[string]int{"Z4J_SECRET": 64, "Z4J_SESSION_SECRET": 64, "Z4J_AUDIT_CHAIN_SECRET": 64, "Z4J_METRICS_AUTH_TOKEN": 43} {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^%s=[A-Za-z0-9_-]{%d}$`, name, length)).Match(secrets) {
			t.Errorf("secret.env lacks a fresh %s of %d characters", name, length)
		}
	}
	token := b.setupToken(t)
	if link := setupLink().FindStringSubmatch(b.err.String()); link[1] != fmt.Sprintf("http://localhost:%d", h.port) {
		t.Errorf("the link leads to %s", link[1])
	}
	until := regexp.MustCompile(`until (\S+Z)\.`).FindStringSubmatch(b.err.String())
	if until == nil {
		t.Fatalf("stderr does not say how long the link works:\n%s", b.err)
	}
	if at, err := time.Parse(time.RFC3339, until[1]); err != nil || time.Until(at) > 15*time.Minute || time.Until(at) < 14*time.Minute {
		t.Errorf("the link works until %s (%v), want 15 minutes from now", until[1], err)
	}

	browser := newSession(t, b.url)
	if status, _ := browser.call(t, http.MethodGet, "/setup", nil); status != http.StatusOK && status != http.StatusServiceUnavailable {
		t.Errorf("GET /setup: %d, want the dashboard's page, or the word that this binary has none", status)
	}
	if status, body := browser.call(t, http.MethodGet, "/api/v1/setup/status", nil); status != http.StatusOK || !strings.Contains(body, `"first_boot":true`) {
		t.Errorf("setup status: %d %s", status, body)
	}
	form := map[string]string{"token": token, "email": adminEmail, "password": adminPassword, "display_name": "Ops"}
	wrong := map[string]string{"token": strings.Repeat("x", 43), "email": adminEmail, "password": adminPassword}
	if status, body := browser.call(t, http.MethodPost, "/api/v1/setup/complete", wrong); status != http.StatusNotFound {
		t.Errorf("a wrong token: %d %s", status, body)
	}
	if status, body := browser.call(t, http.MethodPost, "/api/v1/setup/complete", form); status != http.StatusOK {
		t.Fatalf("setup: %d %s", status, body)
	}
	if status, body := browser.call(t, http.MethodGet, "/api/v1/auth/me", nil); status != http.StatusOK || !strings.Contains(body, adminEmail) {
		t.Errorf("the first admin is not signed in: %d %s", status, body)
	}
	if status, _ := newSession(t, b.url).call(t, http.MethodPost, "/api/v1/setup/complete", form); status != http.StatusConflict {
		t.Errorf("the second use of the link: %d, want 409", status)
	}
	b.stop(t).want(t, 0)
	if b.out.String() != "" {
		t.Errorf("serve wrote to stdout:\n%s", b.out)
	}
	if n := strings.Count(b.err.String(), token); n != 1 {
		t.Errorf("the token stands %d times on stderr, want once, in the link:\n%s", n, b.err)
	}

	again := h.serve(t)
	if strings.Contains(again.err.String(), "token=") {
		t.Errorf("a brain with an admin printed a setup link:\n%s", again.err)
	}
	if _, status := login(t, again.url, adminEmail, adminPassword); status != http.StatusOK {
		t.Errorf("login after the restart: %d", status)
	}
	again.stop(t).want(t, 0)
	h.run(t, "audit", "verify").want(t, 0, "verified active:")
}

// TestBanner checks what a start tells its user.
func TestBanner(t *testing.T) {
	t.Parallel()
	h := newHome(t, "Z4J_BIND_PROT=1", "Z4J_SENTRY_DSN=https://key@example.com/1", "Z4J_HOP_KEY="+strings.Repeat("h", 40))
	h.run(t, "allowed-hosts", "add", "tasks.internal.example.com").want(t, 0)
	b := h.serve(t, "--allowed-host", "typed.example.com", "--workers", "4")
	text := b.err.String()
	for _, want := range []string{
		fmt.Sprintf("z4j: serving on 0.0.0.0:%d, accepting Host headers: localhost, 127.0.0.1, [::1]", h.port), "typed.example.com",
		"persisted from " + h.file("allowed-hosts") + ": tasks.internal.example.com", "z4j allowed-hosts add NAME",
		"z4j: state directory " + h.dir, "Z4J_BIND_PROT", "did you mean Z4J_BIND_PORT", "Z4J_SENTRY_DSN", "Z4J_HOP_KEY", "--workers",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("stderr lacks %q:\n%s", want, text)
		}
	}
	for host, want := range map[string]int{
		"typed.example.com": 200, "TASKS.internal.example.com.:80": 200, "localhost": 200, "evil.example.com": 400, "bad host": 400,
	} {
		if got := statusOf(t, b.url+"/api/v1/auth/policy", host); got != want {
			t.Errorf("Host %q: %d, want %d", host, got, want)
		}
	}
	eventually(t, 5*time.Second, "the refusal is logged", func() bool {
		return strings.Contains(b.err.String(), "rejected request - Host header 'evil.example.com' is not in the allow-list. "+
			"Persist it via `z4j allowed-hosts add evil.example.com` or restart with `z4j serve --allowed-host evil.example.com`")
	})
}

// statusOf makes one request under a Host name, also under names that net/http would not send.
func statusOf(t *testing.T, url, host string) int {
	t.Helper()
	rest := strings.TrimPrefix(url, "http://")
	addr, path, _ := strings.Cut(rest, "/")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestAllowedHostsSetting(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"commas": "a.example.com, b.example.com", "JSON": `["a.example.com","b.example.com"]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, "Z4J_ALLOWED_HOSTS="+value)
			h.run(t, "allowed-hosts", "add", "file.example.com").want(t, 0)
			b := h.serve(t, "--allowed-host", "typed.example.com")
			for host, want := range map[string]int{
				"a.example.com": 200, "b.example.com:8080": 200, "typed.example.com": 200, "file.example.com": 400, "localhost": 400,
			} {
				if got := statusOf(t, b.url+"/api/v1/auth/policy", host); got != want {
					t.Errorf("Host %q: %d, want %d", host, got, want)
				}
			}
		})
	}
	h := newHome(t, "Z4J_ALLOWED_HOSTS=http://a.example.com/")
	h.start(t).ended(t, 10*time.Second).want(t, 2, "a.example.com", "is a URL")
}

// TestRestartIsFast measures from the start of the process to the first healthy answer, on an existing home. The best
// of several counts: other tests run on the same processors.
func TestRestartIsFast(t *testing.T) {
	h := newHome(t)
	h.serve(t).stop(t).want(t, 0)
	best := time.Hour
	for range 5 {
		b := h.serve(t)
		best = min(best, b.started)
		b.stop(t).want(t, 0)
	}
	t.Logf("start to first healthy answer: %s", best.Round(time.Millisecond))
	if best > time.Second {
		t.Errorf("the fastest start took %s, want well under a second", best)
	}
}

func TestStopWithOpenSockets(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.runInput(t, adminPassword+"\n", "createsuperuser", "--email", adminEmail, "--password-stdin").want(t, 0)
	b := h.serve(t)
	s, status := login(t, b.url, adminEmail, adminPassword)
	if status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	push, res, err := (&websocket.Dialer{Jar: s.http.Jar}).DialContext(t.Context(),
		strings.Replace(b.url, "http://", "ws://", 1)+"/ws/dashboard", http.Header{"Origin": {b.url}})
	if err != nil {
		t.Fatalf("open the push socket: %v %v", err, res)
	}
	_ = res.Body.Close()
	defer func() { _ = push.Close() }()
	// One that never finishes its request, and one that never begins.
	for _, text := range []string{"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{", ""} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write([]byte(text))
	}
	begin := time.Now()
	b.stop(t).want(t, 0)
	took := time.Since(begin)
	t.Logf("stopped in %s", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	for _, line := range []string{"level=ERROR", "level=CRITICAL", "panic"} {
		if strings.Contains(b.err.String(), line) {
			t.Errorf("the stop was not clean:\n%s", b.err)
		}
	}
}

func TestSecondServe(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	b := h.serve(t)
	h.run(t, "serve", "--port", fmt.Sprint(freePort(t))).want(t, 2, h.dir, fmt.Sprintf("process %d", b.cmd.Process.Pid))
	b.stop(t).want(t, 0)
	// The lock ends with the process.
	h.serve(t).stop(t).want(t, 0)
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	h := newHome(t)
	port := fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
	r := h.run(t, "serve", "--port", port).want(t, 1, "port "+port+" is in use", "--port")
	if strings.Contains(r.err, "token=") {
		t.Errorf("a link to somebody else's port was printed:\n%s", r.err)
	}
}

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.runInput(t, adminPassword, "createsuperuser", "--email", adminEmail, "--password-stdin").want(t, 0)
	for range 3 {
		b := h.serve(t)
		enough := projects(t, h) + 3
		s, status := login(t, b.url, adminEmail, adminPassword)
		if status != http.StatusOK {
			t.Fatalf("login: %d", status)
		}
		ctx, stop := context.WithCancel(t.Context())
		wrote := make(chan int)
		go func() {
			n := 0
			defer func() { wrote <- n }()
			for ctx.Err() == nil {
				body := fmt.Sprintf(`{"slug":"p-%d-%d","name":"P"}`, b.cmd.Process.Pid, n)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/api/v1/projects", strings.NewReader(body))
				if err != nil {
					return
				}
				req.Header.Set("X-CSRF-Token", s.csrf)
				req.Header.Set("Content-Type", "application/json")
				res, err := s.http.Do(req)
				if err != nil {
					return
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusCreated {
					t.Errorf("create a project: %d", res.StatusCode)
					return
				}
				n++
			}
		}()
		eventually(t, 20*time.Second, "a few projects were made", func() bool { return projects(t, h) >= enough })
		before := projects(t, h)
		b.kill(t)
		stop()
		if n := <-wrote; n == 0 {
			t.Error("nothing was written before the kill")
		}
		if after := projects(t, h); after < before {
			t.Errorf("%d projects were there before the kill, %d after", before, after)
		}
	}
	h.serve(t).stop(t).want(t, 0)
	h.run(t, "audit", "verify").want(t, 0)
	h.run(t, "check").want(t, 0, "all green")
}

// projects is the number of projects that `status --json` tells.
func projects(t *testing.T, h *home) int {
	t.Helper()
	return int(status(t, h)["projects"].(float64))
}

func status(t *testing.T, h *home) map[string]any {
	t.Helper()
	r := h.run(t, "status", "--json").want(t, 0)
	var values map[string]any
	if err := json.Unmarshal([]byte(r.out), &values); err != nil {
		t.Fatalf("status --json: %v: %s", err, r)
	}
	return values
}

func TestBootstrapAdmin(t *testing.T) {
	t.Parallel()
	for name, given := range map[string]struct{ env, args []string }{
		"environment": {env: []string{"Z4J_BOOTSTRAP_ADMIN_EMAIL=" + adminEmail, "Z4J_BOOTSTRAP_ADMIN_PASSWORD=" + adminPassword, "Z4J_BOOTSTRAP_ADMIN_DISPLAY_NAME=Ops"}},
		"flags":       {args: []string{"--admin-email", adminEmail, "--admin-password", adminPassword}},
		"both":        {env: []string{"Z4J_BOOTSTRAP_ADMIN_PASSWORD=" + adminPassword}, args: []string{"--admin-email", adminEmail}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, given.env...)
			b := h.serve(t, given.args...)
			if text := b.err.String(); strings.Contains(text, "token=") || !strings.Contains(text, "admin "+adminEmail+" provisioned") {
				t.Errorf("stderr:\n%s", text)
			}
			s, code := login(t, b.url, adminEmail, adminPassword)
			if code != http.StatusOK {
				t.Fatalf("login: %d", code)
			}
			if code, body := s.call(t, http.MethodGet, "/api/v1/projects", nil); code != http.StatusOK || !strings.Contains(body, `"default"`) {
				t.Errorf("projects: %d %s", code, body)
			}
			b.stop(t).want(t, 0)
			// Later starts leave the account alone.
			h.serve(t, given.args...).stop(t).want(t, 0)
			h.run(t, "audit", "verify").want(t, 0)
		})
	}
	t.Run("half", func(t *testing.T) {
		t.Parallel()
		newHome(t).run(t, "serve", "--admin-email", adminEmail).want(t, 2, "Z4J_BOOTSTRAP_ADMIN_PASSWORD", "set both")
	})
	t.Run("weak", func(t *testing.T) {
		t.Parallel()
		newHome(t).run(t, "serve", "--port", fmt.Sprint(freePort(t)), "--admin-email", adminEmail, "--admin-password", "short").
			want(t, 2, "first admin from the settings was refused", "password")
	})
}

// TestPostgres follows an installation on PostgreSQL: management commands on an empty database, first boot of two
// replicas, restart.
func TestPostgres(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	h := postgresHome(t, url)
	h.run(t, "check").want(t, 3, "empty database", "z4j migrate upgrade head")
	first := h.serve(t)
	first.setupToken(t)
	second := postgresHome(t, url)
	other := second.serve(t)
	if text := other.err.String(); strings.Contains(text, "token=") || !strings.Contains(text, "another replica printed the setup link") {
		t.Errorf("the second replica's stderr:\n%s", text)
	}
	if text := other.err.String(); !strings.Contains(text, "no Z4J_REDIS_URL") {
		t.Errorf("the banner does not speak of Redis:\n%s", text)
	}
	r := h.run(t, "reset-setup").want(t, 0)
	token := setupLink().FindStringSubmatch(r.out)
	if token == nil {
		t.Fatalf("no link: %s", r)
	}
	if code, body := newSession(t, other.url).call(t, http.MethodPost, "/api/v1/setup/complete",
		map[string]string{"token": token[2], "email": adminEmail, "password": adminPassword}); code != http.StatusOK {
		t.Errorf("the new link on the other replica: %d %s", code, body)
	}
	h.run(t, "reset-setup").want(t, 2)
	h.run(t, "reset", "--force").want(t, 2, "dropdb")
	first.stop(t).want(t, 0)
	other.stop(t).want(t, 0)
	h.run(t, "audit", "verify").want(t, 0)
	h.run(t, "status").want(t, 0, "postgres://")
	if _, err := os.Stat(h.file("secret.env")); err == nil {
		t.Error("secrets were minted although PostgreSQL is shared by replicas")
	}
}

// TestRedisAway checks that the brain works without the Redis it was given, and says what is missing.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	h := newHome(t, "Z4J_REDIS_URL=redis://:hunter2secret@127.0.0.1:1/0")
	h.secrets = append(h.secrets, "hunter2secret")
	b := h.serve(t)
	eventually(t, 10*time.Second, "the log names Redis", func() bool { return strings.Contains(b.err.String(), "cannot connect to redis") })
	h.run(t, "doctor").want(t, 0, "redis", "Z4J_REDIS_URL")
	b.stop(t).want(t, 0)
	newHome(t, "Z4J_REDIS_URL=http://127.0.0.1").run(t, "serve").want(t, 2, "Z4J_REDIS_URL", "redis://")
}

// TestAllFaultsAtOnce checks that a production start names everything that is missing, in one go.
func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHome(t, "Z4J_DATABASE_URL=postgres://z4j:hunter2secret@db.example.com/z4j")
	h.secrets = append(h.secrets, "hunter2secret")
	h.run(t, "serve").want(t, 2, "Z4J_SECRET is not set", "Z4J_SESSION_SECRET is not set", "Z4J_PUBLIC_URL must be https", "Z4J_ALLOWED_HOSTS is not set", "sslmode")
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.run(t, "migrate", "upgrade", "head").want(t, 0)
	if err := storetest.Exec(t, "sqlite:///"+h.file("z4j.db"), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"serve", "--port", fmt.Sprint(h.port)}, {"status"}, {"migrate", "upgrade"}} {
		h.run(t, args...).want(t, 1, "schema 9999", "newer version")
	}
	h.run(t, "check").want(t, 3, "9999", "newer version")
}

// TestAutoMigrateOff checks that nothing but the command migrates then.
func TestAutoMigrateOff(t *testing.T) {
	t.Parallel()
	h := newHome(t, "Z4J_AUTO_MIGRATE=false")
	h.run(t, "serve", "--port", fmt.Sprint(h.port)).want(t, 3, "z4j migrate upgrade head")
	h.run(t, "status").want(t, 3, "z4j migrate upgrade head")
	h.run(t, "migrate", "upgrade", "head").want(t, 0)
	h.serve(t).stop(t).want(t, 0)
}

// TestInterrupt checks that Ctrl-C is a stop like any other.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	b := newHome(t).serve(t)
	if err := b.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	b.ended(t, 10*time.Second).want(t, 0)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	b := h.serve(t)
	token := strings.TrimSpace(h.reveal(t, "metrics-token").out)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	for bearer, want := range map[string]int{"": 401, "wrong": 401, token: 200} {
		req.Header.Set("Authorization", "Bearer "+bearer)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("metrics: %d, want %d", res.StatusCode, want)
		}
	}
}

// TestDashboardAddresses checks that people outside the permitted networks can't sign in, with whatever they know.
func TestDashboardAddresses(t *testing.T) {
	t.Parallel()
	for networks, want := range map[string]int{"10.9.9.0/24": http.StatusForbidden, "10.9.9.0/24,127.0.0.1": http.StatusOK} {
		h := newHome(t, "Z4J_DASHBOARD_IP_ALLOWLIST="+networks)
		h.runInput(t, adminPassword, "createsuperuser", "--email", adminEmail, "--password-stdin").want(t, 0)
		b := h.serve(t)
		if _, code := login(t, b.url, adminEmail, adminPassword); code != want {
			t.Errorf("login from 127.0.0.1 with %s: %d, want %d", networks, code, want)
		}
		if _, code := login(t, b.url, adminEmail, "wrong"); code == http.StatusOK || want == http.StatusForbidden && code != want {
			t.Errorf("wrong login from 127.0.0.1 with %s: %d", networks, code)
		}
		// Health stays open for probes.
		if code := statusOf(t, b.url+"/api/v1/health/ready", "localhost"); code != http.StatusOK {
			t.Errorf("ready: %d", code)
		}
	}
	newHome(t, "Z4J_DASHBOARD_IP_ALLOWLIST=everybody").run(t, "serve").want(t, 2, "Z4J_DASHBOARD_IP_ALLOWLIST", "10.0.0.0/8")
}
