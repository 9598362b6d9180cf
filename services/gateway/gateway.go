// SPDX-License-Identifier: AGPL-3.0-or-later

// Package gateway is the edge of the brain: the only public listener's handler. It checks the Host
// header, finds the client's address, sets security headers and body limits, serves the dashboard, and
// hands everything else to the services behind it, in the same process or by reverse proxy.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/hosts"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/services/gateway/internal/assets"
	"github.com/z4jdev/z4j/services/gateway/internal/edge"
)

// Config is the gateway's part of the settings.
type Config struct {
	// Dev relaxes the posture: refusals explain themselves to near clients, sockets need no Origin.
	Dev bool
	// PublicURL is the address users see; its pages may open the push socket.
	PublicURL string
	// TrustedProxies are the networks whose X-Forwarded-For counts.
	TrustedProxies []netip.Prefix
	// CORSOrigins are other sites whose pages may call the API.
	CORSOrigins     []string
	CORSCredentials bool
	// HSTSMaxAge in seconds; 0 sends no Strict-Transport-Security.
	HSTSMaxAge     int
	HSTSSubdomains bool
	// MetricsProtected says that /metrics demands a token, so that any Host may be used for it.
	MetricsProtected bool
	// APIURLs and IngestURLs are the replicas of the services behind the gateway when Deps holds no handlers for them.
	// A host name stands for all of its addresses.
	APIURLs    []string
	IngestURLs []string
	// HopKey signs client addresses for those services.
	HopKey []byte
}

