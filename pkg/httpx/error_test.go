// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
)

func envelope(t *testing.T, rec *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
		t.Fatalf("body %q: %v", rec.Body, err)
	}
	for _, key := range []string{"error", "message", "request_id", "details", "detail"} {
		if _, ok := body[key]; !ok {
			t.Errorf("envelope lacks %q: %s", key, rec.Body)
		}
	}
	return body
}

func TestWriteErrorMapsToStatus(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
		code   string
		detail any
	}{
		{"domain", domain.Errorf(domain.CodeForbidden, "no"), 403, "forbidden", "no"},
		{"wrapped", fmt.Errorf("list tasks: %w", domain.Errorf(domain.CodeConflict, "taken")), 409, "conflict", "taken"},
		{"own status", &domain.Error{Code: "validation_error", Message: "x", Status: 400}, 400, "validation_error", "x"},
		{"offline", domain.Errorf(domain.CodeAgentOffline, "agent is not connected"), 503, "agent_offline", "agent is not connected"},
		{"timeout", domain.Errorf(domain.CodeTimeout, "late"), 504, "timeout", "late"},
		{"not found", fmt.Errorf("task 1: %w", domain.ErrNotFound), 404, "not_found", "not found"},
		{"conflict", domain.ErrConflict, 409, "conflict", "conflicts with the current state"},
		{"route", ErrRouteNotFound, 404, "not_found", "Not Found"},
		{"method", ErrMethodNotAllowed, 405, "method_not_allowed", "Method Not Allowed"},
		{"throttled", &ThrottledError{Name: "login", RetryAfter: 45500 * time.Millisecond}, 429, "rate_limited", "too many requests; retry in 46 seconds (login)"},
		{"too large", &http.MaxBytesError{Limit: 10}, 413, "payload_too_large", "request body exceeds the maximum of 10 bytes for this route"},
		{"deadline", context.DeadlineExceeded, 504, "timeout", nil},
		{"transient", domain.ErrTransient, 503, "unavailable", nil},
		{"unknown", errors.New("password=hunter2"), 500, "internal_error", nil},
		{"mfa", domain.Errorf(CodeMFAReverify, "again"), 403, "mfa_reverify_required", "again"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			WriteError(rec, httptest.NewRequest(http.MethodGet, "/", nil), tt.err)
			body := envelope(t, rec)
			if rec.Code != tt.status || body["error"] != tt.code {
				t.Errorf("got %d %v, want %d %s", rec.Code, body["error"], tt.status, tt.code)
			}
			if tt.detail != nil && body["detail"] != tt.detail {
				t.Errorf("detail = %v, want %v", body["detail"], tt.detail)
			}
			if strings.Contains(rec.Body.String(), "hunter2") {
				t.Error("the cause leaked into the answer")
			}
		})
	}
}

func TestWriteErrorRetryAfter(t *testing.T) {
	rec := httptest.NewRecorder()
	WriteError(rec, httptest.NewRequest(http.MethodGet, "/", nil), &ThrottledError{Name: "x", RetryAfter: time.Millisecond})
	if got := rec.Header().Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After = %q, want 1", got)
	}
}

