-- SPDX-License-Identifier: AGPL-3.0-or-later
-- +goose Up

-- Tasks that were seen and have not started, by queue: states 1 pending and 2 received. Small whatever the history is.
CREATE INDEX tasks_waiting ON tasks (project_id, queue_id, received_at) WHERE state IN (1, 2);

-- Sums of rollups over wider buckets, so that a window of days reads few rows. They repeat what rollups say and are made
-- anew from there. res is the width in minutes (10, 60, 1440; 1 for dim 0), dim what key_id names: 0 nothing (the whole project),
-- 1 a task name, 2 a queue, 3 a queue with the task name in sub_id. durations holds three lanes: how long tasks ran, how long they took since they were due, and
-- how long they waited.
CREATE TABLE rollup_spans (
    at         timestamptz NOT NULL,
    received   bigint NOT NULL,
    started    bigint NOT NULL,
    succeeded  bigint NOT NULL,
    failed     bigint NOT NULL,
    retried    bigint NOT NULL,
    revoked    bigint NOT NULL,
    project_id integer NOT NULL,
    key_id     integer NOT NULL,
    sub_id     integer NOT NULL,
    res        smallint NOT NULL,
    dim        smallint NOT NULL,
    durations  bytea NOT NULL,
    PRIMARY KEY (project_id, res, dim, at, key_id, sub_id)
);

-- Buckets whose spans do not hold what rollups say: readers take rollups there. changes tells a bucket that changed
-- again while its spans were being made.
CREATE TABLE rollup_stale (
    project_id bigint NOT NULL,
    res        bigint NOT NULL,
    at         timestamptz NOT NULL,
    changes    bigint NOT NULL,
    PRIMARY KEY (project_id, res, at)
);
INSERT INTO rollup_stale (project_id, res, at, changes)
SELECT DISTINCT project_id, 10, date_bin('10 minutes', at, TIMESTAMPTZ '1970-01-01 00:00:00+00'), 1 FROM rollups;

-- Waits and total times are counted from now on: tasks that began or ended earlier are not in the counters, and a later
-- change of theirs must not take them out.
INSERT INTO meta (key, value) SELECT 'latency_since', CAST(CAST(floor(extract(epoch FROM now())) AS bigint) * 1000000 AS text) WHERE EXISTS (SELECT 1 FROM tasks);

-- +goose Down
DELETE FROM meta WHERE key = 'latency_since';
DROP TABLE rollup_stale, rollup_spans;
DROP INDEX tasks_waiting;
