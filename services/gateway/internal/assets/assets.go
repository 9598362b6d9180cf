// SPDX-License-Identifier: AGPL-3.0-or-later

// Package assets serves the dashboard's build, which is embedded in the binary.
package assets

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/z4jdev/z4j/pkg/httpx"
)

// dist is the dashboard's build. In a fresh clone it holds only a placeholder, so that the Go code
// compiles before the dashboard is built.
//
//go:embed all:dist
var dist embed.FS

// Embedded returns the files of the dashboard's build.
func Embedded() (fs.FS, error) {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("open the embedded dashboard: %w", err)
	}
	return sub, nil
}

// file is one asset with its pre-compressed variants.
type file struct {
	kind     string
	variants []variant // best first; the plain one is last
}

type variant struct {
	encoding string // "" for the plain file
	data     []byte
	etag     string
}

// Handler serves the dashboard: files by name, and index.html for every other path, because the
// dashboard routes by itself.
type Handler struct {
	files map[string]*file
}

// New reads all files of root into memory; they are in the binary anyway.
func New(root fs.FS) (*Handler, error) {
	h := &Handler{files: map[string]*file{}}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		if base, encoding := splitEncoding(name); encoding != "" && exists(root, base) {
			return nil
		}
		f, err := load(root, name)
		h.files["/"+name] = f
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the dashboard's files: %w", err)
	}
	return h, nil
}

func splitEncoding(name string) (base, encoding string) {
	if base, ok := strings.CutSuffix(name, ".br"); ok {
		return base, "br"
	}
	if base, ok := strings.CutSuffix(name, ".gz"); ok {
		return base, "gzip"
	}
	return name, ""
}

func exists(root fs.FS, name string) bool {
	_, err := fs.Stat(root, name)
	return err == nil
}

func load(root fs.FS, name string) (*file, error) {
	f := &file{kind: contentType(name)}
	for _, v := range []struct{ suffix, encoding string }{{".br", "br"}, {".gz", "gzip"}, {"", ""}} {
		data, err := fs.ReadFile(root, name+v.suffix)
		if errors.Is(err, fs.ErrNotExist) && v.suffix != "" {
			continue
		}
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		f.variants = append(f.variants, variant{encoding: v.encoding, data: data, etag: `"` + hex.EncodeToString(sum[:16]) + `"`})
	}
	return f, nil
}

// contentType does not ask the system's tables: they differ from machine to machine.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json", ".map":
		return "application/json"
	case ".webmanifest":
		return "application/manifest+json"
	case ".txt":
		return "text/plain; charset=utf-8"
	case ".woff2":
		return "font/woff2"
	case ".png":
		return "image/png"
	case ".ico":
		return "image/x-icon"
	}
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// Built reports whether the dashboard is there.
func (h *Handler) Built() bool { return h.files["/index.html"] != nil }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		httpx.MethodNotAllowed(w, r)
		return
	}
	name := r.URL.Path
	if f := h.files[name]; f != nil && name != "/index.html" {
		cache := "no-cache"
		if strings.HasPrefix(name, "/assets/") {
			cache = "public, max-age=31536000, immutable" // the name carries a hash of the content
		}
		f.serve(w, r, cache)
		return
	}
	if strings.HasPrefix(name, "/assets/") || looksLikeFile(name) {
		httpx.NotFound(w, r)
		return
	}
	index := h.files["/index.html"]
	if index == nil {
		notBuilt(w, r)
		return
	}
	w.Header().Set("Content-Security-Policy", httpx.DashboardCSP)
	index.serve(w, r, "no-cache")
}

// looksLikeFile spares a browser that asks for a missing script from getting a page instead. Below
// /projects/ lie pages only; the id of a task may well end like the name of a file.
func looksLikeFile(name string) bool {
	if strings.HasPrefix(name, "/projects/") {
		return false
	}
	switch path.Ext(name) {
	case ".js", ".mjs", ".css", ".map", ".svg", ".png", ".ico", ".json", ".txt", ".woff2", ".webmanifest", ".xml", ".php":
		return true
	}
	return false
}

func (f *file) serve(w http.ResponseWriter, r *http.Request, cache string) {
	v := f.choose(r.Header.Get("Accept-Encoding"))
	header := w.Header()
	header.Set("Content-Type", f.kind)
	header.Set("Cache-Control", cache)
	header.Set("ETag", v.etag)
	if len(f.variants) > 1 {
		header.Add("Vary", "Accept-Encoding")
	}
	if matches(r.Header.Get("If-None-Match"), v.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if v.encoding != "" {
		header.Set("Content-Encoding", v.encoding)
	}
	header.Set("Content-Length", strconv.Itoa(len(v.data)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(v.data) // the client may be gone
	}
}

// choose picks the best variant that the client takes; the plain one always will do.
func (f *file) choose(accept string) *variant {
	for i := range f.variants {
		if f.variants[i].encoding == "" || accepts(accept, f.variants[i].encoding) {
			return &f.variants[i]
		}
	}
	return &f.variants[len(f.variants)-1]
}

// accepts reads an Accept-Encoding header; q=0 refuses.
func accepts(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name = strings.TrimSpace(name); !strings.EqualFold(name, encoding) {
			continue
		}
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			weight, err := strconv.ParseFloat(q, 64)
			return err == nil && weight > 0
		}
		return true
	}
	return false
}

// matches compares If-None-Match weakly, as RFC 9110 asks for.
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == etag || part == "*" {
			return true
		}
	}
	return false
}

const notBuiltPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>z4j: the dashboard is not built</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}code{background:#8883;padding:.1em .3em;border-radius:.2em}</style>
<h1>The dashboard is not built</h1>
<p>This z4j was compiled without its dashboard. The API and the agents work.</p>
<p>To get the dashboard, run <code>make build</code> in the source folder and start <code>bin/z4j serve</code>.</p>
</html>
`

func notBuilt(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", httpx.PlainCSP)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(notBuiltPage))
	}
}
