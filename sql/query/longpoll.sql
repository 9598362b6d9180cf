-- SPDX-License-Identifier: AGPL-3.0-or-later
-- Long-poll sessions: state that several replicas share.

-- name: LongpollSession :one
SELECT * FROM longpoll_sessions WHERE agent_id = @agent_id AND nonce = @nonce;

-- name: CountLongpollSessions :one
SELECT count(*) FROM longpoll_sessions WHERE agent_id = @agent_id;

-- name: DropIdleLongpollSessions :execrows
DELETE FROM longpoll_sessions WHERE agent_id = @agent_id AND last_seen_at < @before;

-- name: TouchLongpollSession :one
INSERT INTO longpoll_sessions (agent_id, nonce, features, contracts, last_seen_at, created_at)
VALUES (@agent_id, @nonce, @features, @contracts, @now, @now)
ON CONFLICT (agent_id, nonce) DO UPDATE
SET features = excluded.features, contracts = excluded.contracts, last_seen_at = excluded.last_seen_at
RETURNING *;

-- name: AdvanceLongpollSession :execrows
-- No row changes when another request moved the session since it was read, or it was made invalid.
UPDATE longpoll_sessions SET last_seq_in = @last_seq_in, nonces = @nonces, last_seen_at = @now
WHERE agent_id = @agent_id AND nonce = @nonce AND last_seq_in = @was_seq_in AND NOT invalid;

-- name: InvalidateLongpollSession :exec
UPDATE longpoll_sessions SET invalid = true WHERE agent_id = @agent_id AND nonce = @nonce;

-- name: TakeLongpollSeqs :one
-- Reserves the next n numbers; what comes back is the first number after them.
UPDATE longpoll_sessions SET next_seq_out = next_seq_out + @n, last_seen_at = @now
WHERE agent_id = @agent_id AND nonce = @nonce AND NOT invalid
RETURNING next_seq_out;
