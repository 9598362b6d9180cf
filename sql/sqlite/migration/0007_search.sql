-- SPDX-License-Identifier: AGPL-3.0-or-later
-- +goose Up

-- Tasks whose texts the search index does not know yet, and since when.
CREATE TABLE search_queue (
    task_id integer PRIMARY KEY,
    at      timestamp NOT NULL
);

-- The tokens of each task's texts (pkg/textindex), by the task's id. Segments are merged by those who add to it, in steps that
-- nobody waits for long: an automatic merge may take any time.
CREATE VIRTUAL TABLE task_search USING fts5 (tokens, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
INSERT INTO task_search (task_search, rank) VALUES ('automerge', 0);
INSERT INTO task_search (task_search, rank) VALUES ('usermerge', 8);
INSERT INTO task_search (task_search, rank) VALUES ('crisismerge', 1000);

-- +goose Down
DROP TABLE task_search;
DROP TABLE search_queue;
