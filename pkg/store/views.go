// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Rows of the reading side.
type (
	// WorkerView is a worker with the public id of the agent that reported it last.
	WorkerView = db.ListWorkersRow
	// Event is a stored life-cycle event of a task.
	Event = db.Event
	// LooseEvent is any other stored event.
	LooseEvent = db.LooseEvent
)

// Queues lists a project's queues by name.
func (s *Store) Queues(ctx context.Context, projectID, limit int64) ([]Queue, error) {
	qs, err := s.q.ListQueues(ctx, s.eng.read(), db.ListQueuesParams{ProjectID: projectID, MaxRows: limit})
	return qs, s.err(err)
}

// Workers lists a project's workers by name.
func (s *Store) Workers(ctx context.Context, projectID, limit int64) ([]WorkerView, error) {
	ws, err := s.q.ListWorkers(ctx, s.eng.read(), db.ListWorkersParams{ProjectID: projectID, MaxRows: limit})
	return ws, s.err(err)
}

// WorkerByUID returns a worker of the project.
func (s *Store) WorkerByUID(ctx context.Context, projectID int64, uid uuid.UUID) (WorkerView, error) {
	w, err := s.q.WorkerByUID(ctx, s.eng.read(), db.WorkerByUIDParams{ProjectID: projectID, UID: uid})
	return WorkerView(w), s.err(err)
}

// WorkersByName returns the project's workers of that name; engine narrows when not empty.
func (s *Store) WorkersByName(ctx context.Context, projectID int64, name, engine string) ([]Worker, error) {
	ws, err := s.q.WorkersByName(ctx, s.eng.read(), db.WorkersByNameParams{ProjectID: projectID, Name: name, Engine: optional(engine)})
	return ws, s.err(err)
}

// EventsOfTask returns up to limit life-cycle events of a task that happened in the second of until or before, newest
// first. A zero until starts with the newest.
func (s *Store) EventsOfTask(ctx context.Context, taskKey int64, until time.Time, limit int64) ([]Event, error) {
	if until.IsZero() {
		until = farFuture()
	}
	es, err := s.q.EventsOfTask(ctx, s.eng.read(), db.EventsOfTaskParams{TaskID: taskKey, Until: until, MaxRows: limit})
	return es, s.err(err)
}

// LooseEventsOfTask returns events that name a task without changing it, newest first.
func (s *Store) LooseEventsOfTask(ctx context.Context, projectID int64, engine, taskID string, until time.Time, limit int64) ([]LooseEvent, error) {
	id, ok, err := s.NameID(ctx, engine)
	if err != nil || !ok {
		return nil, err
	}
	if until.IsZero() {
		until = farFuture()
	}
	es, err := s.q.LooseEventsOfTask(ctx, s.eng.read(), db.LooseEventsOfTaskParams{
		ProjectID: projectID, EngineID: id, TaskID: taskID, Until: until, MaxRows: limit,
	})
	return es, s.err(err)
}

// AgentUID is the public id of an agent, also a revoked one.
func (s *Store) AgentUID(ctx context.Context, id int64) (uuid.UUID, error) {
	uid, err := s.q.AgentUID(ctx, s.eng.read(), db.AgentUIDParams{ID: id})
	return uid, s.err(err)
}

// IssueFilter narrows ListIssues. Zero fields do not narrow.
type IssueFilter struct {
	ProjectID   int64
	Engine      string
	Fingerprint string
	// Ongoing selects groups with (true) or without (false) tasks still in failure.
	Ongoing *bool
	// Since is the earliest last failure.
	Since         *time.Time
	Offset, Limit int64
}

// Issue is a group of tasks that failed alike, over all engines.
type Issue struct {
	Fingerprint           string
	Occurrences, Open     int64
	FirstSeen, LastSeen   time.Time
	Engines               []string
	SampleException, Name *string
}

