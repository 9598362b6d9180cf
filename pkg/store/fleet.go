// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// QueueByName returns a queue of the project.
func (s *Store) QueueByName(ctx context.Context, projectID int64, engine, name string) (Queue, error) {
	q, err := s.q.QueueByName(ctx, s.eng.read(), db.QueueByNameParams{ProjectID: projectID, Engine: engine, Name: name})
	return q, s.err(err)
}

// DepthSample is the depth of a queue at the end of a minute or an hour, and the highest within it.
type DepthSample struct {
	At          time.Time
	Depth, Peak int64
}

// maxDepthSamples bounds one read of samples.
const maxDepthSamples = 100_000

// QueueDepthSamples returns the samples of the project's queues in [from, to) by inner queue key, oldest first, by the minute
// or the hour (RollupMinute, RollupHour).
func (s *Store) QueueDepthSamples(ctx context.Context, projectID, res int64, from, to time.Time) (map[int64][]DepthSample, error) {
	rows, err := s.q.QueueDepths(ctx, s.eng.read(), db.QueueDepthsParams{
		ProjectID: projectID, Res: res, FromAt: bucketOf(from, res), UntilAt: domain.Micros(to), MaxRows: maxDepthSamples,
	})
	if err != nil {
		return nil, fmt.Errorf("read depths of queues: %w", s.err(err))
	}
	out := make(map[int64][]DepthSample)
	for _, r := range rows {
		out[r.QueueID] = append(out[r.QueueID], DepthSample{r.At, r.Depth, r.Peak})
	}
	return out, nil
}

// QueueDepthSeries returns the samples of one queue in [from, to), oldest first.
func (s *Store) QueueDepthSeries(ctx context.Context, queueID, res int64, from, to time.Time) ([]DepthSample, error) {
	rows, err := s.q.QueueDepthSeries(ctx, s.eng.read(), db.QueueDepthSeriesParams{
		QueueID: queueID, Res: res, FromAt: bucketOf(from, res), UntilAt: domain.Micros(to), MaxRows: maxDepthSamples,
	})
	if err != nil {
		return nil, fmt.Errorf("read depths of a queue: %w", s.err(err))
	}
	out := make([]DepthSample, 0, len(rows))
	for _, r := range rows {
		out = append(out, DepthSample{r.At, r.Depth, r.Peak})
	}
	return out, nil
}

// ExpireQueueDepths deletes up to limit samples of width res of before the given time.
func (s *Store) ExpireQueueDepths(ctx context.Context, res int64, before time.Time, limit int64) (int64, error) {
	before = domain.Micros(before)
	queues, err := s.q.QueuesWithOldDepths(ctx, s.eng.read(), db.QueuesWithOldDepthsParams{Res: res, Before: before, MaxRows: 1})
	if err != nil {
		return 0, fmt.Errorf("look for expired queue depths: %w", s.err(err))
	}
	if len(queues) == 0 {
		return 0, nil
	}
	return s.expire(ctx, "queue depths", func(ctx context.Context, tx *Tx) (int64, error) {
		return s.q.DropQueueDepths(ctx, tx.db, db.DropQueueDepthsParams{QueueID: queues[0], Res: res, Before: before, MaxRows: limit})
	})
}

// SumsByName is Sums with the texts of its keys, for queries that split by name or queue and not by time; "" stands for
// tasks of no known queue. Engines share the names: roll-ups do not tell them apart. The window starts at its Grain.
func (s *Store) SumsByName(ctx context.Context, q SumQuery) (map[string]*Sum, error) {
	q.From = q.From.Truncate(Grain(q.To.Sub(q.From)))
	sums, err := s.Sums(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*Sum, len(sums))
	for k, sum := range sums {
		name := ""
		if k.Key != 0 {
			if name, err = s.Name(ctx, k.Key); err != nil {
				return nil, err
			}
		}
		out[name] = sum
	}
	return out, nil
}

// runningScan is how many of the project's newest running tasks RunningTasks looks at.
const runningScan = 5000

