-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: InsertName :exec
INSERT INTO names (text) VALUES (@text) ON CONFLICT (text) DO NOTHING;

-- name: NameByText :one
SELECT id FROM names WHERE text = @text;

-- name: NameByID :one
SELECT text FROM names WHERE id = @id;

-- name: MetaValue :one
SELECT value FROM meta WHERE key = @key;

-- name: SetMetaIfAbsent :exec
INSERT INTO meta (key, value) VALUES (@key, @value) ON CONFLICT (key) DO NOTHING;

-- name: SetMeta :exec
INSERT INTO meta (key, value) VALUES (@key, @value) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
