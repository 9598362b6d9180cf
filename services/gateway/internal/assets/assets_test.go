// SPDX-License-Identifier: AGPL-3.0-or-later

package assets

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func built(t *testing.T) *Handler {
	t.Helper()
	h, err := New(fstest.MapFS{
		".gitkeep":              {},
		"index.html":            {Data: []byte("<!doctype html>plain index")},
		"index.html.br":         {Data: []byte("br index")},
		"favicon.svg":           {Data: []byte("<svg/>")},
		"assets/app-1234.js":    {Data: []byte("plain js")},
		"assets/app-1234.js.br": {Data: []byte("br js")},
		"assets/app-1234.js.gz": {Data: []byte("gz js")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestVariantsByAcceptEncoding(t *testing.T) {
	h := built(t)
	for accept, want := range map[string]string{
		"": "plain js", "gzip": "gz js", "gzip, br": "br js", "br;q=0, gzip": "gz js", "BR;q=0.1": "br js", "deflate": "plain js",
		"gzip;q=0.0": "plain js",
	} {
		rec := get(h, "/assets/app-1234.js", "Accept-Encoding", accept)
		if rec.Body.String() != want || rec.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %q %v", accept, rec.Body, rec.Header())
		}
		if rec.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || rec.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("%q: %v", accept, rec.Header())
		}
	}
}

func TestPathsFallBackToIndex(t *testing.T) {
	h := built(t)
	for _, path := range []string{"/", "/setup", "/projects/shop/tasks", "/index.html", "/a.b/c", "/projects/shop/tasks/rq/report.json"} {
		rec := get(h, path)
		if rec.Code != 200 || !strings.Contains(rec.Body.String(), "plain index") || rec.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d %v", path, rec.Code, rec.Header())
		}
		csp := rec.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "script-src 'self';") || strings.Contains(strings.ReplaceAll(csp, "style-src-attr 'unsafe-inline'", ""), "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
	for _, path := range []string{"/assets/nope.js", "/assets/", "/robots.txt", "/.gitkeep.json"} {
		if rec := get(h, path); rec.Code != 404 || rec.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
	if rec := get(h, "/favicon.svg"); rec.Code != 200 || rec.Header().Get("Content-Type") != "image/svg+xml" {
		t.Errorf("favicon: %d", rec.Code)
	}
}

func TestConditionalAndHead(t *testing.T) {
	h := built(t)
	etag := get(h, "/").Header().Get("ETag")
	if rec := get(h, "/", "If-None-Match", `"x", W/`+etag); rec.Code != 304 || rec.Body.Len() != 0 {
		t.Errorf("conditional: %d %q", rec.Code, rec.Body)
	}
	if brTag := get(h, "/", "Accept-Encoding", "br").Header().Get("ETag"); brTag == etag {
		t.Error("variants share an ETag")
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodHead, "/", nil))
	if rec.Code != 200 || rec.Body.Len() != 0 || rec.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d %q", rec.Code, rec.Body)
	}
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/", nil))
	if rec.Code != 405 || rec.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", rec.Code, rec.Header())
	}
}

func TestPlaceholderSaysHowToBuild(t *testing.T) {
	h, err := New(fstest.MapFS{".gitkeep": {}})
	if err != nil || h.Built() {
		t.Fatalf("built %v, %v", h.Built(), err)
	}
	if rec := get(h, "/"); rec.Code != 503 || !strings.Contains(rec.Body.String(), "make build") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestEmbeddedIsReadable(t *testing.T) {
	root, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(root); err != nil {
		t.Fatal(err)
	}
}
