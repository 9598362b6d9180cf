-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: ListQueues :many
SELECT * FROM queues WHERE project_id = @project_id ORDER BY name, engine LIMIT CAST(@max_rows AS bigint);

-- name: ListWorkers :many
SELECT workers.*, agents.uid AS agent_uid FROM workers
LEFT JOIN agents ON agents.id = workers.agent_id
WHERE workers.project_id = @project_id
ORDER BY workers.name, workers.engine
LIMIT CAST(@max_rows AS bigint);

-- name: WorkerByUID :one
SELECT workers.*, agents.uid AS agent_uid FROM workers
LEFT JOIN agents ON agents.id = workers.agent_id
WHERE workers.uid = @uid AND workers.project_id = @project_id;

-- name: WorkersByName :many
SELECT * FROM workers
WHERE project_id = @project_id AND name = @name
  AND (CAST(sqlc.narg('engine') AS text) IS NULL OR engine = sqlc.narg('engine'))
ORDER BY engine
LIMIT 10;

-- name: EventsOfTask :many
SELECT * FROM events WHERE task_id = @task_id AND at <= @until
ORDER BY at DESC, at_us DESC, kind DESC
LIMIT CAST(@max_rows AS bigint);

-- name: LooseEventsOfTask :many
SELECT * FROM loose_events
WHERE project_id = @project_id AND engine_id = @engine_id AND task_id = @task_id AND occurred_at <= @until
ORDER BY occurred_at DESC
LIMIT CAST(@max_rows AS bigint);

-- name: AgentUID :one
SELECT uid FROM agents WHERE id = @id;

-- name: IssueRows :many
SELECT * FROM issues WHERE project_id = @project_id AND fingerprint = @fingerprint ORDER BY last_seen DESC;

-- name: LastRollup :one
SELECT at FROM rollups WHERE project_id = @project_id AND res = @res ORDER BY at DESC LIMIT 1;

-- name: LastArrival :one
SELECT seen_at FROM tasks WHERE project_id = @project_id ORDER BY seen_at DESC, id DESC LIMIT 1;

-- name: AgentStates :many
SELECT project_id, state, count(*) AS n FROM agents WHERE revoked_at IS NULL GROUP BY project_id, state;

-- name: WorkerStates :many
SELECT project_id, state, count(*) AS n FROM workers GROUP BY project_id, state;

-- name: ProjectAgentStates :many
SELECT state, count(*) AS n FROM agents WHERE project_id = @project_id AND revoked_at IS NULL GROUP BY state;

-- name: ProjectWorkerStates :many
SELECT state, count(*) AS n FROM workers WHERE project_id = @project_id GROUP BY state;

-- name: StuckCommands :many
SELECT project_id, count(*) AS n FROM commands
WHERE status IN ('pending', 'dispatched') AND issued_at < @before
GROUP BY project_id;

-- name: CommandStates :many
-- Commands of a window, and the open ones whatever their age.
SELECT status, count(*) AS n FROM commands
WHERE project_id = @project_id AND issued_at >= @since
GROUP BY status;

-- name: CountOpenOfProject :one
SELECT count(*) FROM commands WHERE status IN ('pending', 'dispatched') AND project_id = @project_id;

-- name: RecentFailures :many
-- Tasks that failed, newest failure first, behind (before_at, before_id).
SELECT * FROM tasks
WHERE project_id = @project_id AND last_failed_at <= @before_at
  AND (last_failed_at < @before_at OR id < @before_id)
ORDER BY last_failed_at DESC, id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: AgentLive :one
-- Whether a replica holds a connection of the agent, or the agent polled lately.
SELECT CAST(count(*) AS bigint) FROM agents a
WHERE a.id = @agent_id AND (
    EXISTS (SELECT 1 FROM agent_workers w WHERE w.agent_id = a.id AND w.lease_until > @now)
    OR EXISTS (SELECT 1 FROM longpoll_sessions l WHERE l.agent_id = a.id AND NOT l.invalid AND l.last_seen_at > @polled_since));

-- name: LiveAgents :many
-- Agents of a project with a live connection, or that polled lately.
SELECT a.id FROM agents a
WHERE a.project_id = @project_id AND (
    EXISTS (SELECT 1 FROM agent_workers w WHERE w.agent_id = a.id AND w.lease_until > @now)
    OR EXISTS (SELECT 1 FROM longpoll_sessions l WHERE l.agent_id = a.id AND NOT l.invalid AND l.last_seen_at > @polled_since));

