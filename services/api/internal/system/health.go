// SPDX-License-Identifier: AGPL-3.0-or-later

// Package system holds the operations about the installation itself: health, settings, versions, and the metrics
// that are read from the database.
package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Audit is the state of the audit chain as health shows it.
type Audit struct {
	Activated bool
	// Problem says what is wrong and what to do; empty when nothing is.
	Problem string
}

// Config is what the operations work with.
type Config struct {
	Store  *store.Store
	Logger *slog.Logger
	Now    func() time.Time
	// AuditCheck looks at the audit chain; nil reads only whether it was started.
	AuditCheck func(ctx context.Context) (Audit, error)
	Home       string
	Settings   []config.Setting
}

type group struct {
	cfg Config
	// schemaOK is remembered once seen: the schema never goes back under a running brain.
	schemaOK atomic.Bool
}

// Ops returns the group's operations.
func Ops(cfg Config) []rest.Op {
	g := &group{cfg: cfg}
	return append(g.healthOps(), g.adminOps()...)
}

// HealthResponse says that the process runs.
type HealthResponse struct {
	Status string `json:"status"`
}

// ReadyResponse says whether the brain can serve.
type ReadyResponse struct {
	Status string `json:"status" validate:"oneof=ready|unready"`
	Reason string `json:"reason,omitempty" validate:"oneof=starting|database"`
}

// SystemHealthResponse describes the installation.
type SystemHealthResponse struct {
	Z4JVersion      string            `json:"z4j_version"`
	GoVersion       string            `json:"go_version"`
	OS              string            `json:"os"`
	Architecture    string            `json:"architecture"`
	PID             int               `json:"pid"`
	DatabaseType    string            `json:"database_type"`
	DatabaseVersion string            `json:"database_version"`
	DatabaseSizeMB  float64           `json:"database_size_mb"`
	Packages        map[string]string `json:"packages"`
}

// DeepHealthResponse is the result of looking into every part.
type DeepHealthResponse struct {
	Status   string                     `json:"status" validate:"oneof=ok|degraded|failed"`
	Coverage DeepHealthCoverage         `json:"coverage"`
	Checks   map[string]DeepCheckResult `json:"checks"`
}

// DeepHealthCoverage says what the checks do not cover.
type DeepHealthCoverage struct {
	StartupEquivalent bool   `json:"startup_equivalent"`
	Detail            string `json:"detail"`
}

// DeepCheckResult is the result of one check.
type DeepCheckResult struct {
	Status    string   `json:"status" validate:"oneof=ok|degraded|failed"`
	Detail    string   `json:"detail,omitempty"`
	LatencyMS *float64 `json:"latency_ms,omitempty"`
	Revision  string   `json:"revision,omitempty"`
	Expected  string   `json:"expected,omitempty"`
	Activated *bool    `json:"activated,omitempty"`
	Scope     string   `json:"scope,omitempty"`
}

const (
	statusOK       = "ok"
	statusDegraded = "degraded"
	statusFailed   = "failed"

	readyLimit = 2 * time.Second
	checkLimit = 3 * time.Second
)

func (g *group) healthOps() []rest.Op {
	unavailable := []int{http.StatusServiceUnavailable}
	return []rest.Op{{
		Method: http.MethodGet, Path: "/health", ID: "health", Tag: "health", Summary: "Is the process alive? No I/O.",
		Action: auth.HealthProbe, Access: rest.Public, Response: HealthResponse{}, Status: http.StatusOK,
		Handle: func(*rest.Request) (any, error) { return HealthResponse{Status: "ok"}, nil },
	}, {
		Method: http.MethodGet, Path: "/health/ready", ID: "ready", Tag: "health", Summary: "Can the brain serve?",
		Action: auth.HealthProbe, Access: rest.Public, Response: ReadyResponse{}, Status: http.StatusOK, Also: unavailable, Handle: g.ready,
	}, {
		Method: http.MethodGet, Path: "/health/system", ID: "system_health", Tag: "health", Summary: "Versions and sizes.",
		Action: auth.HealthDetails, Access: rest.Session, Response: SystemHealthResponse{}, Status: http.StatusOK, Handle: g.system,
	}, {
		Method: http.MethodGet, Path: "/health/deep", ID: "deep_health", Tag: "health", Summary: "Look into database, schema and audit chain.",
		Action: auth.HealthDetails, Access: rest.Session, Response: DeepHealthResponse{}, Status: http.StatusOK, Also: unavailable, Handle: g.deep,
	}}
}

func (g *group) ready(r *rest.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), readyLimit)
	defer cancel()
	reason := ""
	if err := g.cfg.Store.Ping(ctx); err != nil {
		reason = "database"
		g.cfg.Logger.WarnContext(ctx, "not ready: the database does not answer", "err", err)
	} else if !g.schemaOK.Load() {
		current, head, err := g.cfg.Store.SchemaVersion(ctx)
		if err != nil || current < head {
			reason = "starting"
		} else {
			g.schemaOK.Store(true)
		}
	}
	if reason != "" {
		return rest.Answer{Status: http.StatusServiceUnavailable, Body: ReadyResponse{Status: "unready", Reason: reason}}, nil
	}
	return ReadyResponse{Status: "ready"}, nil
}

