// SPDX-License-Identifier: AGPL-3.0-or-later

package allinone_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// onBoth runs fn on a fresh SQLite home and on one with an empty PostgreSQL database.
func onBoth(t *testing.T, fn func(t *testing.T, h *home)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); fn(t, newHome(t)) })
	t.Run("postgresql", func(t *testing.T) { t.Parallel(); fn(t, postgresHome(t, storetest.PostgresURL(t))) })
}

// decode reads a command's JSON output.
func decode[T any](t *testing.T, r result) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("the output is not JSON: %v: %s", err, r)
	}
	return v
}

func TestCreateSuperuser(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *home) {
		args := []string{"createsuperuser", "--email", "Ops@Example.COM", "--password-stdin", "--display-name", "Ops"}
		h.run(t, "createsuperuser").want(t, 2, "--email")
		h.run(t, "createsuperuser", "--email", adminEmail).want(t, 2, "--password-stdin")
		h.runInput(t, "", args...).want(t, 2, "no password")
		for _, weak := range []string{"short", "password1234", strings.Repeat("a", 14)} {
			r := h.runInput(t, weak+"\n", args...).want(t, 1, "password")
			if strings.Contains(r.err, "token=") || strings.Contains(r.err, "goroutine") || strings.Contains(r.err, "\""+weak) {
				t.Errorf("a refusal that says too much: %s", r)
			}
		}
		h.runInput(t, adminPassword+"\n", "createsuperuser", "--email", "not an address", "--password-stdin").want(t, 1, "e-mail")
		r := h.runInput(t, adminPassword+"\r\n", args...).want(t, 0)
		if r.out != "z4j: admin ops@example.com provisioned\n" || r.err != "" {
			t.Errorf("output: %s", r)
		}
		h.runInput(t, adminPassword+"\n", args...).want(t, 3, "an account exists")
		h.run(t, "bootstrap-admin", "--email", adminEmail, "--password", adminPassword).want(t, 3)
		b := h.serve(t)
		if strings.Contains(b.err.String(), "token=") {
			t.Errorf("a setup link although there is an admin:\n%s", b.err)
		}
		s, code := login(t, b.url, adminEmail, adminPassword)
		if code != http.StatusOK {
			t.Fatalf("login: %d", code)
		}
		if code, body := s.call(t, http.MethodGet, "/api/v1/projects", nil); code != http.StatusOK || !strings.Contains(body, `"default"`) {
			t.Errorf("projects: %d %s", code, body)
		}
		b.stop(t).want(t, 0)
		h.run(t, "audit", "verify").want(t, 0)
	})
}

func TestPasswordInArgvWarns(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.run(t, "createsuperuser", "--email", adminEmail, "--password", adminPassword).want(t, 0, "visible in the process list")
	h.run(t, "createsuperuser", "--email", adminEmail, "--password", "x", "--password-stdin").want(t, 2)
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	const next = "another-Good7-passphrase"
	onBoth(t, func(t *testing.T, h *home) {
		h.secrets = append(h.secrets, next)
		h.run(t, "changepassword").want(t, 2)
		h.runInput(t, next, "changepassword", "nobody@example.com", "--password-stdin").want(t, 4, "nobody@example.com")
		h.runInput(t, adminPassword, "createsuperuser", "--email", adminEmail, "--password-stdin").want(t, 0)
		b := h.serve(t)
		s, code := login(t, b.url, adminEmail, adminPassword)
		if code != http.StatusOK {
			t.Fatalf("login: %d", code)
		}
		h.runInput(t, "short", "changepassword", adminEmail, "--password-stdin").want(t, 3, "password")
		if code, _ := s.call(t, http.MethodGet, "/api/v1/auth/me", nil); code != http.StatusOK {
			t.Errorf("a refused change ended the session: %d", code)
		}
		// While the brain runs.
		h.runInput(t, next, "changepassword", "OPS@example.com", "--password-stdin").want(t, 0, "sessions have ended")
		// The brain may know of a session for a second what it was, but nobody changes anything with it.
		if code, _ := s.call(t, http.MethodPost, "/api/v1/auth/logout", nil); code != http.StatusUnauthorized {
			t.Errorf("the old session still changes something: %d", code)
		}
		<-time.After(time.Second)
		if code, _ := s.call(t, http.MethodGet, "/api/v1/auth/me", nil); code != http.StatusUnauthorized {
			t.Errorf("the old session still works: %d", code)
		}
		if _, code := login(t, b.url, adminEmail, adminPassword); code != http.StatusUnauthorized {
			t.Errorf("the old password: %d", code)
		}
		if _, code := login(t, b.url, adminEmail, next); code != http.StatusOK {
			t.Errorf("the new password: %d", code)
		}
	})
}

