// SPDX-License-Identifier: AGPL-3.0-or-later

package insight

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// UserMini is the caller.
type UserMini struct {
	ID          uuid.UUID `json:"id"`
	Email       string    `json:"email"`
	DisplayName *string   `json:"display_name"`
	IsAdmin     bool      `json:"is_admin"`
}

// Activity is what a project, or all of them, did in a day.
type Activity struct {
	Tasks24h       int64   `json:"tasks_24h"`
	Failures24h    int64   `json:"failures_24h"`
	FailureRate24h float64 `json:"failure_rate_24h"`
	WorkersOnline  int64   `json:"workers_online"`
	WorkersTotal   int64   `json:"workers_total"`
	AgentsOnline   int64   `json:"agents_online"`
	AgentsTotal    int64   `json:"agents_total"`
	StuckCommands  int64   `json:"stuck_commands"`
}

// Aggregate sums the caller's projects.
type Aggregate struct{ Activity }

// ProjectCard is one project at a glance.
type ProjectCard struct {
	ID          uuid.UUID `json:"id"`
	Slug        string    `json:"slug"`
	Name        string    `json:"name"`
	Environment string    `json:"environment"`
	Role        *string   `json:"role"`
	Activity
	LastActivityAt *httpx.Time `json:"last_activity_at"`
	Health         string      `json:"health"`
}

// AttentionItem is something that wants looking after.
type AttentionItem struct {
	Kind        string    `json:"kind"`
	Severity    string    `json:"severity"`
	ProjectID   uuid.UUID `json:"project_id"`
	ProjectSlug string    `json:"project_slug"`
	ProjectName string    `json:"project_name"`
	Message     string    `json:"message"`
	Count       *int64    `json:"count"`
}

// HomeSummaryPublic is the home page.
type HomeSummaryPublic struct {
	User      UserMini        `json:"user"`
	Aggregate Aggregate       `json:"aggregate"`
	Projects  []ProjectCard   `json:"projects"`
	Attention []AttentionItem `json:"attention"`
}

const (
	// maxProjects bounds the projects of one home page.
	maxProjects = 500
	// stuckAfter is how long a command may stay open before it counts as stuck.
	stuckAfter = time.Minute
	day        = 24 * time.Hour

	critical = "critical"
	warning  = "warning"

	// noticeRate and alarmRate are failure rates that want attention, once enough tasks ran to tell.
	noticeRate, alarmRate = 0.05, 0.2
	enoughTasks           = 20
)

// visible lists the caller's projects: his own, or all of them for an instance admin.
func (g *group) visible(ctx context.Context, r *rest.Request) ([]store.Project, error) {
	if r.User.IsAdmin {
		return g.store.ActiveProjects(ctx, maxProjects)
	}
	return g.store.UserProjects(ctx, r.User.ID, maxProjects)
}

