// SPDX-License-Identifier: AGPL-3.0-or-later

package insight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// HomeQuery are the parameters of the home page.
type HomeQuery struct {
	rest.WindowQuery
}

// WorstQueue is the queue with the longest waits.
type WorstQueue struct {
	Name      string `json:"name"`
	P95WaitMS int64  `json:"p95_wait_ms"`
}

// HomeProject is a project in a window.
type HomeProject struct {
	ID             uuid.UUID   `json:"id"`
	Slug           string      `json:"slug"`
	Name           string      `json:"name"`
	Environment    string      `json:"environment"`
	Ended          int64       `json:"ended"`
	Failed         int64       `json:"failed"`
	FailureRate    float64     `json:"failure_rate"`
	Spark          []int64     `json:"spark" doc:"tasks ended in each of 24 equal parts of the window"`
	SparkFailed    []int64     `json:"spark_failed"`
	WorstQueue     *WorstQueue `json:"worst_queue"`
	WorkersOnline  int64       `json:"workers_online"`
	WorkersOffline int64       `json:"workers_offline"`
	AgentsOnline   int64       `json:"agents_online"`
	AgentsOffline  int64       `json:"agents_offline"`
	OpenIssues     int64       `json:"open_issues" doc:"counted up to 1000"`
	StuckCommands  int64       `json:"stuck_commands"`
	LastActivity   *httpx.Time `json:"last_activity"`
	Attention      int         `json:"attention" doc:"how many items of attention are about it"`
}

// HomeAttention is something that wants looking after.
type HomeAttention struct {
	Kind        string      `json:"kind" validate:"oneof=agents_offline|workers_offline|failure_rate|stuck_commands|backlog"`
	Severity    string      `json:"severity" validate:"oneof=critical|warning"`
	Project     string      `json:"project" doc:"slug"`
	ProjectName string      `json:"project_name"`
	Text        string      `json:"text"`
	Since       *httpx.Time `json:"since" doc:"null when it can't be told"`
	Count       int64       `json:"count"`
}

// HomeFailure is a group of failures of the window.
type HomeFailure struct {
	Fingerprint string      `json:"fingerprint"`
	Project     string      `json:"project" doc:"slug"`
	ProjectName string      `json:"project_name"`
	Name        *string     `json:"name" doc:"task name; null when no agent told it"`
	Exception   *string     `json:"exception"`
	Occurrences int64       `json:"occurrences" doc:"tasks whose latest failure lies in the window, counted up to 1000"`
	Capped      bool        `json:"capped" doc:"there are more occurrences"`
	Open        int64       `json:"open" doc:"tasks still in failure, whenever they failed"`
	FirstSeen   httpx.Time  `json:"first_seen"`
	LastSeen    httpx.Time  `json:"last_seen"`
	Spark       []int64     `json:"spark"`
	Sample      *SampleTask `json:"sample"`
}

// SampleTask points to a task.
type SampleTask struct {
	Engine string `json:"engine"`
	TaskID string `json:"task_id"`
}

// HomePublic is the home page.
type HomePublic struct {
	Window       rest.Window     `json:"window"`
	GrainSeconds int64           `json:"grain_seconds"`
	Projects     []HomeProject   `json:"projects" doc:"those that want looking after first, then by name"`
	Attention    []HomeAttention `json:"attention" doc:"critical first"`
	Failures     []HomeFailure   `json:"failures" doc:"at most 20, latest first"`
}

const (
	// homeFailures bounds the groups of failures, homeOccurrences how many of a group are counted.
	homeFailures    = 20
	homeOccurrences = 1000
	// longWait is how long work may wait before it wants attention.
	longWait = 5 * time.Minute
)

