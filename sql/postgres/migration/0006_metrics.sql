-- SPDX-License-Identifier: AGPL-3.0-or-later
-- +goose Up

-- Events of tasks as they were counted when they arrived, for scrapers that know the names of other exporters. n never
-- falls, whatever becomes of the task: it is what a counter shows. engine_id, worker_id, name_id and queue_id point into
-- names, 0 when not known. kind is one of store.TotalKind; sub is the class of the exception (in names) of failures, and of
-- successes the bucket of their run time; runtime_ms is the sum of run times. Rows change every few seconds: half of each page is
-- left to their next versions, which then need no new entry in the index.
CREATE TABLE task_totals (
    project_id bigint NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    engine_id  bigint NOT NULL,
    worker_id  bigint NOT NULL,
    name_id    bigint NOT NULL,
    queue_id   bigint NOT NULL,
    kind       bigint NOT NULL,
    sub        bigint NOT NULL,
    n          bigint NOT NULL,
    runtime_ms bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, engine_id, worker_id, name_id, queue_id, kind, sub)
) WITH (fillfactor = 50);

-- Since when the holder has the lease; unknown for one that was taken by an older version.
ALTER TABLE leases ADD COLUMN taken_at timestamptz;

-- +goose Down
ALTER TABLE leases DROP COLUMN taken_at;
DROP TABLE task_totals;