func TestResetSetup(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	// Before the first start there is a link already, for the address that serve will have.
	h.run(t, "reset-setup").want(t, 0, "http://localhost:7700/setup#token=")
	b := h.serve(t)
	old := b.setupToken(t)
	r := h.run(t, "reset-setup").want(t, 0)
	link := setupLink().FindStringSubmatch(r.out)
	if link == nil || strings.Count(r.out, "\n") != 1 || strings.Contains(r.err, "token=") {
		t.Fatalf("want the link alone on stdout: %s", r)
	}
	if want := strings.Replace(b.url, "127.0.0.1", "localhost", 1); link[1] != want {
		t.Errorf("the link leads to %s, the brain is at %s", link[1], want)
	}
	object := decode[map[string]string](t, h.run(t, "reset-setup", "--json", "--force").want(t, 0))
	last := setupLink().FindStringSubmatch(object["url"])
	if last == nil || !strings.HasSuffix(object["expires_at"], "Z") {
		t.Fatalf("reset-setup --json: %v", object)
	}
	for token, want := range map[string]int{old: http.StatusNotFound, link[2]: http.StatusNotFound} {
		body := map[string]string{"token": token, "email": adminEmail, "password": adminPassword}
		if code, text := newSession(t, b.url).call(t, http.MethodPost, "/api/v1/setup/complete", body); code != want {
			t.Errorf("a replaced link: %d %s, want %d", code, text, want)
		}
	}
	body := map[string]string{"token": last[2], "email": adminEmail, "password": adminPassword}
	if code, text := newSession(t, b.url).call(t, http.MethodPost, "/api/v1/setup/complete", body); code != http.StatusOK {
		t.Errorf("the new link: %d %s", code, text)
	}
	h.run(t, "reset-setup").want(t, 2, "an account exists", "changepassword")
}

func TestReset(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.run(t, "allowed-hosts", "add", "kept.example.com").want(t, 0)
	h.runInput(t, adminPassword, "createsuperuser", "--email", adminEmail, "--password-stdin").want(t, 0)
	secrets, err := os.ReadFile(h.file("secret.env"))
	if err != nil {
		t.Fatal(err)
	}
	h.run(t, "reset").want(t, 1, "--force", h.file("z4j.db"))
	b := h.serve(t)
	h.run(t, "reset", "--force").want(t, 2, "another z4j serve")
	if _, code := login(t, b.url, adminEmail, adminPassword); code != http.StatusOK {
		t.Errorf("a refused reset did harm: login %d", code)
	}
	b.stop(t).want(t, 0)
	h.run(t, "reset", "--force").want(t, 0, "deleted "+h.file("z4j.db"))
	h.run(t, "reset", "--force").want(t, 0, "no database")
	if after, _ := os.ReadFile(h.file("secret.env")); string(after) != string(secrets) {
		t.Error("reset changed the secrets")
	}
	h.run(t, "allowed-hosts", "list").want(t, 0, "kept.example.com")
	h.serve(t).setupToken(t)
}

