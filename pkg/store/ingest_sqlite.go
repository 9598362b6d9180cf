// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/projection"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
	"github.com/z4jdev/z4j/pkg/store/internal/litetx"
)

// liteIngest runs the bulk operations of ingest on SQLite: a loop of prepared statements, which on
// the one connection is as fast as SQLite gets. Parameters are plain "?": the driver looks "$n" up by
// name, which costs more than the statement itself.
type liteIngest struct{ db *litetx.DB }

func (l *lite) ingest(tx db.DBTX) ingestOps { return liteIngest{tx.(*litetx.DB)} }

func (l *lite) prepareDays(context.Context, []time.Time) error { return nil }

const liteLoadTask = `SELECT id, name_id, queue_id, worker_id, state, priority, retry_count, runtime_ms,
	received_at, started_at, finished_at, last_failed_at, fingerprint, args, kwargs
	FROM tasks WHERE project_id = ? AND engine_id = ? AND task_id = ?`

// placeTasks implements ingestOps. Nobody else writes: what is not found is new.
func (o liteIngest) placeTasks(ctx context.Context, keys []taskKey, asNew func([]int) []*projection.Task) (map[taskKey]*projection.Task, error) {
	found, err := o.loadTasks(ctx, keys)
	if err != nil {
		return nil, err
	}
	var missing []int
	for i, k := range keys {
		if found[k] == nil {
			missing = append(missing, i)
		}
	}
	return found, o.insertTasks(ctx, asNew(missing))
}

func (o liteIngest) loadTasks(ctx context.Context, keys []taskKey) (map[taskKey]*projection.Task, error) {
	stmt, err := o.db.Stmt(ctx, liteLoadTask)
	if err != nil {
		return nil, err
	}
	found := make(map[taskKey]*projection.Task, len(keys))
	for _, k := range keys {
		t := projection.Task{ProjectID: k.project, EngineID: k.engine, TaskID: k.task}
		var queue, worker, received, started, finished, failed sql.NullInt64
		err := stmt.QueryRowContext(ctx, k.project, k.engine, k.task).Scan(&t.ID, &t.NameID, &queue, &worker, (*int64)(&t.State),
			(*int64)(&t.Priority), &t.RetryCount, &t.RuntimeMS, &received, &started, &finished, &failed, &t.Fingerprint, &t.Args, &t.Kwargs)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		t.QueueID, t.WorkerID = queue.Int64, worker.Int64
		t.ReceivedAt, t.StartedAt = microTime(received), microTime(started)
		t.FinishedAt, t.LastFailedAt = microTime(finished), microTime(failed)
		found[k] = &t
	}
	return found, nil
}

func microTime(v sql.NullInt64) time.Time {
	if !v.Valid {
		return time.Time{}
	}
	return time.UnixMicro(v.Int64).UTC()
}

// micros and key turn zero values into NULL.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func key(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

const liteInsertTask = `INSERT INTO tasks (project_id, engine_id, task_id, name_id, queue_id, worker_id, state, priority,
	retry_count, runtime_ms, eta, received_at, started_at, finished_at, last_failed_at, seen_at, updated_at, fingerprint,
	parent_task_id, root_task_id, tags, args, kwargs, result, exception, traceback)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

func (o liteIngest) insertTasks(ctx context.Context, tasks []*projection.Task) error {
	stmt, err := o.db.Stmt(ctx, liteInsertTask)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		var eta any
		if t.ETA != nil {
			eta = t.ETA.UnixMicro()
		}
		res, err := stmt.ExecContext(ctx, t.ProjectID, t.EngineID, t.TaskID, t.NameID, key(t.QueueID), key(t.WorkerID),
			int64(t.State), int64(t.Priority), t.RetryCount, t.RuntimeMS, eta, micros(t.ReceivedAt), micros(t.StartedAt),
			micros(t.FinishedAt), micros(t.LastFailedAt), t.SeenAt.UnixMicro(), t.UpdatedAt.UnixMicro(), t.Fingerprint,
			t.Parent, t.Root, t.Tags, t.Args, t.Kwargs, t.Result, t.Exception, t.Traceback)
		if err != nil {
			return err
		}
		if t.ID, err = res.LastInsertId(); err != nil {
			return err
		}
	}
	return nil
}

func (o liteIngest) updateTasks(ctx context.Context, writes []taskWrite) error {
	for _, w := range writes {
		stmt, err := o.db.Stmt(ctx, liteUpdate(w.dirty))
		if err != nil {
			return err
		}
		if _, err := stmt.ExecContext(ctx, liteUpdateArgs(w)...); err != nil {
			return err
		}
	}
	return nil
}

// liteUpdate builds the UPDATE of just the groups of columns that changed, so that no index is
// written whose columns did not. The order is that of liteUpdateArgs.
func liteUpdate(d projection.Dirty) string {
	var b strings.Builder
	b.WriteString("UPDATE tasks SET updated_at = ?")
	for _, g := range liteGroups {
		if d&g.bit != 0 {
			b.WriteString(g.set)
		}
	}
	b.WriteString(" WHERE id = ?")
	return b.String()
}

var liteGroups = []struct {
	bit projection.Dirty
	set string
}{
	{projection.DirtyName, ", name_id = ?"},
	{projection.DirtyQueue, ", queue_id = ?"},
	{projection.DirtyState, ", state = ?"},
	{projection.DirtyStarted, ", started_at = ?"},
	{projection.DirtyFailed, ", fingerprint = ?, last_failed_at = ?"},
	{projection.DirtyLinks, ", parent_task_id = ?, root_task_id = ?"},
	{projection.DirtyArgs, ", args = ?, kwargs = ?"},
	{projection.DirtyOutcome, ", finished_at = ?, result = ?, exception = ?, traceback = ?, runtime_ms = ?"},
	{projection.DirtyTags, ", tags = ?"},
	{projection.DirtyETA, ", eta = ?"},
	{projection.DirtyMisc, ", received_at = ?, worker_id = ?, priority = ?, retry_count = ?"},
}

func liteUpdateArgs(w taskWrite) []any {
	t := w.t
	args := make([]any, 0, 16)
	args = append(args, t.UpdatedAt.UnixMicro())
	for _, g := range liteGroups {
		if w.dirty&g.bit == 0 {
			continue
		}
		switch g.bit {
		case projection.DirtyName:
			args = append(args, t.NameID)
		case projection.DirtyQueue:
			args = append(args, key(t.QueueID))
		case projection.DirtyState:
			args = append(args, int64(t.State))
		case projection.DirtyStarted:
			args = append(args, micros(t.StartedAt))
		case projection.DirtyFailed:
			args = append(args, t.Fingerprint, micros(t.LastFailedAt))
		case projection.DirtyLinks:
			args = append(args, t.Parent, t.Root)
		case projection.DirtyArgs:
			args = append(args, t.Args, t.Kwargs)
		case projection.DirtyOutcome:
			args = append(args, micros(t.FinishedAt), t.Result, t.Exception, t.Traceback, t.RuntimeMS)
		case projection.DirtyTags:
			args = append(args, t.Tags)
		case projection.DirtyETA:
			args = append(args, t.ETA.UnixMicro())
		case projection.DirtyMisc:
			args = append(args, micros(t.ReceivedAt), key(t.WorkerID), int64(t.Priority), t.RetryCount)
		}
	}
	return append(args, t.ID)
}

const liteInsertEvent = `INSERT INTO events (task_id, kind, at, at_us, agent_id, worker_id, stripped, payload)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

