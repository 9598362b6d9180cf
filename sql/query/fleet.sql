-- SPDX-License-Identifier: AGPL-3.0-or-later
-- What the pages of queues, workers and agents read beside the rows themselves.

-- name: QueueByName :one
SELECT * FROM queues WHERE project_id = @project_id AND engine = @engine AND name = @name;

-- name: QueueDepths :many
-- Samples of a project's queues, oldest first per queue.
SELECT d.queue_id, d.at, d.depth, d.peak FROM queues q
JOIN queue_depths d ON d.queue_id = q.id
WHERE q.project_id = @project_id AND d.res = @res AND d.at >= @from_at AND d.at < @until_at
ORDER BY d.queue_id, d.at
LIMIT CAST(@max_rows AS bigint);

-- name: QueueDepthSeries :many
SELECT queue_id, at, depth, peak FROM queue_depths
WHERE queue_id = @queue_id AND res = @res AND at >= @from_at AND at < @until_at
ORDER BY at
LIMIT CAST(@max_rows AS bigint);

-- name: RunningTasksOfWorker :many
-- Of the newest running tasks of the project, those of one worker: there is no index on workers, and no need of one.
SELECT t.* FROM tasks t
JOIN (
    SELECT x.id FROM tasks x WHERE x.project_id = @project_id AND x.state = @state
    ORDER BY x.started_at DESC, x.id DESC LIMIT CAST(@max_scan AS bigint)
) AS newest ON newest.id = t.id
WHERE t.worker_id = @worker_id AND t.engine_id = @engine_id
ORDER BY t.started_at, t.id
LIMIT CAST(@max_rows AS bigint);
