// SPDX-License-Identifier: AGPL-3.0-or-later

// Package audit is the only writer of the audit chain. Other parts of the brain record what they do in the outbox,
// in the transaction of the change itself; this service, in one replica at a time, appends those records to the
// chain and verifies it. A damaged chain stops appending, not the brain: records then wait, and logs, metrics and
// health say so.
package audit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/audit/internal/chain"
	"github.com/z4jdev/z4j/services/audit/internal/drain"
)

// Config of the service. Zero durations and numbers take their defaults.
type Config struct {
	// ChainKey is the audit secret as it stands in the setting.
	ChainKey []byte
	// PreviousKeys still verify older rows and waiting records.
	PreviousKeys [][]byte
	// Interval is how often the outbox is looked at; 500 ms.
	Interval time.Duration
	// Batch is how many records one transaction appends; 200.
	Batch int64
	// LeaseTTL is how long a dead replica keeps others from taking over; 10 s.
	LeaseTTL time.Duration
	// VerifyInterval is how often the whole chain is verified in the background, and once after the start; 24 h.
	// Negative switches it off.
	VerifyInterval time.Duration
}

// Deps are what the service is given.
type Deps struct {
	Store      *store.Store
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Tracer makes spans of appending and verifying; nil makes none.
	Tracer trace.Tracer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Report is the result of a verification.
type Report = chain.Report

// VerifyOptions tune a verification.
type VerifyOptions = chain.VerifyOptions

const leaseName = "audit"

// damagedPause is the time between attempts to continue a damaged chain.
const damagedPause = 10 * time.Second

// staleAfter is the age of a waiting record from which the service calls itself unhealthy.
const staleAfter = time.Minute

// Service drains and verifies.
type Service struct {
	cfg     Config
	store   *store.Store
	log     *slog.Logger
	now     func() time.Time
	keys    *chain.Keys
	drainer *drain.Drainer
	metrics *drain.Metrics
	holder  string
	tracer  trace.Tracer

	mu     sync.Mutex
	status Status
	health store.AuditHealth
}

// New builds the service. It does no I/O.
func New(cfg Config, deps Deps) (*Service, error) {
	keys, err := chain.NewKeys(cfg.ChainKey, cfg.PreviousKeys...)
	if err != nil {
		return nil, err
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	setDefault(&cfg.Interval, 500*time.Millisecond)
	setDefault(&cfg.LeaseTTL, 10*time.Second)
	setDefault(&cfg.VerifyInterval, 24*time.Hour)
	if cfg.Batch <= 0 {
		cfg.Batch = 200
	}
	outboxKeys := [][]byte{auth.AuditOutboxKey(cfg.ChainKey)}
	for _, k := range cfg.PreviousKeys {
		outboxKeys = append(outboxKeys, auth.AuditOutboxKey(k))
	}
	var id [8]byte
	_, _ = rand.Read(id[:])
	return &Service{
		cfg: cfg, store: deps.Store, log: deps.Logger, now: deps.Now, keys: keys,
		metrics: drain.NewMetrics(deps.Registerer), holder: "audit-" + hex.EncodeToString(id[:]),
		drainer: &drain.Drainer{
			Store: deps.Store, Keys: keys, OutboxKeys: outboxKeys, Batch: cfg.Batch, Now: deps.Now, Logger: deps.Logger, Tracer: deps.Tracer,
		},
		tracer: deps.Tracer,
	}, nil
}

func setDefault(d *time.Duration, fallback time.Duration) {
	if *d == 0 {
		*d = fallback
	}
}

// Verify reads and checks the whole chain; see Report for how to read the result. The error is about reading, not
// about what was found.
func (s *Service) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	ctx, span := obs.Start(ctx, s.tracer, "audit verify")
	report, err := chain.Verify(obs.WithoutChildren(ctx), s.store, s.keys, o)
	if span.IsRecording() {
		span.SetAttributes(attribute.Int64("z4j.audit.rows", report.Rows), attribute.Int("z4j.audit.findings", report.Total))
	}
	obs.End(span, err)
	switch {
	case err != nil:
		s.metrics.Verifications.WithLabelValues("error").Inc()
		return report, fmt.Errorf("verify the audit chain: %w", err)
	case report.Refused != "":
		s.metrics.Verifications.WithLabelValues("refused").Inc()
	case !report.Clean():
		s.metrics.Verifications.WithLabelValues("mismatch").Inc()
	default:
		s.metrics.Verifications.WithLabelValues("clean").Inc()
	}
	s.metrics.RowsVerified.Set(float64(report.Rows))
	return report, nil
}

// Start begins the chain in a database that has none. Run does it too; the CLI calls it before it writes records
// of its own.
func (s *Service) Start(ctx context.Context) error { return s.drainer.Start(ctx) }

// Drain appends everything that waits, whoever holds the lease. Commands that run and end use it; it is safe beside
// a running service.
func (s *Service) Drain(ctx context.Context) error {
	for {
		res, err := s.step(ctx)
		if err != nil || !res.More {
			return err
		}
	}
}

func (s *Service) step(ctx context.Context) (drain.Result, error) {
	res, err := s.drainer.Step(ctx)
	s.metrics.Appended.Add(float64(res.Appended))
	s.metrics.Rejected.Add(float64(res.Rejected))
	return res, err
}

// Run drains the outbox while this replica holds the lease, until ctx ends. It returns nil then, after a last
// attempt to append what waits.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	var renewed, looked, verified, pausedUntil time.Time
	leader, verifying := false, make(chan struct{}, 1)
	for {
		now := s.now()
		if now.Sub(renewed) >= s.cfg.LeaseTTL/3 {
			renewed = now
			was := leader
			leader = s.takeLease(ctx)
			if leader && !was {
				s.observe(ctx, s.drainer.Start(ctx))
			}
		}
		if leader {
			if !now.Before(pausedUntil) && !s.drainAll(ctx) {
				pausedUntil = now.Add(damagedPause)
			}
			if s.cfg.VerifyInterval > 0 && now.Sub(verified) >= s.cfg.VerifyInterval {
				verified = now
				select {
				case verifying <- struct{}{}:
					wg.Go(func() {
						s.verifyInBackground(ctx)
						<-verifying
					})
				default:
				}
			}
		}
		if now.Sub(looked) >= 5*time.Second {
			looked = now
			s.look(ctx)
		}
		select {
		case <-ctx.Done():
			s.stop(ctx, leader)
			return nil
		case <-tick.C:
		}
	}
}

