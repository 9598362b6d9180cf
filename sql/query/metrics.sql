-- SPDX-License-Identifier: AGPL-3.0-or-later
-- What is read for scrapers: roll-ups and small tables, never tasks or events.

-- name: BumpTaskTotal :exec
-- Adds to a series. For what workers hold (kind 9) runtime_ms is the last time and not a sum.
INSERT INTO task_totals (project_id, engine_id, worker_id, name_id, queue_id, kind, sub, n, runtime_ms, updated_at)
VALUES (@project_id, @engine_id, @worker_id, @name_id, @queue_id, @kind, @sub, @n, @runtime_ms, @updated_at)
ON CONFLICT (project_id, engine_id, worker_id, name_id, queue_id, kind, sub) DO UPDATE
SET n = task_totals.n + excluded.n,
    runtime_ms = CASE WHEN excluded.kind = 9 THEN excluded.runtime_ms ELSE task_totals.runtime_ms + excluded.runtime_ms END,
    updated_at = excluded.updated_at;

-- name: TaskTotalSeries :many
SELECT DISTINCT engine_id, worker_id, name_id, queue_id FROM task_totals
WHERE project_id = @project_id
LIMIT CAST(@max_rows AS bigint);

-- name: TaskTotalExceptions :many
SELECT DISTINCT sub FROM task_totals
WHERE project_id = @project_id AND kind = 4
LIMIT CAST(@max_rows AS bigint);

-- name: ListTaskTotals :many
SELECT * FROM task_totals
WHERE project_id = @project_id AND (CAST(sqlc.narg('engine_id') AS bigint) IS NULL OR engine_id = sqlc.narg('engine_id'))
ORDER BY engine_id, worker_id, name_id, queue_id, kind, sub
LIMIT CAST(@max_rows AS bigint);

-- name: ExpireTaskTotals :execrows
-- Series of workers that are gone, and of tasks that were not seen for long. The table is small whatever the history is.
DELETE FROM task_totals
WHERE task_totals.updated_at < @unused_since
   OR (task_totals.worker_id <> 0 AND task_totals.updated_at < @silent_since AND NOT EXISTS (
        SELECT 1 FROM names n JOIN workers w ON w.name = n.text
        WHERE n.id = task_totals.worker_id AND w.project_id = task_totals.project_id
          AND (w.last_heartbeat >= CAST(@silent_since AS timestamptz) OR w.last_event_at >= CAST(@silent_since AS timestamptz))));

-- name: ListLeases :many
SELECT name, holder, generation, taken_at, expires_at FROM leases ORDER BY name LIMIT 100;

-- name: OpenCommands :many
-- Commands on their way by project, state and age.
SELECT projects.uid AS project_uid, commands.status, count(*) AS n,
    CAST(sum(CASE WHEN commands.issued_at < @minute_ago THEN 1 ELSE 0 END) AS bigint) AS over_minute,
    CAST(sum(CASE WHEN commands.issued_at < @ten_ago THEN 1 ELSE 0 END) AS bigint) AS over_ten
FROM commands JOIN projects ON projects.id = commands.project_id
WHERE commands.status IN ('pending', 'dispatched')
GROUP BY projects.uid, commands.status
ORDER BY projects.uid, commands.status
LIMIT CAST(@max_rows AS bigint);

-- name: DeltaBacklog :one
SELECT count(*) FROM (SELECT 1 FROM rollup_deltas LIMIT CAST(@max_rows AS bigint)) AS waiting;

-- name: ScrapedWorkers :many
-- Workers without what is long.
SELECT engine, name, hostname, state, concurrency, queues, active_tasks, last_heartbeat, last_event_at FROM workers
WHERE project_id = @project_id ORDER BY id LIMIT CAST(@max_rows AS bigint);