// Deps is what the gateway stands on.
type Deps struct {
	// API answers /api, /metrics and /ws/dashboard; nil means Config.APIURLs.
	API http.Handler
	// Ingest answers the agents' routes; nil means Config.IngestURLs.
	Ingest http.Handler
	Hosts  *hosts.List
	Logger *slog.Logger
	// Registry takes the gateway's metrics; nil keeps none.
	Registry prometheus.Registerer
	// Tracing makes spans of requests; nil makes none.
	Tracing *httpx.Tracing
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Gateway is the edge. It holds no database handle and no master secret.
type Gateway struct {
	handler http.Handler
	pools   []*edge.Pool
}

// New checks the configuration and builds the gateway.
func New(cfg Config, deps Deps) (*Gateway, error) {
	if deps.Hosts == nil {
		return nil, errors.New("the gateway needs a host allow-list")
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	metrics, err := edge.NewMetrics(deps.Registry)
	if err != nil {
		return nil, err
	}
	g := &Gateway{}
	api, err := g.backend("api", deps.API, cfg.APIURLs, cfg, deps, metrics)
	if err != nil {
		return nil, err
	}
	ingest, err := g.backend("ingest", deps.Ingest, cfg.IngestURLs, cfg, deps, metrics)
	if err != nil {
		return nil, err
	}
	root, err := assets.Embedded()
	if err != nil {
		return nil, err
	}
	dashboard, err := assets.New(root)
	if err != nil {
		return nil, err
	}
	if !dashboard.Built() {
		deps.Logger.Warn("this binary has no dashboard; run `make build` to get one")
	}
	routes := &router{
		api: api, ingest: ingest, dashboard: dashboard, securityText: securityText(deps.Now()),
		push: (&edge.OriginCheck{Hosts: deps.Hosts, Origins: append([]string{cfg.PublicURL}, cfg.CORSOrigins...), AllowMissing: cfg.Dev}).Middleware(api),
	}
	check := &edge.HostCheck{
		Hosts: deps.Hosts, Verbose: cfg.Dev, MetricsExempt: cfg.MetricsProtected, Logger: deps.Logger, Refused: metrics.HostRefused,
	}
	g.handler = chain(routes,
		httpx.Request(httpx.RequestOptions{Resolver: httpx.NewIPResolver(cfg.TrustedProxies), Logger: deps.Logger, Quiet: quiet, Tracing: deps.Tracing}),
		metrics.Middleware,
		httpx.Recover(deps.Logger),
		httpx.SecurityHeaders(httpx.HeaderOptions{HSTSMaxAge: cfg.HSTSMaxAge, HSTSIncludeSubdomains: cfg.HSTSSubdomains}),
		check.Middleware,
		httpx.CORS(httpx.CORSOptions{Origins: cfg.CORSOrigins, Credentials: cfg.CORSCredentials}),
		httpx.BodyLimit(bodyLimit),
	)
	return g, nil
}

// chain wraps h so that the first middleware is the outermost.
func chain(h http.Handler, middleware ...func(http.Handler) http.Handler) http.Handler {
	for _, wrap := range slices.Backward(middleware) {
		h = wrap(h)
	}
	return h
}

func (g *Gateway) backend(name string, given http.Handler, targets []string, cfg Config, deps Deps, m *edge.Metrics) (http.Handler, error) {
	if given != nil {
		return given, nil
	}
	pool, err := edge.NewPool(edge.PoolOptions{Name: name, Targets: targets, Logger: deps.Logger, Metrics: m})
	if err != nil {
		return nil, err
	}
	g.pools = append(g.pools, pool)
	return edge.NewProxy(edge.ProxyOptions{Name: name, Pool: pool, HopKey: cfg.HopKey, Logger: deps.Logger}), nil
}

// Handler answers every request of the public listener.
func (g *Gateway) Handler() http.Handler { return g.handler }

// Run looks after the replicas behind the gateway until ctx ends; without any it only waits.
func (g *Gateway) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range g.pools {
		wg.Go(func() { p.Run(ctx) })
	}
	<-ctx.Done()
	wg.Wait()
	return nil
}

// Ready says which service behind the gateway has no replica that answers; nil means that all have.
func (g *Gateway) Ready(context.Context) error {
	for _, p := range g.pools {
		if !p.Available() {
			return fmt.Errorf("no replica of the %s service answers", p.Name())
		}
	}
	return nil
}

// quiet keeps the agents' uploads, which come every few seconds, out of the log.
func quiet(r *http.Request) bool { return edge.IsAgentRoute(r.URL.Path) }

// bodyLimit is 1 MiB, and 8 MiB for imports and the agents' uploads.
func bodyLimit(r *http.Request) int64 {
	path := r.URL.Path
	if edge.IsAgentRoute(path) || strings.HasSuffix(path, ":import") || strings.HasSuffix(path, ":diff") || strings.HasSuffix(path, "/import") {
		return httpx.MaxBodyUpload
	}
	return httpx.MaxBodyAPI
}

// router sends a request to the part that answers it.
type router struct {
	api          http.Handler
	ingest       http.Handler
	push         http.Handler
	dashboard    http.Handler
	securityText string
}

// ServeHTTP implements http.Handler.
func (g *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	httpx.SetRoute(r, route(path))
	switch {
	case path == "/api/v1/health":
		health(w, r)
	case edge.IsAgentRoute(path):
		g.ingest.ServeHTTP(w, r)
	case path == "/ws/dashboard":
		g.push.ServeHTTP(w, r)
	case path == "/api" || strings.HasPrefix(path, "/api/") || path == "/metrics" || strings.HasPrefix(path, "/metrics/"):
		g.api.ServeHTTP(w, r)
	case path == "/ws" || strings.HasPrefix(path, "/ws/"):
		httpx.NotFound(w, r)
	case path == "/.well-known/security.txt" || path == "/security.txt":
		g.security(w, r)
	default:
		g.dashboard.ServeHTTP(w, r)
	}
}

// route names the routes of the gateway, for spans: a service in the same process names its own more exactly.
func route(path string) string {
	switch {
	case path == "/api/v1/health", path == "/ws/agent", path == "/ws/dashboard", path == "/metrics":
		return path
	case edge.IsAgentRoute(path):
		return "/api/v1/agent/*"
	case path == "/api" || strings.HasPrefix(path, "/api/"):
		return "/api/*"
	}
	return "/*"
}

// health answers without any I/O: it says that the process lives, nothing more.
func health(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	httpx.WriteJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

func (g *router) security(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, g.securityText) //nolint:gosec // our own text, sent as text/plain
}

func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	httpx.MethodNotAllowed(w, r)
	return false
}

// securityText tells finders of faults where to report them (RFC 9116).
func securityText(now time.Time) string {
	const repository = "https://github.com/z4jdev/z4j"
	return "Contact: mailto:security@z4j.com\n" +
		"Expires: " + now.UTC().AddDate(1, 0, 0).Format("2006-01-02T15:04:05Z") + "\n" +
		"Preferred-Languages: en\n" +
		"Policy: " + repository + "/blob/main/SECURITY.md\n" +
		"Acknowledgments: " + repository + "/security/advisories\n"
}
