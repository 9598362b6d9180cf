// SPDX-License-Identifier: AGPL-3.0-or-later

// Package api is the REST API and the dashboard's push socket. It authorises, writes rows together with their audit
// records, publishes hints, and never talks to an agent itself: commands are rows that agent-ingest delivers.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/account"
	"github.com/z4jdev/z4j/services/api/internal/bulk"
	"github.com/z4jdev/z4j/services/api/internal/hint"
	"github.com/z4jdev/z4j/services/api/internal/project"
	"github.com/z4jdev/z4j/services/api/internal/push"
	"github.com/z4jdev/z4j/services/api/internal/rest"
	"github.com/z4jdev/z4j/services/api/internal/scrape"
	"github.com/z4jdev/z4j/services/api/internal/system"
)

// Visibility of the OpenAPI document.
const (
	OpenAPIPrivate  = "private"
	OpenAPIPublic   = "public"
	OpenAPIDisabled = "disabled"
)

// Config tunes the service. Zero values take the defaults of the settings they come from.
type Config struct {
	// Secret is the master secret: token hashes and project keys come from it. PreviousSecrets still verify.
	Secret          []byte
	PreviousSecrets [][]byte
	// SessionSecret signs session cookies. PreviousSessionSecrets still verify.
	SessionSecret          []byte
	PreviousSessionSecrets [][]byte

	// Dev relaxes what only makes sense behind https.
	Dev           bool
	SecureCookies bool
	StrictCookies bool
	PinUserAgent  bool
	Lifetimes     auth.Lifetimes
	Password      auth.PasswordPolicy
	Hasher        auth.HasherConfig
	LockoutAfter  int
	LockoutFor    time.Duration
	LoginFloor    time.Duration
	// LoginsPerMinute and SetupPerQuarter bound attempts of one address; FirstBootAttempts those with setup tokens in 15 minutes.
	LoginsPerMinute   int
	SetupPerQuarter   int
	FirstBootAttempts int

	// BulkPerMinute bounds the bulk actions of one address, of all kinds together.
	BulkPerMinute int

	// OpenAPI is one of the OpenAPI constants.
	OpenAPI string
	// ShareAnswers lets callers who ask the same statistics within a second or two share an answer.
	ShareAnswers bool
	// RequestTimeout bounds a call.
	RequestTimeout time.Duration
	// CommandTimeout is how long an agent may take to answer a command.
	CommandTimeout time.Duration
	// AnswerWait is how long a call that needs an agent's answer, such as a listing of dead letters, waits for it.
	AnswerWait time.Duration
	// PageSize and MaxPageSize are the default and the largest page of a list.
	PageSize, MaxPageSize int
	// ExportMaxRows bounds the rows of an exported file, MaxProjects the list of projects.
	ExportMaxRows, MaxProjects int
	// DashboardAllow lists the networks from which people may sign in; empty allows all.
	DashboardAllow []netip.Prefix
	// MaxSockets bounds the push sockets of one user.
	MaxSockets int

	MetricsEnabled bool
	// MetricsElsewhere says that the process serves /metrics itself.
	MetricsElsewhere bool
	MetricsPublic    bool
	MetricsToken     string
	// CompatMetrics serves /metrics/celery and /metrics/flower. MetricSeries bounds the queues of a project that have
	// metrics of their own (100); negative keeps none apart.
	CompatMetrics bool
	MetricSeries  int

	// Home and Settings are shown to instance admins; secrets in Settings are masked already.
	Home     string
	Settings []config.Setting
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	defTime := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.LockoutAfter, 10)
	defTime(&c.LockoutFor, 15*time.Minute)
	defTime(&c.LoginFloor, 300*time.Millisecond)
	def(&c.LoginsPerMinute, 20)
	def(&c.SetupPerQuarter, 5)
	def(&c.FirstBootAttempts, 30)
	def(&c.BulkPerMinute, 10)
	defTime(&c.RequestTimeout, 30*time.Second)
	defTime(&c.CommandTimeout, time.Minute)
	defTime(&c.AnswerWait, 15*time.Second)
	def(&c.PageSize, 50)
	def(&c.MaxPageSize, 500)
	def(&c.ExportMaxRows, 50_000)
	def(&c.MaxProjects, 500)
	def(&c.MaxSockets, 50)
	if c.OpenAPI == "" {
		c.OpenAPI = OpenAPIPrivate
	}
	return c
}

