// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/hosts"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/run"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/audit"
	"github.com/z4jdev/z4j/services/gateway"
	"github.com/z4jdev/z4j/services/ingest"
)

// stopLimit is how long a stop may take in all; drainLimit how long running requests get.
const (
	stopLimit  = 10 * time.Second
	drainLimit = 5 * time.Second
)

// metaPublicURL is where serve leaves the address users see.
const metaPublicURL = "public_url"

type serveFlags struct {
	host, env, email, password string
	port                       int
	hosts                      []string
	// former are flags of the Python release that mean nothing here; they are taken so that old unit files start.
	former struct {
		workers                 int
		reload, debugHostErrors bool
	}
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the brain: dashboard, API, agent connections, audit log",
		Long: `Runs everything in one process. Without settings it uses SQLite in the state directory, mints its secrets,
listens on port 7700 of all addresses and prints a link for creating the first admin; open it within 15 minutes
('z4j reset-setup' prints another). Set Z4J_DATABASE_URL for PostgreSQL and Z4J_REDIS_URL for several replicas.

Exit codes: 0 stopped as asked, 1 failed, 2 refused (settings), 3 the database does not answer.`,
		Example: `  z4j serve
  z4j serve --port 8080 --allowed-host tasks.internal
  Z4J_BOOTSTRAP_ADMIN_EMAIL=ops@example.com Z4J_BOOTSTRAP_ADMIN_PASSWORD=... z4j serve`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd, f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.host, "host", "", "listen on `ADDRESS` (default 0.0.0.0)")
	fl.IntVar(&f.port, "port", 0, "listen on `PORT` (default 7700)")
	fl.StringVar(&f.env, "environment", "", "`MODE`: dev, or any other label for production")
	fl.StringVar(&f.env, "env", "", "short for --environment `MODE`")
	fl.StringArrayVar(&f.hosts, "allowed-host", nil, "accept this Host `NAME` in this run (repeatable)")
	fl.StringVar(&f.email, "admin-email", "", "create the first admin with this `ADDRESS` instead of printing a setup link")
	fl.StringVar(&f.password, "admin-password", "", "its `PASSWORD`; Z4J_BOOTSTRAP_ADMIN_PASSWORD keeps it out of the process list")
	fl.IntVar(&f.former.workers, "workers", 0, "no effect")
	fl.BoolVar(&f.former.reload, "reload", false, "no effect")
	fl.BoolVar(&f.former.debugHostErrors, "debug-host-errors", false, "no effect")
	for name := range formerFlags() {
		_ = fl.MarkHidden(name)
	}
	return cmd
}

// formerFlags are the flags of the Python release without effect, and why.
func formerFlags() map[string]string {
	return map[string]string{
		"workers":           "one process uses all processors; for more, run further replicas on PostgreSQL",
		"reload":            "it was for developing the Python release",
		"debug-host-errors": "in dev mode refusals explain themselves anyway",
	}
}

func (f serveFlags) options(cmd *cobra.Command) config.Options {
	o := config.Options{Flags: map[string]string{}, ExplicitHosts: len(f.hosts) > 0}
	for name, v := range map[string]struct {
		flag, value string
	}{
		"Z4J_BIND_HOST": {"host", f.host}, "Z4J_BIND_PORT": {"port", strconv.Itoa(f.port)}, "Z4J_ENVIRONMENT": {"environment", f.env},
		"Z4J_BOOTSTRAP_ADMIN_EMAIL": {"admin-email", f.email}, "Z4J_BOOTSTRAP_ADMIN_PASSWORD": {"admin-password", f.password},
	} {
		if cmd.Flags().Changed(v.flag) || v.flag == "environment" && cmd.Flags().Changed("env") {
			o.Flags[name] = v.value
		}
	}
	return o
}