func (g *group) home(r *rest.Request) (any, error) {
	q := rest.Query[HomeQuery](r)
	window, err := q.Window(g.store.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	projects, err := g.visible(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	states, err := g.store.Overview(ctx, stuckAfter)
	if err != nil {
		return nil, err
	}
	out := HomePublic{
		Window: window, GrainSeconds: int64(store.Grain(window.To.Sub(window.From.Time)).Seconds()),
		Projects: []HomeProject{}, Attention: []HomeAttention{}, Failures: []HomeFailure{},
	}
	for i := range projects {
		p := &projects[i]
		row, err := g.homeProject(ctx, p, window, &states)
		if err != nil {
			return nil, fmt.Errorf("sum project %s up: %w", p.Slug, err)
		}
		items, err := g.homeAttention(ctx, p, &row)
		if err != nil {
			return nil, fmt.Errorf("look after project %s: %w", p.Slug, err)
		}
		row.Attention = len(items)
		out.Projects = append(out.Projects, row)
		out.Attention = append(out.Attention, items...)
	}
	slices.SortStableFunc(out.Projects, func(a, b HomeProject) int {
		return cmp.Or(cmp.Compare(min(1, b.Attention), min(1, a.Attention)), cmp.Compare(a.Name, b.Name))
	})
	slices.SortStableFunc(out.Attention, func(a, b HomeAttention) int { return cmp.Compare(severityRank(a.Severity), severityRank(b.Severity)) })
	out.Failures, err = g.homeFailures(ctx, projects, window)
	return out, err
}

func (g *group) homeProject(ctx context.Context, p *store.Project, window rest.Window, o *store.Overview) (HomeProject, error) {
	agents, workers := o.Agents[p.ID], o.Workers[p.ID]
	row := HomeProject{
		ID: p.UID, Slug: p.Slug, Name: p.Name, Environment: p.Environment, WorkersOnline: workers[online], WorkersOffline: workers[offline],
		AgentsOnline: agents[online], AgentsOffline: agents[offline], StuckCommands: o.Stuck[p.ID],
	}
	ask := query(p.ID, window)
	queues, err := g.keyed(ctx, ask, store.ByQueue)
	if err != nil {
		return row, err
	}
	sum := total(queues)
	row.Ended, row.Failed, row.FailureRate = sum.Ended(), sum.Failed, sum.FailureRate()
	lines, err := g.sparks(ctx, ask, store.ByNothing, nil)
	if err != nil {
		return row, err
	}
	row.Spark, row.SparkFailed = lines.of(0)
	worst, longest := int64(0), -1.0
	for _, k := range queues {
		if l := k.Wait(); l != nil && (l.P95 > longest || l.P95 == longest && k.key < worst) {
			worst, longest = k.key, l.P95
		}
	}
	if longest >= 0 {
		name, err := g.nameOf(ctx, worst)
		if err != nil {
			return row, err
		}
		row.WorstQueue = &WorstQueue{Name: name, P95WaitMS: rounded(longest)}
	}
	if row.OpenIssues, err = g.store.CountOpenIssues(ctx, p.ID, maxIssues); err != nil {
		return row, err
	}
	last, err := g.store.LastActivity(ctx, p.ID)
	row.LastActivity = httpx.TimePtr(last)
	return row, err
}

// homeAttention judges a project.
func (g *group) homeAttention(ctx context.Context, p *store.Project, row *HomeProject) ([]HomeAttention, error) {
	since, err := g.store.Troubles(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	var items []HomeAttention
	add := func(kind, severity string, n int64, since *time.Time, format string, args ...any) {
		items = append(items, HomeAttention{
			Kind: kind, Severity: severity, Project: p.Slug, ProjectName: p.Name, Text: fmt.Sprintf(format, args...), Since: httpx.TimePtr(since), Count: n,
		})
	}
	switch {
	case row.AgentsOffline > 0 && row.AgentsOnline == 0:
		add("agents_offline", critical, row.AgentsOffline, since.LastOffline, "No agent is connected: nothing here is up to date, and commands reach nobody")
	case row.AgentsOffline > 0:
		add("agents_offline", warning, row.AgentsOffline, since.FirstOffline, "%d of %d agents offline", row.AgentsOffline, row.AgentsOffline+row.AgentsOnline)
	}
	if row.WorkersOffline > 0 && row.WorkersOnline == 0 && row.AgentsOnline > 0 {
		add("workers_offline", critical, row.WorkersOffline, nil, "No worker is online")
	}
	if row.FailureRate > noticeRate && row.Ended > enoughTasks {
		severity := warning
		if row.FailureRate > alarmRate {
			severity = critical
		}
		add("failure_rate", severity, row.Failed, nil, "%.1f %% of %d tasks failed in this window", row.FailureRate*100, row.Ended)
	}
	if row.StuckCommands > 0 {
		add("stuck_commands", warning, row.StuckCommands, since.Stuck, "%s still without an answer", counted(row.StuckCommands, "command is", "commands are"))
	}
	w, err := g.store.WaitingTasks(ctx, p.ID, nil, maxWaiting)
	if err != nil {
		return nil, err
	}
	if w.Oldest != nil && g.ago(*w.Oldest) > longWait {
		more := ""
		if w.Capped {
			more = "more than "
		}
		add("backlog", warning, w.Count, w.Oldest, "%s%s to start, the oldest for %s", more, counted(w.Count, "task waits", "tasks wait"), minutes(g.ago(*w.Oldest)))
	}
	return items, nil
}

// counted is a number with its words.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// minutes is a time in one unit that reads well.
func minutes(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int64(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int64(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int64(d/day))
	}
}

type projectIssue struct {
	project *store.Project
	store.Issue
}

// homeFailures are the groups that failed last, of all projects.
func (g *group) homeFailures(ctx context.Context, projects []store.Project, window rest.Window) ([]HomeFailure, error) {
	from := window.From.Time
	var all []projectIssue
	for i := range projects {
		issues, err := g.store.ListIssues(ctx, store.IssueFilter{ProjectID: projects[i].ID, Since: &from, Limit: homeFailures})
		if err != nil {
			return nil, err
		}
		for _, issue := range issues {
			all = append(all, projectIssue{&projects[i], issue})
		}
	}
	slices.SortStableFunc(all, func(a, b projectIssue) int { return b.LastSeen.Compare(a.LastSeen) })
	out := []HomeFailure{}
	for _, i := range all {
		if len(out) == homeFailures {
			break
		}
		f, err := g.homeFailure(ctx, &i, window)
		if err != nil {
			return nil, fmt.Errorf("describe issue %s: %w", i.Fingerprint, err)
		}
		if f.Occurrences > 0 {
			out = append(out, f)
		}
	}
	return out, nil
}

func (g *group) homeFailure(ctx context.Context, i *projectIssue, window rest.Window) (HomeFailure, error) {
	f := HomeFailure{
		Fingerprint: i.Fingerprint, Project: i.project.Slug, ProjectName: i.project.Name, Name: known(i.Name), Exception: i.SampleException, Open: i.Open,
		FirstSeen: httpx.NewTime(i.FirstSeen), LastSeen: httpx.NewTime(i.LastSeen),
	}
	o, err := g.store.IssueOccurrences(ctx, i.project.ID, i.Fingerprint, window.From.Time, window.To.Time, sparkParts, homeOccurrences)
	if err != nil {
		return f, err
	}
	f.Occurrences, f.Capped, f.Spark = o.N, o.Capped, o.Buckets
	tasks, err := g.store.IssueTasks(ctx, i.project.ID, i.Fingerprint, window.To.Time, 1)
	if err != nil {
		return f, err
	}
	if len(tasks) > 0 {
		f.Sample = &SampleTask{Engine: tasks[0].Engine, TaskID: tasks[0].TaskID}
		if f.Name == nil {
			f.Name = known(&tasks[0].Name)
		}
	}
	return f, nil
}

// known is a task's name, nil when no agent told it.
func known(name *string) *string {
	if name == nil || domain.IsUnknownName(*name) {
		return nil
	}
	return name
}