// AuditHealth is what the audit service knows of its chain.
type AuditHealth struct {
	// Activated is false while the chain was never started.
	Activated bool
	// Problem says what is wrong and what to do; empty when nothing is.
	Problem string
}

// Deps are the parts the service is given.
type Deps struct {
	Store    *store.Store
	Bus      bus.Bus
	Logger   *slog.Logger
	Registry *prometheus.Registry
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Resolver finds client addresses behind trusted proxies; nil trusts nobody.
	Resolver *httpx.IPResolver
	// AllowedHost reports whether a host (with or without port) is on the allow-list; push sockets may come from
	// any page such a host served. nil allows the request's own host only.
	AllowedHost func(host string) bool
	// AuditHealth reads the state of the audit chain for /health/deep; nil leaves that check to the state row.
	AuditHealth func(ctx context.Context) (AuditHealth, error)
}

// Service is the API.
type Service struct {
	cfg      Config
	deps     Deps
	router   *rest.Router
	refusals *store.Refusals
	push     *push.Hub
	bulk     *bulk.Coordinator
	document []byte
	scrapes  http.Handler
}

// New wires the service. It does no I/O.
func New(cfg Config, deps Deps) (*Service, error) {
	if deps.Store == nil || deps.Bus == nil || len(cfg.Secret) == 0 || len(cfg.SessionSecret) == 0 {
		return nil, errors.New("api: store, bus, secret and session secret are required")
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Registry == nil {
		deps.Registry = prometheus.NewRegistry()
	}
	s := &Service{cfg: cfg.withDefaults(), deps: deps}
	if err := s.wire(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return s, nil
}

// wire registers every group of operations. A new group is one call of Add here.
func (s *Service) wire() error {
	cfg, deps := s.cfg, s.deps
	s.refusals = store.NewRefusals(deps.Store)
	authn := rest.NewAuthenticator(rest.AuthConfig{
		Store: deps.Store, Sessions: auth.NewSessions(cfg.SessionSecret, cfg.PreviousSessionSecrets...),
		Cookies: auth.Cookies{Secure: cfg.SecureCookies, Strict: cfg.StrictCookies}, Lifetimes: cfg.Lifetimes,
		Logger: deps.Logger, Now: deps.Now, Refusals: s.refusals, PinUserAgent: cfg.PinUserAgent,
		AllowFrom: cfg.DashboardAllow,
	})
	hints := hint.New(deps.Bus, deps.Logger)
	keyring := auth.NewKeyring(cfg.Secret, cfg.PreviousSecrets...)

	rt := rest.NewRouter(deps.Store, authn, deps.Logger)
	rt.Timeout, rt.Share = cfg.RequestTimeout, cfg.ShareAnswers
	var err error
	if rt.Metrics, err = rest.NewMetrics(deps.Registry); err != nil {
		return err
	}
	rt.Add(account.Ops(account.Config{
		Store: deps.Store, Auth: authn, Hasher: auth.NewHasher(cfg.Hasher), Policy: cfg.Password, Keyring: keyring,
		Hints: hints, Logger: deps.Logger, Now: deps.Now, LockoutAfter: int64(cfg.LockoutAfter), LockoutFor: cfg.LockoutFor,
		LoginFloor: cfg.LoginFloor, LoginsPerMinute: cfg.LoginsPerMinute, SetupPerQuarter: cfg.SetupPerQuarter,
		FirstBootBudget: cfg.FirstBootAttempts,
	})...)
	rt.Add(project.Ops(project.Config{
		Store: deps.Store, Keyring: keyring, Secret: cfg.Secret, Hints: hints, Logger: deps.Logger, MaxProjects: cfg.MaxProjects,
	})...)
	rt.Add(system.Ops(system.Config{
		Store: deps.Store, Logger: deps.Logger, Now: deps.Now, AuditCheck: s.auditCheck(), Home: cfg.Home, Settings: cfg.Settings,
	})...)

	s.wireTasks(rt, hints)

	if err := rt.Err(); err != nil {
		return err
	}
	document, err := rt.Document(domain.Version)
	if err != nil {
		return err
	}
	s.router, s.document = rt, document
	s.push = push.NewHub(push.Config{
		Store: deps.Store, Bus: deps.Bus, Auth: authn, Logger: deps.Logger, AllowedHost: deps.AllowedHost, Dev: cfg.Dev, MaxPerUser: cfg.MaxSockets,
	}, deps.Registry)
	rt.Handle(http.MethodGet, "/ws/dashboard", s.push)
	s.wireMetrics(rt)
	if cfg.OpenAPI != OpenAPIDisabled {
		rt.Handle(http.MethodGet, rest.Base+"/openapi.json", rt.DocumentHandler(document, cfg.OpenAPI == OpenAPIPublic))
	}
	return nil
}

// wireMetrics mounts what scrapers ask for.
func (s *Service) wireMetrics(rt *rest.Router) {
	cfg, deps := s.cfg, s.deps
	s.scrapes = http.HandlerFunc(httpx.NotFound)
	if !cfg.MetricsEnabled {
		return
	}
	read := scrape.Config{Store: deps.Store, Logger: deps.Logger, Now: deps.Now, Series: cfg.MetricSeries}
	deps.Registry.MustRegister(scrape.NewGauges(read))
	guard := func(h http.Handler) http.Handler { return httpx.MetricsGuard(cfg.MetricsToken, cfg.MetricsPublic, h) }
	if !cfg.MetricsElsewhere {
		rt.Handle(http.MethodGet, "/metrics", guard(obs.Handler(deps.Registry, deps.Logger)))
	}
	if !cfg.CompatMetrics {
		return
	}
	doors, mux := scrape.NewDoors(read), http.NewServeMux()
	for path, h := range map[string]http.Handler{"/metrics/celery": doors.Celery(), "/metrics/flower": doors.Flower()} {
		rt.Handle(http.MethodGet, path, guard(h))
		mux.Handle("GET "+path, guard(h))
	}
	s.scrapes = mux
}

// Scrapes answers /metrics/celery and /metrics/flower, for a process that is scraped at its own address.
func (s *Service) Scrapes() http.Handler { return s.scrapes }

// auditCheck adapts the audit service's view for the health check; nil leaves it to the stored state.
func (s *Service) auditCheck() func(context.Context) (system.Audit, error) {
	if s.deps.AuditHealth == nil {
		return nil
	}
	return func(ctx context.Context) (system.Audit, error) {
		h, err := s.deps.AuditHealth(ctx)
		return system.Audit(h), err
	}
}

// Document is the OpenAPI document of the service, indented JSON.
func (s *Service) Document() []byte { return s.document }

// Handler serves the API: everything under /api/v1 but the agents' routes, /ws/dashboard and /metrics.
func (s *Service) Handler() http.Handler {
	var h http.Handler = s.router
	h = httpx.FixedBodyLimit(httpx.MaxBodyAPI)(h)
	h = httpx.Recover(s.deps.Logger)(h)
	return httpx.Request(httpx.RequestOptions{Resolver: s.deps.Resolver, Logger: s.deps.Logger, Quiet: quiet})(h)
}

// quiet keeps probes and scrapes out of the log at the usual level.
func quiet(r *http.Request) bool {
	switch r.URL.Path {
	case rest.Base + "/health", rest.Base + "/health/ready", "/metrics", "/metrics/celery", "/metrics/flower":
		return true
	}
	return false
}

// Run does the service's background work until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.refusals.Run(ctx) })
	g.Go(func() error { return s.push.Run(ctx) })
	g.Go(func() error { return s.router.Run(ctx, s.deps.Bus) })
	g.Go(func() error { return s.bulk.Run(ctx) })
	return g.Wait()
}
