// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/api/internal/apitest"
)

// clock is a time that the test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) Advance(d time.Duration) { c.offset.Add(int64(d)) }

// clocked returns a brain on SQLite whose store and API share the clock.
func clocked(t *testing.T) (*apitest.Brain, *clock) {
	t.Helper()
	c := &clock{}
	s := storetest.SQLite(t, func(o *store.Options) { o.Now = c.Now })
	return apitest.Start(t, s, func(_ *api.Config, d *api.Deps) { d.Now = c.Now }), c
}

// TestEveryOperationIsGuarded walks the document: what is not open to everybody refuses strangers, writes without
// the CSRF header, and people who are no members, whatever else the request holds.
func TestEveryOperationIsGuarded(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t))
	admin := b.Setup()
	outsider := b.AddUser(admin, "out@example.com", "", "")
	var doc struct {
		Paths map[string]map[string]struct {
			Security []any
		}
	}
	if err := json.Unmarshal(b.API.Document(), &doc); err != nil {
		t.Fatal(err)
	}
	open := map[string]bool{
		"GET /api/v1/health": true, "GET /api/v1/health/ready": true, "GET /api/v1/setup/status": true,
		"POST /api/v1/setup/complete": true, "POST /api/v1/auth/login": true, "GET /api/v1/auth/policy": true,
	}
	param := regexp.MustCompile(`\{[a-z_]+\}`)
	guarded := 0
	for path, item := range doc.Paths {
		for method, op := range item {
			method = strings.ToUpper(method)
			if len(op.Security) == 0 {
				if !open[method+" "+path] {
					t.Errorf("%s %s is open to everybody", method, path)
				}
				continue
			}
			guarded++
			target := strings.ReplaceAll(path, "{slug}", "default")
			target = param.ReplaceAllString(target, uuid.NewString())
			if a := b.Client().Do(method, target, nil); a.Status != http.StatusUnauthorized {
				t.Errorf("%s %s: a stranger gets %d", method, path, a.Status)
			}
			if strings.HasPrefix(path, "/api/v1/auth/") {
				continue // about the caller himself
			}
			if method != http.MethodGet {
				outsider.NoCSRF = true
				if a := outsider.Do(method, target, nil); a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), "csrf_mismatch") {
					t.Errorf("%s %s: without the CSRF header %d %s", method, path, a.Status, a.Body)
				}
				outsider.NoCSRF = false
			}
			if !strings.Contains(path, "{slug}") {
				continue
			}
			// Instance admins' operations tell nobody whether the project exists; the others answer as for none.
			if a := outsider.Do(method, target, nil); a.Status != http.StatusNotFound && a.Status != http.StatusForbidden {
				t.Errorf("%s %s: no member, yet %d", method, path, a.Status)
			}
		}
	}
	if guarded < 30 {
		t.Errorf("only %d guarded operations: is the document whole?", guarded)
	}
}

func TestSessionLifetimes(t *testing.T) {
	t.Parallel()
	b, now := clocked(t)
	admin := b.Setup()
	remembered := b.Client()
	remembered.Must(200, http.MethodPost, "/api/v1/auth/login", map[string]any{
		"email": "admin@example.com", "password": apitest.Password, "remember_me": true,
	}, nil)
	// Used every twenty minutes it lives, for seven days and no longer.
	start := now.Now()
	for now.Now().Sub(start) < 7*24*time.Hour-20*time.Minute {
		now.Advance(20 * time.Minute)
		admin.Must(200, http.MethodGet, "/api/v1/auth/me", nil, nil)
	}
	now.Advance(25 * time.Minute)
	admin.Must(401, http.MethodGet, "/api/v1/auth/me", nil, nil)
	// Remembered, it needs no use and lives for thirty days.
	remembered.Must(200, http.MethodGet, "/api/v1/auth/me", nil, nil)
	now.Advance(24 * 24 * time.Hour)
	remembered.Must(401, http.MethodGet, "/api/v1/auth/me", nil, nil)

	idle := b.Login("admin@example.com", apitest.Password)
	now.Advance(31 * time.Minute)
	idle.Must(401, http.MethodGet, "/api/v1/auth/me", nil, nil)
}

func TestTouchIsRare(t *testing.T) {
	t.Parallel()
	b, now := clocked(t)
	admin := b.Setup()
	seen := func() time.Time {
		u, err := b.Store.UserByEmail(t.Context(), "admin@example.com")
		if err != nil {
			t.Fatal(err)
		}
		list, err := b.Store.UserSessions(t.Context(), u.ID)
		if err != nil || len(list) != 1 {
			t.Fatalf("sessions %v, %v", list, err)
		}
		return list[0].LastSeenAt
	}
	first := seen()
	now.Advance(30 * time.Second)
	admin.Must(200, http.MethodGet, "/api/v1/auth/me", nil, nil)
	if !seen().Equal(first) {
		t.Error("touched after 30 seconds")
	}
	now.Advance(40 * time.Second)
	admin.Must(200, http.MethodGet, "/api/v1/auth/me", nil, nil)
	if !seen().After(first) {
		t.Error("not touched after 70 seconds")
	}
}