func (a *app) serve(cmd *cobra.Command, f serveFlags) error {
	cfg, err := a.load(f.options(cmd))
	if err != nil {
		return err
	}
	config.DropFromEnvironment("Z4J_BOOTSTRAP_ADMIN_PASSWORD")
	// Only here: the other commands must work in an environment that holds the password while a flag of serve gives the address.
	if (cfg.Bootstrap.AdminEmail == "") != (cfg.Bootstrap.AdminPassword == "") {
		return fail(exitRefused, "Z4J_BOOTSTRAP_ADMIN_EMAIL and Z4J_BOOTSTRAP_ADMIN_PASSWORD (or --admin-email and --admin-password) go together, but only one is set: set both, or neither and use the setup link")
	}
	if cfg.Database.Engine() == config.EngineSQLite {
		lock, err := config.LockHome(cfg.Home)
		if errors.Is(err, config.ErrHomeInUse) {
			return fail(exitRefused, "%w", err)
		}
		if err != nil {
			return fail(exitFailed, "%w", err)
		}
		defer func() { _ = lock.Release() }()
	}
	log, err := a.logger(cfg)
	if err != nil {
		return fail(exitRefused, "%w", err)
	}
	for _, n := range withoutEffect(cfg) {
		log.Warn("setting has no effect", "name", n.Name, "source", n.Source, "reason", n.Text)
	}
	for _, name := range slices.Sorted(maps.Keys(formerFlags())) {
		if cmd.Flags().Changed(name) {
			log.Warn("setting has no effect", "name", "--"+name, "source", config.SourceFlag, "reason", formerFlags()[name])
		}
	}
	if cmd.Flags().Changed("admin-password") {
		a.notef("z4j: warning: --admin-password is visible in the process list; prefer Z4J_BOOTSTRAP_ADMIN_PASSWORD\n")
	}
	list, err := launch.HostList(cmd.Context(), cfg, f.hosts, log)
	if err != nil {
		return fail(exitRefused, "%w", err)
	}
	s, err := a.open(cmd.Context(), cfg, log, migrationOf(cfg, migrateAlways))
	if err != nil {
		return err
	}
	if err := a.adopt(cmd.Context(), cfg, s); err != nil {
		return errors.Join(err, s.Close())
	}
	// The listener comes before anything is printed: a link to a port that somebody else holds helps nobody.
	ln, err := launch.Listen(cmd.Context(), cfg)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	b, err := newBrain(cmd.Context(), cfg, s, list, log)
	if err != nil {
		return errors.Join(fail(exitFailed, "%w", err), ln.Close(), s.Close())
	}
	// Commands of other processes build links from it: the port may come from a flag of this run.
	if err := s.SetMeta(cmd.Context(), metaPublicURL, cfg.Server.PublicURL); err != nil {
		return errors.Join(fail(exitState, "%w", err), ln.Close(), b.close())
	}
	a.notef("z4j: state directory %s, database %s\n", cfg.Home, cfg.Database.SafeURL())
	for _, line := range list.Banner(hostAndPort(cfg.Server.BindHost, cfg.Server.BindPort), cfg.AllowedHostsFile()) {
		a.notef("%s\n", line)
	}
	if cfg.Database.Engine() != config.EngineSQLite && cfg.Database.RedisURL.Reveal() == "" {
		a.notef("z4j: no Z4J_REDIS_URL: with more than one replica, changes show after up to three seconds\n")
	}
	if err := launch.FirstAdmin(cmd.Context(), cfg, s, a.stderr); err != nil {
		return errors.Join(err, ln.Close(), b.close())
	}
	err = b.run(cmd.Context(), ln)
	if cerr := b.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fail(exitFailed, "%w", err)
	}
	return nil
}

// brain is the four services over one database and one bus.
type brain struct {
	cfg   *config.Config
	log   *slog.Logger
	store *store.Store
	// requests is the API's handle on the same database: on PostgreSQL with connections of its own, on SQLite store itself.
	requests *store.Store
	bus      bus.Bus
	audit    *audit.Service
	ingest   *ingest.Service
	api      *api.Service
	gateway  *gateway.Gateway
	tracing  *obs.Tracing
}

