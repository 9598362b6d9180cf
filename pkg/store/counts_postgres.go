// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"time"

	"github.com/z4jdev/z4j/pkg/sketch"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Counters change by the hundred in a transaction that others wait for. On PostgreSQL a row each would be a journey each, so
// they go over in arrays, in key order like everywhere.

// bulkRows bounds the rows of one statement.
const bulkRows = 2000

// rollArrays are roll-ups to change.
type rollArrays struct {
	project, res, name, queue, kind []int64
	at                              []time.Time
	n, runtimeN, runtimeMS          []int64
	sketches                        [][]byte
}

func (a *rollArrays) add(k rollKey, v *rollVal) {
	a.project, a.res, a.name, a.queue = append(a.project, k.Project), append(a.res, k.Res), append(a.name, k.Name), append(a.queue, k.Queue)
	a.kind, a.at = append(a.kind, int64(k.Kind)), append(a.at, time.UnixMicro(k.At).UTC())
	a.n, a.runtimeN, a.runtimeMS = append(a.n, v.N), append(a.runtimeN, v.RuntimeN), append(a.runtimeMS, v.RuntimeMS)
	a.sketches = append(a.sketches, nil)
}

func (a *rollArrays) keys() []any {
	return []any{a.project, a.res, a.at, a.name, a.queue, a.kind}
}

// The arrays of rollArrays.keys, and the row that they name.
const (
	pgRollKeys = `$1::bigint[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[]`
	pgSameRoll = `r.project_id = k.project_id AND r.res = k.res AND r.at = k.at AND r.name_id = k.name_id AND r.queue_id = k.queue_id AND r.kind = k.kind`
)

const pgRollSketches = `SELECT k.i, r.sketch FROM unnest(` + pgRollKeys + `) WITH ORDINALITY AS k (project_id, res, at, name_id, queue_id, kind, i)
	JOIN rollups r ON ` + pgSameRoll + ` WHERE r.sketch IS NOT NULL`

const pgBumpRolls = `INSERT INTO rollups (project_id, res, at, name_id, queue_id, kind, n, runtime_n, runtime_ms, sketch)
	SELECT * FROM unnest(` + pgRollKeys + `, $7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[])
	ON CONFLICT (project_id, res, at, name_id, queue_id, kind) DO UPDATE
	SET n = rollups.n + excluded.n, runtime_n = rollups.runtime_n + excluded.runtime_n,
	runtime_ms = rollups.runtime_ms + excluded.runtime_ms, sketch = coalesce(excluded.sketch, rollups.sketch)`

const pgDropEmptyRolls = `DELETE FROM rollups r USING unnest(` + pgRollKeys + `) AS k (project_id, res, at, name_id, queue_id, kind)
	WHERE ` + pgSameRoll + ` AND r.n = 0 AND r.runtime_n = 0 AND r.runtime_ms = 0 AND (r.sketch IS NULL OR length(r.sketch) = 0)`

// pgApplyRolls does what applyRoll does, for many at a time. keys are in order.
func pgApplyRolls(ctx context.Context, h db.DBTX, keys []rollKey, rolls map[rollKey]*rollVal) error {
	var all, measured, fewer rollArrays
	var changed []*rollVal // of all
	var from []int         // where in all the rows of measured are
	for _, k := range keys {
		v := rolls[k]
		if v.nothing() {
			continue
		}
		all.add(k, v)
		changed = append(changed, v)
		if !v.sketch.Empty() {
			measured.add(k, v)
			from = append(from, len(changed)-1)
		}
		if v.N <= 0 {
			fewer.add(k, v)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	merged := make([]sketch.Sketch, len(from))
	if len(from) > 0 {
		var i int64
		var stored []byte
		var bad error
		err := each(ctx, h, pgRollSketches, measured.keys(), []any{&i, &stored}, func() {
			bad = errors.Join(bad, merged[i-1].MergeEncoded(stored))
		})
		if err = errors.Join(err, bad); err != nil {
			return err
		}
	}
	for i, at := range from {
		merged[i].Merge(&changed[at].sketch)
		// Empty, not NULL: coalesce would keep the old one.
		all.sketches[at] = merged[i].Append([]byte{})
	}
	if _, err := h.Exec(ctx, pgBumpRolls, append(all.keys(), all.n, all.runtimeN, all.runtimeMS, all.sketches)...); err != nil {
		return err
	}
	if len(fewer.n) == 0 {
		return nil
	}
	_, err := h.Exec(ctx, pgDropEmptyRolls, fewer.keys()...)
	return err
}

const pgBumpTaskTotals = `INSERT INTO task_totals (project_id, engine_id, worker_id, name_id, queue_id, kind, sub, n, runtime_ms, updated_at)
	SELECT v.*, $10 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
	$8::bigint[], $9::bigint[]) AS v
	ON CONFLICT (project_id, engine_id, worker_id, name_id, queue_id, kind, sub) DO UPDATE
	SET n = task_totals.n + excluded.n,
	runtime_ms = CASE WHEN excluded.kind = 9 THEN excluded.runtime_ms ELSE task_totals.runtime_ms + excluded.runtime_ms END,
	updated_at = excluded.updated_at`

// pgAddTaskTotals does what BumpTaskTotal does, for many at a time. rows are in key order.
func pgAddTaskTotals(ctx context.Context, h db.DBTX, rows []db.BumpTaskTotalParams, now time.Time) error {
	var project, engine, worker, name, queue, kind, sub, n, ms []int64
	for i := range rows {
		r := &rows[i]
		project, engine, worker = append(project, r.ProjectID), append(engine, r.EngineID), append(worker, r.WorkerID)
		name, queue, kind, sub = append(name, r.NameID), append(queue, r.QueueID), append(kind, r.Kind), append(sub, r.Sub)
		n, ms = append(n, r.N), append(ms, r.RuntimeMS)
	}
	_, err := h.Exec(ctx, pgBumpTaskTotals, project, engine, worker, name, queue, kind, sub, n, ms, now)
	return err
}
