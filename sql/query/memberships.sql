-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: CreateMembership :one
INSERT INTO memberships (id, user_id, project_id, role, created_at, updated_at)
VALUES (@id, @user_id, @project_id, @role, @now, @now)
RETURNING *;

-- name: MembershipRole :one
SELECT role FROM memberships WHERE user_id = @user_id AND project_id = @project_id;

-- name: MembershipByID :one
SELECT * FROM memberships WHERE id = @id AND project_id = @project_id;

-- name: ListProjectMembers :many
SELECT sqlc.embed(memberships), users.email, users.display_name
FROM memberships JOIN users ON users.id = memberships.user_id
WHERE memberships.project_id = @project_id
ORDER BY memberships.created_at, memberships.id LIMIT CAST(@max_rows AS bigint);

-- name: ListUserMemberships :many
SELECT projects.id AS project_id, projects.uid, projects.slug, memberships.role
FROM memberships JOIN projects ON projects.id = memberships.project_id
WHERE memberships.user_id = @user_id AND projects.is_active
ORDER BY projects.slug LIMIT CAST(@max_rows AS bigint);

-- name: ListUserProjects :many
SELECT projects.* FROM projects JOIN memberships ON memberships.project_id = projects.id
WHERE memberships.user_id = @user_id AND projects.is_active
ORDER BY projects.slug LIMIT CAST(@max_rows AS bigint);

-- name: SetMembershipRole :one
UPDATE memberships SET role = @role, updated_at = @now WHERE id = @id RETURNING *;

-- name: DeleteMembership :execrows
DELETE FROM memberships WHERE id = @id;

-- name: CountProjectAdmins :one
SELECT count(*) FROM memberships JOIN users ON users.id = memberships.user_id
WHERE memberships.project_id = @project_id AND memberships.role = 'admin' AND users.is_active;