// newBrain builds the services. On an error the caller still owns s.
func newBrain(ctx context.Context, cfg *config.Config, s *store.Store, list *hosts.List, log *slog.Logger) (*brain, error) {
	w, err := wire(cfg)
	if err != nil {
		return nil, err
	}
	registry := obs.NewRegistry()
	b := &brain{cfg: cfg, log: log, store: s, requests: s}
	handles := []*store.Store{s}
	if b.bus, err = launch.OpenBus(ctx, w.Bus, s, log, registry); err != nil {
		return nil, err
	}
	if b.tracing, err = w.Traces.Open(ctx, log, registry); err != nil {
		return nil, errors.Join(err, b.bus.Close())
	}
	if cfg.Database.Engine() == config.EnginePostgreSQL {
		o := w.Requests
		o.Logger = log
		if b.requests, err = store.Open(ctx, o); err != nil {
			return nil, errors.Join(fmt.Errorf("open the API's connections: %w", err), b.tracing.Close(ctx), b.bus.Close())
		}
		handles = append(handles, b.requests)
	}
	if err := errors.Join(launch.RegisterPool(registry, handles...), b.build(w, list, registry)); err != nil {
		return nil, errors.Join(err, b.tracing.Close(ctx), b.bus.Close(), b.closeRequests())
	}
	return b, nil
}

// closeRequests closes the API's connections where they are its own.
func (b *brain) closeRequests() error {
	if b.requests == b.store {
		return nil
	}
	return b.requests.Close()
}

func (b *brain) build(w wiring, list *hosts.List, registry *prometheus.Registry) (err error) {
	if b.audit, err = audit.New(w.Audit, audit.Deps{
		Store: b.store, Logger: b.log.With("service", "audit"), Registerer: registry, Tracer: b.tracing.Tracer(config.RoleAudit),
	}); err != nil {
		return fmt.Errorf("audit service: %w", err)
	}
	if b.ingest, err = ingest.New(w.Ingest, ingest.Deps{
		Store: b.store, Bus: b.bus, Logger: b.log.With("service", "ingest"), Registry: registry, Master: w.Master, Previous: w.Previous,
		Tracer: b.tracing.Tracer(config.RoleIngest),
	}); err != nil {
		return fmt.Errorf("ingest service: %w", err)
	}
	if b.api, err = api.New(w.API, api.Deps{
		Store: b.requests, Bus: b.bus, Logger: b.log.With("service", "api"), Registry: registry,
		Resolver: httpx.NewIPResolver(w.Gateway.TrustedProxies), AllowedHost: list.AllowsHost, AuditHealth: api.StoredAuditHealth(b.requests),
	}); err != nil {
		return fmt.Errorf("api service: %w", err)
	}
	if b.gateway, err = gateway.New(w.Gateway, gateway.Deps{
		API: b.api.Handler(), Ingest: b.ingest.Handler(), Hosts: list, Logger: b.log.With("service", "gateway"), Registry: registry,
		Tracing: w.Traces.Requests(b.tracing, config.RoleGateway),
	}); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// run serves until ctx ends: first no new requests are taken and the sockets end, then the services
// stop, and last the audit chain, which everything else still writes to.
func (b *brain) run(ctx context.Context, ln net.Listener) error {
	if err := b.audit.Start(ctx); err != nil {
		// Business goes on with a damaged chain: records wait in the outbox and the health says so.
		b.log.Log(ctx, obs.LevelCritical, "the audit chain can't be continued", "err", err)
	}
	work, drain := launch.Drain(ctx, b.cfg.Services.ShutdownDelay.Duration(), b.log)
	defer drain.Stop()
	srv := httpx.NewServer(drain.Handler(b.gateway.Handler()), b.log)
	g := run.New(b.log, stopLimit)
	g.Add("http", run.Serve(srv, ln, drainLimit))
	g.Add("gateway", b.gateway.Run)
	g.Add("api", b.api.Run)
	g.Add("ingest", b.ingest.Run)
	g.AddBase("audit", b.audit.Run)
	b.log.Info("ready", "version", domain.Version, "address", ln.Addr().String(), "database", b.store.Engine())
	err := g.Run(work)
	b.log.Info("stopped")
	return err
}

// close releases bus and database, and sends the last spans.
func (b *brain) close() error {
	err := errors.Join(slices.DeleteFunc([]error{b.bus.Close(), b.closeRequests(), b.store.Close()}, func(err error) bool { return err == nil })...)
	if lost := b.tracing.Close(context.Background()); lost != nil {
		b.log.Warn("traces are incomplete", "err", lost)
	}
	return err
}
