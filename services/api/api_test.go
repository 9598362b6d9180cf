// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/api/internal/apitest"
)

var update = flag.Bool("update", false, "write docs/openapi.json anew")

// TestOpenAPIFile keeps the committed document equal to what the operations say.
func TestOpenAPIFile(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t))
	path := filepath.Join("..", "..", "docs", "openapi.json")
	want := append(bytes.Clone(b.API.Document()), '\n')
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil { //nolint:gosec // a public document
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path) //nolint:gosec // a fixed name
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/openapi.json is not what the operations say (%v): run go test ./services/api -run TestOpenAPIFile -update", err)
	}
}

type me struct {
	ID          string
	Email       string
	IsAdmin     bool `json:"is_admin"`
	Memberships []struct {
		ProjectSlug string `json:"project_slug"`
		Role        string
	}
}

// actions drains the audit outbox's actions in order.
func actions(t *testing.T, s *store.Store) []string {
	t.Helper()
	var out []string
	err := s.InAuditTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		rows, err := tx.AuditOutbox(ctx, 1000)
		for _, row := range rows {
			_, e, err := row.Entry()
			if err != nil {
				return err
			}
			out = append(out, e.Action+":"+e.Outcome)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFirstBootAndLogin(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := apitest.Start(t, s)
		anon := b.Client()
		anon.Must(200, http.MethodGet, "/api/v1/setup/status", nil, nil)
		bad := anon.Must(404, http.MethodPost, "/api/v1/setup/complete", map[string]any{
			"token": "not-the-token-at-all", "email": "admin@example.com", "password": apitest.Password,
		}, nil)
		if !strings.Contains(string(bad.Body), "invalid_token") {
			t.Errorf("wrong token: %s", bad.Body)
		}
		admin := b.Setup()
		var who me
		admin.Must(200, http.MethodGet, "/api/v1/auth/me", nil, &who)
		if !who.IsAdmin || len(who.Memberships) != 1 || who.Memberships[0].ProjectSlug != "default" || who.Memberships[0].Role != "admin" {
			t.Errorf("the first admin is %+v", who)
		}
		anon.Must(409, http.MethodPost, "/api/v1/setup/complete", map[string]any{
			"token": b.SetupToken, "email": "other@example.com", "password": apitest.Password,
		}, nil)
		anon.Must(401, http.MethodGet, "/api/v1/setup/status", nil, nil)

		anon.Must(401, http.MethodPost, "/api/v1/auth/login", map[string]any{"email": "ADMIN@example.com", "password": "wrong"}, nil)
		again := b.Login("ADMIN@Example.com", apitest.Password)
		// A second session can end the first one, at once.
		again.Must(200, http.MethodPost, "/api/v1/auth/sessions/revoke-others", nil, nil)
		admin.Must(401, http.MethodGet, "/api/v1/auth/me", nil, nil)
		again.NoCSRF = true
		again.Must(403, http.MethodPost, "/api/v1/auth/logout", nil, nil)
		again.NoCSRF = false
		again.Must(204, http.MethodPost, "/api/v1/auth/logout", nil, nil)
		if again.Cookie("z4j_session") != "" {
			t.Error("logout left the cookie")
		}
		want := "setup.attempt:deny setup.completed:allow setup.attempt:deny auth.login:deny auth.login:allow " +
			"auth.other_sessions_revoked:allow auth.logout:allow"
		if got := strings.Join(actions(t, s), " "); got != want {
			t.Errorf("audit records\n%s, want\n%s", got, want)
		}
	})
}

