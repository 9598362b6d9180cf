-- SPDX-License-Identifier: AGPL-3.0-or-later
-- Every delete takes a bounded number of rows, so that no transaction of retention holds others up for long.

-- name: ProjectIDs :many
SELECT id FROM projects ORDER BY id;

-- name: ExpireLooseEvents :execrows
DELETE FROM loose_events WHERE uid IN (
    SELECT x.uid FROM loose_events x WHERE x.occurred_at < @before ORDER BY x.occurred_at LIMIT CAST(@max_rows AS bigint)
);

-- name: AgentsWithOldStatus :many
SELECT id FROM agents
WHERE EXISTS (SELECT 1 FROM agent_status WHERE agent_status.agent_id = agents.id AND agent_status.captured_at < @before)
ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- name: ExpireAgentStatus :execrows
DELETE FROM agent_status WHERE id IN (
    SELECT x.id FROM agent_status x WHERE x.agent_id = @agent_id AND x.captured_at < @before
    ORDER BY x.captured_at LIMIT CAST(@max_rows AS bigint)
);

-- name: ExpiredTasks :many
-- Oldest arrivals first, behind (after_at, after_id); a task counts from its last change.
SELECT id, seen_at FROM tasks
WHERE project_id = @project_id AND seen_at < @before AND updated_at < @before
  AND seen_at >= @after_at AND (seen_at > @after_at OR id > @after_id)
ORDER BY seen_at, id LIMIT CAST(@max_rows AS bigint);

-- name: ExpireCommands :execrows
DELETE FROM commands WHERE id IN (
    SELECT x.id FROM commands x
    WHERE x.project_id = @project_id AND x.issued_at < @before AND x.status NOT IN ('pending', 'dispatched')
      AND (x.completed_at IS NULL OR x.completed_at < @before)
    ORDER BY x.issued_at LIMIT CAST(@max_rows AS bigint)
);

-- name: ExpireBulkRetries :execrows
DELETE FROM bulk_retry_requests WHERE id IN (
    SELECT x.id FROM bulk_retry_requests x
    WHERE x.project_id = @project_id AND x.sealed_at < @before AND x.updated_at < @before
    ORDER BY x.sealed_at LIMIT CAST(@max_rows AS bigint)
);

-- name: ExpireSessions :execrows
DELETE FROM sessions WHERE id IN (
    SELECT x.id FROM sessions x WHERE x.expires_at < @before OR x.revoked_at < @before LIMIT CAST(@max_rows AS bigint)
);

-- name: ExpireSetupToken :execrows
DELETE FROM setup_token WHERE expires_at < @before;

-- name: ExpireLongPoll :execrows
DELETE FROM longpoll_sessions WHERE (agent_id, nonce) IN (
    SELECT x.agent_id, x.nonce FROM longpoll_sessions x WHERE x.last_seen_at < @before
    ORDER BY x.last_seen_at LIMIT CAST(@max_rows AS bigint)
);

-- name: ExpireWorkers :execrows
DELETE FROM workers WHERE id IN (
    SELECT x.id FROM workers x WHERE x.updated_at < @before AND (x.last_heartbeat IS NULL OR x.last_heartbeat < @before)
    LIMIT CAST(@max_rows AS bigint)
);

-- name: ExpireQueues :execrows
DELETE FROM queues WHERE id IN (
    SELECT x.id FROM queues x WHERE x.updated_at < @before AND (x.last_seen_at IS NULL OR x.last_seen_at < @before)
    LIMIT CAST(@max_rows AS bigint)
);

-- name: MarkStaleWorkers :execrows
-- Nothing was heard of them, and nobody who would tell is there: the agent is away, or it tells of its workers
-- (details were reported once) and has not.
UPDATE workers SET state = 'offline', updated_at = @now
WHERE state IN ('online', 'draining') AND (last_heartbeat IS NULL OR last_heartbeat < @before)
  AND (metadata <> '{}'
    OR NOT EXISTS (SELECT 1 FROM agents WHERE agents.id = workers.agent_id AND agents.state = 'online' AND agents.revoked_at IS NULL));

-- name: DoubtWorkers :execrows
-- Known from the events of tasks only: silence may be idleness, or a process that is gone while its agent is not.
UPDATE workers SET state = 'unknown', updated_at = @now
WHERE state IN ('online', 'draining') AND (last_heartbeat IS NULL OR last_heartbeat < @before);

-- name: OldestRollup :one
SELECT at FROM rollups WHERE project_id = @project_id AND res = @res AND at < @before ORDER BY at LIMIT 1;

-- name: RollupSizes :many
SELECT at, count(*) AS n FROM rollups
WHERE project_id = @project_id AND res = @res AND at >= @from_at AND at < @until_at
GROUP BY at ORDER BY at;

-- name: TakeRollups :many
DELETE FROM rollups
WHERE project_id = @project_id AND res = @res AND at >= @from_at AND at < @until_at
RETURNING *;

-- name: DropRollups :execrows
DELETE FROM rollups WHERE project_id = @project_id AND res = @res AND at = @at;

-- name: DropQueueDepths :execrows
-- Samples of one queue at a time, in the order of the key.
DELETE FROM queue_depths
WHERE queue_depths.queue_id = @queue_id AND queue_depths.res = @res AND queue_depths.at IN (
    SELECT x.at FROM queue_depths x WHERE x.queue_id = @queue_id AND x.res = @res AND x.at < @before
    ORDER BY x.at LIMIT CAST(@max_rows AS bigint)
);

-- name: QueuesWithOldDepths :many
SELECT q.id FROM queues q
WHERE EXISTS (SELECT 1 FROM queue_depths d WHERE d.queue_id = q.id AND d.res = @res AND d.at < @before)
ORDER BY q.id LIMIT CAST(@max_rows AS bigint);
