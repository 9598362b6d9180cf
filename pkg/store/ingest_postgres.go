// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/projection"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// pgIngest runs the bulk operations of ingest on PostgreSQL: one statement over arrays each. Rows are
// touched in key order, so that two writers meet in the same order and can't deadlock.
type pgIngest struct {
	tx        *pgTx
	db, later db.DBTX
}

func (p *pg) ingest(tx db.DBTX) ingestOps {
	return pgIngest{tx: tx.(*pgTx), db: tx, later: p.later(tx)}
}

// pgLoadTasks looks for one key after the other, in their order, past what the transaction has inserted itself. A join would have
// to be sorted before it locks, and be planned as a scan while the table is small.
const (
	pgLoadTasks = `SELECT t.* FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS k (project_id, engine_id, task_id)
	CROSS JOIN LATERAL (SELECT project_id, engine_id, task_id, id, name_id, queue_id, worker_id, state, priority,
		retry_count, runtime_ms, received_at, started_at, finished_at, last_failed_at, fingerprint, args, kwargs
		FROM tasks WHERE project_id = k.project_id AND engine_id = k.engine_id AND task_id = k.task_id
		AND xmin <> pg_current_xact_id()::xid FOR UPDATE) AS t`
	// pgByIndex keeps a plan that was made for a handful of tasks from scanning what they become.
	pgByIndex = "set local enable_seqscan = off"
)

// placeTasks implements ingestOps in one journey: what it has inserted itself it does not load. Locks are taken in one order by
// all writers: first those of new rows, then those of rows that are there, each in the order of keys. Whoever held a row while
// waiting for another's new one could be waited for in turn.
func (o pgIngest) placeTasks(ctx context.Context, keys []taskKey, asNew func([]int) []*projection.Task) (map[taskKey]*projection.Task, error) {
	n := len(keys)
	all, projects, engines, ids := make([]int, n), make([]int64, n), make([]int64, n), make([]string, n)
	for i, k := range keys {
		all[i], projects[i], engines[i], ids[i] = i, k.project, k.engine, k.task
	}
	if _, err := o.later.Exec(ctx, pgByIndex); err != nil {
		return nil, err
	}
	tasks := asNew(all)
	byKey := make(map[taskKey]*projection.Task, n)
	for i, k := range keys {
		byKey[k] = tasks[i]
	}
	var found map[taskKey]*projection.Task
	err := o.tx.queryBoth(ctx,
		pgInsertTasks, insertTaskArgs(tasks), func(rows pgx.Rows) error {
			var k taskKey
			var id int64
			_, err := pgx.ForEachRow(rows, []any{&k.project, &k.engine, &k.task, &id}, func() error { byKey[k].ID = id; return nil })
			return err
		},
		pgLoadTasks, []any{projects, engines, ids}, func(rows pgx.Rows) (err error) {
			found, err = scanLoaded(rows, n)
			return err
		})
	return found, err
}

func scanLoaded(rows pgx.Rows, n int) (map[taskKey]*projection.Task, error) {
	found := make(map[taskKey]*projection.Task, n)
	for rows.Next() {
		var t projection.Task
		var queue, worker *int64
		var received, started, finished, failed *time.Time
		if err := rows.Scan(&t.ProjectID, &t.EngineID, &t.TaskID, &t.ID, &t.NameID, &queue, &worker, &t.State, &t.Priority,
			&t.RetryCount, &t.RuntimeMS, &received, &started, &finished, &failed, &t.Fingerprint, &t.Args, &t.Kwargs); err != nil {
			return nil, err
		}
		t.QueueID, t.WorkerID = value(queue), value(worker)
		t.ReceivedAt, t.StartedAt, t.FinishedAt, t.LastFailedAt = value(received), value(started), value(finished), value(failed)
		found[taskKey{t.ProjectID, t.EngineID, t.TaskID}] = &t
	}
	return found, rows.Err()
}

