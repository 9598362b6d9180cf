-- SPDX-License-Identifier: AGPL-3.0-or-later

-- name: TakeLease :one
-- Takes or renews the lease name for holder; no row comes back while somebody else holds it.
INSERT INTO leases (name, holder, generation, expires_at, taken_at)
VALUES (@name, @holder, 1, @expires_at, CAST(@now AS timestamptz))
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder,
    generation = CASE WHEN leases.holder = excluded.holder THEN leases.generation ELSE leases.generation + 1 END,
    expires_at = excluded.expires_at,
    taken_at = CASE WHEN leases.holder = excluded.holder THEN leases.taken_at ELSE excluded.taken_at END
WHERE leases.holder = excluded.holder OR leases.expires_at <= @now
RETURNING generation;

-- name: DropLease :exec
DELETE FROM leases WHERE name = @name AND holder = @holder;
