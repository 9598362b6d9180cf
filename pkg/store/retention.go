// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Retention works in steps: each is one transaction in the bulk lane over a bounded number of rows, so that
// ingest waits for no more than that. Callers repeat a step while it finds something.

// expire runs one bounded delete as a step of retention.
func (s *Store) expire(ctx context.Context, what string, del func(ctx context.Context, tx *Tx) (int64, error)) (n int64, err error) {
	err = s.inTx(ctx, true, func(ctx context.Context, tx *Tx) error {
		var err error
		n, err = del(ctx, tx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("delete expired %s: %w", what, err)
	}
	return n, nil
}

// EventCursor is a place in the order in which events are stored.
type EventCursor struct {
	Task int64     `json:"task"`
	Kind int64     `json:"kind"`
	At   time.Time `json:"at"`
}

// Bounds of SweepEvents: how many rows a call looks at, and how many it deletes.
const (
	sweepScan   = 10_000
	sweepDelete = 2_000
)

// SweepEvents looks at the next events behind a place and deletes those of before the given time: the way of
// SQLite, whose events have one tree, in the order of their tasks, and no index on time, which every insert
// would pay for. One walk reads the tree once. done is true at its end. PostgreSQL drops partitions instead
// (DropEvents), there is nothing to walk.
func (s *Store) SweepEvents(ctx context.Context, before time.Time, after EventCursor) (n int64, next EventCursor, done bool, err error) {
	if s.eng.name() != "sqlite" {
		return 0, EventCursor{}, true, nil
	}
	before = domain.Micros(before)
	rows, err := s.eng.read().Query(ctx, `SELECT task_id, kind, at FROM events WHERE (task_id, kind, at) > ($1, $2, $3)
		ORDER BY task_id, kind, at LIMIT $4`, after.Task, after.Kind, after.At, int64(sweepScan))
	if err != nil {
		return 0, after, false, fmt.Errorf("look for expired events: %w", s.err(err))
	}
	defer rows.Close()
	next = after
	var first, last EventCursor
	seen, expired := 0, 0
	for expired < sweepDelete && rows.Next() {
		if err := rows.Scan(&next.Task, &next.Kind, &next.At); err != nil {
			return 0, after, false, fmt.Errorf("look for expired events: %w", s.err(err))
		}
		seen++
		if next.At.Before(before) {
			if expired == 0 {
				first = next
			}
			last = next
			expired++
		}
	}
	if err := rows.Err(); err != nil {
		return 0, after, false, fmt.Errorf("look for expired events: %w", s.err(err))
	}
	rows.Close()
	done = seen < sweepScan && expired < sweepDelete
	if expired == 0 {
		return 0, next, done, nil
	}
	n, err = s.expire(ctx, "events", func(ctx context.Context, tx *Tx) (int64, error) {
		res, err := tx.db.Exec(ctx, `DELETE FROM events WHERE (task_id, kind, at) >= ($1, $2, $3) AND (task_id, kind, at) <= ($4, $5, $6)
			AND at < $7`, first.Task, first.Kind, first.At, last.Task, last.Kind, last.At, before)
		return res.RowsAffected(), err
	})
	if err != nil {
		return 0, after, false, err
	}
	return n, next, done, nil
}

// DropEvents drops the daily partitions of events that lie wholly before the given time, and deletes such rows
// of the default partition. n is the server's estimate of the rows dropped. A partition that is in use for longer
// than a moment is left for the next call; the error, domain.ErrTransient, says so. On SQLite there is nothing
// to drop.
func (s *Store) DropEvents(ctx context.Context, before time.Time) (n int64, err error) {
	n, err = s.eng.dropEvents(ctx, domain.Micros(before))
	if err != nil {
		return n, fmt.Errorf("drop expired events: %w", s.err(err))
	}
	return n, nil
}

// ExpireLooseEvents deletes up to limit events of before the given time that belong to no task.
func (s *Store) ExpireLooseEvents(ctx context.Context, before time.Time, limit int64) (int64, error) {
	return s.expire(ctx, "loose events", func(ctx context.Context, tx *Tx) (int64, error) {
		return s.q.ExpireLooseEvents(ctx, tx.db, db.ExpireLooseEventsParams{Before: domain.Micros(before), MaxRows: limit})
	})
}

// ExpireAgentStatus deletes up to limit self reports of agents of before the given time.
func (s *Store) ExpireAgentStatus(ctx context.Context, before time.Time, limit int64) (int64, error) {
	before = domain.Micros(before)
	agents, err := s.q.AgentsWithOldStatus(ctx, s.eng.read(), db.AgentsWithOldStatusParams{Before: before, MaxRows: 1})
	if err != nil {
		return 0, fmt.Errorf("look for expired agent reports: %w", s.err(err))
	}
	if len(agents) == 0 {
		return 0, nil
	}
	return s.expire(ctx, "agent reports", func(ctx context.Context, tx *Tx) (int64, error) {
		return s.q.ExpireAgentStatus(ctx, tx.db, db.ExpireAgentStatusParams{AgentID: agents[0], Before: before, MaxRows: limit})
	})
}

// TaskMark is a place in the order in which tasks arrived in a project.
type TaskMark struct {
	Project int64
	At      time.Time
	ID      int64
}

// ExpireTasks deletes up to limit tasks whose last change lies before the given time, with what is left of their
// events, going on behind a place; done is true when every project was looked through. Tasks leave the counts
// of tasks and failure groups, which tell of what is there. Roll-ups and the totals of workers tell of what
// happened: they keep it.
func (s *Store) ExpireTasks(ctx context.Context, before time.Time, after TaskMark, limit int64) (n int64, next TaskMark, done bool, err error) {
	before = domain.Micros(before)
	projects, err := s.q.ProjectIDs(ctx, s.eng.read())
	if err != nil {
		return 0, after, false, fmt.Errorf("list projects: %w", s.err(err))
	}
	for _, project := range projects {
		if project < after.Project {
			continue
		}
		if project > after.Project {
			after = TaskMark{Project: project, At: time.Unix(0, 0).UTC()}
		}
		rows, err := s.q.ExpiredTasks(ctx, s.eng.read(), db.ExpiredTasksParams{
			ProjectID: project, Before: before, AfterAt: after.At, AfterID: after.ID, MaxRows: limit,
		})
		if err != nil {
			return 0, after, false, fmt.Errorf("look for expired tasks: %w", s.err(err))
		}
		if len(rows) == 0 {
			continue
		}
		keys := make([]int64, len(rows))
		for i, r := range rows {
			keys[i] = r.ID
		}
		last := rows[len(rows)-1]
		n, err := s.expire(ctx, "tasks", func(ctx context.Context, tx *Tx) (int64, error) {
			return tx.deleteTasks(ctx, project, keys, &before)
		})
		if err != nil {
			return 0, after, false, err
		}
		return n, TaskMark{Project: project, At: last.SeenAt, ID: last.ID}, false, nil
	}
	return 0, after, true, nil
}

// ExpireCommands deletes up to limit commands that ended before the given time, and bulk retries that nothing happened to
// since, which have up to 10,000 rows each.
func (s *Store) ExpireCommands(ctx context.Context, before time.Time, limit int64) (int64, error) {
	return s.expireByProject(ctx, "commands", func(ctx context.Context, tx *Tx, project int64) (int64, error) {
		n, err := s.q.ExpireBulkRetries(ctx, tx.db, db.ExpireBulkRetriesParams{ProjectID: project, Before: domain.Micros(before), MaxRows: 1})
		if err != nil || n > 0 {
			return n, err
		}
		return s.q.ExpireCommands(ctx, tx.db, db.ExpireCommandsParams{ProjectID: project, Before: domain.Micros(before), MaxRows: limit})
	})
}

// expireByProject runs del for one project after the other until it finds something.
func (s *Store) expireByProject(ctx context.Context, what string, del func(ctx context.Context, tx *Tx, project int64) (int64, error)) (int64, error) {
	projects, err := s.q.ProjectIDs(ctx, s.eng.read())
	if err != nil {
		return 0, fmt.Errorf("list projects: %w", s.err(err))
	}
	for _, project := range projects {
		n, err := s.expire(ctx, what, func(ctx context.Context, tx *Tx) (int64, error) { return del(ctx, tx, project) })
		if err != nil || n > 0 {
			return n, err
		}
	}
	return 0, nil
}

// ExpireSessions deletes up to limit browser sessions that ended before the given time.
func (s *Store) ExpireSessions(ctx context.Context, before time.Time, limit int64) (int64, error) {
	before = domain.Micros(before)
	return s.expire(ctx, "sessions", func(ctx context.Context, tx *Tx) (int64, error) {
		return s.q.ExpireSessions(ctx, tx.db, db.ExpireSessionsParams{Before: before, MaxRows: limit})
	})
}

// ExpireSetupToken deletes the first-boot token when it ran out before the given time.
func (s *Store) ExpireSetupToken(ctx context.Context, before time.Time) (int64, error) {
	return s.expire(ctx, "setup tokens", func(ctx context.Context, tx *Tx) (int64, error) {
		return s.q.ExpireSetupToken(ctx, tx.db, db.ExpireSetupTokenParams{Before: domain.Micros(before)})
	})
}

// ExpireLongPoll deletes up to limit long-poll sessions that were last used before the given time.
func (s *Store) ExpireLongPoll(ctx context.Context, before time.Time, limit int64) (int64, error) {
	return s.expire(ctx, "long-poll sessions", func(ctx context.Context, tx *Tx) (int64, error) {
		return s.q.ExpireLongPoll(ctx, tx.db, db.ExpireLongPollParams{Before: domain.Micros(before), MaxRows: limit})
	})
}

// ExpireWorkers deletes up to limit workers that were last heard of before the given time.
func (s *Store) ExpireWorkers(ctx context.Context, before time.Time, limit int64) (int64, error) {
	return s.expire(ctx, "workers", func(ctx context.Context, tx *Tx) (int64, error) {
		return s.q.ExpireWorkers(ctx, tx.db, db.ExpireWorkersParams{Before: domain.Micros(before), MaxRows: limit})
	})
}

// ExpireQueues deletes up to limit queues that were last heard of before the given time.
func (s *Store) ExpireQueues(ctx context.Context, before time.Time, limit int64) (int64, error) {
	return s.expire(ctx, "queues", func(ctx context.Context, tx *Tx) (int64, error) {
		return s.q.ExpireQueues(ctx, tx.db, db.ExpireQueuesParams{Before: domain.Micros(before), MaxRows: limit})
	})
}

// MarkStaleWorkers marks workers as offline that nothing was heard of since the given time, when their agent is
// away or used to tell of them. Others are known from the events of tasks only, and may just have none: of those
// that were silent since doubtSince the state is unknown. It returns how many rows changed.
func (s *Store) MarkStaleWorkers(ctx context.Context, silentSince, doubtSince time.Time) (n int64, err error) {
	silentSince, doubtSince = domain.Micros(silentSince), domain.Micros(doubtSince)
	err = s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		offline, err := s.q.MarkStaleWorkers(ctx, tx.db, db.MarkStaleWorkersParams{Now: s.Now(), Before: &silentSince})
		if err != nil {
			return err
		}
		unknown, err := s.q.DoubtWorkers(ctx, tx.db, db.DoubtWorkersParams{Now: s.Now(), Before: &doubtSince})
		n = offline + unknown
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("mark silent workers: %w", err)
	}
	return n, nil
}
