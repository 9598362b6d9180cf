// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"net/http"
	"strings"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
)

// MetricsGuard lets scrapers with the token through, or everybody when public.
func MetricsGuard(token string, public bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if public {
			next.ServeHTTP(w, r)
			return
		}
		given, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		problem := ""
		switch {
		case token == "":
			problem = "metrics: not configured: set Z4J_METRICS_AUTH_TOKEN"
		case !isBearer:
			problem = "metrics: authorization required: send the token of `z4j metrics-token` as a bearer token"
		case !auth.Equal(given, token):
			problem = "metrics: invalid bearer token"
		}
		if problem != "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			WriteError(w, r, domain.Errorf(domain.CodeUnauthenticated, "%s", problem))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// RequireHop refuses requests that no gateway with the key vouched for. It goes inside the Request middleware, whose
// options hold the key.
func RequireHop(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if info := infoFrom(r.Context()); info == nil || !info.hop {
			WriteError(w, r, domain.Errorf(domain.CodeForbidden,
				"this service answers the gateway only: call the gateway's address; if this is the gateway, give both the same Z4J_HOP_KEY and the same time"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
