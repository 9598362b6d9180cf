-- SPDX-License-Identifier: AGPL-3.0-or-later
-- +goose Up

-- Tasks whose texts the search index does not know yet, and since when: a row a transaction. A task may stand in several.
CREATE TABLE search_queue (
    seq   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at    timestamptz NOT NULL,
    tasks bigint[] NOT NULL
);

-- The tokens of each task's texts (pkg/textindex). What is added waits in the index's list of pending entries, whose length whoever
-- adds decides.
CREATE TABLE task_search (
    task_id bigint PRIMARY KEY,
    tokens  integer[] NOT NULL
);
CREATE INDEX task_search_tokens ON task_search USING gin (tokens);

-- +goose Down
DROP TABLE task_search;
DROP TABLE search_queue;
