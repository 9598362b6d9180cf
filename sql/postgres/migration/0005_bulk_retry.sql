-- SPDX-License-Identifier: AGPL-3.0-or-later
-- +goose Up

-- Requests to run many tasks again. What they cover is settled when they are made (sealed) and stands in their children.
-- is_open is true while a child waits or is on its way; touched_at is when the coordinator last looked.
CREATE TABLE bulk_retry_requests (
    id               uuid PRIMARY KEY,
    project_id       bigint NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    issued_by        uuid,
    idempotency_key  text NOT NULL,
    canonical_digest text NOT NULL,
    plan_digest      text NOT NULL,
    control_state    text NOT NULL DEFAULT 'running' CHECK (control_state IN ('running', 'paused', 'blocked')),
    agent_id         bigint REFERENCES agents (id),
    child_count      bigint NOT NULL,
    max_in_flight    bigint NOT NULL,
    is_open          boolean NOT NULL,
    source_ip        text,
    user_agent       text,
    deadline_at      timestamptz NOT NULL,
    sealed_at        timestamptz NOT NULL,
    touched_at       timestamptz NOT NULL,
    last_progress_at timestamptz,
    updated_at       timestamptz NOT NULL,
    UNIQUE (project_id, idempotency_key)
);
CREATE INDEX bulk_retry_requests_open ON bulk_retry_requests (touched_at) WHERE is_open;
CREATE INDEX bulk_retry_requests_sealed ON bulk_retry_requests (project_id, sealed_at);

-- One row a task. command_id is set in the transaction that issues the command and never changes: a task is retried at most
-- once, whatever stops in between.
CREATE TABLE bulk_retry_children (
    parent_id      uuid NOT NULL REFERENCES bulk_retry_requests (id) ON DELETE CASCADE,
    ordinal        bigint NOT NULL,
    engine         text NOT NULL,
    task_id        text NOT NULL,
    task_name      text NOT NULL,
    priority       text NOT NULL DEFAULT '',
    delivery_state text NOT NULL DEFAULT 'pending' CHECK (delivery_state IN ('pending', 'delivery_claimed')),
    outcome        text NOT NULL DEFAULT 'unobserved' CHECK (outcome IN ('unobserved', 'succeeded', 'failed', 'unknown')),
    command_id     uuid,
    claimed_at     timestamptz,
    completed_at   timestamptz,
    error          text,
    PRIMARY KEY (parent_id, ordinal)
);
CREATE INDEX bulk_retry_children_state ON bulk_retry_children (parent_id, delivery_state, outcome, ordinal);

-- +goose Down
DROP TABLE bulk_retry_children;
DROP TABLE bulk_retry_requests;
