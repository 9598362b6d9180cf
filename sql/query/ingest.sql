-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: SeeQueue :exec
INSERT INTO queues (uid, project_id, engine, name, last_seen_at, created_at, updated_at)
VALUES (@uid, @project_id, @engine, @name, @at, @now, @now)
ON CONFLICT (project_id, engine, name) DO UPDATE SET last_seen_at = excluded.last_seen_at
WHERE queues.last_seen_at IS NULL OR queues.last_seen_at < excluded.last_seen_at;

-- name: SetQueueDepth :exec
INSERT INTO queues (uid, project_id, engine, name, broker_type, last_seen_at, depth_at, pending_count, created_at, updated_at)
VALUES (@uid, @project_id, @engine, @name, @broker_type, @at, @at, @pending, @now, @now)
ON CONFLICT (project_id, engine, name) DO UPDATE
SET pending_count = excluded.pending_count, depth_at = excluded.depth_at,
    broker_type = coalesce(excluded.broker_type, queues.broker_type),
    last_seen_at = CASE WHEN queues.last_seen_at IS NULL OR queues.last_seen_at < excluded.last_seen_at
        THEN excluded.last_seen_at ELSE queues.last_seen_at END,
    updated_at = excluded.updated_at
WHERE queues.depth_at IS NULL OR queues.depth_at <= excluded.depth_at;

-- name: SampleQueueDepth :exec
-- Keeps the last and the highest depth of a bucket.
INSERT INTO queue_depths (queue_id, res, at, depth, peak)
SELECT q.id, @res, @at, @depth, @depth FROM queues q
WHERE q.project_id = @project_id AND q.engine = @engine AND q.name = @name
ON CONFLICT (queue_id, res, at) DO UPDATE
SET depth = excluded.depth, peak = CASE WHEN queue_depths.peak > excluded.peak THEN queue_depths.peak ELSE excluded.peak END;

-- name: SeeWorker :exec
-- An event tells that the worker lives, and when it last did something: a report of it may be newer already.
INSERT INTO workers (uid, project_id, engine, name, state, last_heartbeat, last_event_at, agent_id, created_at, updated_at)
VALUES (@uid, @project_id, @engine, @name, 'online', @at, @at, @agent_id, @now, @now)
ON CONFLICT (project_id, engine, name) DO UPDATE
SET state = CASE WHEN workers.last_heartbeat > excluded.last_heartbeat THEN workers.state ELSE 'online' END,
    last_heartbeat = CASE WHEN workers.last_heartbeat > excluded.last_heartbeat THEN workers.last_heartbeat ELSE excluded.last_heartbeat END,
    last_event_at = CASE WHEN workers.last_event_at > excluded.last_event_at THEN workers.last_event_at ELSE excluded.last_event_at END,
    agent_id = coalesce(workers.agent_id, excluded.agent_id), updated_at = excluded.updated_at
WHERE workers.last_heartbeat IS NULL OR workers.last_heartbeat <= excluded.last_heartbeat
    OR workers.last_event_at IS NULL OR workers.last_event_at < excluded.last_event_at;

-- name: LastReport :one
SELECT metadata, queues FROM workers WHERE project_id = @project_id AND engine = @engine AND name = @name;

-- name: ReportWorker :exec
-- What the report tells counts even when an event of the worker is newer: only the state and the time do not go back.
INSERT INTO workers (uid, project_id, engine, name, hostname, pid, concurrency, queues, state, last_heartbeat,
    load_average, active_tasks, metadata, agent_id, created_at, updated_at)
VALUES (@uid, @project_id, @engine, @name, @hostname, @pid, @concurrency, @queues, 'online', @at,
    @load_average, @active_tasks, @metadata, @agent_id, @now, @now)