// ListIssues returns a project's failure groups, latest failure first.
func (s *Store) ListIssues(ctx context.Context, f IssueFilter) ([]Issue, error) {
	b := &builder{}
	b.add("project_id = " + b.arg(f.ProjectID))
	if f.Engine != "" {
		id, ok, err := s.NameID(ctx, f.Engine)
		if err != nil || !ok {
			return nil, err
		}
		b.add("engine_id = " + b.arg(id))
	}
	if f.Fingerprint != "" {
		b.add("fingerprint = " + b.arg(f.Fingerprint))
	}
	having := " HAVING sum(occurrences) > 0"
	if f.Ongoing != nil {
		if *f.Ongoing {
			having += " AND sum(open_count) > 0"
		} else {
			having += " AND sum(open_count) <= 0"
		}
	}
	if f.Since != nil {
		having += " AND max(last_seen) >= " + b.arg(domain.Micros(*f.Since))
	}
	query := "SELECT fingerprint, CAST(sum(occurrences) AS bigint), CAST(sum(open_count) AS bigint), min(first_seen), max(last_seen) FROM issues" +
		b.where() + " GROUP BY fingerprint" + having + " ORDER BY max(last_seen) DESC, fingerprint LIMIT " + b.arg(f.Limit) + " OFFSET " + b.arg(f.Offset)
	rows, err := s.eng.read().Query(ctx, query, b.args...)
	if err != nil {
		return nil, fmt.Errorf("list issues: %w", s.err(err))
	}
	defer rows.Close()
	var issues []Issue
	for rows.Next() {
		var i Issue
		if err := rows.Scan(&i.Fingerprint, &i.Occurrences, &i.Open, &i.FirstSeen, &i.LastSeen); err != nil {
			return nil, fmt.Errorf("list issues: %w", s.err(err))
		}
		issues = append(issues, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list issues: %w", s.err(err))
	}
	rows.Close()
	for i := range issues {
		if err := s.describeIssue(ctx, f.ProjectID, &issues[i]); err != nil {
			return nil, fmt.Errorf("describe issue %s: %w", issues[i].Fingerprint, err)
		}
	}
	return issues, nil
}

// describeIssue adds the engines and the sample of the latest failure.
func (s *Store) describeIssue(ctx context.Context, projectID int64, i *Issue) error {
	parts, err := s.q.IssueRows(ctx, s.eng.read(), db.IssueRowsParams{ProjectID: projectID, Fingerprint: i.Fingerprint})
	if err != nil {
		return s.err(err)
	}
	for n, p := range parts {
		engine, err := s.Name(ctx, p.EngineID)
		if err != nil {
			return err
		}
		i.Engines = append(i.Engines, engine)
		if n > 0 {
			continue
		}
		i.SampleException = p.SampleException
		if p.SampleNameID > 0 {
			name, err := s.Name(ctx, p.SampleNameID)
			if err != nil {
				return err
			}
			i.Name = &name
		}
	}
	return nil
}

// Totals is what a project's tasks did in a window, by kind.
type Totals map[domain.RollupKind]int64

// Finished is the number of tasks that ended.
func (t Totals) Finished() int64 {
	return t[domain.RollupSuccess] + t[domain.RollupFailure] + t[domain.RollupRevoked]
}

// FailureRate is failures of all successes and failures, 0 without any.
func (t Totals) FailureRate() float64 {
	n := t[domain.RollupSuccess] + t[domain.RollupFailure]
	if n <= 0 {
		return 0
	}
	return float64(t[domain.RollupFailure]) / float64(n)
}

// RollupTotals sums a project's roll-ups since a time. Roll-ups are kept by the minute, later by the hour and the
// day; a bucket that reaches past since counts whole, so that the start is true to the width of its bucket.
func (s *Store) RollupTotals(ctx context.Context, projectID int64, since time.Time) (Totals, error) {
	sums, err := s.Sums(ctx, SumQuery{ProjectID: projectID, From: since, Counts: true})
	if err != nil {
		return nil, err
	}
	v := entry(sums, SumKey{})
	return Totals{
		domain.RollupSuccess: v.Succeeded, domain.RollupFailure: v.Failed, domain.RollupRevoked: v.Revoked,
		domain.RollupReceived: v.Received, domain.RollupStarted: v.Started, domain.RollupRetried: v.Retried,
	}, nil
}

// bucketOf is the start of the roll-up of width res that holds a time.
func bucketOf(at time.Time, res int64) time.Time { return at.UTC().Truncate(rollupWidth(res)) }

// LastActivity is the time of a project's newest sign of task life, nil without any.
func (s *Store) LastActivity(ctx context.Context, projectID int64) (*time.Time, error) {
	var last *time.Time
	seen, err := s.q.LastArrival(ctx, s.eng.read(), db.LastArrivalParams{ProjectID: projectID})
	if err = s.err(err); err == nil {
		last = &seen
	} else if !errors.Is(err, domain.ErrNotFound) {
		return nil, fmt.Errorf("find last activity: %w", err)
	}
	for _, res := range []int64{RollupMinute, RollupHour, RollupDay} {
		at, err := s.q.LastRollup(ctx, s.eng.read(), db.LastRollupParams{ProjectID: projectID, Res: res})
		if err = s.err(err); err == nil {
			if last == nil || at.After(*last) {
				last = &at
			}
		} else if !errors.Is(err, domain.ErrNotFound) {
			return nil, fmt.Errorf("find last activity: %w", err)
		}
	}
	return last, nil
}

// StateCounts counts rows by their state.
type StateCounts map[string]int64

// Sum is the number of all rows.
func (c StateCounts) Sum() (n int64) {
	for _, v := range c {
		n += v
	}
	return n
}

// Overview is the state of agents, workers and commands, by inner project key.
type Overview struct {
	Agents, Workers map[int64]StateCounts
	// Stuck counts commands that have been open for longer than stuckAfter.
	Stuck map[int64]int64
}

// Overview returns the small counts that the home page shows of every project.
func (s *Store) Overview(ctx context.Context, stuckAfter time.Duration) (Overview, error) {
	o := Overview{Agents: map[int64]StateCounts{}, Workers: map[int64]StateCounts{}, Stuck: map[int64]int64{}}
	put := func(m map[int64]StateCounts, project int64, state string, n int64) {
		if m[project] == nil {
			m[project] = StateCounts{}
		}
		m[project][state] = n
	}
	agents, err := s.q.AgentStates(ctx, s.eng.read())
	if err != nil {
		return o, fmt.Errorf("count agents: %w", s.err(err))
	}
	for _, a := range agents {
		put(o.Agents, a.ProjectID, a.State, a.N)
	}
	workers, err := s.q.WorkerStates(ctx, s.eng.read())
	if err != nil {
		return o, fmt.Errorf("count workers: %w", s.err(err))
	}
	for _, w := range workers {
		put(o.Workers, w.ProjectID, w.State, w.N)
	}
	stuck, err := s.q.StuckCommands(ctx, s.eng.read(), db.StuckCommandsParams{Before: s.Now().Add(-stuckAfter)})
	if err != nil {
		return o, fmt.Errorf("count stuck commands: %w", s.err(err))
	}
	for _, c := range stuck {
		o.Stuck[c.ProjectID] = c.N
	}
	return o, nil
}

// ProjectStates are the small counts of one project: agents and workers by state, commands of a window by status,
// and the commands open at this moment.
type ProjectStates struct {
	Agents, Workers, Commands StateCounts
	OpenCommands              int64
}

// ProjectStates counts a project's agents, workers and commands.
func (s *Store) ProjectStates(ctx context.Context, projectID int64, since time.Time) (ProjectStates, error) {
	p := ProjectStates{Agents: StateCounts{}, Workers: StateCounts{}, Commands: StateCounts{}}
	agents, err := s.q.ProjectAgentStates(ctx, s.eng.read(), db.ProjectAgentStatesParams{ProjectID: projectID})
	if err != nil {
		return p, fmt.Errorf("count agents: %w", s.err(err))
	}
	for _, a := range agents {
		p.Agents[a.State] = a.N
	}
	workers, err := s.q.ProjectWorkerStates(ctx, s.eng.read(), db.ProjectWorkerStatesParams{ProjectID: projectID})
	if err != nil {
		return p, fmt.Errorf("count workers: %w", s.err(err))
	}
	for _, w := range workers {
		p.Workers[w.State] = w.N
	}
	commands, err := s.q.CommandStates(ctx, s.eng.read(), db.CommandStatesParams{ProjectID: projectID, Since: since})
	if err != nil {
		return p, fmt.Errorf("count commands: %w", s.err(err))
	}
	for _, c := range commands {
		p.Commands[c.Status] = c.N
	}
	if p.OpenCommands, err = s.q.CountOpenOfProject(ctx, s.eng.read(), db.CountOpenOfProjectParams{ProjectID: projectID}); err != nil {
		return p, fmt.Errorf("count open commands: %w", s.err(err))
	}
	return p, nil
}

// RecentFailures returns a project's tasks that failed before a place in the list, newest failure first. A zero
// beforeAt starts with the newest.
func (s *Store) RecentFailures(ctx context.Context, projectID int64, beforeAt time.Time, beforeID, limit int64) ([]TaskView, error) {
	if beforeAt.IsZero() {
		beforeAt = farFuture()
	}
	tasks, err := s.q.RecentFailures(ctx, s.eng.read(), db.RecentFailuresParams{
		ProjectID: projectID, BeforeAt: &beforeAt, BeforeID: beforeID, MaxRows: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list recent failures: %w", s.err(err))
	}
	return s.viewTasks(ctx, tasks)
}

// polledLately is how long after a request a polling agent still counts as connected: it waits half a minute at most
// and comes back at once.
const polledLately = 45 * time.Second

// AgentLive reports whether a command would reach the agent now: some replica holds a connection of it, or it polls.
func (s *Store) AgentLive(ctx context.Context, agentID int64) (bool, error) {
	now := s.Now()
	n, err := s.q.AgentLive(ctx, s.eng.read(), db.AgentLiveParams{AgentID: agentID, Now: &now, PolledSince: now.Add(-polledLately)})
	if err != nil {
		return false, fmt.Errorf("find the agent's connections: %w", s.err(err))
	}
	return n > 0, nil
}

// LiveAgents returns the inner keys of a project's agents for which AgentLive holds.
func (s *Store) LiveAgents(ctx context.Context, projectID int64) (map[int64]bool, error) {
	now := s.Now()
	ids, err := s.q.LiveAgents(ctx, s.eng.read(), db.LiveAgentsParams{ProjectID: projectID, Now: &now, PolledSince: now.Add(-polledLately)})
	if err != nil {
		return nil, fmt.Errorf("find live agents: %w", s.err(err))
	}
	live := make(map[int64]bool, len(ids))
	for _, id := range ids {
		live[id] = true
	}
	return live, nil
}