func TestWithDetailReplacesDetail(t *testing.T) {
	rec := httptest.NewRecorder()
	err := WithDetail(domain.Errorf(domain.CodeConflict, "none").With("engine", "rq"), map[string]any{"error": "none", "engine": "rq"})
	WriteError(rec, httptest.NewRequest(http.MethodGet, "/", nil), err)
	body := envelope(t, rec)
	detail, ok := body["detail"].(map[string]any)
	if !ok || detail["engine"] != "rq" || rec.Code != 409 {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
}

func TestRequestIDs(t *testing.T) {
	tests := []struct {
		sent string
		echo bool
	}{
		{"my-id-1", true},
		{"a b", true},
		{strings.Repeat("x", 64), true},
		{strings.Repeat("x", 65), false},
		{"", false},
		{"caf\u00e9", false},
		{"a\tb", false},
	}
	for _, tt := range tests {
		var seen string
		h := Request(RequestOptions{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = RequestID(r.Context())
			NotFound(w, r)
		}))
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set(RequestIDHeader, tt.sent)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		got := rec.Header().Get(RequestIDHeader)
		if got != seen || envelope(t, rec)["request_id"] != got {
			t.Errorf("header %q, context %q, body %s differ", got, seen, rec.Body)
		}
		if (got == tt.sent) != tt.echo {
			t.Errorf("sent %q, got %q", tt.sent, got)
		}
		if !tt.echo && (len(got) != 20 || !strings.HasPrefix(got, "req_")) {
			t.Errorf("minted id %q has the wrong form", got)
		}
	}
}

func TestAccessLogHasCauseAndNoQuery(t *testing.T) {
	var logs strings.Builder
	logger := slog.New(slog.NewTextHandler(&logs, nil))
	h := Request(RequestOptions{Logger: logger})(Recover(logger)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("boom")
		}
		WriteError(w, r, fmt.Errorf("read tasks: %w", errors.New("disk on fire")))
	})))
	for _, path := range []string{"/setup?token=secretvalue", "/panic"} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code != http.StatusInternalServerError {
			t.Errorf("%s: status %d", path, rec.Code)
		}
		envelope(t, rec)
	}
	out := logs.String()
	if !strings.Contains(out, "disk on fire") || !strings.Contains(out, "boom") {
		t.Errorf("log lacks the causes:\n%s", out)
	}
	if strings.Contains(out, "secretvalue") {
		t.Errorf("log carries a query string:\n%s", out)
	}
}

func TestSecurityHeaders(t *testing.T) {
	h := SecurityHeaders(HeaderOptions{HSTSMaxAge: 31536000, HSTSIncludeSubdomains: true})(http.HandlerFunc(NotFound))
	get := func(path string) http.Header {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		return rec.Header()
	}
	if got := get("/x").Get("Strict-Transport-Security"); got != "max-age=31536000; includeSubDomains" {
		t.Errorf("HSTS = %q", got)
	}
	for path, want := range map[string][2]string{
		"/api/v1/auth/login":   {"no-store", "strict-origin-when-cross-origin"},
		"/api/v1/setup/status": {"no-store", "no-referrer"},
		"/setup":               {"", "no-referrer"},
		"/setuphelp":           {"", "strict-origin-when-cross-origin"},
		"/api/v1/projects":     {"", "strict-origin-when-cross-origin"},
	} {
		got := get(path)
		if got.Get("Cache-Control") != want[0] || got.Get("Referrer-Policy") != want[1] {
			t.Errorf("%s: Cache-Control %q, Referrer-Policy %q", path, got.Get("Cache-Control"), got.Get("Referrer-Policy"))
		}
	}
}

func TestCORS(t *testing.T) {
	h := CORS(CORSOptions{Origins: []string{"https://app.example.com"}, Credentials: true})(http.HandlerFunc(NotFound))
	preflight := httptest.NewRequest(http.MethodOptions, "/api/v1/projects", nil)
	preflight.Header.Set("Origin", "https://app.example.com")
	preflight.Header.Set("Access-Control-Request-Method", "POST")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, preflight)
	if rec.Code != 204 || rec.Header().Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("preflight: %d %v", rec.Code, rec.Header())
	}
	preflight.Header.Set("Origin", "https://evil.example.com")
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, preflight)
	if rec.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign origin allowed: %v", rec.Header())
	}
}

func TestPanicAfterTheAnswerBeganCutsIt(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	h := Request(RequestOptions{})(Recover(logger)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		panic("boom")
	})))
	defer func() {
		if got := recover(); got != any(http.ErrAbortHandler) {
			t.Errorf("panic value %v, want http.ErrAbortHandler", got)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}
