// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"time"
)

// Waiting tells of tasks that were seen and have not started.
type Waiting struct {
	// Count is exact unless Capped, then there are more.
	Count  int64
	Capped bool
	// Oldest is the earliest reception among them, nil when there is none or no engine reports it.
	Oldest *time.Time
}

// waiting is the condition of the partial index tasks_waiting; SQLite takes the index only for these very words.
const waiting = "state IN (1, 2)"

// WaitingTasks looks at the tasks of a project, or of one of its queues, that were received and have not started. The
// queue is an inner name key, 0 for tasks of no known queue, nil for all. It counts up to limit and no further; the
// oldest is exact whatever the count.
func (s *Store) WaitingTasks(ctx context.Context, projectID int64, queueID *int64, limit int64) (Waiting, error) {
	b := &builder{}
	b.add("project_id = " + b.arg(projectID))
	b.add(waiting)
	switch {
	case queueID == nil:
	case *queueID == 0:
		b.add("queue_id IS NULL")
	default:
		b.add("queue_id = " + b.arg(*queueID))
	}
	var w Waiting
	count := b.clone()
	query := "SELECT count(*) FROM (SELECT 1 FROM tasks" + count.where() + " LIMIT " + count.arg(limit+1) + ") AS w"
	if err := s.eng.read().QueryRow(ctx, query, count.args...).Scan(&w.Count); err != nil {
		return w, fmt.Errorf("count waiting tasks: %w", s.err(err))
	}
	if w.Count == 0 {
		return w, nil
	}
	if w.Capped = w.Count > limit; w.Capped {
		w.Count = limit
	}
	query = "SELECT min(received_at) FROM tasks" + b.where()
	if queueID == nil {
		// The index orders by queue first: one step for each queue that has waiting tasks, then one more for its oldest.
		query = `WITH RECURSIVE q (id) AS (
			SELECT min(queue_id) FROM tasks` + b.where() + `
			UNION ALL
			SELECT (SELECT min(queue_id) FROM tasks` + b.where() + ` AND queue_id > q.id) FROM q WHERE q.id IS NOT NULL
		), oldest (at) AS (
			SELECT (SELECT min(received_at) FROM tasks` + b.where() + ` AND queue_id = q.id) FROM q WHERE q.id IS NOT NULL
			UNION ALL
			SELECT (SELECT min(received_at) FROM tasks` + b.where() + ` AND queue_id IS NULL)
		) SELECT min(at) FROM oldest`
	}
	if err := s.eng.read().QueryRow(ctx, query, b.args...).Scan(&w.Oldest); err != nil {
		return w, fmt.Errorf("find the oldest waiting task: %w", s.err(err))
	}
	return w, nil
}
