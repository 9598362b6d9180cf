-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: TaskByIdentity :one
SELECT * FROM tasks WHERE project_id = @project_id AND engine_id = @engine_id AND task_id = @task_id;

-- name: TasksOfRoot :many
SELECT * FROM tasks
WHERE project_id = @project_id AND root_task_id = @root_task_id AND engine_id = @engine_id
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: TaskCounts :many
SELECT * FROM task_counts WHERE project_id = @project_id;

-- name: NamesLike :many
SELECT id FROM names WHERE text LIKE CAST(@pattern AS text) ESCAPE '\' LIMIT CAST(@max_rows AS bigint);
