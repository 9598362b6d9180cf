-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: ListSavedViews :many
SELECT * FROM saved_views
WHERE project_id = @project_id AND user_id = @user_id AND page = @page
ORDER BY name_key LIMIT CAST(@max_rows AS bigint);

-- name: CreateSavedView :one
INSERT INTO saved_views (id, project_id, user_id, name, name_key, page, filters, created_at, updated_at)
VALUES (@id, @project_id, @user_id, @name, @name_key, @page, @filters, @now, @now)
RETURNING *;

-- name: UpdateSavedView :one
UPDATE saved_views SET name = @name, name_key = @name_key, filters = @filters, updated_at = @now
WHERE id = @id AND project_id = @project_id AND user_id = @user_id AND page = @page
RETURNING *;

-- name: DeleteSavedView :one
DELETE FROM saved_views WHERE id = @id AND project_id = @project_id AND user_id = @user_id AND page = @page
RETURNING *;
