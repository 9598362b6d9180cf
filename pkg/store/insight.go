// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Start is the start of processes of an agent in one minute, or the first sight of a worker.
type Start struct {
	At    time.Time
	Agent bool
	Name  string
	// N is how many processes started.
	N int64
}

// Starts returns what started in a window, oldest first and of more than limit the newest.
func (s *Store) Starts(ctx context.Context, projectID int64, from, to time.Time, limit int) ([]Start, error) {
	// Processes of one start come by the dozen.
	rows, err := s.q.AgentStarts(ctx, s.eng.read(), db.AgentStartsParams{ProjectID: projectID, FromAt: &from, UntilAt: &to, MaxRows: int64(limit) * 20})
	if err != nil {
		return nil, fmt.Errorf("list starts of agents: %w", s.err(err))
	}
	type minute struct {
		at   int64
		name string
	}
	var out []Start
	seen := make(map[minute]int)
	for _, r := range rows {
		at := value(r.StartedAt).UTC()
		k := minute{bucketOf(at, RollupMinute).Unix(), r.Name}
		if i, ok := seen[k]; ok {
			out[i].N++
			continue
		}
		seen[k] = len(out)
		out = append(out, Start{At: at, Agent: true, Name: r.Name, N: 1})
	}
	firsts, err := s.q.WorkerFirsts(ctx, s.eng.read(), db.WorkerFirstsParams{ProjectID: projectID, FromAt: from, UntilAt: to, MaxRows: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("list first sights of workers: %w", s.err(err))
	}
	for _, w := range firsts {
		out = append(out, Start{At: w.CreatedAt.UTC(), Name: w.Name, N: 1})
	}
	slices.SortStableFunc(out, func(a, b Start) int { return a.At.Compare(b.At) })
	return out[max(0, len(out)-limit):], nil
}

// CountOpenIssues counts a project's groups of failures that have tasks still in failure, up to limit.
func (s *Store) CountOpenIssues(ctx context.Context, projectID, limit int64) (int64, error) {
	n, err := s.q.CountOpenIssues(ctx, s.eng.read(), db.CountOpenIssuesParams{ProjectID: projectID, MaxRows: limit})
	return n, s.err(err)
}

// Occurrences are the failures of a group in a window, each task with its latest.
type Occurrences struct {
	// Buckets divide the window evenly. Of very many failures the newest are counted, and Capped is set.
	Buckets []int64
	N       int64
	Capped  bool
}

// failedLast adds the conditions on the tasks of a failure group that failed last in a window, and returns their order,
// newest first. A zero from means any time.
func (s *Store) failedLast(b *builder, projectID int64, fingerprint string, from, to time.Time) (order string) {
	b.add("project_id = " + b.arg(projectID))
	group := b.arg(fingerprint)
	if s.eng.name() == "sqlite" {
		b.add("fingerprint = " + group)
		if !from.IsZero() {
			b.add("last_failed_at >= " + b.arg(from))
		}
		b.add("last_failed_at < " + b.arg(to))
		return " ORDER BY last_failed_at DESC"
	}
	// In pairs the conditions fit the index of groups alone: with the time apart, PostgreSQL takes the index of failures of
	// all groups while its statistics do not know of the newest.
	b.add("fingerprint IS NOT NULL")
	if from.IsZero() {
		b.add("fingerprint >= " + group)
	} else {
		b.add("(fingerprint, last_failed_at) >= (" + group + ", " + b.arg(from) + ")")
	}
	b.add("(fingerprint, last_failed_at) < (" + group + ", " + b.arg(to) + ")")
	return " ORDER BY fingerprint DESC, last_failed_at DESC"
}

// IssueOccurrences counts the tasks of a failure group by when they failed last, in so many equal parts of a window. It
// looks at the newest limit of them.
func (s *Store) IssueOccurrences(ctx context.Context, projectID int64, fingerprint string, from, to time.Time, parts int, limit int64) (Occurrences, error) {
	out := Occurrences{Buckets: make([]int64, parts)}
	b := &builder{}
	order := s.failedLast(b, projectID, fingerprint, from, to)
	width := b.arg(max(1, (to.Sub(from).Microseconds()+int64(parts)-1)/int64(parts)))
	start := b.arg(from)
	part := "(last_failed_at - CAST(" + start + " AS integer)) / CAST(" + width + " AS integer)"
	if s.eng.name() != "sqlite" {
		// date_part is a float, true to the microsecond over centuries; extract is a decimal number and takes several times as long.
		part = "CAST(round(date_part('epoch', last_failed_at - CAST(" + start + " AS timestamptz)) * 1000000) AS bigint) / CAST(" + width + " AS bigint)"
	}
	query := "SELECT part, count(*) FROM (SELECT " + part + " AS part FROM tasks" + b.where() + order +
		" LIMIT " + b.arg(limit) + ") AS newest GROUP BY part"
	err := s.Read(ctx, query, b.args, func(scan func(...any) error) error {
		var i, n int64
		if err := scan(&i, &n); err != nil {
			return err
		}
		out.Buckets[min(max(i, 0), int64(parts)-1)] += n
		out.N += n
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("count occurrences: %w", err)
	}
	out.Capped = out.N >= limit
	return out, nil
}

// IssueTasks returns the tasks of a failure group that failed last before a time, newest first.
func (s *Store) IssueTasks(ctx context.Context, projectID int64, fingerprint string, before time.Time, limit int) ([]TaskView, error) {
	b := &builder{}
	order := s.failedLast(b, projectID, fingerprint, time.Time{}, before)
	query := "SELECT " + taskColumns + " FROM tasks" + b.where() + order + " LIMIT " + b.arg(int64(limit))
	tasks, err := s.readTasks(ctx, query, b.args, limit)
	if err != nil {
		return nil, fmt.Errorf("list tasks of an issue: %w", s.err(err))
	}
	return s.viewTasks(ctx, tasks)
}

// Affected are the task names, queues and workers of a sample of tasks that failed alike, most frequent first.
type Affected struct {
	Names, Queues, Workers []Share
	// N is the size of the sample.
	N int64
}

// Share is how often a value occurs.
type Share struct {
	Value string
	N     int64
}

// IssueAffected looks at the newest sample tasks of a failure group that failed last before a time.
func (s *Store) IssueAffected(ctx context.Context, projectID int64, fingerprint string, before time.Time, sample int64) (Affected, error) {
	var out Affected
	names, queues, workers := map[int64]int64{}, map[int64]int64{}, map[int64]int64{}
	b := &builder{}
	order := s.failedLast(b, projectID, fingerprint, time.Time{}, before)
	err := s.Read(ctx, "SELECT name_id, queue_id, worker_id, count(*) FROM (SELECT name_id, queue_id, worker_id FROM tasks"+b.where()+order+
		" LIMIT "+b.arg(sample)+") AS newest GROUP BY name_id, queue_id, worker_id", b.args,
		func(scan func(...any) error) error {
			var name, n int64
			var queue, worker *int64
			if err := scan(&name, &queue, &worker, &n); err != nil {
				return err
			}
			names[name] += n
			out.N += n
			if queue != nil {
				queues[*queue] += n
			}
			if worker != nil {
				workers[*worker] += n
			}
			return nil
		})
	if err != nil {
		return out, fmt.Errorf("read what an issue affects: %w", err)
	}
	for from, into := range map[*map[int64]int64]*[]Share{&names: &out.Names, &queues: &out.Queues, &workers: &out.Workers} {
		*into = []Share{}
		for id, n := range *from {
			text, err := s.Name(ctx, id)
			if err != nil {
				return out, err
			}
			*into = append(*into, Share{text, n})
		}
		slices.SortFunc(*into, func(a, b Share) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Value, b.Value)) })
	}
	return out, nil
}