func TestAllowedHostsCommands(t *testing.T) {
	t.Parallel()
	// Broken settings must not keep anybody from mending the file.
	h := newHome(t, "Z4J_BIND_PORT=nonsense")
	file := h.file("allowed-hosts")
	if r := h.run(t, "allowed-hosts", "path").want(t, 0); r.out != file+"\n" {
		t.Errorf("path: %s", r)
	}
	h.run(t, "allowed-hosts", "list").want(t, 0, "(no persisted hosts in "+file+")")
	h.run(t, "allowed-hosts", "add").want(t, 2)
	for entry, want := range map[string]string{
		"http://tasks.example.com/x": "write tasks.example.com", "two words": "space", "tasks.example.com:8080": "write tasks.example.com",
		"*": "DNS rebinding", "*.com": "*.example.com", "a*.example.com": "*.example.com", "": "empty", "[fd00::": "not a host name", "bad/host": "URL",
	} {
		h.run(t, "allowed-hosts", "add", "good.example.com", entry).want(t, 2, want)
	}
	h.run(t, "allowed-hosts", "list").want(t, 0, "(no persisted hosts")
	h.run(t, "allowed-hosts", "add", "Tasks.Example.com.", "10.0.0.7", "fd00::1", "*.example.org", "tasks.example.com").
		want(t, 0, "added: tasks.example.com\nadded: 10.0.0.7\nadded: [fd00::1]\nadded: *.example.org\n", "skipped: tasks.example.com (already present)", "Restart")
	if r := h.run(t, "allowed-hosts", "list").want(t, 0); r.out != "tasks.example.com\n10.0.0.7\n[fd00::1]\n*.example.org\n" {
		t.Errorf("list: %s", r)
	}
	if got := decode[[]string](t, h.run(t, "allowed-hosts", "list", "--json")); len(got) != 4 {
		t.Errorf("list --json: %q", got)
	}
	h.run(t, "allowed-hosts", "remove", "10.0.0.7", "none.example.com").want(t, 0, "removed: 10.0.0.7\n", "not found: none.example.com\n")
	h.run(t, "allowed-hosts", "remove", "none.example.com").want(t, 0, "not found: none.example.com\n")
	if err := os.WriteFile(file, []byte("# by hand\nhttp://wrong\ngood.example.com # yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := h.run(t, "allowed-hosts", "list").want(t, 0)
	if r.out != "good.example.com\n" || !strings.Contains(r.err, "line 2") {
		t.Errorf("list with a wrong line: %s", r)
	}
	h.run(t, "allowed-hosts", "frobnicate").want(t, 2, "frobnicate", "Commands: add, list, path, remove")
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *home) {
		if r := h.run(t, "migrate", "current").want(t, 0); r.out != "0\n" {
			t.Errorf("current on an empty database: %s", r)
		}
		h.run(t, "migrate", "current", "--check-heads").want(t, 1, "z4j migrate upgrade head")
		h.run(t, "migrate", "history").want(t, 0, "pending")
		h.run(t, "migrate", "upgrade", "7").want(t, 2, "head")
		h.run(t, "migrate", "upgrade", "head").want(t, 0, "migrated from schema 0 to ")
		h.run(t, "migrate", "upgrade").want(t, 0, "is the newest")
		h.run(t, "migrate", "current", "--check-heads").want(t, 0, " (head)\n")
		if r := h.run(t, "migrate", "history").want(t, 0, "applied"); strings.Contains(r.out, "pending") {
			t.Errorf("history: %s", r)
		}
	})
}

func TestCheckStatusDoctor(t *testing.T) {
	t.Parallel()
	type findings struct {
		OK       bool `json:"ok"`
		Warnings int  `json:"warnings"`
		Checks   []struct{ Name, Status, Detail, Remedy string }
	}
	h := newHome(t)
	h.run(t, "check").want(t, 0, "all green")
	if v := status(t, h); v["version"] != domain.Version || v["users"] != 0.0 || v["environment"] != "dev" {
		t.Errorf("status --json: %v", v)
	}
	h.run(t, "status").want(t, 0, "version", domain.Version, "sqlite://", "users        0")
	if f := decode[findings](t, h.run(t, "check", "--json").want(t, 0)); !f.OK || len(f.Checks) < 4 {
		t.Errorf("check --json: %+v", f)
	}
	h.run(t, "doctor").want(t, 0, "nobody can sign in yet", "createsuperuser", "0.0.0.0")
	h.run(t, "doctor", "--strict").want(t, 1, "warnings")
	f := decode[findings](t, h.run(t, "doctor", "--json").want(t, 0))
	if f.OK || f.Warnings == 0 || !slices.ContainsFunc(f.Checks, func(c struct{ Name, Status, Detail, Remedy string }) bool {
		return c.Status == "warning" && c.Remedy != ""
	}) {
		t.Errorf("doctor --json: %+v", f)
	}
	h.run(t, "doctor", "--counters").want(t, 0, "equal to a recount")
	h.env = append(h.env, "Z4J_METRICS_PUBLIC=true", "Z4J_NO_SUCH_THING=1", "Z4J_API_IP_ALLOWLIST=10.0.0.0/8")
	h.run(t, "doctor").want(t, 0, "/metrics answers everybody", "Z4J_NO_SUCH_THING", "Z4J_API_IP_ALLOWLIST")

	broken := newHome(t, "Z4J_BIND_PORT=70000", "Z4J_LOG_LEVEL=loud")
	for _, command := range []string{"check", "doctor", "status", "serve"} {
		broken.run(t, command).want(t, 2, "Z4J_BIND_PORT", "Z4J_LOG_LEVEL")
	}
	if f := decode[findings](t, broken.run(t, "check", "--json").want(t, 2)); f.OK {
		t.Errorf("check --json with broken settings: %+v", f)
	}
	away := postgresHome(t, "postgres://z4j:hunter2secret@127.0.0.1:1/z4j")
	away.secrets = append(away.secrets, "hunter2secret")
	for _, command := range []string{"check", "doctor", "status", "serve"} {
		away.run(t, command).want(t, 3)
	}
}

