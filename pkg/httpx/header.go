// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// HeaderOptions configures SecurityHeaders.
type HeaderOptions struct {
	// HSTSMaxAge in seconds; 0 leaves the header out (dev, or a public URL without https).
	HSTSMaxAge            int
	HSTSIncludeSubdomains bool
}

// DashboardCSP is the policy of the dashboard's page: nothing inline but style attributes, which
// charts and virtual lists need.
const DashboardCSP = "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; " +
	"img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; object-src 'none'"

// PlainCSP is the policy of pages without scripts.
const PlainCSP = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// SecurityHeaders sets the headers that every answer carries.
func SecurityHeaders(opt HeaderOptions) func(http.Handler) http.Handler {
	hsts := ""
	if opt.HSTSMaxAge > 0 {
		hsts = "max-age=" + strconv.Itoa(opt.HSTSMaxAge)
		if opt.HSTSIncludeSubdomains {
			hsts += "; includeSubDomains"
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("X-Frame-Options", "DENY")
			h.Set("Permissions-Policy", "geolocation=(), microphone=(), camera=(), payment=(), usb=(), accelerometer=(), gyroscope=(), magnetometer=()")
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
			path := r.URL.Path
			if underPath(path, "/setup") || underPath(path, "/api/v1/setup") {
				h.Set("Referrer-Policy", "no-referrer")
			}
			if underPath(path, "/api/v1/auth") || underPath(path, "/api/v1/setup") {
				h.Set("Cache-Control", "no-store")
			}
			if hsts != "" {
				h.Set("Strict-Transport-Security", hsts)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// underPath reports whether path is prefix or below it.
func underPath(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// CORSOptions configures CORS.
type CORSOptions struct {
	Origins     []string // exact origins, or "*" alone
	Credentials bool     // ignored with "*"
}

// CORS answers browsers of other origins. With no origins it does nothing.
func CORS(opt CORSOptions) func(http.Handler) http.Handler {
	any := slices.Contains(opt.Origins, "*")
	return func(next http.Handler) http.Handler {
		if len(opt.Origins) == 0 {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			origin := r.Header.Get("Origin")
			w.Header().Add("Vary", "Origin")
			if origin == "" || (!any && !slices.Contains(opt.Origins, origin)) {
				next.ServeHTTP(w, r)
				return
			}
			h := w.Header()
			if any {
				h.Set("Access-Control-Allow-Origin", "*")
			} else {
				h.Set("Access-Control-Allow-Origin", origin)
				if opt.Credentials {
					h.Set("Access-Control-Allow-Credentials", "true")
				}
			}
			// Same-origin resource policy would make the browser drop what CORS just allowed.
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-CSRF-Token")
				h.Set("Access-Control-Max-Age", "600")
				w.WriteHeader(http.StatusNoContent)
				return
			}
			h.Set("Access-Control-Expose-Headers", RequestIDHeader)
			next.ServeHTTP(w, r)
		})
	}
}