func (s *Service) takeLease(ctx context.Context) bool {
	_, ok, err := s.store.TakeLease(ctx, leaseName, s.holder, s.cfg.LeaseTTL)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("the audit lease cannot be taken", "err", err)
	}
	s.metrics.Leader.Set(boolGauge(ok))
	s.mu.Lock()
	s.status.Leader = ok
	s.mu.Unlock()
	return ok
}

// drainAll appends until nothing waits, but not for longer than the lease is safely ours. That it is not ours any
// more would do no harm: the chain's lock and its signed state keep two writers apart. It returns false when the
// chain is damaged.
func (s *Service) drainAll(ctx context.Context) bool {
	deadline := s.now().Add(s.cfg.LeaseTTL / 3)
	for s.now().Before(deadline) && ctx.Err() == nil {
		res, err := s.step(ctx)
		s.observe(ctx, err)
		if err != nil || !res.More {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status.Damage == nil
}

// stop makes a last attempt, because the parts that were stopped before us may have recorded their last deeds.
func (s *Service) stop(ctx context.Context, leader bool) {
	if !leader {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := s.Drain(last); err != nil {
		s.log.Warn("audit records still wait; they are appended after the next start", "err", err)
	}
	if err := s.store.DropLease(last, leaseName, s.holder); err != nil {
		s.log.Warn("the audit lease cannot be given back; it expires by itself", "err", err)
	}
}

// observe turns the outcome of an attempt to append into status, log and metrics.
func (s *Service) observe(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil {
		return
	}
	if err != nil {
		s.metrics.Failures.Inc()
	}
	var damaged *chain.DamageError
	s.mu.Lock()
	before := s.status.Damage
	switch {
	case errors.As(err, &damaged):
		s.status.Damage = &Damage{Reason: damaged.Reason, Message: damaged.Message}
	case err == nil:
		s.status.Damage = nil
	}
	after := s.status.Damage
	s.mu.Unlock()
	switch {
	case damaged != nil && (before == nil || *before != *after):
		s.log.Error("the audit chain is damaged; records wait until it is repaired", "reason", damaged.Reason, "err", damaged)
	case damaged == nil && err != nil:
		s.log.Warn("audit records cannot be appended at the moment", "err", err)
	case before != nil && after == nil:
		s.log.Info("the audit chain is continued again")
	}
	s.publishHealth(ctx)
}

// publishHealth writes the verdict where other services find it, when it has changed.
func (s *Service) publishHealth(ctx context.Context) {
	s.mu.Lock()
	h := store.AuditHealth{At: s.now().UTC()}
	switch v := s.status.Verification; {
	case s.status.Damage != nil:
		h.Damaged, h.Message = true, s.status.Damage.Message
	case v != nil && !v.Clean:
		h.Damaged, h.Message = true, "the audit chain's last verification found something: run `z4j audit verify`"
	}
	changed := s.health.At.IsZero() || s.health.Damaged != h.Damaged || s.health.Message != h.Message
	s.mu.Unlock()
	s.metrics.Damaged.Set(boolGauge(h.Damaged))
	if !changed {
		return
	}
	if err := s.store.SetAuditHealth(ctx, h); err != nil {
		s.log.Warn("the audit chain's health cannot be published", "err", err)
		return
	}
	s.mu.Lock()
	s.health = h
	s.mu.Unlock()
}

func (s *Service) verifyInBackground(ctx context.Context) {
	report, err := s.Verify(ctx, VerifyOptions{})
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("the audit chain cannot be verified at the moment", "err", err)
		}
		return
	}
	s.mu.Lock()
	s.status.Verification = &Verification{At: s.now().UTC(), Clean: report.Clean(), Rows: report.Rows, Findings: report.Total}
	s.mu.Unlock()
	if report.Clean() {
		s.log.Info("the audit chain is verified", "rows", report.Rows)
	} else {
		first := report.Refused
		if first == "" && len(report.Findings) > 0 {
			first = report.Findings[0].String()
		}
		s.log.Error("verification of the audit chain found something; run `z4j audit verify`", "findings", report.Total, "first", first)
	}
	s.publishHealth(ctx)
}

// look measures the backlog.
func (s *Service) look(ctx context.Context) {
	waiting, aside, oldest, err := s.store.AuditBacklog(ctx, 10000)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("the audit backlog cannot be read", "err", err)
		}
		return
	}
	age := time.Duration(0)
	if !oldest.IsZero() {
		age = max(0, s.now().Sub(oldest))
	}
	s.metrics.Waiting.Set(float64(waiting))
	s.metrics.SetAside.Set(float64(aside))
	s.metrics.OldestSeconds.Set(age.Seconds())
	s.mu.Lock()
	s.status.Waiting, s.status.SetAside, s.status.OldestSeconds = waiting, aside, age.Seconds()
	s.mu.Unlock()
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Handler serves the service's own state, for operators and probes on the inner network.
func (s *Service) Handler() http.Handler { return s.routes() }
