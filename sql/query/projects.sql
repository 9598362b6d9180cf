-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: CreateProject :one
INSERT INTO projects (uid, slug, name, description, environment, timezone, default_scheduler_owner, allowed_schedulers, created_at, updated_at)
VALUES (@uid, @slug, @name, @description, @environment, @timezone, @default_scheduler_owner, @allowed_schedulers, @now, @now)
RETURNING *;

-- name: ProjectBySlug :one
SELECT * FROM projects WHERE slug = @slug;

-- name: ProjectByID :one
SELECT * FROM projects WHERE id = @id;

-- name: ProjectByUID :one
SELECT * FROM projects WHERE uid = @uid;

-- name: ListActiveProjects :many
SELECT * FROM projects WHERE is_active ORDER BY slug LIMIT CAST(@max_rows AS bigint);

-- name: CountActiveProjects :one
SELECT count(*) FROM projects WHERE is_active;

-- name: LockProject :execrows
-- Takes the project's row until the end of the transaction: changes of its members wait for each other.
UPDATE projects SET updated_at = updated_at WHERE id = @id;

-- name: LockActiveProjects :execrows
UPDATE projects SET updated_at = updated_at WHERE is_active;

-- name: UpdateProject :one
UPDATE projects
SET slug = @slug, name = @name, description = @description, environment = @environment, timezone = @timezone,
    default_scheduler_owner = @default_scheduler_owner, allowed_schedulers = @allowed_schedulers, updated_at = @now
WHERE id = @id
RETURNING *;

-- name: ArchiveProject :execrows
UPDATE projects SET is_active = false, updated_at = @now WHERE id = @id AND is_active;