// IssueByFingerprint returns one failure group of a project.
func (s *Store) IssueByFingerprint(ctx context.Context, projectID int64, fingerprint string) (Issue, error) {
	issues, err := s.ListIssues(ctx, IssueFilter{ProjectID: projectID, Fingerprint: fingerprint, Limit: 1})
	if err != nil {
		return Issue{}, err
	}
	if len(issues) == 0 {
		return Issue{}, domain.ErrNotFound
	}
	return issues[0], nil
}

// Troubles are since when agents are offline and commands wait for an answer, nil when there are none.
type Troubles struct {
	// FirstOffline and LastOffline are when the first and the last of the agents that are offline was heard of.
	FirstOffline, LastOffline *time.Time
	// Stuck is when the oldest open command was issued.
	Stuck *time.Time
}

// Troubles tells since when a project is in trouble.
func (s *Store) Troubles(ctx context.Context, projectID int64) (Troubles, error) {
	var t Troubles
	err := s.Read(ctx, `SELECT min(last_seen_at), max(last_seen_at) FROM agents
		WHERE project_id = $1 AND revoked_at IS NULL AND state = 'offline'`, []any{projectID},
		func(scan func(...any) error) error { return scan(&t.FirstOffline, &t.LastOffline) })
	if err != nil {
		return t, fmt.Errorf("find since when agents are offline: %w", err)
	}
	err = s.Read(ctx, "SELECT min(issued_at) FROM commands WHERE +project_id = $1 AND status IN ('pending', 'dispatched')", []any{projectID},
		func(scan func(...any) error) error { return scan(&t.Stuck) })
	if err != nil {
		return t, fmt.Errorf("find the oldest open command: %w", err)
	}
	return t, nil
}
