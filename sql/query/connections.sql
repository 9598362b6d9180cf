-- SPDX-License-Identifier: AGPL-3.0-or-later
-- What the agents' sockets need: login by token, slots with leases and generations, liveness.

-- name: AgentLogin :one
SELECT a.id, a.uid, a.name, a.project_id, a.revoked_at, p.uid AS project_uid, p.slug AS project_slug, p.is_active AS project_active
FROM agents a JOIN projects p ON p.id = a.project_id
WHERE a.token_hash = @token_hash;

-- name: AgentLoginByID :one
SELECT a.id, a.uid, a.name, a.project_id, a.revoked_at, p.uid AS project_uid, p.slug AS project_slug, p.is_active AS project_active
FROM agents a JOIN projects p ON p.id = a.project_id
WHERE a.id = @id;

-- name: AgentConnected :exec
UPDATE agents
SET state = 'online', last_connect_at = @now, last_seen_at = @now, protocol_version = @protocol_version,
    framework_adapter = @framework_adapter, engine_adapters = @engine_adapters, scheduler_adapters = @scheduler_adapters,
    capabilities = @capabilities, runtime_features = @runtime_features, host_name = @host_name,
    agent_version = @agent_version, updated_at = @now
WHERE id = @id;

-- name: CountOtherLiveSlots :one
SELECT count(*) FROM agent_workers
WHERE agent_id = @agent_id AND worker_id <> @worker_id AND state = 'online' AND lease_until > @now;

-- name: SlotByKey :one
SELECT * FROM agent_workers WHERE agent_id = @agent_id AND worker_id = @worker_id;

-- name: TakeSlot :one
INSERT INTO agent_workers (id, agent_id, project_id, worker_id, role, framework, pid, started_at, state, last_seen_at,
    last_connect_at, owner, generation, lease_until, runtime_features, created_at, updated_at)
VALUES (@id, @agent_id, @project_id, @worker_id, @role, @framework, @pid, @started_at, 'online', @now,
    @now, @owner, 1, @lease_until, @runtime_features, @now, @now)
ON CONFLICT (agent_id, worker_id) DO UPDATE
SET role = excluded.role, framework = excluded.framework, pid = excluded.pid, started_at = excluded.started_at,
    state = 'online', last_seen_at = excluded.last_seen_at, last_connect_at = excluded.last_connect_at,
    owner = excluded.owner, generation = agent_workers.generation + 1, lease_until = excluded.lease_until,
    runtime_features = excluded.runtime_features, updated_at = excluded.updated_at
RETURNING generation;

-- name: RenewSlots :exec
-- A row that was swept while its replica stood still comes back: the socket is still there.
UPDATE agent_workers SET lease_until = @lease_until, state = 'online' WHERE owner = @owner;

-- name: SlotsOf :many
SELECT agent_id, worker_id, generation FROM agent_workers WHERE owner = @owner AND state = 'online';

-- name: SlotsOfAgent :many
SELECT agent_id, worker_id, generation, owner FROM agent_workers WHERE agent_id = @agent_id AND state = 'online';

-- name: ReleaseSlot :execrows
UPDATE agent_workers SET state = 'offline', lease_until = NULL, owner = '', updated_at = @now
WHERE agent_id = @agent_id AND worker_id = @worker_id AND owner = @owner AND generation = @generation;

-- name: ReleaseOwner :execrows
UPDATE agent_workers SET state = 'offline', lease_until = NULL, owner = '', updated_at = @now WHERE owner = @owner;

-- name: CountLiveSlots :one
SELECT count(*) FROM agent_workers WHERE agent_id = @agent_id AND state = 'online' AND lease_until > @now;

-- name: AgentLeft :execrows
UPDATE agents SET state = 'offline', updated_at = @now
WHERE id = @id AND state = 'online' AND (last_connect_at IS NULL OR last_connect_at <= @connected_at);

-- name: ExpireSlots :execrows
UPDATE agent_workers SET state = 'offline', updated_at = @now
WHERE state = 'online' AND (lease_until IS NULL OR lease_until <= @now);

-- name: SilentAgents :many
-- Online agents that nothing was heard of for the time-out.
SELECT a.id, a.uid, a.name, a.project_id, a.last_seen_at, p.uid AS project_uid, p.slug AS project_slug
FROM agents a JOIN projects p ON p.id = a.project_id
WHERE a.state = 'online' AND (a.last_seen_at IS NULL OR a.last_seen_at < @seen_before)
ORDER BY a.id LIMIT CAST(@max_rows AS bigint);

-- name: AgentSilent :execrows
UPDATE agents SET state = 'offline', updated_at = @now
WHERE id = @id AND state = 'online' AND (last_seen_at IS NULL OR last_seen_at < @seen_before);

-- name: BarredAgents :many
-- Agents that lost the right to be connected since a moment: revoked, or of an archived project.
SELECT a.id FROM agents a JOIN projects p ON p.id = a.project_id
WHERE a.revoked_at >= @since OR (NOT p.is_active AND p.updated_at >= @since);

-- name: DeleteStaleWorkers :execrows
DELETE FROM agent_workers
WHERE state = 'offline' AND updated_at < @before;

-- name: StaleAgents :many
SELECT a.id, a.uid, a.name, a.project_id, a.last_seen_at, p.uid AS project_uid, p.slug AS project_slug
FROM agents a JOIN projects p ON p.id = a.project_id
WHERE a.revoked_at IS NULL AND a.state <> 'online' AND a.last_seen_at < @seen_before
ORDER BY a.id LIMIT CAST(@max_rows AS bigint);

-- name: RevokeStaleAgent :execrows
UPDATE agents SET revoked_at = @now, token_hash = @token_hash, state = 'offline', updated_at = @now
WHERE id = @id AND revoked_at IS NULL AND state <> 'online' AND last_seen_at < @seen_before;

-- name: OnlineAgents :many
-- The longest connected first, so that the choice is a steady one.
SELECT a.id, a.uid, a.engine_adapters, p.uid AS project_uid
FROM agents a JOIN projects p ON p.id = a.project_id
WHERE a.project_id = @project_id AND a.state = 'online' AND a.revoked_at IS NULL AND p.is_active
ORDER BY a.last_connect_at, a.id;

-- name: ReconcileTask :exec
UPDATE tasks
SET state = @state, finished_at = @finished_at, exception = coalesce(exception, @exception), updated_at = @now
WHERE id = @id;
