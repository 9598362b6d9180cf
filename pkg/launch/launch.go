// SPDX-License-Identifier: AGPL-3.0-or-later

// Package launch turns one service into a process: it reads the settings of that role, waits for the database and its
// schema, opens the bus, listens, answers probes and scrapes, and stops in the order that loses nothing.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/hosts"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/run"
	"github.com/z4jdev/z4j/pkg/store"
)

// Exit codes of a process, those of the command line.
const (
	ExitFailed  = 1
	ExitRefused = 2
	ExitState   = 3
)

// ExitError is an error with the exit code it stands for. Err is nil when everything was said already.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

func fail(code int, format string, args ...any) error {
	return &ExitError{code, fmt.Errorf(format, args...)}
}

const (
	// stopLimit is how long a stop may take in all once the listener is closed; drainLimit how long running requests get.
	stopLimit  = 15 * time.Second
	drainLimit = 5 * time.Second
	// drainDelay is how long a process that is told to stop still takes requests while its readiness says no: two
	// probes of the gateway and a half.
	drainDelay = 2500 * time.Millisecond
	// waitPause is the time between looks at a database that is not there yet, waitReport between lines about it.
	waitPause  = time.Second
	waitReport = 10 * time.Second
	// readyLimit bounds the database's part of a readiness probe.
	readyLimit = 2 * time.Second
)

// Spec describes a service that can be a process.
type Spec struct {
	// Name is the role: gateway, ingest, api or audit. It names the settings that count, see config.Options.Role.
	Name string
	// Port is where it listens unless Z4J_BIND_PORT says otherwise.
	Port int
	// Database says that it needs the database and the bus.
	Database bool
	// Edge says that the service does the work of the public edge itself: client addresses, access log, headers.
	Edge bool
	// Direct lets requests in that did not come through the gateway; otherwise they must carry its signature.
	Direct bool
	// New builds the service.
	New func(ctx context.Context, env *Env) (*Service, error)
}

// Env is what a service gets.
type Env struct {
	Config   *config.Config
	Logger   *slog.Logger
	Registry *prometheus.Registry
	// Store and Bus are nil for a service without a database.
	Store *store.Store
	Bus   bus.Bus
	// Hosts is the Host allow-list.
	Hosts *hosts.List
	// Tracing makes spans, Requests says of which requests; both are nil when tracing is off.
	Tracing  *obs.Tracing
	Requests *httpx.Tracing
	// Stderr takes remarks for a person.
	Stderr io.Writer
}

// Service is what a Spec builds.
type Service struct {
	// Handler answers requests other than probes and scrapes.
	Handler http.Handler
	// Scrapes answers what scrapers ask for below /metrics/; nil leaves that to Handler.
	Scrapes http.Handler
	// Run works until its context ends.
	Run func(ctx context.Context) error
	// Ready says why the service can't work now; nil means it can. The database is checked besides.
	Ready func(ctx context.Context) error
}

// Options are where a process gets its words from and puts them.
type Options struct {
	Environ []string
	// Flags are settings typed on the command line, by name; Hosts the names of --allowed-host.
	Flags  map[string]string
	Hosts  []string
	Stderr io.Writer
}

// Run is the life of the process. It ends when ctx does, or when the service can't start or fails; the error is an
// *ExitError.
func Run(ctx context.Context, spec Spec, o Options) error {
	cfg, err := load(spec, o)
	if err != nil {
		return err
	}
	config.DropFromEnvironment("Z4J_BOOTSTRAP_ADMIN_PASSWORD")
	log, err := obs.NewLogger(o.Stderr, cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return fail(ExitRefused, "%w", err)
	}
	log = log.With("service", spec.Name)
	for _, n := range cfg.Notices {
		log.Warn("setting has no effect", "name", n.Name, "source", n.Source, "reason", n.Text)
	}
	env := &Env{Config: cfg, Logger: log, Registry: obs.NewRegistry(), Stderr: o.Stderr}
	if env.Hosts, err = HostList(ctx, cfg, o.Hosts, log); err != nil {
		return fail(ExitRefused, "%w", err)
	}
	traces, err := TracesFrom(cfg)
	if err != nil {
		return fail(ExitRefused, "%w", err)
	}
	if env.Tracing, err = traces.Open(ctx, log, env.Registry); err != nil {
		return fail(ExitRefused, "%w", err)
	}
	env.Requests = traces.Requests(env.Tracing, spec.Name)
	// The listener comes first: whoever probes is told that the process waits for its database.
	ln, err := Listen(ctx, cfg)
	if err != nil {
		return errors.Join(err, env.Tracing.Close(ctx))
	}
	p := &process{spec: spec, env: env, log: log, traceProbes: traces.Health}
	return p.run(ctx, ln)
}