func TestLockoutAndPasswords(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t), func(c *api.Config, _ *api.Deps) { c.LockoutAfter = 3 })
	admin := b.Setup()
	user := b.AddUser(admin, "user@example.com", "default", "viewer")
	for range 3 {
		user.Must(401, http.MethodPost, "/api/v1/auth/change-password", map[string]any{"current_password": "nope", "new_password": apitest.Password + "x"}, nil)
	}
	// Locked: the right password does not help, neither here nor at login.
	user.Must(401, http.MethodPost, "/api/v1/auth/change-password", map[string]any{"current_password": apitest.Password, "new_password": apitest.Password + "x"}, nil)
	b.Client().Must(401, http.MethodPost, "/api/v1/auth/login", map[string]any{"email": "user@example.com", "password": apitest.Password}, nil)

	var who me
	user.Must(200, http.MethodGet, "/api/v1/auth/me", nil, &who)
	weak := admin.Must(422, http.MethodPost, "/api/v1/users/"+who.ID+"/password", map[string]any{"new_password": "alllowercase1"}, nil)
	if strings.Contains(string(weak.Body), "alllowercase1") || !strings.Contains(string(weak.Body), "password_too_simple") {
		t.Errorf("weak password: %s", weak.Body)
	}
	short := admin.Must(422, http.MethodPost, "/api/v1/users/"+who.ID+"/password", map[string]any{"new_password": "sh0rt!"}, nil)
	if strings.Contains(string(short.Body), "sh0rt!") {
		t.Errorf("the answer repeats a password: %s", short.Body)
	}
	admin.Must(204, http.MethodPost, "/api/v1/users/"+who.ID+"/password", map[string]any{"new_password": "Another-Horse-7"}, nil)
	user.Must(401, http.MethodGet, "/api/v1/auth/me", nil, nil)
	user = b.Login("user@example.com", "Another-Horse-7")
	old := user.Cookie("z4j_session")
	user.Must(200, http.MethodPost, "/api/v1/auth/change-password", map[string]any{"current_password": "Another-Horse-7", "new_password": "Third-Horse-Run-1"}, nil)
	if user.Cookie("z4j_session") == old {
		t.Error("the session survived a password change")
	}
	user.Must(200, http.MethodGet, "/api/v1/auth/me", nil, nil)
}

func TestAdminRules(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := apitest.Start(t, s)
		admin := b.Setup()
		var self me
		admin.Must(200, http.MethodGet, "/api/v1/auth/me", nil, &self)
		for body, reason := range map[string]string{`{"is_admin":false}`: "self_demote", `{"is_active":false}`: "self_deactivate"} {
			if a := admin.Must(409, http.MethodPatch, "/api/v1/users/"+self.ID, []byte(body), nil); !strings.Contains(string(a.Body), reason) {
				t.Errorf("%s: %s", body, a.Body)
			}
		}
		admin.Must(409, http.MethodDelete, "/api/v1/users/"+self.ID, nil, nil)

		admin.Must(201, http.MethodPost, "/api/v1/projects", map[string]any{"slug": "shop", "name": "Shop"}, nil)
		padmin := b.AddUser(admin, "padmin@example.com", "shop", "admin")
		viewer := b.AddUser(admin, "viewer@example.com", "shop", "viewer")
		outsider := b.AddUser(admin, "out@example.com", "", "")
		viewer.Must(403, http.MethodGet, "/api/v1/projects/shop/memberships", nil, nil)
		unknown := outsider.Must(404, http.MethodGet, "/api/v1/projects/nope", nil, nil)
		foreign := outsider.Must(404, http.MethodGet, "/api/v1/projects/shop", nil, nil)
		if strip(t, unknown.Body, "nope") != strip(t, foreign.Body, "shop") {
			t.Errorf("a foreign project answers unlike an unknown one:\n%s\n%s", foreign.Body, unknown.Body)
		}
		var members []struct {
			ID   string
			Role string
		}
		padmin.Must(200, http.MethodGet, "/api/v1/projects/shop/memberships", nil, &members)
		for _, m := range members {
			if m.Role == "admin" {
				padmin.Must(409, http.MethodDelete, "/api/v1/projects/shop/memberships/"+m.ID, nil, nil)
				padmin.Must(409, http.MethodPatch, "/api/v1/projects/shop/memberships/"+m.ID, map[string]any{"role": "viewer"}, nil)
			}
		}
		padmin.Must(403, http.MethodPatch, "/api/v1/projects/shop", map[string]any{"name": "x"}, nil)
		// allowed_schedulers: null lifts the restriction, leaving it out keeps it.
		admin.Must(200, http.MethodPatch, "/api/v1/projects/shop", []byte(`{"allowed_schedulers":["z4j-scheduler"]}`), nil)
		a := admin.Must(200, http.MethodPatch, "/api/v1/projects/shop", []byte(`{"name":"S"}`), nil)
		if !strings.Contains(string(a.Body), `"allowed_schedulers":["z4j-scheduler"]`) {
			t.Errorf("lost the restriction: %s", a.Body)
		}
		a = admin.Must(200, http.MethodPatch, "/api/v1/projects/shop", []byte(`{"allowed_schedulers":null}`), nil)
		if !strings.Contains(string(a.Body), `"allowed_schedulers":null`) {
			t.Errorf("kept the restriction: %s", a.Body)
		}
		admin.Must(204, http.MethodDelete, "/api/v1/projects/default", nil, nil)
		admin.Must(204, http.MethodDelete, "/api/v1/projects/default", nil, nil)
		admin.Must(409, http.MethodDelete, "/api/v1/projects/shop", nil, nil)
	})
}

