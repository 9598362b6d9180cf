// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sweep watches agents under one lease: it marks silent ones and dead slots as offline, prunes those
// that were never seen again, and asks agents about tasks that look stuck (agent protocol, 7 and 8.5).
package sweep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
)

// Config tunes the sweeps. Zero values take the defaults named.
type Config struct {
	// Owner names this replica in the lease.
	Owner string
	// Interval is the pace of the liveness sweep (10 s), OfflineAfter the silence it looks for (30 s).
	Interval, OfflineAfter time.Duration
	// ReconcileInterval is how often stuck tasks are looked for (300 s), ReconcileAfter the age at which a task
	// counts as stuck (900 s), CommandTimeout the limit of the question (60 s).
	ReconcileInterval, ReconcileAfter, CommandTimeout time.Duration
	// HygieneInterval is how often agents and processes nobody saw again are pruned (24 h).
	HygieneInterval time.Duration
	// StaleAfter revokes agents not seen for so long (30 days); negative never does.
	StaleAfter time.Duration
	// WorkersFor keeps the rows of ended agent processes so long (7 days).
	WorkersFor time.Duration
}

// stuckPerSweep bounds the questions of one sweep.
const stuckPerSweep = 100

const lease = "ingest.sweep"

// Store is what the sweeps need of the database.
type Store interface {
	TakeLease(ctx context.Context, name, holder string, ttl time.Duration) (generation int64, ok bool, err error)
	DropLease(ctx context.Context, name, holder string) error
	SweepLiveness(ctx context.Context, timeout time.Duration) (gone []store.AgentNotice, slots int64, err error)
	StaleAgents(ctx context.Context, seenBefore time.Time) ([]store.AgentNotice, error)
	PruneWorkers(ctx context.Context, before time.Time) (int64, error)
	StuckTasks(ctx context.Context, before time.Time, limit int) ([]store.StuckTask, error)
	AgentForEngine(ctx context.Context, projectID int64, engine string) (store.AgentRef, error)
	InTx(ctx context.Context, fn func(ctx context.Context, tx *store.Tx) error) error
	Now() time.Time
}

// Hints tells other processes of changes.
type Hints interface {
	AgentChanged(ctx context.Context, ref store.AgentRef)
	CommandIssued(ctx context.Context, ref store.AgentRef)
}

// Deps are the sweeps' collaborators.
type Deps struct {
	Store   Store
	Hints   Hints
	Metrics *Metrics
	Logger  *slog.Logger
	// Tracer makes a span of each sweep; nil makes none.
	Tracer trace.Tracer
}

// Sweep runs the sweeps of one replica, when it holds the lease.
type Sweep struct {
	cfg  Config
	deps Deps

	reconciled, cleaned time.Time
}

// New returns the sweeps; Run does their work.
func New(cfg Config, d Deps) *Sweep {
	def := func(v *time.Duration, to time.Duration) {
		if *v == 0 {
			*v = to
		}
	}
	def(&cfg.Interval, 10*time.Second)
	def(&cfg.OfflineAfter, 30*time.Second)
	def(&cfg.ReconcileInterval, 300*time.Second)
	def(&cfg.ReconcileAfter, 900*time.Second)
	def(&cfg.CommandTimeout, time.Minute)
	def(&cfg.HygieneInterval, 24*time.Hour)
	def(&cfg.StaleAfter, 30*24*time.Hour)
	def(&cfg.WorkersFor, 7*24*time.Hour)
	return &Sweep{cfg: cfg, deps: d}
}

// Run sweeps until ctx ends.
func (s *Sweep) Run(ctx context.Context) error {
	defer func() {
		// Another replica takes over at once instead of when the lease ends.
		dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := s.deps.Store.DropLease(dctx, lease, s.cfg.Owner); err != nil {
			s.deps.Logger.Debug("lease not given back", "lease", lease, "err", err)
		}
	}()
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		_, mine, err := s.deps.Store.TakeLease(ctx, lease, s.cfg.Owner, 3*s.cfg.Interval)
		if err == nil && mine {
			sctx, span := obs.Start(ctx, s.deps.Tracer, "sweep")
			err = s.once(sctx)
			obs.End(span, err)
		}
		if err != nil && ctx.Err() == nil {
			s.deps.Logger.Warn("sweep failed; it runs again", "seconds", s.cfg.Interval.Seconds(), "err", err)
		}
	}
}

func (s *Sweep) once(ctx context.Context) error {
	err := s.liveness(ctx)
	now := s.deps.Store.Now()
	if now.Sub(s.reconciled) >= s.cfg.ReconcileInterval {
		s.reconciled = now
		err = errors.Join(err, s.reconcile(ctx, now))
	}
	if now.Sub(s.cleaned) >= s.cfg.HygieneInterval {
		s.cleaned = now
		err = errors.Join(err, s.hygiene(ctx, now))
	}
	return err
}