// load reads the settings of the role.
func load(spec Spec, o Options) (*config.Config, error) {
	cfg, err := config.Load(config.Options{
		Environ: o.Environ, Flags: o.Flags, ExplicitHosts: len(o.Hosts) > 0, Role: spec.Name, DefaultPort: spec.Port,
	})
	if err != nil {
		return nil, RefuseSettings(err)
	}
	return cfg, nil
}

// RefuseSettings says what is wrong with settings that could not be loaded, one line a fault.
func RefuseSettings(err error) error {
	faults, ok := errors.AsType[*config.FaultError](err)
	if !ok {
		return fail(ExitRefused, "%w", err)
	}
	var b strings.Builder
	b.WriteString("the settings are not usable:")
	for _, f := range faults.Faults {
		b.WriteString("\n  - " + f.String())
	}
	return fail(ExitRefused, "%s", b.String())
}

// Listen opens the port of the settings, or says who to blame.
func Listen(ctx context.Context, cfg *config.Config) (net.Listener, error) {
	addr := net.JoinHostPort(cfg.Server.BindHost, strconv.Itoa(cfg.Server.BindPort))
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fail(ExitFailed, "port %d is in use by another program: stop it, or choose another with --port", cfg.Server.BindPort)
	}
	if err != nil {
		return nil, fail(ExitFailed, "listen on %s: %w", addr, err)
	}
	return ln, nil
}

// process is one run.
type process struct {
	spec Spec
	env  *Env
	log  *slog.Logger
	// service is set once the process can work.
	service  atomic.Pointer[Service]
	draining *Draining
	// traceProbes makes spans of probes and scrapes, too.
	traceProbes bool
}

// run serves until ctx ends. Probes are answered from the first moment on, requests once the service is built.
func (p *process) run(ctx context.Context, ln net.Listener) error {
	delay := max(drainDelay, p.env.Config.Services.ShutdownDelay.Duration())
	work, draining := Drain(ctx, delay, p.log)
	p.draining = draining
	g := run.New(p.log, stopLimit)
	g.Add("http", run.Serve(httpx.NewServer(p.handler(), p.log), ln, drainLimit))
	g.Add(p.spec.Name, func(ctx context.Context) error { return p.work(ctx, ln) })
	err := g.Run(work)
	draining.Stop()
	err = errors.Join(err, p.close())
	// Last: the parts that stopped before it made spans to their end.
	if lost := p.env.Tracing.Close(ctx); lost != nil {
		p.log.Warn("traces are incomplete", "err", lost)
	}
	p.log.Info("stopped")
	if e := (*ExitError)(nil); err != nil && !errors.As(err, &e) {
		err = fail(ExitFailed, "%w", err)
	}
	return err
}

// work opens what the service stands on, builds it and runs it.
func (p *process) work(ctx context.Context, ln net.Listener) error {
	if p.spec.Database {
		if err := p.open(ctx); err != nil {
			return err
		}
	}
	svc, err := p.spec.New(ctx, p.env)
	if err != nil {
		return fail(ExitFailed, "%w", err)
	}
	p.service.Store(svc)
	p.log.Info("ready", "version", domain.Version, "address", ln.Addr().String())
	return svc.Run(ctx)
}

// open waits for the database and its schema and opens the bus.
func (p *process) open(ctx context.Context) error {
	s, err := AwaitStore(ctx, p.env.Config, p.spec.Name, p.log)
	if err != nil {
		return err
	}
	p.env.Store = s
	if err := RegisterPool(p.env.Registry, s); err != nil {
		return err
	}
	p.env.Bus, err = OpenBus(ctx, BusConfig(p.env.Config), s, p.log, p.env.Registry)
	if err != nil {
		return fail(ExitRefused, "%w", err)
	}
	return nil
}