func (g *group) summary(r *rest.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	projects, err := g.visible(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	roles := map[string]string{}
	memberships, err := g.store.UserMemberships(ctx, r.User.ID, maxProjects)
	if err != nil {
		return nil, fmt.Errorf("list memberships: %w", err)
	}
	for _, m := range memberships {
		roles[m.Slug] = m.Role
	}
	overview, err := g.store.Overview(ctx, stuckAfter)
	if err != nil {
		return nil, err
	}
	out := HomeSummaryPublic{
		User:     UserMini{ID: r.User.ID, Email: r.User.Email, DisplayName: r.User.DisplayName, IsAdmin: r.User.IsAdmin},
		Projects: []ProjectCard{}, Attention: []AttentionItem{},
	}
	for i := range projects {
		card, attention, err := g.card(ctx, &projects[i], &overview)
		if err != nil {
			return nil, err
		}
		if role, ok := roles[card.Slug]; ok {
			card.Role = &role
		}
		out.Projects = append(out.Projects, card)
		out.Attention = append(out.Attention, attention...)
		out.Aggregate.add(card.Activity)
	}
	out.Aggregate.rate()
	slices.SortStableFunc(out.Attention, func(a, b AttentionItem) int {
		return cmp.Compare(severityRank(a.Severity), severityRank(b.Severity))
	})
	return out, nil
}

func severityRank(s string) int {
	if s == critical {
		return 0
	}
	return 1
}

func (a *Activity) add(b Activity) {
	a.Tasks24h += b.Tasks24h
	a.Failures24h += b.Failures24h
	a.WorkersOnline += b.WorkersOnline
	a.WorkersTotal += b.WorkersTotal
	a.AgentsOnline += b.AgentsOnline
	a.AgentsTotal += b.AgentsTotal
	a.StuckCommands += b.StuckCommands
}

func (a *Activity) rate() {
	if a.Tasks24h > 0 {
		a.FailureRate24h = float64(a.Failures24h) / float64(a.Tasks24h)
	}
}

// card sums one project up. Its tasks are those received in the day, or those that ended in it when these are more:
// not every engine reports the reception.
func (g *group) card(ctx context.Context, p *store.Project, o *store.Overview) (ProjectCard, []AttentionItem, error) {
	c := ProjectCard{ID: p.UID, Slug: p.Slug, Name: p.Name, Environment: p.Environment}
	totals, err := g.store.RollupTotals(ctx, p.ID, g.store.Now().Add(-day))
	if err != nil {
		return c, nil, err
	}
	last, err := g.store.LastActivity(ctx, p.ID)
	if err != nil {
		return c, nil, err
	}
	agents, workers := o.Agents[p.ID], o.Workers[p.ID]
	c.Activity = Activity{
		Tasks24h: max(totals[domain.RollupReceived], totals.Finished()), Failures24h: totals[domain.RollupFailure],
		WorkersOnline: workers[online], WorkersTotal: workers.Sum(), AgentsOnline: agents[online], AgentsTotal: agents.Sum(),
		StuckCommands: o.Stuck[p.ID],
	}
	c.rate()
	c.LastActivityAt = httpx.TimePtr(last)
	down := agents[offline]
	c.Health = health(&c.Activity, down)
	return c, attention(p, &c.Activity, down), nil
}

func health(a *Activity, down int64) string {
	switch {
	case down > 0 && a.AgentsOnline == 0:
		return offline
	case a.FailureRate24h > noticeRate, a.StuckCommands > 0, down > 0:
		return "degraded"
	case a.Tasks24h == 0 && a.WorkersTotal == 0:
		return "idle"
	}
	return "healthy"
}

func attention(p *store.Project, a *Activity, down int64) []AttentionItem {
	var items []AttentionItem
	add := func(kind, severity string, n int64, format string, args ...any) {
		items = append(items, AttentionItem{
			Kind: kind, Severity: severity, ProjectID: p.UID, ProjectSlug: p.Slug, ProjectName: p.Name,
			Message: fmt.Sprintf(format, args...), Count: &n,
		})
	}
	switch {
	case down > 0 && a.AgentsOnline == 0:
		add("agent_offline", critical, down, "All %d agent(s) offline", down)
	case down > 0:
		add("agent_offline", warning, down, "%d of %d agents offline", down, a.AgentsTotal)
	}
	if a.FailureRate24h > noticeRate && a.Tasks24h > enoughTasks {
		severity := warning
		if a.FailureRate24h > alarmRate {
			severity = critical
		}
		add("high_failure_rate", severity, a.Failures24h, "Failure rate %.1f%% over %d tasks (24h)", a.FailureRate24h*100, a.Tasks24h)
	}
	if a.StuckCommands > 0 {
		add("stuck_commands", warning, a.StuckCommands, "%d command(s) still without an answer", a.StuckCommands)
	}
	return items
}

// RecentFailurePublic is a task's latest failure.
type RecentFailurePublic struct {
	ID          uuid.UUID  `json:"id"`
	OccurredAt  httpx.Time `json:"occurred_at"`
	ProjectID   uuid.UUID  `json:"project_id"`
	ProjectSlug string     `json:"project_slug"`
	ProjectName string     `json:"project_name"`
	Engine      string     `json:"engine"`
	TaskID      string     `json:"task_id"`
	TaskName    *string    `json:"task_name"`
	Worker      *string    `json:"worker"`
	Exception   *string    `json:"exception"`
	Priority    string     `json:"priority"`
}

// RecentFailuresPublic is one page of failures.
type RecentFailuresPublic struct {
	Items      []RecentFailurePublic `json:"items"`
	NextCursor *string               `json:"next_cursor"`
}

// FailureQuery are the parameters of the recent failures.
type FailureQuery struct {
	Limit  int    `json:"limit" default:"50" validate:"ge=1,le=200"`
	Cursor string `json:"cursor"`
}

type failedTask struct {
	project *store.Project
	task    store.TaskView
}

// recentFailures merges the newest failures of every project. A task that failed several times is there once, with
// its latest failure.
func (g *group) recentFailures(r *rest.Request) (any, error) {
	q := rest.Query[FailureQuery](r)
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	inst, err := g.store.InstallationID(ctx)
	if err != nil {
		return nil, err
	}
	projects, err := g.visible(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	before, beforeID := parseFailureCursor(inst, q.Cursor)
	var all []failedTask
	for i := range projects {
		tasks, err := g.store.RecentFailures(ctx, projects[i].ID, before, beforeID, int64(q.Limit)+1)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			all = append(all, failedTask{project: &projects[i], task: t})
		}
	}
	slices.SortFunc(all, func(a, b failedTask) int {
		return cmp.Or(b.task.LastFailedAt.Compare(*a.task.LastFailedAt), cmp.Compare(b.task.ID, a.task.ID))
	})
	out := RecentFailuresPublic{Items: []RecentFailurePublic{}}
	if len(all) > q.Limit {
		all = all[:q.Limit]
		last := &all[q.Limit-1].task
		next := httpx.FormatTime(*last.LastFailedAt) + "|" + hex.EncodeToString(last.UID[:])
		out.NextCursor = &next
	}
	for i := range all {
		out.Items = append(out.Items, failurePublic(all[i].project, &all[i].task))
	}
	return out, nil
}

func failurePublic(p *store.Project, t *store.TaskView) RecentFailurePublic {
	f := RecentFailurePublic{
		ID:         wire.EventID(p.UID.String(), t.Engine, t.TaskID, domain.KindFailed.String(), t.LastFailedAt.Unix()),
		OccurredAt: httpx.NewTime(*t.LastFailedAt), ProjectID: p.UID, ProjectSlug: p.Slug, ProjectName: p.Name, Engine: t.Engine,
		TaskID: t.TaskID, Worker: t.Worker, Exception: t.Exception, Priority: domain.Priority(t.Priority).String(),
	}
	if !domain.IsUnknownName(t.Name) {
		f.TaskName = &t.Name
	}
	return f
}

// parseFailureCursor reads `time|hex id`; anything else means the first page.
func parseFailureCursor(inst uuid.UUID, cursor string) (before time.Time, beforeID int64) {
	at, id, ok := strings.Cut(cursor, "|")
	if !ok {
		return time.Time{}, 0
	}
	t, err := httpx.ParseTime(at)
	if err != nil {
		return time.Time{}, 0
	}
	uid, err := uuid.Parse(id)
	if err != nil {
		return time.Time{}, 0
	}
	key, ok := domain.KeyOfTask(inst, uid)
	if !ok {
		return time.Time{}, 0
	}
	return domain.Micros(t), key
}
