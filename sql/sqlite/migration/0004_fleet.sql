-- SPDX-License-Identifier: AGPL-3.0-or-later
-- +goose Up

-- How deep queues were: the last and the highest depth of a minute (res 1) or an hour (res 60), at its start.
CREATE TABLE queue_depths (
    queue_id bigint NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
    res      bigint NOT NULL,
    at       timestamp NOT NULL,
    depth    bigint NOT NULL,
    peak     bigint NOT NULL,
    PRIMARY KEY (queue_id, res, at)
) WITHOUT ROWID;

-- last_event_at is the newest event of a task that names the worker, to within some seconds; heartbeats leave it alone.
-- rate_n counts tasks ended since rate_at, the start of a stretch of five minutes, rate_before those of the stretch before.
ALTER TABLE workers ADD COLUMN last_event_at timestamp;
ALTER TABLE workers ADD COLUMN rate_at timestamp;
ALTER TABLE workers ADD COLUMN rate_n bigint NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN rate_before bigint NOT NULL DEFAULT 0;

-- When an agent's last events arrived, to within some seconds.
ALTER TABLE agents ADD COLUMN last_event_at timestamp;

CREATE INDEX commands_target ON commands (project_id, target_id, issued_at DESC);

-- +goose Down
DROP INDEX commands_target;
ALTER TABLE agents DROP COLUMN last_event_at;
ALTER TABLE workers DROP COLUMN rate_before;
ALTER TABLE workers DROP COLUMN rate_n;
ALTER TABLE workers DROP COLUMN rate_at;
ALTER TABLE workers DROP COLUMN last_event_at;
DROP TABLE queue_depths;