// value is *p, or the zero value of nil.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// ptr is the inverse of value for what is stored as NULL when zero.
func ptr[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// taskArrays are the arrays of a bulk write of task rows.
type taskArrays struct {
	id, project, engine, name, state, priority, retry []int64
	task                                              []string
	queue, worker, runtime                            []*int64
	eta, received, started, finished, failed          []*time.Time
	seen, updated                                     []time.Time
	fingerprint, parent, root, tags, args, kwargs     []*string
	result, exception, traceback                      []*string
}

func (c *taskArrays) add(t *projection.Task) {
	c.id, c.project, c.engine = append(c.id, t.ID), append(c.project, t.ProjectID), append(c.engine, t.EngineID)
	c.task, c.name = append(c.task, t.TaskID), append(c.name, t.NameID)
	c.queue, c.worker = append(c.queue, ptr(t.QueueID)), append(c.worker, ptr(t.WorkerID))
	c.state, c.priority = append(c.state, int64(t.State)), append(c.priority, int64(t.Priority))
	c.retry, c.runtime = append(c.retry, t.RetryCount), append(c.runtime, t.RuntimeMS)
	c.eta, c.received, c.started = append(c.eta, t.ETA), append(c.received, ptr(t.ReceivedAt)), append(c.started, ptr(t.StartedAt))
	c.finished, c.failed = append(c.finished, ptr(t.FinishedAt)), append(c.failed, ptr(t.LastFailedAt))
	c.seen, c.updated = append(c.seen, t.SeenAt), append(c.updated, t.UpdatedAt)
	c.fingerprint, c.parent, c.root = append(c.fingerprint, t.Fingerprint), append(c.parent, t.Parent), append(c.root, t.Root)
	c.tags, c.args, c.kwargs = append(c.tags, t.Tags), append(c.args, t.Args), append(c.kwargs, t.Kwargs)
	c.result, c.exception = append(c.result, t.Result), append(c.exception, t.Exception)
	c.traceback = append(c.traceback, t.Traceback)
}

const pgInsertTasks = `INSERT INTO tasks (project_id, engine_id, task_id, name_id, queue_id, worker_id, state, priority,
	retry_count, runtime_ms, eta, received_at, started_at, finished_at, last_failed_at, seen_at, updated_at, fingerprint,
	parent_task_id, root_task_id, tags, args, kwargs, result, exception, traceback)
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
	$9::bigint[], $10::bigint[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[],
	$16::timestamptz[], $17::timestamptz[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[],
	$25::text[], $26::text[])
	ON CONFLICT DO NOTHING RETURNING project_id, engine_id, task_id, id`

func insertTaskArgs(tasks []*projection.Task) []any {
	var c taskArrays
	for _, t := range tasks {
		c.add(t)
	}
	return []any{
		c.project, c.engine, c.task, c.name, c.queue, c.worker, c.state, c.priority,
		c.retry, c.runtime, c.eta, c.received, c.started, c.finished, c.failed, c.seen, c.updated, c.fingerprint, c.parent,
		c.root, c.tags, c.args, c.kwargs, c.result, c.exception, c.traceback,
	}
}

// pgUpdateTasks overwrites a group of columns only where its bit of d is set.
const pgUpdateTasks = `UPDATE tasks SET updated_at = v.updated_at,
	name_id = CASE WHEN v.d & 1 <> 0 THEN v.name_id ELSE tasks.name_id END,
	queue_id = CASE WHEN v.d & 2 <> 0 THEN v.queue_id ELSE tasks.queue_id END,
	state = CASE WHEN v.d & 4 <> 0 THEN v.state ELSE tasks.state END,
	started_at = CASE WHEN v.d & 8 <> 0 THEN v.started_at ELSE tasks.started_at END,
	fingerprint = CASE WHEN v.d & 16 <> 0 THEN v.fingerprint ELSE tasks.fingerprint END,
	last_failed_at = CASE WHEN v.d & 16 <> 0 THEN v.last_failed_at ELSE tasks.last_failed_at END,
	parent_task_id = CASE WHEN v.d & 32 <> 0 THEN v.parent ELSE tasks.parent_task_id END,
	root_task_id = CASE WHEN v.d & 32 <> 0 THEN v.root ELSE tasks.root_task_id END,
	args = CASE WHEN v.d & 64 <> 0 THEN v.args ELSE tasks.args END,
	kwargs = CASE WHEN v.d & 64 <> 0 THEN v.kwargs ELSE tasks.kwargs END,
	finished_at = CASE WHEN v.d & 128 <> 0 THEN v.finished_at ELSE tasks.finished_at END,
	result = CASE WHEN v.d & 128 <> 0 THEN v.result ELSE tasks.result END,
	exception = CASE WHEN v.d & 128 <> 0 THEN v.exception ELSE tasks.exception END,
	traceback = CASE WHEN v.d & 128 <> 0 THEN v.traceback ELSE tasks.traceback END,
	runtime_ms = CASE WHEN v.d & 128 <> 0 THEN v.runtime_ms ELSE tasks.runtime_ms END,
	tags = CASE WHEN v.d & 256 <> 0 THEN v.tags ELSE tasks.tags END,
	eta = CASE WHEN v.d & 512 <> 0 THEN v.eta ELSE tasks.eta END,
	received_at = CASE WHEN v.d & 1024 <> 0 THEN v.received_at ELSE tasks.received_at END,
	worker_id = CASE WHEN v.d & 1024 <> 0 THEN v.worker_id ELSE tasks.worker_id END,
	priority = CASE WHEN v.d & 1024 <> 0 THEN v.priority ELSE tasks.priority END,
	retry_count = CASE WHEN v.d & 1024 <> 0 THEN v.retry_count ELSE tasks.retry_count END
	FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[], $8::text[],
	$9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::text[], $14::timestamptz[], $15::text[], $16::text[], $17::text[],
	$18::bigint[], $19::text[], $20::timestamptz[], $21::timestamptz[], $22::bigint[], $23::bigint[], $24::bigint[])
	AS v (id, d, updated_at, name_id, queue_id, state, started_at, fingerprint, last_failed_at, parent, root, args, kwargs,
	finished_at, result, exception, traceback, runtime_ms, tags, eta, received_at, worker_id, priority, retry_count)
	WHERE tasks.id = v.id`

func (o pgIngest) updateTasks(ctx context.Context, writes []taskWrite) error {
	if len(writes) == 0 {
		return nil
	}
	var c taskArrays
	dirty := make([]int64, len(writes))
	for i, w := range writes {
		c.add(w.t)
		dirty[i] = int64(w.dirty)
	}
	_, err := o.later.Exec(ctx, pgUpdateTasks, c.id, dirty, c.updated, c.name, c.queue, c.state, c.started, c.fingerprint, c.failed,
		c.parent, c.root, c.args, c.kwargs, c.finished, c.result, c.exception, c.traceback, c.runtime, c.tags, c.eta, c.received,
		c.worker, c.priority, c.retry)
	return err
}

const (
	pgAddEvents = `INSERT INTO events (task_id, kind, at, at_us, agent_id, worker_id, stripped, payload)
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])`
	pgInsertEvents = pgAddEvents + ` ON CONFLICT DO NOTHING RETURNING task_id, kind, at`
)

// eventStored reports whether a transaction failed because an event is stored already.
func eventStored(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pe.Code == "23505" && strings.HasPrefix(pe.TableName, "events")
}

// eventArgs are the arrays of pgAddEvents.
func eventArgs(rows []eventRow) []any {
	n := len(rows)
	tasks, kinds, us, agents, stripped := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	workers, ats, payloads := make([]*int64, n), make([]time.Time, n), make([]string, n)
	for i := range rows {
		r := &rows[i]
		tasks[i], kinds[i], ats[i], us[i] = r.task, int64(r.kind), r.at, r.atUS
		agents[i], workers[i], stripped[i], payloads[i] = r.agent, ptr(r.worker), r.stripped, r.payload
	}
	return []any{tasks, kinds, ats, us, agents, workers, stripped, payloads}
}

func (o pgIngest) addEvents(ctx context.Context, rows []eventRow) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := o.later.Exec(ctx, pgAddEvents, eventArgs(rows)...)
	return err
}

