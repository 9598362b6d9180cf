// SPDX-License-Identifier: AGPL-3.0-or-later

// Package insight holds the operations that sum up: project statistics, trends and the home page. They read counters
// and roll-ups that ingest keeps, never the rows behind them.
package insight

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Store is what the operations read.
type Store interface {
	Now() time.Time
	TaskCounts(ctx context.Context, projectID int64) (map[domain.TaskState]int64, error)
	RollupTotals(ctx context.Context, projectID int64, since time.Time) (store.Totals, error)
	ProjectStates(ctx context.Context, projectID int64, since time.Time) (store.ProjectStates, error)
	Queues(ctx context.Context, projectID, limit int64) ([]store.Queue, error)
	Overview(ctx context.Context, stuckAfter time.Duration) (store.Overview, error)
	LastActivity(ctx context.Context, projectID int64) (*time.Time, error)
	ActiveProjects(ctx context.Context, limit int64) ([]store.Project, error)
	RecentFailures(ctx context.Context, projectID int64, beforeAt time.Time, beforeID, limit int64) ([]store.TaskView, error)
	UserMemberships(ctx context.Context, userID uuid.UUID, limit int64) ([]store.UserMembership, error)
	UserProjects(ctx context.Context, userID uuid.UUID, limit int64) ([]store.Project, error)
	InstallationID(ctx context.Context) (uuid.UUID, error)
	Sums(ctx context.Context, q store.SumQuery) (map[store.SumKey]*store.Sum, error)
	WaitingTasks(ctx context.Context, projectID int64, queueID *int64, limit int64) (store.Waiting, error)
	ListIssues(ctx context.Context, f store.IssueFilter) ([]store.Issue, error)
	IssueOccurrences(ctx context.Context, projectID int64, fingerprint string, from, to time.Time, parts int, limit int64) (store.Occurrences, error)
	IssueTasks(ctx context.Context, projectID int64, fingerprint string, before time.Time, limit int) ([]store.TaskView, error)
	Troubles(ctx context.Context, projectID int64) (store.Troubles, error)
	Starts(ctx context.Context, projectID int64, from, to time.Time, limit int) ([]store.Start, error)
	CountOpenIssues(ctx context.Context, projectID, limit int64) (int64, error)
	Name(ctx context.Context, id int64) (string, error)
	NameID(ctx context.Context, text string) (int64, bool, error)
}

// Config is what the operations work with.
type Config struct {
	Store Store
	// IdleWorkers counts a project's workers that seem not to consume.
	IdleWorkers func(ctx context.Context, projectID int64) (int64, error)
	// ReadLimit bounds one call.
	ReadLimit time.Duration
}

type group struct {
	cfg   Config
	store Store
}

// Ops returns the operations.
func Ops(cfg Config) []rest.Op {
	g := &group{cfg: cfg, store: cfg.Store}
	return []rest.Op{{
		Method: http.MethodGet, Path: "/projects/{slug}/stats", ID: "project_stats", Tag: "statistics", Action: auth.StatsRead,
		Summary: "State of a project in numbers; the fields ending in _24h cover the window of the hours parameter",
		Access:  rest.Session, Query: StatsQuery{}, Response: StatsResponse{}, Status: http.StatusOK, Handle: g.stats, ShareFor: time.Second,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/trends", ID: "project_trends", Tag: "statistics", Action: auth.TrendsRead,
		Summary: "Outcomes over time, at most 500 buckets", Access: rest.Session, Query: TrendsQuery{}, Response: TrendsResponse{},
		Status: http.StatusOK, Errors: []int{http.StatusBadRequest}, Handle: g.trends, ShareFor: time.Second,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/overview", ID: "project_overview", Tag: "statistics", Action: auth.StatsRead,
		Summary: "Whether a project's work is getting done in time: outcomes, latencies and backlog of a window, beside the window before",
		Access:  rest.Session, Query: OverviewQuery{}, Response: OverviewPublic{}, Status: http.StatusOK, Handle: g.overview, ShareFor: time.Second,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/series", ID: "project_series", Tag: "statistics", Action: auth.TrendsRead,
		Summary: "Outcomes and latencies over time, in buckets without gaps", Access: rest.Session, Query: SeriesQuery{}, Response: SeriesPublic{},
		Status: http.StatusOK, Handle: g.series, ShareFor: time.Second,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/breakdown", ID: "project_breakdown", Tag: "statistics", Action: auth.TrendsRead,
		Summary: "Outcomes and latencies of a window by task name or queue", Access: rest.Session, Query: BreakdownQuery{}, Response: BreakdownPublic{},
		Status: http.StatusOK, Handle: g.breakdown, ShareFor: time.Second,
	}, {
		Method: http.MethodGet, Path: "/home/overview", ID: "home_overview", Tag: "home", Action: auth.HomeRead,
		Summary: "The caller's projects in a window: what each did, what wants looking after, and failures by issue", Access: rest.Session,
		Query: HomeQuery{}, Response: HomePublic{}, Status: http.StatusOK, Handle: g.home, ShareFor: time.Second,
	}, {
		Method: http.MethodGet, Path: "/home/summary", ID: "home_summary", Tag: "home", Action: auth.HomeRead,
		Summary: "The caller's projects at a glance", Access: rest.Session, Response: HomeSummaryPublic{}, Status: http.StatusOK, Handle: g.summary, ShareFor: time.Second,
	}, {
		Method: http.MethodGet, Path: "/home/recent-failures", ID: "home_recent_failures", Tag: "home", Action: auth.HomeRead,
		Summary: "Tasks of the caller's projects that failed, newest first", Access: rest.Session, Query: FailureQuery{}, Response: RecentFailuresPublic{},
		Status: http.StatusOK, Handle: g.recentFailures,
	}}
}