// TestFirstBootRace lets several browsers complete the setup at once: one wins, and there is one admin.
func TestFirstBootRace(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := apitest.Start(t, s)
		const browsers = 6
		statuses := make([]int, browsers)
		var wg sync.WaitGroup
		for i := range browsers {
			c := b.Client()
			wg.Go(func() {
				statuses[i] = c.Do(http.MethodPost, "/api/v1/setup/complete", map[string]any{
					"token": b.SetupToken, "email": string(rune('a'+i)) + "@example.com", "password": apitest.Password,
				}).Status
			})
		}
		wg.Wait()
		won := 0
		for _, status := range statuses {
			switch status {
			case http.StatusOK:
				won++
			case http.StatusConflict, http.StatusNotFound:
			default:
				t.Errorf("status %d", status)
			}
		}
		if n, err := s.CountUsers(t.Context()); won != 1 || n != 1 || err != nil {
			t.Errorf("%d won, %d accounts, %v", won, n, err)
		}
	})
}

// TestLastAdminRace lets two admins of a project leave at once: one must stay.
func TestLastAdminRace(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := apitest.Start(t, s)
		admin := b.Setup()
		admin.Must(201, http.MethodPost, "/api/v1/projects", map[string]any{"slug": "shop", "name": "Shop"}, nil)
		b.AddUser(admin, "one@example.com", "shop", "admin")
		b.AddUser(admin, "two@example.com", "shop", "admin")
		var members []struct{ ID string }
		admin.Must(200, http.MethodGet, "/api/v1/projects/shop/memberships", nil, &members)
		var wg sync.WaitGroup
		for _, m := range members {
			wg.Go(func() { admin.Do(http.MethodDelete, "/api/v1/projects/shop/memberships/"+m.ID, nil) })
		}
		wg.Wait()
		admin.Must(200, http.MethodGet, "/api/v1/projects/shop/memberships", nil, &members)
		if len(members) != 1 {
			t.Errorf("%d admins are left, want 1", len(members))
		}
	})
}

// TestRefusalsAreCounted sees that refused calls end in the audit tables as one row an address, action and minute.
func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	b := apitest.Start(t, s)
	admin := b.Setup()
	viewer := b.AddUser(admin, "viewer@example.com", "default", "viewer")
	for range 5 {
		viewer.Must(403, http.MethodGet, "/api/v1/projects/default/memberships", nil, nil)
	}
	apitest.Eventually(t, "the refusals are stored", func() bool {
		total, known := int64(0), true
		err := s.InAuditTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			rows, err := tx.ClosedAuditRefusals(ctx, time.Now().Add(time.Hour), 100)
			total, known = 0, true
			for _, r := range rows {
				total += r.N
				known = known && r.Action == "api.membership.read" && r.SourceIP == "127.0.0.1"
			}
			return err
		})
		if err != nil || !known {
			t.Fatalf("refusals: %v", err)
		}
		return total == 5
	})
}

func TestThrottles(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t), func(c *api.Config, _ *api.Deps) { c.LoginsPerMinute, c.SetupPerQuarter = 3, 2 })
	c := b.Client()
	for range 3 {
		c.Must(401, http.MethodPost, "/api/v1/auth/login", map[string]any{"email": "x@example.com", "password": "y"}, nil)
	}
	a := c.Must(429, http.MethodPost, "/api/v1/auth/login", map[string]any{"email": "x@example.com", "password": "y"}, nil)
	if a.Header.Get("Retry-After") == "" || !strings.Contains(string(a.Body), "(login)") {
		t.Errorf("throttled: %v %s", a.Header, a.Body)
	}
	for range 2 {
		c.Must(404, http.MethodPost, "/api/v1/setup/complete", map[string]any{"token": "0123456789", "email": "x@example.com", "password": apitest.Password}, nil)
	}
	c.Must(429, http.MethodPost, "/api/v1/setup/complete", map[string]any{"token": b.SetupToken, "email": "x@example.com", "password": apitest.Password}, nil)
}

func TestLoginFloor(t *testing.T) {
	t.Parallel()
	const floor = 150 * time.Millisecond
	b := apitest.Start(t, storetest.SQLite(t), func(c *api.Config, _ *api.Deps) { c.LoginFloor = floor })
	start := time.Now()
	b.Client().Must(401, http.MethodPost, "/api/v1/auth/login", map[string]any{"email": "nobody@example.com", "password": "y"}, nil)
	if took := time.Since(start); took < floor {
		t.Errorf("answered after %v", took)
	}
}