func (o pgIngest) insertEvents(ctx context.Context, rows []eventRow) ([]bool, error) {
	fresh := make([]bool, len(rows))
	if len(rows) == 0 {
		return fresh, nil
	}
	type id struct {
		task int64
		kind domain.EventKind
		sec  int64
	}
	index := make(map[id]int, len(rows))
	for i := range rows {
		index[id{rows[i].task, rows[i].kind, rows[i].at.Unix()}] = i
	}
	got, err := o.db.Query(ctx, pgInsertEvents, eventArgs(rows)...)
	if err != nil {
		return nil, err
	}
	defer got.Close()
	for got.Next() {
		var k id
		var at time.Time
		if err := got.Scan(&k.task, &k.kind, &at); err != nil {
			return nil, err
		}
		k.sec = at.Unix()
		fresh[index[k]] = true
	}
	return fresh, got.Err()
}

const pgInsertLoose = `INSERT INTO loose_events (uid, project_id, agent_id, engine_id, task_id, kind, occurred_at, payload)
	SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[], $8::text[])
	ON CONFLICT DO NOTHING RETURNING uid`

func (o pgIngest) insertLoose(ctx context.Context, rows []looseRow) ([]bool, error) {
	fresh := make([]bool, len(rows))
	// One statement must not name a key twice for the flags to be true; the first of equals wins.
	index := make(map[uuid.UUID]int, len(rows))
	order := make([]int, 0, len(rows))
	for i := range rows {
		if _, again := index[rows[i].uid]; !again {
			index[rows[i].uid] = i
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return slices.Compare(rows[a].uid[:], rows[b].uid[:]) })
	n := len(order)
	uids, projects, agents, engines := make([]uuid.UUID, n), make([]int64, n), make([]int64, n), make([]int64, n)
	tasks, kinds, ats, payloads := make([]string, n), make([]string, n), make([]time.Time, n), make([]string, n)
	for j, i := range order {
		r := &rows[i]
		uids[j], projects[j], agents[j], engines[j] = r.uid, r.project, r.agent, r.engine
		tasks[j], kinds[j], ats[j], payloads[j] = r.task, r.kind, r.at, r.payload
	}
	got, err := o.db.Query(ctx, pgInsertLoose, uids, projects, agents, engines, tasks, kinds, ats, payloads)
	if err != nil {
		return nil, err
	}
	defer got.Close()
	for got.Next() {
		var uid uuid.UUID
		if err := got.Scan(&uid); err != nil {
			return nil, err
		}
		fresh[index[uid]] = true
	}
	return fresh, got.Err()
}
