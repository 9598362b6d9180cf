// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/hosts"
	"github.com/z4jdev/z4j/pkg/httpx"
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
	fl.StringVar(&f.host, "host", "", "address to listen on (default 0.0.0.0)")
	fl.IntVar(&f.port, "port", 0, "port to listen on (default 7700)")
	fl.StringVar(&f.env, "environment", "", "dev, or any other label for production")
	fl.StringVar(&f.env, "env", "", "short for --environment")
	fl.StringArrayVar(&f.hosts, "allowed-host", nil, "accept this Host name in this run (repeatable)")
	fl.StringVar(&f.email, "admin-email", "", "create the first admin with this address instead of printing a setup link")
	fl.StringVar(&f.password, "admin-password", "", "its password; Z4J_BOOTSTRAP_ADMIN_PASSWORD keeps it out of the process list")
	return cmd
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
	for _, n := range cfg.Notices {
		log.Warn("setting has no effect", "name", n.Name, "source", n.Source, "reason", n.Text)
	}
	list, err := a.hostList(cmd.Context(), cfg, f.hosts, log)
	if err != nil {
		return fail(exitRefused, "%w", err)
	}
	s, err := a.open(cmd.Context(), cfg, log, bool(cfg.Database.AutoMigrate))
	if err != nil {
		return err
	}
	// The listener comes before anything is printed: a link to a port that somebody else holds helps nobody.
	ln, err := listen(cmd.Context(), cfg)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	b, err := newBrain(cfg, s, list, log)
	if err != nil {
		return errors.Join(fail(exitFailed, "%w", err), ln.Close(), s.Close())
	}
	// Commands of other processes build links from it: the port may come from a flag of this run.
	if err := s.SetMeta(cmd.Context(), metaPublicURL, cfg.Server.PublicURL); err != nil {
		return errors.Join(fail(exitState, "%w", err), ln.Close(), b.close())
	}
	if err := a.firstAdmin(cmd.Context(), cfg, s); err != nil {
		return errors.Join(err, ln.Close(), b.close())
	}
	for _, line := range list.Banner(hostAndPort(cfg.Server.BindHost, cfg.Server.BindPort), cfg.AllowedHostsFile()) {
		a.notef("%s\n", line)
	}
	if cfg.Database.Engine() != config.EngineSQLite && cfg.Database.RedisURL.Reveal() == "" {
		a.notef("z4j: no Z4J_REDIS_URL: with more than one replica, changes show after up to three seconds\n")
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

// listen opens the port, or says who to blame.
func listen(ctx context.Context, cfg *config.Config) (net.Listener, error) {
	addr := net.JoinHostPort(cfg.Server.BindHost, strconv.Itoa(cfg.Server.BindPort))
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fail(exitFailed, "port %d is in use by another program: stop it, or choose another with --port", cfg.Server.BindPort)
	}
	if err != nil {
		return nil, fail(exitFailed, "listen on %s: %w", addr, err)
	}
	return ln, nil
}

// hostList merges the layers of the Host allow-list.
func (a *app) hostList(ctx context.Context, cfg *config.Config, flags []string, log *slog.Logger) (*hosts.List, error) {
	in := hosts.Input{Env: cfg.Hosts.Allowed, Flags: flags}
	if len(in.Env) == 0 {
		entries, wrong, err := hosts.File{Path: cfg.AllowedHostsFile()}.Read()
		if err != nil {
			return nil, err
		}
		for _, w := range wrong {
			log.Warn("line of the allowed-hosts file has no effect", "err", w)
		}
		in.File, in.Auto = entries, hosts.Detect(ctx)
	}
	return hosts.Build(in)
}

