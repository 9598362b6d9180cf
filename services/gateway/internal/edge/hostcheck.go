// SPDX-License-Identifier: AGPL-3.0-or-later

// Package edge holds the gateway's middleware: the Host check, the Origin check of the push socket, the
// reverse proxy and the request metrics.
package edge

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/hosts"
	"github.com/z4jdev/z4j/pkg/httpx"
)

// HostCheck refuses requests whose Host header is not on the allow-list.
type HostCheck struct {
	// Hosts is the allow-list.
	Hosts *hosts.List
	// Verbose explains refusals to loopback and private clients (dev mode).
	Verbose bool
	// MetricsExempt lets scrapers use any name for /metrics, because they carry a token.
	MetricsExempt bool
	Logger        *slog.Logger
	// Refused is called for each refusal; may be nil.
	Refused func()

	mu     sync.Mutex
	warned map[string]bool
}

// maxWarned bounds the memory of names that agents used.
const maxWarned = 256

// Middleware checks every request before next.
func (c *HostCheck) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.exempt(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		name, err := hosts.Parse(r.Host)
		switch {
		case err != nil:
			c.refuse(w, r, "")
		case c.Hosts.Allows(name):
			next.ServeHTTP(w, r)
		case IsAgentRoute(r.URL.Path):
			c.warnOnce(r, name)
			next.ServeHTTP(w, r)
		default:
			c.refuse(w, r, name)
		}
	})
}

// exempt names the routes that orchestrators and scrapers reach by address.
func (c *HostCheck) exempt(path string) bool {
	switch path {
	case "/api/v1/health", "/api/v1/health/ready":
		return true
	case "/metrics", "/metrics/celery", "/metrics/flower":
		return c.MetricsExempt
	}
	return false
}

// IsAgentRoute reports the routes of agents. They carry a bearer token, which no browser can be tricked
// into sending, and are often reached by a name inside a cluster.
func IsAgentRoute(path string) bool {
	return path == "/ws/agent" || strings.HasPrefix(path, "/api/v1/agent/")
}

func (c *HostCheck) warnOnce(r *http.Request, name string) {
	c.mu.Lock()
	if c.warned == nil {
		c.warned = map[string]bool{}
	}
	known := c.warned[name] || len(c.warned) >= maxWarned
	if !known {
		c.warned[name] = true
	}
	c.mu.Unlock()
	if !known {
		c.Logger.WarnContext(r.Context(), "agents use a host name that is not in the allow-list; they are served, browsers would be refused",
			"host", name, "fix", "z4j allowed-hosts add "+name)
	}
}

// refusal is the answer's shape, which has fewer fields than the usual envelope in production: nothing
// about the installation goes to whoever tries names.
type refusal struct {
	Error     string          `json:"error"`
	Message   string          `json:"message"`
	RequestID string          `json:"request_id"`
	Details   *refusalDetails `json:"details,omitempty"`
}

type refusalDetails struct {
	RejectedHost string   `json:"rejected_host"`
	AllowedHosts []string `json:"allowed_hosts"`
	Fix          string   `json:"fix"`
}

// refuse answers 400. name is "" for a Host header that can't be read.
func (c *HostCheck) refuse(w http.ResponseWriter, r *http.Request, name string) {
	if c.Refused != nil {
		c.Refused()
	}
	id := httpx.RequestID(r.Context())
	answer := refusal{Error: domain.CodeInvalidHost, Message: "Bad Request: invalid Host header.", RequestID: id}
	var text string
	if name == "" {
		text = fmt.Sprintf("rejected request - Host header %s is malformed", shown(r.Host))
	} else {
		text = fmt.Sprintf("rejected request - Host header '%s' is not in the allow-list. Persist it via `z4j allowed-hosts add %s` or restart with `z4j serve --allowed-host %s`. Current allow-list: %s",
			name, name, name, c.Hosts)
	}
	c.Logger.InfoContext(r.Context(), text, "request_id", id) //nolint:sloglint // users know and search for this sentence, names included
	if c.Verbose && isNear(httpx.ClientIP(r.Context())) && isNear(httpx.PeerIP(r)) {
		answer.Details = &refusalDetails{RejectedHost: name, AllowedHosts: c.Hosts.Names()}
		if name == "" {
			answer.Message = "Bad Request: the Host header is empty or malformed. Open the brain by one of its names."
			answer.Details.RejectedHost = shown(r.Host)
			answer.Details.Fix = "open http://localhost:7700, or one of allowed_hosts"
		} else {
			answer.Message = fmt.Sprintf("Bad Request: this brain does not answer to the name '%s'. If it should: z4j allowed-hosts add %s, then restart.", name, name)
			answer.Details.Fix = fmt.Sprintf("z4j allowed-hosts add %s (then restart), or z4j serve --allowed-host %s", name, name)
		}
	}
	httpx.WriteJSON(w, http.StatusBadRequest, answer)
}

// shown makes a hostile header safe for a log line and an answer.
func shown(host string) string {
	const most = 128
	if len(host) > most {
		host = host[:most] + "..."
	}
	return fmt.Sprintf("%q", host)
}

// isNear reports loopback, private and link-local addresses.
func isNear(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
}