// liveness marks what went silent as offline.
func (s *Sweep) liveness(ctx context.Context) error {
	gone, slots, err := s.deps.Store.SweepLiveness(ctx, s.cfg.OfflineAfter)
	if err != nil {
		return err
	}
	for _, a := range gone {
		s.deps.Logger.Warn("agent is offline: nothing heard of it", "agent", a.Name, "agent_id", a.Ref.UID.String(),
			"project", a.ProjectSlug, "last_seen_at", a.LastSeenAt, "after_seconds", s.cfg.OfflineAfter.Seconds())
		s.deps.Metrics.offline.WithLabelValues(a.Ref.ProjectUID.String()).Inc()
		s.deps.Hints.AgentChanged(ctx, a.Ref)
	}
	if slots > 0 {
		s.deps.Logger.Info("worker slots without a living replica ended", "slots", slots)
	}
	return nil
}

// reconcile asks agents about tasks that look stuck.
func (s *Sweep) reconcile(ctx context.Context, now time.Time) error {
	stuck, err := s.deps.Store.StuckTasks(ctx, now.Add(-s.cfg.ReconcileAfter), stuckPerSweep)
	if err != nil {
		return err
	}
	asked := 0
	for _, t := range stuck {
		agent, err := s.deps.Store.AgentForEngine(ctx, t.ProjectID, t.Engine)
		if errors.Is(err, domain.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		created := false
		err = s.deps.Store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			var err error
			_, created, err = tx.CreateCommand(ctx, store.NewCommand{
				Agent: agent, Action: ActionReconcile, TargetType: "task", TargetID: t.TaskID,
				Payload:        map[string]any{"task_id": t.TaskID, "engine": t.Engine},
				IdempotencyKey: Key(t.Engine, t.TaskID, now, s.cfg.ReconcileInterval), Timeout: s.cfg.CommandTimeout,
			})
			return err
		})
		switch {
		case isKeyInUse(err):
			// Asked in this window already, through another agent.
		case err != nil:
			return fmt.Errorf("ask about task %s: %w", t.TaskID, err)
		case created:
			asked++
			s.deps.Hints.CommandIssued(ctx, agent)
		}
	}
	if asked > 0 {
		s.deps.Metrics.asked.Add(float64(asked))
		s.deps.Logger.Info("agents asked about tasks that look stuck", "tasks", asked)
	}
	return nil
}

func isKeyInUse(err error) bool {
	var de *domain.Error
	return errors.As(err, &de) && de.Code == store.ErrIdempotencyKey.Code && de.Message == store.ErrIdempotencyKey.Message
}

// maxKey is the longest idempotency key that is written out.
const maxKey = 200

// Key is the idempotency key of the question about a task in one window of time.
func Key(engine, task string, now time.Time, interval time.Duration) string {
	seconds := max(int64(interval.Seconds()), 1)
	window := strconv.FormatInt(now.Unix()/seconds, 10)
	key := "reconcile:" + engine + ":" + task + ":" + window
	if len([]rune(key)) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(engine + ":" + task))
	return "reconcile:sha256:" + hex.EncodeToString(sum[:16]) + ":" + window
}

// hygiene revokes agents that were not seen for long and forgets processes that ended long ago.
func (s *Sweep) hygiene(ctx context.Context, now time.Time) error {
	if _, err := s.deps.Store.PruneWorkers(ctx, now.Add(-s.cfg.WorkersFor)); err != nil {
		return fmt.Errorf("prune agent processes: %w", err)
	}
	if s.cfg.StaleAfter < 0 {
		return nil
	}
	before := now.Add(-s.cfg.StaleAfter)
	stale, err := s.deps.Store.StaleAgents(ctx, before)
	if err != nil {
		return err
	}
	for _, a := range stale {
		revoked := false
		err := s.deps.Store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			var err error
			if revoked, err = tx.RevokeStaleAgent(ctx, a.Ref, before); err != nil || !revoked {
				return err
			}
			return tx.Audit(ctx, domain.AuditEntry{
				Action: "agent.token.revoked", TargetType: "agent", TargetID: a.Ref.UID.String(), Result: domain.ResultSuccess,
				ProjectUID: a.Ref.ProjectUID, Metadata: map[string]any{"name": a.Name, "reason": "not seen for the time an unused agent is kept"},
			})
		})
		if err != nil {
			return fmt.Errorf("revoke stale agent %s: %w", a.Ref.UID, err)
		}
		if revoked {
			s.deps.Logger.Info("agent revoked: not seen for long", "agent", a.Name, "agent_id", a.Ref.UID.String(), "last_seen_at", a.LastSeenAt)
			s.deps.Hints.AgentChanged(ctx, a.Ref)
		}
	}
	return nil
}

// Metrics are the sweeps'.
type Metrics struct {
	offline    *prometheus.CounterVec
	asked      prometheus.Counter
	reconciled prometheus.Counter
}

// NewMetrics registers the metrics. The names and labels are those existing dashboards ask for.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		offline: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "z4j_agents_offline_detected_total", Help: "Agents that went silent."}, []string{"project"}),
		asked:   prometheus.NewCounter(prometheus.CounterOpts{Name: "z4j_ingest_reconcile_questions_total", Help: "Questions to agents about tasks that looked stuck."}),
		reconciled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "z4j_ingest_reconciled_tasks_total", Help: "Tasks whose state was mended by an agent's answer.",
		}),
	}
	for _, c := range []prometheus.Collector{m.offline, m.asked, m.reconciled} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