func TestDoctorAllWell(t *testing.T) {
	t.Parallel()
	h := newHome(t, "Z4J_BIND_HOST=127.0.0.1")
	h.runInput(t, adminPassword, "createsuperuser", "--email", adminEmail, "--password-stdin").want(t, 0)
	b := h.serve(t)
	s, _ := login(t, b.url, adminEmail, adminPassword)
	if code, body := s.call(t, http.MethodPost, "/api/v1/projects/default/agents", map[string]any{"name": "one"}); code != http.StatusCreated {
		t.Fatalf("mint an agent: %d %s", code, body)
	}
	h.run(t, "doctor", "--strict").want(t, 0)
}

func TestConfigShow(t *testing.T) {
	t.Parallel()
	type row struct {
		Name, Value, Source string
		Secret              bool `json:"is_secret"`
	}
	h := newHome(t, "Z4J_PORT=1", "Z4J_LOG_LEVEL=WARNING", "Z4J_PREVIOUS_SECRETS="+strings.Repeat("o", 40))
	h.secrets = append(h.secrets, strings.Repeat("o", 40))
	h.run(t, "config", "show").want(t, 0, "Z4J_LOG_LEVEL", "WARNING", "secret.env", h.dir)
	rows := decode[[]row](t, h.run(t, "config", "show", "--json").want(t, 0))
	byName := map[string]row{}
	for _, r := range rows {
		byName[r.Name] = r
	}
	if r := byName["Z4J_LOG_LEVEL"]; r.Value != "WARNING" || r.Source != "env" || r.Secret {
		t.Errorf("Z4J_LOG_LEVEL: %+v", r)
	}
	if r := byName["Z4J_SECRET"]; r.Source != "secret.env" || !r.Secret {
		t.Errorf("Z4J_SECRET: %+v", r)
	}
	secrets, err := os.ReadFile(h.file("secret.env"))
	if err != nil {
		t.Fatal(err)
	}
	_, master, _ := strings.Cut(string(secrets), "\nZ4J_SECRET=")
	master, _, _ = strings.Cut(master, "\n")
	if r := h.reveal(t, "config", "show", "--reveal-secrets"); len(master) != 64 || !strings.Contains(r.out, master) {
		t.Error("--reveal-secrets does not reveal them")
	}

	h.env = append(h.env, "Z4J_BIND_PORT=nonsense")
	h.run(t, "config", "show").want(t, 2, "Z4J_LOG_LEVEL", "WARNING", "Z4J_BIND_PORT is not a whole number")
	h.run(t, "config", "validate").want(t, 2, "Z4J_BIND_PORT")
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.run(t, "config", "validate").want(t, 0, "z4j config: valid.")
	file := filepath.Join(h.work, "candidate.env")
	for text, want := range map[string]struct {
		code int
		text string
	}{
		"Z4J_BIND_PORT=8080\n": {0, "valid"}, "Z4J_BIND_PORT=x\n": {2, "Z4J_BIND_PORT"}, "Z4J_BIND_PROT=1\n": {1, "did you mean Z4J_BIND_PORT"},
		"Z4J_SECRET=" + strings.Repeat("k", 40) + "\n": {2, "chmod 600"},
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		h.run(t, "config", "validate", file).want(t, want.code, want.text)
	}
	h.run(t, "config", "validate", file+".none").want(t, 2, "candidate.env.none")
}