ON CONFLICT (project_id, engine, name) DO UPDATE
SET hostname = coalesce(excluded.hostname, workers.hostname), pid = coalesce(excluded.pid, workers.pid),
    concurrency = coalesce(excluded.concurrency, workers.concurrency), queues = excluded.queues,
    state = CASE WHEN workers.last_heartbeat > excluded.last_heartbeat THEN workers.state ELSE 'online' END,
    last_heartbeat = CASE WHEN workers.last_heartbeat > excluded.last_heartbeat THEN workers.last_heartbeat ELSE excluded.last_heartbeat END,
    load_average = coalesce(excluded.load_average, workers.load_average),
    active_tasks = excluded.active_tasks, metadata = excluded.metadata, agent_id = excluded.agent_id,
    updated_at = excluded.updated_at;

-- name: BumpWorkerTotals :exec
-- The rate is counted in two stretches of time, this one and the one before.
UPDATE workers SET processed = processed + @processed, succeeded = succeeded + @succeeded,
    failed = failed + @failed, retried = retried + @retried,
    rate_before = CASE WHEN rate_at = @rate_at THEN rate_before WHEN rate_at = @rate_before_at THEN rate_n ELSE 0 END,
    rate_n = CASE WHEN rate_at = @rate_at THEN rate_n + @processed ELSE @processed END,
    rate_at = @rate_at
WHERE project_id = @project_id AND engine = @engine AND name = @name;

-- name: InsertAgentStatus :exec
INSERT INTO agent_status (agent_id, worker_id, captured_at, payload) VALUES (@agent_id, @worker_id, @captured_at, @payload);

-- name: BumpTaskCount :exec
INSERT INTO task_counts (project_id, state, n) VALUES (@project_id, @state, @n)
ON CONFLICT (project_id, state) DO UPDATE SET n = task_counts.n + excluded.n;

-- name: RollupSketch :one
SELECT sketch FROM rollups
WHERE project_id = @project_id AND res = @res AND at = @at AND name_id = @name_id AND queue_id = @queue_id AND kind = @kind;

-- name: BumpRollup :exec
INSERT INTO rollups (project_id, res, at, name_id, queue_id, kind, n, runtime_n, runtime_ms, sketch)
VALUES (@project_id, @res, @at, @name_id, @queue_id, @kind, @n, @runtime_n, @runtime_ms, @sketch)
ON CONFLICT (project_id, res, at, name_id, queue_id, kind) DO UPDATE
SET n = rollups.n + excluded.n, runtime_n = rollups.runtime_n + excluded.runtime_n,
    runtime_ms = rollups.runtime_ms + excluded.runtime_ms, sketch = coalesce(excluded.sketch, rollups.sketch);

-- name: DropEmptyRollup :exec
-- n = 0 alone says little: a late change to a minute that is already part of an hour leaves a row of differences.
DELETE FROM rollups
WHERE project_id = @project_id AND res = @res AND at = @at AND name_id = @name_id AND queue_id = @queue_id AND kind = @kind
  AND n = 0 AND runtime_n = 0 AND runtime_ms = 0 AND (sketch IS NULL OR length(sketch) = 0);

-- name: BumpIssue :exec
INSERT INTO issues (project_id, fingerprint, engine_id, occurrences, open_count, first_seen, last_seen, sample_name_id, sample_exception)
VALUES (@project_id, @fingerprint, @engine_id, @occurrences, @open_count, @first_seen, @last_seen, @sample_name_id, @sample_exception)
ON CONFLICT (project_id, fingerprint, engine_id) DO UPDATE
SET occurrences = issues.occurrences + excluded.occurrences, open_count = issues.open_count + excluded.open_count,
    first_seen = CASE WHEN excluded.first_seen < issues.first_seen THEN excluded.first_seen ELSE issues.first_seen END,
    last_seen = CASE WHEN excluded.last_seen > issues.last_seen THEN excluded.last_seen ELSE issues.last_seen END,
    sample_name_id = CASE WHEN excluded.sample_name_id > 0 THEN excluded.sample_name_id ELSE issues.sample_name_id END,
    sample_exception = coalesce(excluded.sample_exception, issues.sample_exception);

-- name: DropEmptyIssue :exec
DELETE FROM issues WHERE project_id = @project_id AND fingerprint = @fingerprint AND engine_id = @engine_id AND occurrences <= 0;

-- name: AppendRollupDelta :exec
INSERT INTO rollup_deltas (payload) VALUES (@payload);