// mainPackages are the libraries whose versions matter when something is reported.
func mainPackages() map[string]string {
	names := map[string]string{
		"github.com/jackc/pgx/v5": "pgx", "modernc.org/sqlite": "sqlite", "github.com/gorilla/websocket": "websocket",
		"github.com/redis/go-redis/v9": "go-redis", "github.com/go-chi/chi/v5": "chi",
	}
	out := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if name, ok := names[dep.Path]; ok {
				out[name] = dep.Version
			}
		}
	}
	return out
}

func (g *group) system(r *rest.Request) (any, error) {
	version, err := g.cfg.Store.ServerVersion(r.Context())
	if err != nil {
		return nil, fmt.Errorf("read database version: %w", err)
	}
	size, err := g.cfg.Store.Size(r.Context())
	if err != nil {
		return nil, fmt.Errorf("read database size: %w", err)
	}
	return SystemHealthResponse{
		Z4JVersion: domain.Version, GoVersion: runtime.Version(), OS: runtime.GOOS, Architecture: runtime.GOARCH, PID: os.Getpid(),
		DatabaseType: g.cfg.Store.Engine(), DatabaseVersion: version, DatabaseSizeMB: float64(size*10/(1<<20)) / 10,
		Packages: mainPackages(),
	}, nil
}

func (g *group) deep(r *rest.Request) (any, error) {
	out := DeepHealthResponse{Status: statusOK, Checks: map[string]DeepCheckResult{}, Coverage: DeepHealthCoverage{
		Detail: "database, schema version and the head of the audit chain; `z4j audit verify` checks every row of the chain",
	}}
	for name, check := range map[string]func(context.Context) DeepCheckResult{
		"database": g.checkDatabase, "migrations": g.checkSchema, "audit_chain": g.checkAudit,
	} {
		ctx, cancel := context.WithTimeout(r.Context(), checkLimit)
		result := check(ctx)
		cancel()
		out.Checks[name] = result
		if result.Status == statusFailed || (result.Status == statusDegraded && out.Status == statusOK) {
			out.Status = result.Status
		}
	}
	status := http.StatusOK
	if out.Status == statusFailed {
		status = http.StatusServiceUnavailable
	}
	return rest.Answer{Status: status, Body: out}, nil
}

// failed reports a check that could not be made. The cause is for the log: it may name hosts and users.
func (g *group) failed(ctx context.Context, what, detail string, err error) DeepCheckResult {
	g.cfg.Logger.WarnContext(ctx, "health check failed", "check", what, "err", err)
	if errors.Is(err, context.DeadlineExceeded) {
		detail = "no answer within 3 seconds"
	}
	return DeepCheckResult{Status: statusFailed, Detail: detail + "; the brain's log has the cause"}
}

func (g *group) checkDatabase(ctx context.Context) DeepCheckResult {
	start := time.Now()
	if err := g.cfg.Store.Ping(ctx); err != nil {
		return g.failed(ctx, "database", "the database does not answer", err)
	}
	ms := float64(time.Since(start).Microseconds()) / 1000
	return DeepCheckResult{Status: statusOK, LatencyMS: &ms}
}

func (g *group) checkSchema(ctx context.Context) DeepCheckResult {
	current, head, err := g.cfg.Store.SchemaVersion(ctx)
	if err != nil {
		return g.failed(ctx, "migrations", "the schema version cannot be read", err)
	}
	out := DeepCheckResult{Status: statusOK, Revision: strconv.FormatInt(current, 10)}
	if current != head {
		out.Status, out.Expected = statusFailed, strconv.FormatInt(head, 10)
		out.Detail = "the schema is not the one this brain needs: run `z4j migrate upgrade head`, or the matching release"
	}
	return out
}

func (g *group) checkAudit(ctx context.Context) DeepCheckResult {
	check := g.cfg.AuditCheck
	if check == nil {
		check = g.auditStarted
	}
	state, err := check(ctx)
	if err != nil {
		return g.failed(ctx, "audit_chain", "the audit chain cannot be read", err)
	}
	out := DeepCheckResult{Status: statusOK, Activated: &state.Activated, Scope: "state-only"}
	switch {
	case state.Problem != "":
		out.Status, out.Detail = statusFailed, state.Problem
	case !state.Activated:
		out.Status, out.Detail = statusDegraded, "the audit chain has not been started: is the audit service running?"
	}
	return out
}

func (g *group) auditStarted(ctx context.Context) (Audit, error) {
	_, err := g.cfg.Store.AuditState(ctx)
	if errors.Is(err, domain.ErrNotFound) {
		return Audit{}, nil
	}
	return Audit{Activated: err == nil}, err
}
