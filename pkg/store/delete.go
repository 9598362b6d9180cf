// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/z4jdev/z4j/pkg/projection"
)

const footprintColumns = `id, project_id, engine_id, task_id, name_id, queue_id, worker_id, state, retry_count, runtime_ms,
	eta, received_at, started_at, finished_at, last_failed_at, fingerprint`

// scanFootprint reads the columns of footprintColumns.
func scanFootprint(scan func(...any) error) (projection.Task, error) {
	var t projection.Task
	var queue, worker *int64
	var received, started, finished, failed *time.Time
	err := scan(&t.ID, &t.ProjectID, &t.EngineID, &t.TaskID, &t.NameID, &queue, &worker, (*int64)(&t.State), &t.RetryCount,
		&t.RuntimeMS, &t.ETA, &received, &started, &finished, &failed, &t.Fingerprint)
	t.QueueID, t.WorkerID = value(queue), value(worker)
	t.ReceivedAt, t.StartedAt, t.FinishedAt, t.LastFailedAt = value(received), value(started), value(finished), value(failed)
	return t, err
}

// DeleteTasks deletes task rows of a project with their events and takes them out of every counter.
// Keys that are not there are passed over; n is how many rows went.
func (tx *Tx) DeleteTasks(ctx context.Context, projectID int64, keys []int64) (n int64, err error) {
	return tx.deleteTasks(ctx, projectID, keys, nil)
}

// deleteTasks is DeleteTasks, or with expired the deletion of those that did not change since: what they did
// stays counted.
func (tx *Tx) deleteTasks(ctx context.Context, projectID int64, keys []int64, expired *time.Time) (n int64, err error) {
	condition := "id = $1 AND project_id = $2"
	if expired != nil {
		condition += " AND updated_at < $3"
	}
	// Rows are locked in key order, as everywhere.
	keys = slices.Clone(keys)
	slices.Sort(keys)
	var gone []int64
	lock := ""
	if tx.s.eng.name() != "sqlite" {
		lock = " FOR UPDATE"
	}
	d, err := tx.newDeltas(ctx)
	if err != nil {
		return 0, err
	}
	for _, id := range slices.Compact(keys) {
		args := []any{id, projectID}
		if expired != nil {
			args = append(args, *expired)
		}
		row := tx.db.QueryRow(ctx, "SELECT "+footprintColumns+" FROM tasks WHERE "+condition+lock, args...)
		t, err := scanFootprint(row.Scan)
		if tx.s.isNotFound(err) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("delete task %d: %w", id, tx.s.err(err))
		}
		f := footprintOf(&t)
		if expired != nil {
			// An event that changed nothing does not renew the row, and may be younger than its own limit.
			young, err := tx.hasEvents(ctx, id, *expired)
			if err != nil {
				return 0, fmt.Errorf("delete task %d: %w", id, tx.s.err(err))
			}
			if young {
				continue
			}
			d.gone(&f)
		} else if err := tx.uncount(ctx, d, &t, &f); err != nil {
			return 0, fmt.Errorf("delete task %d: %w", id, tx.s.err(err))
		}
		for _, stmt := range []string{"DELETE FROM events WHERE task_id = $1", "DELETE FROM tasks WHERE id = $1"} {
			if _, err := tx.db.Exec(ctx, stmt, id); err != nil {
				return 0, fmt.Errorf("delete task %d: %w", id, tx.s.err(err))
			}
		}
		n++
		gone = append(gone, id)
	}
	if len(gone) > 0 {
		if err := tx.s.eng.dropTokens(ctx, tx.db, gone); err != nil {
			return 0, fmt.Errorf("take tasks out of the search index: %w", tx.s.err(err))
		}
	}
	return n, tx.s.err(tx.commitDeltas(ctx, d))
}

// uncount takes a task and its events out of every counter.
func (tx *Tx) uncount(ctx context.Context, d *deltas, t *projection.Task, f *footprint) error {
	events, err := storedEvents(ctx, tx.db, t.ID)
	if err != nil {
		return err
	}
	d.row(f, -1)
	for _, e := range events {
		d.event(t.ProjectID, t.NameID, t.QueueID, e.kind, e.at, -1)
	}
	return nil
}

// hasEvents reports whether a task has stored events of since or later.
func (tx *Tx) hasEvents(ctx context.Context, task int64, since time.Time) (bool, error) {
	var there bool
	err := tx.db.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM events WHERE task_id = $1 AND at >= $2)", task, since).Scan(&there)
	return there, err
}
