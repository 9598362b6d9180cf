-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: CreateUser :one
INSERT INTO users (id, email, password_hash, display_name, first_name, last_name, is_admin, timezone, created_at, updated_at)
VALUES (@id, @email, @password_hash, @display_name, @first_name, @last_name, @is_admin, @timezone, @now, @now)
RETURNING *;

-- name: UserByID :one
SELECT * FROM users WHERE id = @id;

-- name: UserByEmail :one
SELECT * FROM users WHERE email = @email;

-- name: ListUsers :many
SELECT * FROM users ORDER BY created_at DESC, id DESC LIMIT CAST(@max_rows AS bigint) OFFSET CAST(@skip_rows AS bigint);

-- name: CountUsers :one
SELECT count(*) FROM users;

-- name: AnyUser :one
SELECT EXISTS (SELECT 1 FROM users);

-- name: LockActiveAdmins :execrows
-- Takes the rows of every active admin, so that two changes cannot both leave one behind and together leave none.
UPDATE users SET updated_at = updated_at WHERE is_admin AND is_active;

-- name: UpdateUser :one
UPDATE users
SET display_name = @display_name, first_name = @first_name, last_name = @last_name,
    is_admin = @is_admin, is_active = @is_active, timezone = @timezone, updated_at = @now
WHERE id = @id
RETURNING *;

-- name: SetUserPassword :execrows
UPDATE users
SET password_hash = @password_hash, password_changed_at = @now, failed_login_count = 0, locked_until = NULL, updated_at = @now
WHERE id = @id;

-- name: RehashUserPassword :exec
-- Stores the same password under stronger parameters; sessions stay alive.
UPDATE users SET password_hash = @password_hash WHERE id = @id AND password_hash = @old_hash;

-- name: CountLoginFailure :one
-- Counts one failure; the caller locks the account when the count says so.
UPDATE users SET failed_login_count = failed_login_count + 1 WHERE id = @id RETURNING failed_login_count;

-- name: LockUser :exec
UPDATE users SET failed_login_count = 0, locked_until = @locked_until WHERE id = @id;

-- name: RecordLogin :exec
UPDATE users SET last_login_at = @now, failed_login_count = 0, locked_until = NULL WHERE id = @id;

-- name: DeleteUser :execrows
DELETE FROM users WHERE id = @id;
