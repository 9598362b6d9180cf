// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/redact"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/ingest/internal/agentws"
	"github.com/z4jdev/z4j/services/ingest/internal/commit"
	"github.com/z4jdev/z4j/services/ingest/internal/dispatch"
	"github.com/z4jdev/z4j/services/ingest/internal/hub"
	"github.com/z4jdev/z4j/services/ingest/internal/longpoll"
	"github.com/z4jdev/z4j/services/ingest/internal/notice"
	"github.com/z4jdev/z4j/services/ingest/internal/sweep"
	"github.com/z4jdev/z4j/services/ingest/internal/tally"
	"github.com/z4jdev/z4j/services/ingest/internal/upkeep"
	"github.com/z4jdev/z4j/services/ingest/internal/watch"
)

// Config tunes the service. Zero values take the defaults of the protocol.
type Config struct {
	// Owner names this replica in leases and claims; empty mints a name that no earlier process had.
	Owner string
	// MaxFrameBytes bounds a frame (1 MiB), SlotCap the live sockets of one agent (0: unlimited).
	MaxFrameBytes, SlotCap int
	// IdleTimeout closes silent sockets (90 s), HandshakeTimeout those without a hello (10 s).
	IdleTimeout, HandshakeTimeout time.Duration
	// QueueEntries bounds the frames of one socket that wait for the database.
	QueueEntries int
	// Compression accepts permessage-deflate.
	Compression bool
	// Allow lists the networks agents may come from; empty allows all.
	Allow []netip.Prefix
	// RedactionKeys are further patterns of names whose values are never stored.
	RedactionKeys []string
	// Writers is how many ingest transactions run at a time on PostgreSQL (4); SQLite has one.
	Writers int

	// RedeliverAfter and RedeliverUntil bound the age at which commands are sent again to polling agents (10 s, 60 s).
	RedeliverAfter, RedeliverUntil time.Duration

	// HealthSweep is the pace of the liveness sweep (10 s), OfflineAfter the silence it looks for (30 s).
	HealthSweep, OfflineAfter time.Duration
	// ReconcileSweep and ReconcileAfter: how often and from which age stuck tasks are asked about (300 s, 900 s);
	// CommandTimeout limits the question (60 s).
	ReconcileSweep, ReconcileAfter, CommandTimeout time.Duration
	// StaleAfter revokes agents not seen for so long (30 days); negative never does.
	StaleAfter time.Duration

	// SlotLease, PollInterval, TimeoutSweep, PingInterval: see the packages below; zero is right outside tests.
	SlotLease, PollInterval, TimeoutSweep, PingInterval time.Duration

	// Retention is how long data is kept; its zero value keeps everything.
	Retention config.Retention

	// MetricSeries is for how many pairs of queue and task name a project has metrics (100); negative keeps none apart.
	MetricSeries int
	// CompatMetrics counts events in the database, for /metrics/celery and /metrics/flower.
	CompatMetrics bool
	// TallyInterval is how often that is written (5 s).
	TallyInterval time.Duration

	// ShutdownTimeout bounds the end of the sockets when Run's context ends (8 s).
	ShutdownTimeout time.Duration
}

// ConfigFrom takes the service's settings out of the product's.
func ConfigFrom(c *config.Config) (Config, error) {
	allow, err := httpx.ParsePrefixes(c.Hosts.AgentIPAllow)
	if err != nil {
		return Config{}, fmt.Errorf("Z4J_AGENT_IP_ALLOWLIST: %w", err)
	}
	return Config{
		MaxFrameBytes: min(c.Agents.MaxFrameBytes, c.Agents.MaxFrameBytesCompat), SlotCap: c.Agents.ConcurrencyCap,
		IdleTimeout: c.Agents.IdleTimeout.Duration(), QueueEntries: c.Agents.QueueSize, Allow: allow,
		RedeliverAfter: c.Agents.LongPollRedispatchMin.Duration(), RedeliverUntil: c.Agents.LongPollRedispatch.Duration(),
		RedactionKeys: c.Agents.RedactionKeys, TimeoutSweep: c.Commands.TimeoutSweep.Duration(),
		HealthSweep: c.Agents.HealthSweep.Duration(), OfflineAfter: c.Agents.OfflineTimeout.Duration(),
		ReconcileSweep: c.Commands.ReconcileSweep.Duration(), ReconcileAfter: c.Commands.ReconcileStaleAfter.Duration(),
		CommandTimeout: c.Commands.Timeout.Duration(),
		Retention:      c.Retention, StaleAfter: staleAfter(c),
		MetricSeries: metricSeries(c), CompatMetrics: bool(c.Metrics.Enabled) && bool(c.Metrics.Compat),
	}, nil
}