// firstAdmin creates the first account from the settings, or offers the setup link.
func (a *app) firstAdmin(ctx context.Context, cfg *config.Config, s *store.Store) error {
	fresh, err := s.FirstBoot(ctx)
	if err != nil {
		return fail(exitState, "%w", err)
	}
	if !fresh {
		return nil
	}
	if email, password := cfg.Bootstrap.AdminEmail, cfg.Bootstrap.AdminPassword.Reveal(); email != "" && password != "" {
		user, err := makeAdmin(ctx, cfg, s, email, cfg.Bootstrap.AdminDisplayName, password, "bootstrap")
		switch {
		case errors.Is(err, domain.ErrConflict):
			return nil // another replica was first
		case err != nil:
			return fail(exitRefused, "the first admin from the settings was refused: %w", err)
		}
		a.notef("z4j: admin %s provisioned from the settings\n", user.Email)
		return nil
	}
	token, won, err := offerSetupToken(ctx, cfg, s)
	if err != nil {
		return fail(exitState, "%w", err)
	}
	if !won {
		a.notef("z4j: no account yet; another replica printed the setup link ('z4j reset-setup --force' prints a new one)\n")
		return nil
	}
	expires := s.Now().Add(cfg.Auth.SetupTokenTTL.Duration())
	a.notef(`
  Welcome to z4j. Create the first admin account:

    %s

  The link works once, until %s.
  Another one: z4j reset-setup --force     Without a browser: z4j createsuperuser --email you@example.com

`, setupURL(cfg, token), expires.Format(time.RFC3339))
	return nil
}

// offerSetupToken mints the first-boot token. The one process of an SQLite installation replaces what an
// earlier start left; replicas on PostgreSQL let the first insert win.
func offerSetupToken(ctx context.Context, cfg *config.Config, s *store.Store) (token string, won bool, err error) {
	if s.Engine() == config.EngineSQLite {
		token, _, err = replaceSetupToken(ctx, cfg, s)
		return token, true, err
	}
	token = auth.NewToken()
	err = s.InTx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		won, err = tx.OfferSetupToken(ctx, keyring(cfg).Hash(auth.SaltSetupToken, token), cfg.Auth.SetupTokenTTL.Duration())
		return err
	})
	return token, won, err
}

// brain is the four services over one database and one bus.
type brain struct {
	cfg     *config.Config
	log     *slog.Logger
	store   *store.Store
	bus     bus.Bus
	audit   *audit.Service
	ingest  *ingest.Service
	api     *api.Service
	gateway *gateway.Gateway
}

// newBrain builds the services. On an error the caller still owns s.
func newBrain(cfg *config.Config, s *store.Store, list *hosts.List, log *slog.Logger) (*brain, error) {
	registry := obs.NewRegistry()
	proxies, err := httpx.ParsePrefixes(cfg.Server.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("Z4J_TRUSTED_PROXIES: %w", err)
	}
	chainKey, _ := auditKeys(cfg)
	b := &brain{cfg: cfg, log: log, store: s}
	if b.bus, err = bus.Open(bus.Config{URL: cfg.Database.RedisURL.Reveal(), Logger: log, Registerer: registry}); err != nil {
		return nil, fmt.Errorf("open the bus: %w", err)
	}
	closeBus := func(err error) error { return errors.Join(err, b.bus.Close()) }

	previous := make([][]byte, 0, len(cfg.Secret.AuditPrevious))
	for _, k := range cfg.Secret.AuditPrevious {
		previous = append(previous, k.Bytes())
	}
	if b.audit, err = audit.New(audit.Config{ChainKey: chainKey, PreviousKeys: previous}, audit.Deps{
		Store: s, Logger: log.With("service", "audit"), Registerer: registry,
	}); err != nil {
		return nil, closeBus(fmt.Errorf("audit service: %w", err))
	}

	ingestConfig, err := ingest.ConfigFrom(cfg)
	if err != nil {
		return nil, closeBus(fmt.Errorf("ingest service: %w", err))
	}
	masters := make([][]byte, 0, len(cfg.Secret.PreviousMasters))
	for _, k := range cfg.Secret.PreviousMasters {
		masters = append(masters, k.Bytes())
	}
	if b.ingest, err = ingest.New(ingestConfig, ingest.Deps{
		Store: s, Bus: b.bus, Logger: log.With("service", "ingest"), Registry: registry,
		Master: cfg.Secret.Master.Bytes(), Previous: masters,
	}); err != nil {
		return nil, closeBus(fmt.Errorf("ingest service: %w", err))
	}

	if b.api, err = api.New(apiConfig(cfg, masters), api.Deps{
		Store: s, Bus: b.bus, Logger: log.With("service", "api"), Registry: registry,
		Resolver: httpx.NewIPResolver(proxies),
		AllowedHost: func(host string) bool {
			name, err := hosts.Parse(host)
			return err == nil && list.Allows(name)
		},
	}); err != nil {
		return nil, closeBus(fmt.Errorf("api service: %w", err))
	}

	if b.gateway, err = gateway.New(gateway.Config{
		Dev: cfg.Dev(), PublicURL: cfg.Server.PublicURL, TrustedProxies: proxies, CORSOrigins: cfg.Server.CORSOrigins,
		CORSCredentials: bool(cfg.Server.CORSCredentials), HSTSMaxAge: cfg.HSTSMaxAge(), HSTSSubdomains: bool(cfg.Server.HSTSSubdomains),
		MetricsProtected: !bool(cfg.Metrics.Public) && cfg.Metrics.AuthToken.Reveal() != "",
	}, gateway.Deps{
		API: b.api.Handler(), Ingest: b.ingest.Handler(), Hosts: list, Logger: log.With("service", "gateway"), Registry: registry,
	}); err != nil {
		return nil, closeBus(fmt.Errorf("gateway: %w", err))
	}
	return b, nil
}

