-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: InsertBulkRetry :one
-- No row comes back when the project already used the idempotency key.
INSERT INTO bulk_retry_requests (id, project_id, issued_by, idempotency_key, canonical_digest, plan_digest, agent_id, child_count,
    max_in_flight, is_open, source_ip, user_agent, deadline_at, sealed_at, touched_at, updated_at)
VALUES (@id, @project_id, @issued_by, @idempotency_key, @canonical_digest, @plan_digest, @agent_id, @child_count,
    @max_in_flight, @is_open, @source_ip, @user_agent, @deadline_at, @now, @now, @now)
ON CONFLICT (project_id, idempotency_key) DO NOTHING
RETURNING *;

-- name: BulkRetryByKey :one
SELECT * FROM bulk_retry_requests WHERE project_id = @project_id AND idempotency_key = @idempotency_key;

-- name: BulkRetryByID :one
SELECT * FROM bulk_retry_requests WHERE id = @id AND project_id = @project_id;

-- name: ListBulkRetries :many
SELECT * FROM bulk_retry_requests WHERE project_id = @project_id ORDER BY sealed_at DESC LIMIT CAST(@max_rows AS bigint);

-- name: OpenBulkRetries :many
-- Requests with something left to do or to learn, the one that waited longest first.
SELECT * FROM bulk_retry_requests WHERE is_open ORDER BY touched_at LIMIT CAST(@max_rows AS bigint);

-- name: BulkRetryCounts :many
SELECT delivery_state, outcome, count(*) AS n FROM bulk_retry_children WHERE parent_id = @parent_id GROUP BY delivery_state, outcome;

-- name: ListBulkRetryChildren :many
SELECT * FROM bulk_retry_children WHERE parent_id = @parent_id AND ordinal > @after ORDER BY ordinal LIMIT CAST(@max_rows AS bigint);

-- name: PendingBulkRetryChildren :many
SELECT * FROM bulk_retry_children
WHERE parent_id = @parent_id AND delivery_state = 'pending' AND outcome = 'unobserved'
ORDER BY ordinal LIMIT CAST(@max_rows AS bigint);

-- name: SentBulkRetryChildren :many
-- Children on their way, with what is known of their commands.
SELECT c.parent_id, c.ordinal, k.status, k.result, k.error, k.completed_at
FROM bulk_retry_children c LEFT JOIN commands k ON k.id = c.command_id
WHERE c.parent_id = @parent_id AND c.delivery_state = 'delivery_claimed' AND c.outcome = 'unobserved'
ORDER BY c.ordinal LIMIT CAST(@max_rows AS bigint);

-- name: ClaimBulkRetryChild :execrows
UPDATE bulk_retry_children SET delivery_state = 'delivery_claimed', command_id = @command_id, claimed_at = @now
WHERE parent_id = @parent_id AND ordinal = @ordinal AND delivery_state = 'pending';

-- name: SettleBulkRetryChild :execrows
UPDATE bulk_retry_children SET outcome = @outcome, error = @error, completed_at = @completed_at
WHERE parent_id = @parent_id AND ordinal = @ordinal AND outcome = 'unobserved';

-- name: LockBulkRetry :one
-- Takes the row's lock and notes the look: on both engines an update does.
UPDATE bulk_retry_requests SET touched_at = @now WHERE id = @id RETURNING *;

-- name: ProgressBulkRetry :exec
UPDATE bulk_retry_requests SET control_state = @control_state, is_open = @is_open, last_progress_at = @last_progress_at, updated_at = @now
WHERE id = @id;

-- name: ControlBulkRetry :one
UPDATE bulk_retry_requests SET control_state = @control_state, deadline_at = @deadline_at, updated_at = @now
WHERE id = @id AND project_id = @project_id
RETURNING *;