// metricSeries is the setting in the form of Config, like staleAfter.
func metricSeries(c *config.Config) int {
	if c.Metrics.TaskSeries == 0 {
		return -1
	}
	return c.Metrics.TaskSeries
}

// staleAfter is the setting in the form of Config: 0 days mean never, there and here by different words.
func staleAfter(c *config.Config) time.Duration {
	if c.Retention.StaleAgentDays == 0 {
		return -1
	}
	return c.Retention.StaleAgents()
}

// Deps are what the service needs from outside.
type Deps struct {
	Store  *store.Store
	Bus    bus.Bus
	Logger *slog.Logger
	// Registry takes the metrics; nil keeps them unregistered.
	Registry prometheus.Registerer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Master is Z4J_SECRET, Previous what it was before.
	Master   []byte
	Previous [][]byte
	// Tracer makes spans of batches, deliveries and background work; nil makes none.
	Tracer trace.Tracer
}

// Service is the ingest service: agents' sockets and long-poll, commands, sweeps.
type Service struct {
	cfg       Config
	log       *slog.Logger
	ws        *agentws.Server
	committer *commit.Committer
	dispatch  *dispatch.Dispatcher
	watch     *watch.Watch
	longpoll  *longpoll.Server
	sweep     *sweep.Sweep
	upkeep    *upkeep.Upkeep
	tally     *tally.Tally
	refusals  notice.Refusals
	handler   http.Handler
}

// New builds the service; Run must be called for it to work.
func New(cfg Config, d Deps) (*Service, error) {
	if len(d.Master) == 0 {
		return nil, errors.New("ingest needs the master secret")
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Registry == nil {
		d.Registry = prometheus.NewRegistry()
	}
	if cfg.Owner == "" {
		host, _ := os.Hostname()
		cfg.Owner = host + "-" + uuid.NewString()
	}
	if cfg.ShutdownTimeout <= 0 {
		cfg.ShutdownTimeout = 8 * time.Second
	}
	engine, err := redact.New(redact.Config{ExtraKeys: cfg.RedactionKeys})
	if err != nil {
		return nil, fmt.Errorf("redaction: %w", err)
	}
	wsMetrics, err := agentws.NewMetrics(d.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	cmdMetrics, err := dispatch.NewMetrics(d.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	lpMetrics, err := longpoll.NewMetrics(d.Registry, wsMetrics.IPDenied)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	sweepMetrics, err := sweep.NewMetrics(d.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	upkeepMetrics, err := upkeep.NewMetrics(d.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s := &Service{cfg: cfg, log: d.Logger}
	slots := new(hub.Hub)
	hints := notice.Hints{Bus: d.Bus, Logger: d.Logger}
	events, err := notice.NewEvents(d.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s.tally, err = tally.New(tally.Config{Pairs: cfg.MetricSeries, Stored: cfg.CompatMetrics, Interval: cfg.TallyInterval}, d.Store, d.Logger, d.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	err = d.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "z4j_ingest_slots", Help: "Worker slots that this replica holds.",
	}, func() float64 { return float64(slots.Len()) }))
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s.refusals = notice.Refusals{Refusals: store.NewRefusals(d.Store)}
	writers := 1
	if d.Store.Engine() != "sqlite" {
		writers = cfg.Writers
		if writers <= 0 {
			writers = 4
		}
	}
	s.committer = commit.New(commit.Config{Writers: writers, QueueEntries: cfg.QueueEntries}, commit.Deps{
		Store: d.Store, Logger: d.Logger, Registry: d.Registry, Committed: committed(hints, events, s.tally), Tracer: d.Tracer,
	})
	s.dispatch = dispatch.New(dispatch.Config{Owner: cfg.Owner, PollInterval: cfg.PollInterval, TimeoutInterval: cfg.TimeoutSweep}, dispatch.Deps{
		Store: d.Store, Hub: slots, Hints: hints, Metrics: cmdMetrics, Logger: d.Logger, Outcomes: sweep.Outcomes{Metrics: sweepMetrics},
		Tracer: d.Tracer,
	})
	s.longpoll = longpoll.New(longpoll.Config{
		Owner: cfg.Owner, MaxFrameBytes: cfg.MaxFrameBytes, RedeliverAfter: cfg.RedeliverAfter, RedeliverUntil: cfg.RedeliverUntil,
		PollInterval: cfg.PollInterval, Allow: cfg.Allow,
	}, longpoll.Deps{
		Store: d.Store, Commands: s.dispatch, Hints: hints, Refusals: s.refusals, Metrics: lpMetrics, Redact: engine, Logger: d.Logger,
		Now: d.Now, Payload: dispatch.Payload, Committed: committed(hints, events, s.tally), Master: d.Master, Previous: d.Previous,
	})
	s.sweep = sweep.New(sweep.Config{
		Owner: cfg.Owner, Interval: cfg.HealthSweep, OfflineAfter: cfg.OfflineAfter, ReconcileInterval: cfg.ReconcileSweep,
		ReconcileAfter: cfg.ReconcileAfter, CommandTimeout: cfg.CommandTimeout, StaleAfter: cfg.StaleAfter,
		HygieneInterval: cfg.Retention.AgentHygiene.Duration(),
	}, sweep.Deps{Store: d.Store, Hints: hints, Metrics: sweepMetrics, Logger: d.Logger, Tracer: d.Tracer})
	s.watch = watch.New(watch.Config{Owner: cfg.Owner, Lease: cfg.SlotLease, BarredInterval: cfg.PollInterval}, watch.Deps{
		Store: d.Store, Hub: slots, Bus: d.Bus, Logger: d.Logger, Deliver: s.dispatch.Connected, Wake: s.longpoll.Wake,
	})
	s.upkeep = upkeep.New(upkeep.Config{Owner: cfg.Owner, Retention: cfg.Retention}, upkeep.Deps{
		Store: d.Store, Metrics: upkeepMetrics, Logger: d.Logger, Tracer: d.Tracer, Ingested: s.committer.Events,
	})
	s.ws = agentws.New(agentws.Config{
		Owner: cfg.Owner, MaxFrameBytes: cfg.MaxFrameBytes, SlotCap: cfg.SlotCap, SlotLease: cfg.SlotLease,
		HandshakeTimeout: cfg.HandshakeTimeout, IdleTimeout: cfg.IdleTimeout, PingInterval: cfg.PingInterval, Allow: cfg.Allow, Compression: cfg.Compression,
	}, agentws.Deps{
		Store: d.Store, Hub: slots, Committer: s.committer, Commands: s.dispatch, Hints: hints, Refusals: s.refusals,
		Metrics: wsMetrics, Redact: engine, Logger: d.Logger, Now: d.Now, Master: d.Master, Previous: d.Previous,
	})
	r := chi.NewRouter()
	r.Handle("/ws/agent", s.ws)
	s.longpoll.Routes(r)
	r.MethodNotAllowed(httpx.MethodNotAllowed)
	r.NotFound(httpx.NotFound)
	s.handler = named(r)
	return s, nil
}

// named gives spans of requests the name of their route.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; path {
		case "/ws/agent", "/api/v1/agent/commands", "/api/v1/agent/events":
			httpx.SetRoute(r, path)
		}
		next.ServeHTTP(w, r)
	})
}