// apiConfig takes the API's part of the settings.
func apiConfig(cfg *config.Config, previous [][]byte) api.Config {
	p := auth.DefaultParams()
	p.Time, p.Memory = uint32(cfg.Auth.Argon2Time), uint32(cfg.Auth.Argon2MemoryKiB) //nolint:gosec // bounded by the settings
	p.Threads = uint8(cfg.Auth.Argon2Parallelism)                                    //nolint:gosec // bounded by the settings
	return api.Config{
		Secret: cfg.Secret.Master.Bytes(), PreviousSecrets: previous, SessionSecret: cfg.Secret.Session.Bytes(),
		Dev: cfg.Dev(), SecureCookies: cfg.SecureCookies(), StrictCookies: cfg.Auth.CookieSameSite == "strict",
		PinUserAgent: bool(cfg.Auth.SessionPinAgent),
		Lifetimes: auth.Lifetimes{
			Absolute: cfg.Auth.SessionAbsolute.Duration(), Idle: cfg.Auth.SessionIdle.Duration(), Remember: cfg.Auth.SessionRemember.Duration(),
		},
		Password: auth.PasswordPolicy{MinLength: cfg.Auth.PasswordMinLength}, Hasher: auth.HasherConfig{Params: p},
		LockoutAfter: cfg.Auth.LockoutThreshold, LockoutFor: cfg.Auth.LockoutDuration.Duration(),
		LoginFloor:        time.Duration(cfg.Auth.LoginMinDuration) * time.Millisecond,
		FirstBootAttempts: cfg.Auth.SetupAttempts, OpenAPI: cfg.API.OpenAPIVisibility,
		RequestTimeout: cfg.Server.RequestTimeout.Duration(), CommandTimeout: cfg.Commands.Timeout.Duration(),
		PageSize: cfg.API.DefaultPageSize, MaxPageSize: cfg.API.MaxPageSize,
		MetricsEnabled: bool(cfg.Metrics.Enabled), MetricsPublic: bool(cfg.Metrics.Public), MetricsToken: cfg.Metrics.AuthToken.Reveal(),
		Home: cfg.Home, Settings: cfg.Effective(),
	}
}

// run serves until ctx ends: first no new requests are taken and the sockets end, then the services
// stop, and last the audit chain, which everything else still writes to.
func (b *brain) run(ctx context.Context, ln net.Listener) error {
	if err := b.audit.Start(ctx); err != nil {
		// Business goes on with a damaged chain: records wait in the outbox and the health says so.
		b.log.Log(ctx, obs.LevelCritical, "the audit chain can't be continued", "err", err)
	}
	srv := &http.Server{
		Handler: b.gateway.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
	}
	g := run.New(b.log, stopLimit)
	g.Add("http", run.Serve(srv, ln, drainLimit))
	g.Add("gateway", b.gateway.Run)
	g.Add("api", b.api.Run)
	g.Add("ingest", b.ingest.Run)
	g.AddBase("audit", b.audit.Run)
	b.log.Info("ready", "version", domain.Version, "address", ln.Addr().String(), "database", b.store.Engine())
	err := g.Run(ctx)
	b.log.Info("stopped")
	return err
}

// close releases bus and database.
func (b *brain) close() error {
	return errors.Join(slices.DeleteFunc([]error{b.bus.Close(), b.store.Close()}, func(err error) bool { return err == nil })...)
}