// TaskStateCounts is the number of tasks in each state.
type TaskStateCounts struct {
	Pending  int64 `json:"pending"`
	Received int64 `json:"received"`
	Started  int64 `json:"started"`
	Success  int64 `json:"success"`
	Failure  int64 `json:"failure"`
	Retry    int64 `json:"retry"`
	Revoked  int64 `json:"revoked"`
	Rejected int64 `json:"rejected"`
	Unknown  int64 `json:"unknown"`
}

// QueueHealth is the depth of a queue.
type QueueHealth struct {
	Name         string      `json:"name"`
	Engine       string      `json:"engine"`
	PendingCount int64       `json:"pending_count"`
	BrokerType   *string     `json:"broker_type"`
	LastSeenAt   *httpx.Time `json:"last_seen_at"`
}

// SystemHealth judges a project.
type SystemHealth struct {
	Status          string `json:"status"`
	AgentsAllOnline bool   `json:"agents_all_online"`
	QueueDepthOK    bool   `json:"queue_depth_ok"`
	FailureRateOK   bool   `json:"failure_rate_ok"`
	BrainDBOK       bool   `json:"brain_db_ok"`
}

// StatsResponse is a project in numbers.
type StatsResponse struct {
	WindowHours          int             `json:"window_hours"`
	TasksByState         TaskStateCounts `json:"tasks_by_state"`
	TasksTotal           int64           `json:"tasks_total"`
	TasksFailed24h       int64           `json:"tasks_failed_24h"`
	TasksSucceeded24h    int64           `json:"tasks_succeeded_24h"`
	FailureRate24h       float64         `json:"failure_rate_24h"`
	AgentsOnline         int64           `json:"agents_online"`
	AgentsOffline        int64           `json:"agents_offline"`
	WorkersOnline        int64           `json:"workers_online"`
	WorkersOffline       int64           `json:"workers_offline"`
	CommandsPending      int64           `json:"commands_pending"`
	CommandsCompleted24h int64           `json:"commands_completed_24h"`
	CommandsFailed24h    int64           `json:"commands_failed_24h"`
	CommandsTimeout24h   int64           `json:"commands_timeout_24h"`
	QueueDepths          []QueueHealth   `json:"queue_depths"`
	SystemHealth         SystemHealth    `json:"system_health"`
}

// StatsQuery are the parameters of the statistics.
type StatsQuery struct {
	Hours int `json:"hours" default:"24" doc:"1, 6, 24, 72 or 168; anything else means 24"`
}

const (
	online  = "online"
	offline = "offline"
	// deepQueues and badRate are where a project counts as degraded.
	deepQueues = 10_000
	badRate    = 0.1
	// maxQueues bounds the depths of one answer.
	maxQueues = 1000
)

