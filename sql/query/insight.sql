-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: MarkStale :exec
INSERT INTO rollup_stale (project_id, res, at, changes) VALUES (@project_id, @res, @at, 1)
ON CONFLICT (project_id, res, at) DO UPDATE SET changes = rollup_stale.changes + 1;

-- name: StaleBuckets :many
-- Buckets of a width that are over, newest first. The table is small: what stands there waits for seconds.
SELECT project_id, at, changes FROM rollup_stale
WHERE res = @res AND at <= @until_at
ORDER BY at DESC, project_id LIMIT CAST(@max_rows AS bigint);

-- name: StaleInside :one
SELECT EXISTS (SELECT 1 FROM rollup_stale WHERE project_id = @project_id AND res = @res AND at >= @from_at AND at < @until_at) AS there;

-- name: StaleBetween :many
SELECT res, at FROM rollup_stale WHERE project_id = @project_id AND at >= @from_at AND at < @until_at;

-- name: UnmarkStale :execrows
DELETE FROM rollup_stale WHERE project_id = @project_id AND res = @res AND at = @at AND changes = @changes;

-- name: DropSpans :exec
DELETE FROM rollup_spans WHERE project_id = @project_id AND res = @res AND dim IN (0, 1, 2, 3) AND at >= @from_at AND at < @until_at;

-- name: OldestSpan :one
SELECT at FROM rollup_spans WHERE project_id = @project_id AND res = @res AND dim = @dim AND at < @before ORDER BY at LIMIT 1;

-- name: ExpireSpans :execrows
DELETE FROM rollup_spans WHERE project_id = @project_id AND res = @res AND dim = @dim AND at >= @from_at AND at < @until_at;

-- name: AgentStarts :many
SELECT w.started_at, a.name FROM agent_workers w JOIN agents a ON a.id = w.agent_id
WHERE w.project_id = @project_id AND w.started_at >= @from_at AND w.started_at < @until_at
ORDER BY w.started_at DESC LIMIT CAST(@max_rows AS bigint);

-- name: WorkerFirsts :many
SELECT created_at, name FROM workers
WHERE project_id = @project_id AND created_at >= @from_at AND created_at < @until_at
ORDER BY created_at DESC LIMIT CAST(@max_rows AS bigint);

-- name: CountOpenIssues :one
SELECT count(*) FROM (
    SELECT fingerprint FROM issues i WHERE i.project_id = @project_id GROUP BY fingerprint HAVING sum(open_count) > 0
    LIMIT CAST(@max_rows AS bigint)
) AS open;
