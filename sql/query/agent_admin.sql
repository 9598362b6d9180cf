-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: CreateAgent :one
INSERT INTO agents (uid, project_id, name, token_hash, created_at, updated_at)
VALUES (@uid, @project_id, @name, @token_hash, @now, @now)
RETURNING *;

-- name: AgentByUID :one
SELECT * FROM agents WHERE uid = @uid AND project_id = @project_id;

-- name: ListAgents :many
SELECT * FROM agents WHERE project_id = @project_id AND revoked_at IS NULL
ORDER BY name LIMIT CAST(@max_rows AS bigint);

-- name: RevokeAgent :execrows
UPDATE agents SET revoked_at = @now, state = 'offline', updated_at = @now WHERE id = @id AND revoked_at IS NULL;

-- name: ListAgentStatus :many
SELECT * FROM agent_status WHERE agent_id = @agent_id ORDER BY captured_at DESC, id DESC LIMIT CAST(@max_rows AS bigint);

-- name: ListAgentWorkers :many
SELECT sqlc.embed(agent_workers), agents.uid AS agent_uid
FROM agent_workers JOIN agents ON agents.id = agent_workers.agent_id
WHERE agent_workers.project_id = @project_id
  AND (CAST(sqlc.narg('state') AS text) IS NULL OR agent_workers.state = sqlc.narg('state'))
  AND (CAST(sqlc.narg('role') AS text) IS NULL OR agent_workers.role = sqlc.narg('role'))
ORDER BY agent_workers.state DESC, agent_workers.last_seen_at DESC, agent_workers.id LIMIT CAST(@max_rows AS bigint);
