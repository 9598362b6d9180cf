-- SPDX-License-Identifier: AGPL-3.0-or-later
-- +goose Up

-- Filters of the task list that a user keeps under a name, one set a project. name_key is the name in
-- lower case: names differ by more than their case. filters is a JSON object.
CREATE TABLE saved_views (
    id         uuid PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       text NOT NULL,
    name_key   text NOT NULL,
    page       text NOT NULL DEFAULT 'tasks',
    filters    text NOT NULL DEFAULT '{}',
    created_at timestamp NOT NULL,
    updated_at timestamp NOT NULL,
    UNIQUE (project_id, user_id, page, name_key)
);

-- The time of a task: its reception, or else its start or arrival. Windows of the task list are ranges of it.
CREATE INDEX tasks_time ON tasks (project_id, coalesce(received_at, started_at, seen_at), id);

-- +goose Down
DROP INDEX tasks_time;
DROP TABLE saved_views;
