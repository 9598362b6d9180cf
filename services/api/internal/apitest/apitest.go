// SPDX-License-Identifier: AGPL-3.0-or-later

// Package apitest starts the API in the test's process and talks to it as a browser would. It is imported by
// tests only.
package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api"
)

// Password is good enough for every policy in use.
const Password = "Correct-Horse-Battery-9"

// Secret is the master secret of test brains.
const Secret = "apitest-master-secret-0123456789abcdef"

// SessionSecret signs the cookies of test brains.
const SessionSecret = "apitest-session-secret"

// MetricsToken opens /metrics of test brains.
const MetricsToken = "apitest-metrics-token"

// Brain is a running API.
type Brain struct {
	URL   string
	API   *api.Service
	Store *store.Store
	Bus   bus.Bus
	// SetupToken is the open first-boot token.
	SetupToken string

	t testing.TB
}

// Option changes the configuration of a test brain.
type Option func(*api.Config, *api.Deps)

// Start runs the API on the store until the test ends. Throttles and times are loosened so that tests need not wait.
func Start(t testing.TB, s *store.Store, opts ...Option) *Brain {
	t.Helper()
	b, err := bus.Open(bus.Config{})
	if err != nil {
		t.Fatalf("open bus: %v", err)
	}
	cfg := api.Config{
		Secret: []byte(Secret), SessionSecret: []byte(SessionSecret), Dev: true,
		Hasher:     auth.HasherConfig{Params: auth.Params{Time: 1, Memory: 64, Threads: 1, Salt: 16, Key: 32}},
		LoginFloor: time.Nanosecond, LoginsPerMinute: 10_000, SetupPerQuarter: 10_000, BulkPerMinute: 10_000,
		MetricsEnabled: true, MetricsToken: MetricsToken, Home: "/srv/z4j",
	}
	deps := api.Deps{Store: s, Bus: b, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}
	for _, opt := range opts {
		opt(&cfg, &deps)
	}
	svc, err := api.New(cfg, deps)
	if err != nil {
		t.Fatalf("api.New: %v", err)
	}
	// The gateway stands before the API and sets these headers.
	srv := httptest.NewServer(httpx.SecurityHeaders(httpx.HeaderOptions{})(svc.Handler()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("api.Run: %v", err)
		}
		srv.Close()
		if err := b.Close(); err != nil {
			t.Errorf("close bus: %v", err)
		}
	})
	brain := &Brain{URL: srv.URL, API: svc, Store: s, Bus: b, t: t, SetupToken: auth.NewToken()}
	hash := auth.NewKeyring(cfg.Secret).Hash(auth.SaltSetupToken, brain.SetupToken)
	brain.Tx(func(ctx context.Context, tx *store.Tx) error { return tx.ReplaceSetupToken(ctx, hash, time.Hour) })
	return brain
}

// Tx runs fn in a transaction that must succeed.
func (b *Brain) Tx(fn func(ctx context.Context, tx *store.Tx) error) {
	b.t.Helper()
	if err := b.Store.InTx(context.Background(), fn); err != nil {
		b.t.Fatalf("transaction: %v", err)
	}
}

// Client is one browser.
type Client struct {
	t    testing.TB
	base string
	http *http.Client
	// NoCSRF leaves the CSRF header out.
	NoCSRF bool
	// Header is sent with every call.
	Header http.Header
}

// Client returns a browser without a session.
func (b *Brain) Client() *Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatalf("cookie jar: %v", err)
	}
	return &Client{t: b.t, base: b.URL, http: &http.Client{Jar: jar, Timeout: 30 * time.Second}, Header: http.Header{}}
}

// Setup makes the first admin and returns his browser.
func (b *Brain) Setup() *Client {
	b.t.Helper()
	c := b.Client()
	c.Must(http.StatusOK, http.MethodPost, "/api/v1/setup/complete", map[string]any{
		"token": b.SetupToken, "email": "admin@example.com", "display_name": "Ada Admin", "password": Password,
	}, nil)
	return c
}

// Login returns the browser of a user.
func (b *Brain) Login(email, password string) *Client {
	b.t.Helper()
	c := b.Client()
	c.Must(http.StatusOK, http.MethodPost, "/api/v1/auth/login", map[string]any{"email": email, "password": password}, nil)
	return c
}

// AddUser makes a user by admin's hand, a member of project with role unless role is empty, and logs him in.
func (b *Brain) AddUser(admin *Client, email, project, role string) *Client {
	b.t.Helper()
	var user struct{ ID string }
	admin.Must(http.StatusCreated, http.MethodPost, "/api/v1/users", map[string]any{"email": email, "password": Password}, &user)
	if role != "" {
		admin.Must(http.StatusCreated, http.MethodPost, "/api/v1/projects/"+project+"/memberships",
			map[string]any{"user_id": user.ID, "role": role}, nil)
	}
	return b.Login(email, Password)
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Cookie returns a cookie of the browser.
func (c *Client) Cookie(name string) string {
	u, err := url.Parse(c.base)
	if err != nil {
		return ""
	}
	for _, cookie := range c.http.Jar.Cookies(u) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// Do calls the API. body is sent as JSON, a []byte as it is, nil not at all.
func (c *Client) Do(method, path string, body any) Answer {
	c.t.Helper()
	var reader io.Reader
	raw, isRaw := body.([]byte)
	switch {
	case body == nil:
	case isRaw:
		reader = bytes.NewReader(raw)
	default:
		data, err := json.Marshal(body)
		if err != nil {
			c.t.Fatalf("encode body: %v", err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, c.base+path, reader)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token := c.Cookie("z4j_csrf"); token != "" && !c.NoCSRF && method != http.MethodGet {
		req.Header.Set(auth.CSRFHeader, token)
	}
	maps.Copy(req.Header, c.Header)
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	data, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("%s %s: read answer: %v", method, path, err)
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: data}
}

// Must calls the API, wants the status, and decodes the answer into out unless that is nil.
func (c *Client) Must(status int, method, path string, body, out any) Answer {
	c.t.Helper()
	a := c.Do(method, path, body)
	if a.Status != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, a.Status, status, a.Body)
	}
	if out != nil {
		if err := json.Unmarshal(a.Body, out); err != nil {
			c.t.Fatalf("%s %s: decode answer: %v: %s", method, path, err, a.Body)
		}
	}
	return a
}

// Eventually polls until ok holds, and fails the test when it does not in time.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not in time: %s", what)
		}
	}
}
