-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: CreateSession :one
INSERT INTO sessions (id, user_id, token_hash, csrf_token, remember, issued_at, expires_at, last_seen_at, ip_at_issue, user_agent_at_issue)
VALUES (@id, @user_id, @token_hash, @csrf_token, @remember, @now, @expires_at, @now, @ip_at_issue, @user_agent_at_issue)
RETURNING *;

-- name: SessionByTokenHash :one
SELECT sqlc.embed(sessions), sqlc.embed(users)
FROM sessions JOIN users ON users.id = sessions.user_id
WHERE sessions.token_hash = @token_hash;

-- name: SessionByID :one
SELECT * FROM sessions WHERE id = @id;

-- name: ListUserSessions :many
SELECT * FROM sessions
WHERE user_id = @user_id AND revoked_at IS NULL AND expires_at > @now
ORDER BY issued_at DESC, id DESC LIMIT CAST(@max_rows AS bigint);

-- name: TouchSession :exec
UPDATE sessions SET last_seen_at = @now WHERE id = @id AND last_seen_at < @now;

-- name: RevokeSession :execrows
UPDATE sessions SET revoked_at = @now, revocation_reason = @reason WHERE id = @id AND revoked_at IS NULL;

-- name: RevokeUserSessions :execrows
-- Ends every session of the user but one; keep_id may name none.
UPDATE sessions SET revoked_at = @now, revocation_reason = @reason
WHERE user_id = @user_id AND revoked_at IS NULL AND id <> @keep_id;

-- name: ReplaceSetupToken :exec
INSERT INTO setup_token (singleton, token_hash, expires_at, created_at)
VALUES (1, @token_hash, @expires_at, @now)
ON CONFLICT (singleton) DO UPDATE
SET token_hash = excluded.token_hash, expires_at = excluded.expires_at, created_at = excluded.created_at;

-- name: InsertSetupToken :execrows
-- Of several replicas only the one whose insert wins shows the link; an expired token does not stand in its way.
INSERT INTO setup_token (singleton, token_hash, expires_at, created_at)
VALUES (1, @token_hash, @expires_at, @now)
ON CONFLICT (singleton) DO UPDATE
SET token_hash = excluded.token_hash, expires_at = excluded.expires_at, created_at = excluded.created_at
WHERE setup_token.expires_at <= @now;

-- name: SetupToken :one
SELECT token_hash, expires_at, created_at FROM setup_token WHERE singleton = 1;

-- name: DeleteSetupToken :execrows
DELETE FROM setup_token WHERE singleton = 1;

-- name: TakeSetupToken :execrows
-- Uses the token up; of two calls with it only one gets a row.
DELETE FROM setup_token WHERE singleton = 1 AND token_hash = @token_hash;
