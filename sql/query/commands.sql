-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: InsertCommand :one
-- No row comes back when the project already used the idempotency key.
INSERT INTO commands (id, project_id, agent_id, issued_by, action, target_type, target_id, payload, request_hash,
    idempotency_key, source_ip, required_contract, issued_at, timeout_at, timeout_seconds)
VALUES (@id, @project_id, @agent_id, @issued_by, @action, @target_type, @target_id, @payload, @request_hash,
    @idempotency_key, @source_ip, @required_contract, @now, @timeout_at, @timeout_seconds)
ON CONFLICT (project_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING *;

-- name: CommandByKey :one
SELECT * FROM commands WHERE project_id = @project_id AND idempotency_key = @idempotency_key;

-- name: CommandByID :one
SELECT * FROM commands WHERE id = @id;

-- name: ListCommands :many
-- Newest first, behind (before_at, before_id); the rest narrows when given.
SELECT * FROM commands
WHERE project_id = @project_id
  AND (issued_at < @before_at OR (issued_at = @before_at AND id < @before_id))
  AND (CAST(sqlc.narg('status') AS text) IS NULL OR status = sqlc.narg('status'))
  AND (CAST(sqlc.narg('action') AS text) IS NULL OR action = sqlc.narg('action'))
  AND (CAST(sqlc.narg('since') AS timestamptz) IS NULL OR issued_at >= sqlc.narg('since'))
ORDER BY issued_at DESC, id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: ListCommandsOfTarget :many
-- As ListCommands, of one target: its own query, so that the index on targets serves it.
SELECT * FROM commands
WHERE project_id = @project_id AND target_id = @target_id
  AND (issued_at < @before_at OR (issued_at = @before_at AND id < @before_id))
  AND (CAST(sqlc.narg('status') AS text) IS NULL OR status = sqlc.narg('status'))
  AND (CAST(sqlc.narg('action') AS text) IS NULL OR action = sqlc.narg('action'))
  AND (CAST(sqlc.narg('since') AS timestamptz) IS NULL OR issued_at >= sqlc.narg('since'))
ORDER BY issued_at DESC, id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: AgentsWithPending :many
-- Which agents have something to fetch: a cheap question asked every second. The first condition
-- repeats the index's own, which SQLite wants to see.
SELECT DISTINCT agent_id FROM commands
WHERE status IN ('pending', 'dispatched') AND status = 'pending' AND agent_id IS NOT NULL AND timeout_at > @now
LIMIT CAST(@max_rows AS bigint);

-- name: MarkDispatched :one
-- Moves a pending command, or one that is delivered again, to dispatched; its time limit starts anew.
UPDATE commands
SET status = 'dispatched', dispatched_at = @now, timeout_at = @timeout_at, claimed_by = @claimed_by,
    claimed_worker = @claimed_worker, delivery_claim_token = @delivery_claim_token
WHERE id = @id AND status IN ('pending', 'dispatched')
RETURNING *;

-- name: RevertClaim :execrows
UPDATE commands
SET status = 'pending', dispatched_at = NULL, claimed_by = NULL, claimed_worker = NULL, delivery_claim_token = NULL
WHERE id = @id AND status = 'dispatched' AND delivery_claim_token = @delivery_claim_token;

-- name: AckCommand :execrows
UPDATE commands SET status = 'dispatched', dispatched_at = @now
WHERE id = @id AND agent_id = @agent_id AND status = 'pending';

-- name: CompleteCommand :one
UPDATE commands
SET status = @status, result = @result, error = @error, completed_at = @now, payload = @payload
WHERE id = @id AND agent_id = @agent_id AND project_id = @project_id AND status IN ('pending', 'dispatched')
RETURNING *;

-- name: OverdueCommands :many
SELECT * FROM commands
WHERE status IN ('pending', 'dispatched') AND timeout_at <= @now
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: TimeoutCommand :one
UPDATE commands
SET status = 'timeout', error = @error, completed_at = @now, payload = @payload
WHERE id = @id AND status IN ('pending', 'dispatched') AND timeout_at <= @now
RETURNING *;

-- name: CountOpenCommands :one
SELECT count(*) FROM commands WHERE agent_id = @agent_id AND status IN ('pending', 'dispatched');

-- name: CommandOwner :one
-- The public ids of a command's agent and project, for its audit record.
SELECT agents.uid AS agent_uid, projects.uid AS project_uid
FROM commands
JOIN agents ON agents.id = commands.agent_id
JOIN projects ON projects.id = commands.project_id
WHERE commands.id = @id;