func (p *process) close() error {
	var errs []error
	if p.env.Bus != nil {
		errs = append(errs, p.env.Bus.Close())
	}
	if p.env.Store != nil {
		errs = append(errs, p.env.Store.Close())
	}
	return errors.Join(errs...)
}

// handler answers probes and scrapes itself and passes the rest to the service.
func (p *process) handler() http.Handler {
	cfg := p.env.Config
	mux := http.NewServeMux()
	mux.Handle("GET /health", p.probe("/health", func(w http.ResponseWriter, _ *http.Request) {
		httpx.WriteJSON(w, http.StatusOK, health{Status: "ok", Service: p.spec.Name})
	}))
	mux.Handle("GET /health/ready", p.probe("/health/ready", p.ready))
	if bool(cfg.Metrics.Enabled) {
		scrape := httpx.MetricsGuard(cfg.Metrics.AuthToken.Reveal(), bool(cfg.Metrics.Public), obs.Handler(p.env.Registry, p.log))
		mux.Handle("GET /metrics", p.probe("/metrics", scrape.ServeHTTP))
	}
	rest := p.edge(http.HandlerFunc(p.serve))
	mux.Handle("/", rest)
	mux.HandleFunc("GET /metrics/", func(w http.ResponseWriter, r *http.Request) {
		if svc := p.service.Load(); svc != nil && svc.Scrapes != nil {
			svc.Scrapes.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
	return mux
}

// probe traces a route of the process itself, if that is wanted.
func (p *process) probe(route string, next http.HandlerFunc) http.Handler {
	if !p.traceProbes || p.env.Requests == nil {
		return next
	}
	named := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.SetRoute(r, route)
		next(w, r)
	})
	return httpx.Request(httpx.RequestOptions{Tracing: p.env.Requests})(named)
}

// edge gives a service behind the gateway what the gateway has from its own middleware.
func (p *process) edge(next http.Handler) http.Handler {
	if p.spec.Edge {
		return next
	}
	cfg := p.env.Config
	key := cfg.Secret.Hop.Bytes()
	proxies, err := httpx.ParsePrefixes(cfg.Server.TrustedProxies)
	if err != nil {
		proxies = nil // refused by the settings' check already
	}
	if !p.spec.Direct {
		next = httpx.RequireHop(next)
	}
	next = httpx.FixedBodyLimit(httpx.MaxBodyUpload)(next)
	next = httpx.SecurityHeaders(httpx.HeaderOptions{})(next)
	next = httpx.Recover(p.log)(next)
	// Agents' uploads come every few seconds: their lines would hide the others.
	quiet := func(*http.Request) bool { return p.spec.Direct }
	next = httpx.Request(httpx.RequestOptions{Resolver: httpx.NewIPResolver(proxies), HopKey: key, Logger: p.log, Quiet: quiet, Tracing: p.env.Requests})(next)
	return next
}

func (p *process) serve(w http.ResponseWriter, r *http.Request) {
	svc := p.service.Load()
	if svc == nil {
		w.Header().Set("Retry-After", "2")
		httpx.WriteError(w, r, domain.Errorf(domain.CodeUnavailable, "the %s service is starting; try again in a moment", p.spec.Name))
		return
	}
	svc.Handler.ServeHTTP(w, r)
}

// health is the answer of a probe.
type health struct {
	Status  string `json:"status"`
	Service string `json:"service"`
	Reason  string `json:"reason,omitempty"`
}

// ready answers 200 when the process wants requests.
func (p *process) ready(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if reason := p.unready(r.Context()); reason != "" {
		w.Header().Set("Retry-After", "2")
		httpx.WriteJSON(w, http.StatusServiceUnavailable, health{Status: "unavailable", Service: p.spec.Name, Reason: reason})
		return
	}
	httpx.WriteJSON(w, http.StatusOK, health{Status: "ready", Service: p.spec.Name})
}

func (p *process) unready(ctx context.Context) string {
	svc := p.service.Load()
	switch {
	case p.draining.On():
		return "stopping"
	case svc == nil:
		return "starting: waiting for the database and its schema"
	}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	if p.env.Store != nil {
		if err := p.env.Store.Ping(ctx); err != nil {
			return "the database does not answer"
		}
	}
	if svc.Ready != nil {
		if err := svc.Ready(ctx); err != nil {
			return err.Error()
		}
	}
	return ""
}