// committed counts what was stored and tells the dashboards of each project what a commit changed, once.
func committed(hints notice.Hints, events *notice.Events, tallied *tally.Tally) func([]*store.IngestItem) {
	return func(items []*store.IngestItem) {
		events.Count(items)
		tallied.Count(items)
		var tasks, agents []int64
		for _, it := range items {
			id := it.Agent.ProjectID
			if (it.Changed || it.Accepted > 0 || it.Heartbeat != nil) && !slices.Contains(tasks, id) {
				tasks = append(tasks, id)
				hints.TasksChanged(context.Background(), id)
			}
			if it.AgentTouched && !slices.Contains(agents, id) {
				agents = append(agents, id)
				hints.AgentChanged(context.Background(), it.Agent)
			}
		}
	}
}

// Handler serves the agents' routes: /ws/agent and /api/v1/agent/*.
func (s *Service) Handler() http.Handler { return s.handler }

// Run works until ctx ends; then it closes the sockets, having committed and acked what they sent.
func (s *Service) Run(ctx context.Context) error {
	// The sockets end first, then what they depend on.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, gctx := errgroup.WithContext(inner)
	for name, run := range map[string]func(context.Context) error{
		"committer": s.committer.Run, "dispatch": s.dispatch.Run, "watch": s.watch.Run, "refusals": s.refusals.Run, "sockets": s.ws.Run,
		"sweep": s.sweep.Run, "upkeep": s.upkeep.Run, "tally": s.tally.Run,
	} {
		g.Go(func() error {
			if err := run(gctx); err != nil {
				return fmt.Errorf("ingest %s: %w", name, err)
			}
			return nil
		})
	}
	g.Go(func() error {
		defer stop()
		select {
		case <-ctx.Done():
		case <-gctx.Done():
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownTimeout)
		defer cancel()
		s.longpoll.Stop()
		if err := s.ws.Shutdown(end); err != nil {
			s.log.Warn("agent connections cut at the end of the time for shutting down", "err", err)
		}
		return nil
	})
	return g.Wait()
}
