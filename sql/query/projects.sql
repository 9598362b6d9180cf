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