func (o liteIngest) insertEvents(ctx context.Context, rows []eventRow) ([]bool, error) {
	stmt, err := o.db.Stmt(ctx, liteInsertEvent)
	if err != nil {
		return nil, err
	}
	fresh := make([]bool, len(rows))
	for i := range rows {
		r := &rows[i]
		fresh[i], err = insertNew(ctx, stmt, r.task, int64(r.kind), r.at.UnixMicro(), r.atUS, r.agent, key(r.worker), r.stripped, r.payload)
		if err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

func (o liteIngest) addEvents(ctx context.Context, rows []eventRow) error {
	_, err := o.insertEvents(ctx, rows)
	return err
}

// insertNew runs an insert that passes over conflicts and reports whether the row was new.
func insertNew(ctx context.Context, stmt *sql.Stmt, args ...any) (bool, error) {
	res, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

const liteInsertLoose = `INSERT INTO loose_events (uid, project_id, agent_id, engine_id, task_id, kind, occurred_at, payload)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

func (o liteIngest) insertLoose(ctx context.Context, rows []looseRow) ([]bool, error) {
	stmt, err := o.db.Stmt(ctx, liteInsertLoose)
	if err != nil {
		return nil, err
	}
	fresh := make([]bool, len(rows))
	for i := range rows {
		r := &rows[i]
		fresh[i], err = insertNew(ctx, stmt, r.uid, r.project, r.agent, r.engine, r.task, r.kind, r.at.UnixMicro(), r.payload)
		if err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

const (
	liteTouchAgent = `UPDATE agents SET last_seen_at = $1, state = 'online', updated_at = $1, last_event_at = coalesce($2, last_event_at)
		WHERE id = $3 AND revoked_at IS NULL AND (last_seen_at IS NULL OR last_seen_at < $1 OR state <> 'online'
		OR ($2 IS NOT NULL AND (last_event_at IS NULL OR last_event_at < $2)))`
	liteTouchProcess = `UPDATE agent_workers SET last_seen_at = $1, state = 'online', updated_at = $1
		WHERE agent_id = $2 AND worker_id = $3 AND (last_seen_at IS NULL OR last_seen_at < $1 OR state <> 'online')`
)

func (o liteIngest) touchAgents(ctx context.Context, now time.Time, agents, events []int64) ([]int64, error) {
	var changed []int64
	for _, id := range agents {
		var event *time.Time
		if _, ok := slices.BinarySearch(events, id); ok {
			event = &now
		}
		tag, err := o.db.Exec(ctx, liteTouchAgent, now, event, id)
		if err != nil {
			return nil, err
		}
		if tag.RowsAffected() > 0 {
			changed = append(changed, id)
		}
	}
	return changed, nil
}

func (o liteIngest) touchProcesses(ctx context.Context, now time.Time, list []processKey) error {
	for _, k := range list {
		if _, err := o.db.Exec(ctx, liteTouchProcess, now, k.agent, k.worker); err != nil {
			return err
		}
	}
	return nil
}
