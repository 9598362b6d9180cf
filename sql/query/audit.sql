-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: InsertAuditOutbox :exec
INSERT INTO audit_outbox (record, mac, created_at) VALUES (@record, @mac, @now);

-- name: ListAuditOutbox :many
-- Visible rows, oldest first. There is deliberately no id > cursor: ids are not in commit order.
SELECT * FROM audit_outbox ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- name: DeleteAuditOutbox :execrows
DELETE FROM audit_outbox WHERE id = @id;

-- name: SetAsideAuditOutbox :exec
INSERT INTO audit_set_aside (record, mac, reason, created_at, set_aside_at)
VALUES (@record, @mac, @reason, @created_at, @now);

-- name: CountAuditSetAside :one
SELECT count(*) FROM audit_set_aside;

-- name: CountAuditOutbox :one
-- Stops counting at max_rows, so that a large backlog costs no more than a small one.
SELECT count(*) FROM (SELECT 1 AS one FROM audit_outbox LIMIT CAST(@max_rows AS bigint)) AS waiting;

-- name: OldestAuditOutbox :one
SELECT created_at FROM audit_outbox ORDER BY id LIMIT 1;

-- name: AddAuditRefusals :exec
INSERT INTO audit_refusals (minute, source_ip, action, reason, n, last_at)
VALUES (@minute, @source_ip, @action, @reason, @n, @last_at)
ON CONFLICT (minute, source_ip, action, reason) DO UPDATE
SET n = audit_refusals.n + excluded.n, last_at = excluded.last_at;

-- name: ListClosedAuditRefusals :many
SELECT * FROM audit_refusals WHERE minute < @before ORDER BY minute, source_ip, action, reason LIMIT CAST(@max_rows AS bigint);

-- name: DeleteAuditRefusal :exec
DELETE FROM audit_refusals WHERE minute = @minute AND source_ip = @source_ip AND action = @action AND reason = @reason;

-- name: AuditState :one
SELECT * FROM audit_state WHERE singleton = 1;

-- name: CountAuditStates :one
SELECT count(*) FROM audit_state;

-- name: InsertAuditState :exec
INSERT INTO audit_state (singleton, generation, installation_id, state_key_id, head_seq, head_row_hmac, head_hmac_key_id,
    head_occurred_at, head_id, prune_row_hmac, prune_hmac_key_id, prune_occurred_at, prune_id, active_row_count,
    active_key_counts, state_mac)
VALUES (1, @generation, @installation_id, @state_key_id, @head_seq, @head_row_hmac, @head_hmac_key_id,
    @head_occurred_at, @head_id, @prune_row_hmac, @prune_hmac_key_id, @prune_occurred_at, @prune_id, @active_row_count,
    @active_key_counts, @state_mac);

-- name: UpdateAuditState :execrows
-- Only while the state is still the one the caller read: expected_mac fences a second writer.
UPDATE audit_state
SET state_key_id = @state_key_id, head_seq = @head_seq, head_row_hmac = @head_row_hmac, head_hmac_key_id = @head_hmac_key_id,
    head_occurred_at = @head_occurred_at, head_id = @head_id, prune_row_hmac = @prune_row_hmac,
    prune_hmac_key_id = @prune_hmac_key_id, prune_occurred_at = @prune_occurred_at, prune_id = @prune_id,
    active_row_count = @active_row_count, active_key_counts = @active_key_counts, state_mac = @state_mac
WHERE singleton = 1 AND state_mac = @expected_mac;

-- name: InsertAuditRow :exec
INSERT INTO audit_log (seq, id, project_id, user_id, api_key_id, action, target_type, target_id, result, outcome, event_id,
    metadata, source_ip, user_agent, occurred_at, hmac_version, hmac_key_id, chain_generation, prev_row_hmac, row_hmac)
VALUES (@seq, @id, @project_id, @user_id, @api_key_id, @action, @target_type, @target_id, @result, @outcome, @event_id,
    @metadata, @source_ip, @user_agent, @occurred_at, @hmac_version, @hmac_key_id, @chain_generation, @prev_row_hmac, @row_hmac);

-- name: LastAuditRow :one
SELECT * FROM audit_log ORDER BY seq DESC LIMIT 1;

-- name: AuditRowByID :one
SELECT * FROM audit_log WHERE id = @id;

-- name: ListAuditRowsAfter :many
SELECT * FROM audit_log WHERE seq > @after_seq ORDER BY seq LIMIT CAST(@max_rows AS bigint);

-- name: AuditTotals :one
-- One statement, so that the state and the rows are seen at the same moment.
SELECT CAST((SELECT count(*) FROM audit_log) AS bigint) AS row_count,
       CAST(COALESCE((SELECT max(seq) FROM audit_log), 0) AS bigint) AS max_seq,
       CAST(COALESCE((SELECT min(seq) FROM audit_log), 0) AS bigint) AS min_seq,
       CAST(COALESCE((SELECT state_mac FROM audit_state), '') AS text) AS state_mac,
       CAST((SELECT count(*) FROM audit_state) AS bigint) AS states;

-- name: AuditHasWork :one
SELECT CAST(EXISTS (SELECT 1 FROM audit_outbox) OR EXISTS (SELECT 1 FROM audit_refusals WHERE minute < @before) AS boolean) AS work;
