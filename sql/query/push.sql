-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: MarkRollups :one
-- What the newest minutes counted: it moves with every event of a task.
SELECT CAST(COALESCE(sum(n), 0) AS bigint) AS n FROM rollups
WHERE project_id = @project_id AND res = 1 AND at >= @since;

-- name: MarkQueues :one
SELECT CAST(COALESCE(sum(pending_count), 0) AS bigint) AS pending, count(*) AS n FROM queues WHERE project_id = @project_id;

-- name: MarkCommands :many
SELECT id, status FROM commands WHERE project_id = @project_id ORDER BY issued_at DESC, id DESC LIMIT CAST(@max_rows AS bigint);

-- name: MarkAgents :many
SELECT uid, state, agent_version FROM agents
WHERE project_id = @project_id AND revoked_at IS NULL ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- name: MarkProcesses :one
SELECT count(*) FROM agent_workers WHERE project_id = @project_id AND state = 'online';

-- name: ListQueueDepths :many
-- Depths of every project's queues, for metrics.
SELECT projects.uid AS project_uid, queues.engine, queues.name, queues.pending_count
FROM queues JOIN projects ON projects.id = queues.project_id
WHERE projects.is_active ORDER BY queues.id LIMIT CAST(@max_rows AS bigint);