// strip removes what may differ: the slug and the request id.
func strip(t *testing.T, body []byte, slug string) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	delete(v, "request_id")
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(out), slug, "SLUG")
}

func TestAgents(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := apitest.Start(t, s)
		admin := b.Setup()
		var minted struct {
			Agent struct {
				ID        string
				ProjectID string `json:"project_id"`
			}
			Token      string
			HMACSecret string `json:"hmac_secret"`
		}
		admin.Must(201, http.MethodPost, "/api/v1/projects/default/agents", map[string]any{"name": "web"}, &minted)
		project, err := s.ProjectBySlug(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		if want := wire.HMACSecretText(wire.ProjectKey([]byte(apitest.Secret), project.UID)); minted.HMACSecret != want || len(minted.Token) != 43 {
			t.Errorf("secrets %q %q, want %q", minted.Token, minted.HMACSecret, want)
		}
		agents, err := s.Agents(t.Context(), project.ID, 10)
		if err != nil || len(agents) != 1 || agents[0].TokenHash != wire.TokenHash([]byte(apitest.Secret), minted.Token) {
			t.Errorf("stored %+v, %v", agents, err)
		}
		admin.Must(409, http.MethodPost, "/api/v1/projects/default/agents", map[string]any{"name": "web"}, nil)
		list := admin.Must(200, http.MethodGet, "/api/v1/projects/default/agents", nil, nil)
		if strings.Contains(string(list.Body), minted.Token) || strings.Contains(string(list.Body), "hmac") {
			t.Errorf("the list shows secrets: %s", list.Body)
		}
		path := "/api/v1/projects/default/agents/" + minted.Agent.ID
		admin.Must(200, http.MethodGet, path+"/health", nil, nil)
		admin.Must(204, http.MethodDelete, path, nil, nil)
		admin.Must(204, http.MethodDelete, path, nil, nil)
		list = admin.Must(200, http.MethodGet, "/api/v1/projects/default/agents", nil, nil)
		if string(list.Body) != "[]" {
			t.Errorf("revoked agents are listed: %s", list.Body)
		}
	})
}

func TestHealthMetricsAndSettings(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := apitest.Start(t, s, func(c *api.Config, _ *api.Deps) {
			c.Settings = []config.Setting{{Name: "Z4J_SECRET", Value: "hidden-value", Secret: true}, {Name: "Z4J_BIND_PORT", Value: "7700"}}
		})
		anon, admin := b.Client(), b.Setup()
		anon.Must(200, http.MethodGet, "/api/v1/health", nil, nil)
		anon.Must(200, http.MethodGet, "/api/v1/health/ready", nil, nil)
		anon.Must(401, http.MethodGet, "/api/v1/health/deep", nil, nil)
		admin.Must(200, http.MethodGet, "/api/v1/health/deep", nil, nil)
		admin.Must(200, http.MethodGet, "/api/v1/health/system", nil, nil)
		settings := admin.Must(200, http.MethodGet, "/api/v1/admin/settings", nil, nil)
		if strings.Contains(string(settings.Body), "hidden-value") || !strings.Contains(string(settings.Body), `"name":"bind_port","value":"7700"`) {
			t.Errorf("settings: %s", settings.Body)
		}
		refused := anon.Must(401, http.MethodGet, "/metrics", nil, nil)
		if refused.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Error("no WWW-Authenticate")
		}
		anon.Header.Set("Authorization", "Bearer "+apitest.MetricsToken)
		metrics := anon.Must(200, http.MethodGet, "/metrics", nil, nil)
		for _, name := range []string{"z4j_agents_online{", "z4j_workers_online{", "z4j_api_push_sockets 0"} {
			if !strings.Contains(string(metrics.Body), name) {
				t.Errorf("no %s in\n%s", name, metrics.Body)
			}
		}
		// The document: for users only, with a tag that saves the transfer.
		b.Client().Must(401, http.MethodGet, "/api/v1/openapi.json", nil, nil)
		doc := admin.Must(200, http.MethodGet, "/api/v1/openapi.json", nil, nil)
		admin.Header.Set("If-None-Match", doc.Header.Get("ETag"))
		admin.Must(304, http.MethodGet, "/api/v1/openapi.json", nil, nil)
	})
}