// RunningTasks returns up to limit tasks that run on a worker, longest running first.
func (s *Store) RunningTasks(ctx context.Context, projectID int64, engine, worker string, limit int64) ([]TaskView, error) {
	engineID, ok, err := s.NameID(ctx, engine)
	if err != nil || !ok {
		return nil, err
	}
	workerID, ok, err := s.NameID(ctx, worker)
	if err != nil || !ok {
		return nil, err
	}
	tasks, err := s.q.RunningTasksOfWorker(ctx, s.eng.read(), db.RunningTasksOfWorkerParams{
		ProjectID: projectID, State: int64(domain.StateStarted), WorkerID: &workerID, EngineID: engineID, MaxScan: runningScan, MaxRows: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list running tasks of a worker: %w", s.err(err))
	}
	return s.viewTasks(ctx, tasks)
}

// statusesPerAgent is how many self reports LatestAgentStatus reads of each agent: the processes of an agent report in
// turn, several times a minute each.
const (
	statusesPerAgent = 50
	maxStatuses      = 20_000
)

// The newest self reports of each agent of a project, newest first per agent. SQLite has no LATERAL; PostgreSQL would, without
// it and with the wrong statistics, read the reports of all projects.
const (
	pgLatestStatus = `SELECT s.id, s.agent_id, s.worker_id, s.captured_at, s.payload FROM agents a
		CROSS JOIN LATERAL (SELECT x.id, x.agent_id, x.worker_id, x.captured_at, x.payload FROM agent_status x
			WHERE x.agent_id = a.id ORDER BY x.captured_at DESC LIMIT $2) AS s
		WHERE a.project_id = $1 AND a.revoked_at IS NULL
		ORDER BY a.id, s.captured_at DESC, s.id DESC LIMIT $3`
	liteLatestStatus = `SELECT s.id, s.agent_id, s.worker_id, s.captured_at, s.payload FROM agents a JOIN agent_status s ON s.agent_id = a.id
		WHERE a.project_id = $1 AND a.revoked_at IS NULL AND s.captured_at >= (SELECT min(latest.captured_at) FROM (
			SELECT x.captured_at FROM agent_status x WHERE x.agent_id = a.id ORDER BY x.captured_at DESC LIMIT $2) AS latest)
		ORDER BY a.id, s.captured_at DESC, s.id DESC LIMIT $3`
)

// LatestAgentStatus returns the newest self report of every process, by inner agent key, as far as it is among the
// agent's last reports.
func (s *Store) LatestAgentStatus(ctx context.Context, projectID int64) (map[int64][]AgentStatus, error) {
	query := pgLatestStatus
	if s.eng.name() == "sqlite" {
		query = liteLatestStatus
	}
	rows, err := s.eng.read().Query(ctx, query, projectID, int64(statusesPerAgent), int64(maxStatuses))
	if err != nil {
		return nil, fmt.Errorf("read the agents' reports: %w", s.err(err))
	}
	defer rows.Close()
	seen := map[processKey]bool{}
	out := map[int64][]AgentStatus{}
	for rows.Next() {
		var r AgentStatus
		if err := rows.Scan(&r.ID, &r.AgentID, &r.WorkerID, &r.CapturedAt, &r.Payload); err != nil {
			return nil, fmt.Errorf("read the agents' reports: %w", s.err(err))
		}
		if p := (processKey{r.AgentID, r.WorkerID}); !seen[p] {
			seen[p] = true
			out[r.AgentID] = append(out[r.AgentID], r)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the agents' reports: %w", s.err(err))
	}
	return out, nil
}

// rateStretch is how long the two stretches are in which tasks of a worker are counted.
const rateStretch = 5 * time.Minute

// WorkerRate is how many tasks a worker ended lately, a minute, and over how long that was measured.
func (s *Store) WorkerRate(w *WorkerView) (perMinute float64, over time.Duration) {
	now := s.Now()
	stretch := now.Truncate(rateStretch)
	before, current := int64(0), int64(0)
	switch {
	case w.RateAt == nil:
	case w.RateAt.Equal(stretch):
		before, current = w.RateBefore, w.RateN
	case w.RateAt.Equal(stretch.Add(-rateStretch)):
		before = w.RateN
	}
	over = now.Sub(stretch.Add(-rateStretch))
	return float64(max(0, before+current)) / over.Minutes(), over
}