func TestMetricsToken(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	first := h.reveal(t, "metrics-token").want(t, 0)
	if len(first.out) != 44 || first.err != "" {
		t.Errorf("want the token alone on stdout: %d bytes, stderr %q", len(first.out), first.err)
	}
	if again := h.reveal(t, "metrics-token", "show"); again.out != first.out {
		t.Error("show prints another token")
	}
	rotated := h.reveal(t, "metrics-token", "rotate").want(t, 0)
	if rotated.out == first.out || len(rotated.out) != 44 || !strings.Contains(rotated.err, "Restart") {
		t.Errorf("rotate: stderr %q", rotated.err)
	}
	if now := h.reveal(t, "metrics-token"); now.out != rotated.out {
		t.Error("the rotated token is not the one in force")
	}
	modes(t, h, map[string]os.FileMode{"secret.env": 0o600})
	h.env = append(h.env, "Z4J_METRICS_AUTH_TOKEN=from-the-environment")
	h.run(t, "metrics-token", "rotate").want(t, 2, "env")
}

func TestAuditVerify(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *home) {
		h.run(t, "audit", "verify").want(t, 0, "verified active: 0")
		h.runInput(t, adminPassword, "createsuperuser", "--email", adminEmail, "--password-stdin").want(t, 0)
		b := h.serve(t)
		eventually(t, 20e9, "the record of the admin is in the chain", func() bool { return status(t, h)["audit_rows"].(float64) >= 2 })
		h.run(t, "audit", "verify").want(t, 0, "verified active: ")
		report := decode[map[string]any](t, h.run(t, "audit", "verify", "--json", "--limit", "1").want(t, 0))
		if len(report) == 0 {
			t.Error("audit verify --json is empty")
		}
		h.run(t, "audit", "verify", "--limit", "0").want(t, 2, "--limit")
		h.run(t, "audit", "verify", "--known-head", "{").want(t, 1)
		b.stop(t).want(t, 0)
	})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	h := newHome(t, "Z4J_BIND_PORT=nonsense") // none of these reads the settings
	if r := h.run(t).want(t, 0); r.out != "z4j "+domain.Version+"\n" || r.err != "" {
		t.Errorf("without arguments: %s", r)
	}
	for _, args := range [][]string{{"version"}, {"--version"}, {"-V"}} {
		if r := h.run(t, args...).want(t, 0); r.out != domain.Version+"\n" || r.err != "" {
			t.Errorf("%v: %s", args, r)
		}
	}
	if v := decode[map[string]string](t, h.run(t, "version", "--json")); v["version"] != domain.Version || v["protocol"] != "2" {
		t.Errorf("version --json: %v", v)
	}
	for _, args := range [][]string{{"-h"}, {"--help"}, {"help"}, {"serve", "--help"}, {"help", "serve"}} {
		if r := h.run(t, args...).want(t, 0, "Usage:"); r.err != "" {
			t.Errorf("%v: help belongs on stdout: %s", args, r)
		}
	}
	h.run(t, "srve").want(t, 2, `there is no command "srve"; did you mean serve?`, "Commands: ", "createsuperuser")
	h.run(t, "serve", "extra").want(t, 2, "z4j serve --help")
	r := h.run(t, "check", "--bogus").want(t, 2, "--bogus", "z4j check --help")
	if r.out != "" {
		t.Errorf("a usage error on stdout: %s", r)
	}
	if _, err := os.Stat(h.dir); err == nil {
		t.Error("a command without need for it made the state directory")
	}
}

// TestHomeOfOthers checks files that would leak or cannot be used.
func TestHomeOfOthers(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.run(t, "migrate", "upgrade").want(t, 0)
	if err := os.Chmod(h.file("secret.env"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.run(t, "serve").want(t, 2, "chmod 600 "+h.file("secret.env"))
	blocked := newHome(t)
	if err := os.WriteFile(blocked.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	blocked.run(t, "serve").want(t, 2, "Z4J_HOME")
}