func (g *group) stats(r *rest.Request) (any, error) {
	hours := rest.Query[StatsQuery](r).Hours
	if !slices.Contains([]int{1, 6, 24, 72, 168}, hours) {
		hours = 24
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	since := g.store.Now().Add(-time.Duration(hours) * time.Hour)
	out := StatsResponse{WindowHours: hours, QueueDepths: []QueueHealth{}}
	counts, err := g.store.TaskCounts(ctx, r.Project.ID)
	if err != nil {
		return nil, err
	}
	out.TasksByState = stateCounts(counts)
	for _, n := range counts {
		out.TasksTotal += n
	}
	totals, err := g.store.RollupTotals(ctx, r.Project.ID, since)
	if err != nil {
		return nil, err
	}
	out.TasksFailed24h, out.TasksSucceeded24h = totals[domain.RollupFailure], totals[domain.RollupSuccess]
	out.FailureRate24h = totals.FailureRate()
	states, err := g.store.ProjectStates(ctx, r.Project.ID, since)
	if err != nil {
		return nil, err
	}
	out.AgentsOnline, out.WorkersOnline = states.Agents[online], states.Workers[online]
	// An agent that never connected is neither.
	out.AgentsOffline, out.WorkersOffline = states.Agents[offline], states.Workers[offline]
	out.CommandsPending = states.OpenCommands
	out.CommandsCompleted24h = states.Commands[domain.CommandCompleted]
	out.CommandsFailed24h = states.Commands[domain.CommandFailed]
	out.CommandsTimeout24h = states.Commands[domain.CommandTimeout]
	queues, err := g.store.Queues(ctx, r.Project.ID, maxQueues)
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	depth := int64(0)
	for _, q := range queues {
		depth += q.PendingCount
		out.QueueDepths = append(out.QueueDepths, QueueHealth{
			Name: q.Name, Engine: q.Engine, PendingCount: q.PendingCount, BrokerType: q.BrokerType, LastSeenAt: httpx.TimePtr(q.LastSeenAt),
		})
	}
	out.SystemHealth = judge(&out, depth)
	return out, nil
}

func judge(s *StatsResponse, depth int64) SystemHealth {
	h := SystemHealth{
		Status: "healthy", AgentsAllOnline: s.AgentsOffline == 0 && s.AgentsOnline > 0, QueueDepthOK: depth < deepQueues,
		FailureRateOK: s.FailureRate24h < badRate, BrainDBOK: true,
	}
	switch {
	case s.AgentsOnline == 0:
		h.Status = "critical"
	case !h.AgentsAllOnline || !h.QueueDepthOK || !h.FailureRateOK:
		h.Status = "degraded"
	}
	return h
}

func stateCounts(c map[domain.TaskState]int64) TaskStateCounts {
	return TaskStateCounts{
		Pending: c[domain.StatePending], Received: c[domain.StateReceived], Started: c[domain.StateStarted], Success: c[domain.StateSuccess],
		Failure: c[domain.StateFailure], Retry: c[domain.StateRetry], Revoked: c[domain.StateRevoked], Rejected: c[domain.StateRejected],
		Unknown: c[domain.StateUnknown],
	}
}

// TrendsQuery are the parameters of the trends.
type TrendsQuery struct {
	Window string `json:"window" default:"24h" validate:"oneof=1h|6h|24h|72h|7d"`
	Bucket string `json:"bucket" default:"1h" validate:"oneof=1m|5m|15m|1h|1d"`
	Fill   bool   `json:"fill" doc:"also answer with empty buckets"`
}

// TrendBucket is what ended within one stretch of time.
type TrendBucket struct {
	T            httpx.Time `json:"t"`
	Success      int64      `json:"success"`
	Failure      int64      `json:"failure"`
	Retry        int64      `json:"retry"`
	Revoked      int64      `json:"revoked"`
	Total        int64      `json:"total"`
	AvgRuntimeMS *int64     `json:"avg_runtime_ms" doc:"of those that succeeded or failed, true to one percent; null when nothing was measured"`
}

// TrendsResponse is a series of buckets, oldest first.
type TrendsResponse struct {
	Window string        `json:"window"`
	Bucket string        `json:"bucket"`
	Series []TrendBucket `json:"series"`
}

// maxBuckets bounds a series.
const maxBuckets = 500

func (g *group) trends(r *rest.Request) (any, error) {
	q := rest.Query[TrendsQuery](r)
	window := map[string]time.Duration{"1h": time.Hour, "6h": 6 * time.Hour, "24h": 24 * time.Hour, "72h": 72 * time.Hour, "7d": 168 * time.Hour}[q.Window]
	width := map[string]time.Duration{"1m": time.Minute, "5m": 5 * time.Minute, "15m": 15 * time.Minute, "1h": time.Hour, "1d": 24 * time.Hour}[q.Bucket]
	if window/width > maxBuckets {
		return nil, domain.Errorf(httpx.CodeBadRequest, "window/bucket ratio too fine (%s/%s); max %d buckets per response", q.Window, q.Bucket, maxBuckets)
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	now := g.store.Now()
	sums, err := g.store.Sums(ctx, store.SumQuery{ProjectID: r.Project.ID, From: now.Add(-window), Bucket: width})
	if err != nil {
		return nil, err
	}
	return TrendsResponse{Window: q.Window, Bucket: q.Bucket, Series: trendSeries(sums, now.Add(-window), now, width, q.Fill)}, nil
}

// trendSeries lists sums by the start of their bucket; fill adds the empty buckets from a time to another.
func trendSeries(sums map[store.SumKey]*store.Sum, from, to time.Time, width time.Duration, fill bool) []TrendBucket {
	var none store.Sum
	if fill {
		for t := from.UTC().Truncate(width); !t.After(to); t = t.Add(width) {
			if k := (store.SumKey{At: t}); sums[k] == nil {
				sums[k] = &none
			}
		}
	}
	out := []TrendBucket{}
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b store.SumKey) int { return a.At.Compare(b.At) }) {
		s := sums[k]
		b := TrendBucket{T: httpx.NewTime(k.At), Success: s.Succeeded, Failure: s.Failed, Retry: s.Retried, Revoked: s.Revoked}
		if b.Total = s.Ended() + s.Retried; b.Total == 0 && !fill {
			continue
		}
		if ms, ok := s.MeanRun(); ok {
			mean := rounded(ms)
			b.AvgRuntimeMS = &mean
		}
		out = append(out, b)
	}
	return out
}
