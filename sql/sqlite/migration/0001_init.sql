-- SPDX-License-Identifier: AGPL-3.0-or-later
-- +goose Up

-- Instance-wide facts: installation_id, retention marks.
CREATE TABLE meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- One row a lease: who does the job called name until expires_at.
CREATE TABLE leases (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    generation bigint NOT NULL,
    expires_at timestamp NOT NULL
) WITHOUT ROWID;

-- Interned strings: task names, queues, workers, engines, event kinds that agents invent.
CREATE TABLE names (
    id   integer PRIMARY KEY,
    text text NOT NULL UNIQUE
);

CREATE TABLE users (
    id                    uuid PRIMARY KEY,
    email                 text NOT NULL UNIQUE,
    password_hash         text NOT NULL,
    display_name          text,
    first_name            text,
    last_name             text,
    is_admin              boolean NOT NULL DEFAULT false,
    is_active             boolean NOT NULL DEFAULT true,
    timezone              text NOT NULL DEFAULT 'UTC',
    failed_login_count    bigint NOT NULL DEFAULT 0,
    locked_until          timestamp,
    last_login_at         timestamp,
    password_changed_at   timestamp,
    created_at            timestamp NOT NULL,
    updated_at            timestamp NOT NULL
);

-- Browser sessions. The cookie holds a random token; only its SHA-256 is here.
CREATE TABLE sessions (
    id                  uuid PRIMARY KEY,
    user_id             uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash          text NOT NULL UNIQUE,
    csrf_token          text NOT NULL,
    remember            boolean NOT NULL DEFAULT false,
    issued_at           timestamp NOT NULL,
    expires_at          timestamp NOT NULL,
    last_seen_at        timestamp NOT NULL,
    revoked_at          timestamp,
    revocation_reason   text,
    ip_at_issue         text NOT NULL,
    user_agent_at_issue text
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- At most one row (singleton = 1): the open first-boot token.
CREATE TABLE setup_token (
    singleton  bigint PRIMARY KEY CHECK (singleton = 1),
    token_hash text NOT NULL,
    expires_at timestamp NOT NULL,
    created_at timestamp NOT NULL
);

CREATE TABLE projects (
    id                      integer PRIMARY KEY,
    uid                     uuid NOT NULL UNIQUE,
    slug                    text NOT NULL UNIQUE,
    name                    text NOT NULL,
    description             text,
    environment             text NOT NULL DEFAULT 'production',
    timezone                text NOT NULL DEFAULT 'UTC',
    is_active               boolean NOT NULL DEFAULT true,
    default_scheduler_owner text NOT NULL DEFAULT 'z4j-scheduler',
    allowed_schedulers      text,
    created_at              timestamp NOT NULL,
    updated_at              timestamp NOT NULL
);

CREATE TABLE memberships (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id bigint NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('viewer', 'auditor', 'operator', 'admin')),
    created_at timestamp NOT NULL,
    updated_at timestamp NOT NULL,
    UNIQUE (user_id, project_id)
);
CREATE INDEX memberships_project_id ON memberships (project_id);

CREATE TABLE agents (
    id                 integer PRIMARY KEY,
    uid                uuid NOT NULL UNIQUE,
    project_id         bigint NOT NULL REFERENCES projects (id),
    name               text NOT NULL,
    token_hash         text NOT NULL UNIQUE,
    protocol_version   text NOT NULL DEFAULT '0',
    framework_adapter  text NOT NULL DEFAULT 'unknown',
    engine_adapters    text NOT NULL DEFAULT '[]',
    scheduler_adapters text NOT NULL DEFAULT '[]',
    capabilities       text NOT NULL DEFAULT '{}',
    runtime_features   text NOT NULL DEFAULT '[]',
    host_name          text,
    agent_version      text,
    state              text NOT NULL DEFAULT 'unknown' CHECK (state IN ('online', 'offline', 'unknown')),
    last_seen_at       timestamp,
    last_connect_at    timestamp,
    revoked_at         timestamp,
    created_at         timestamp NOT NULL,
    updated_at         timestamp NOT NULL
);
CREATE UNIQUE INDEX agents_project_name ON agents (project_id, name) WHERE revoked_at IS NULL;

-- One row a process behind an agent token. A row is live while lease_until lies ahead;
-- owner is the ingest replica that holds its socket and generation fences an older one.
CREATE TABLE agent_workers (
    id               uuid PRIMARY KEY,
    agent_id         bigint NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    project_id       bigint NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    worker_id        text NOT NULL DEFAULT '',
    role             text,
    framework        text,
    pid              bigint,
    started_at       timestamp,
    state            text NOT NULL DEFAULT 'online' CHECK (state IN ('online', 'offline')),
    last_seen_at     timestamp,
    last_connect_at  timestamp,
    owner            text NOT NULL DEFAULT '',
    generation       bigint NOT NULL DEFAULT 0,
    lease_until      timestamp,
    runtime_features text NOT NULL DEFAULT '[]',
    created_at       timestamp NOT NULL,
    updated_at       timestamp NOT NULL,
    UNIQUE (agent_id, worker_id)
);
CREATE INDEX agent_workers_project_state ON agent_workers (project_id, state);

-- Self reports of agents (agent_status frames), newest kept by retention.
CREATE TABLE agent_status (
    id          integer PRIMARY KEY,
    agent_id    bigint NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    worker_id   text NOT NULL DEFAULT '',
    captured_at timestamp NOT NULL,
    payload     text NOT NULL
);
CREATE INDEX agent_status_agent_captured ON agent_status (agent_id, captured_at);

-- Long-poll sessions, so that any replica can serve the next request.
CREATE TABLE longpoll_sessions (
    agent_id     bigint NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    nonce        text NOT NULL,
    last_seq_in  bigint NOT NULL DEFAULT 0,
    next_seq_out bigint NOT NULL DEFAULT 1,
    nonces       text NOT NULL DEFAULT '[]',
    features     text NOT NULL DEFAULT '[]',
    contracts    text NOT NULL DEFAULT '{}',
    invalid      boolean NOT NULL DEFAULT false,
    last_seen_at timestamp NOT NULL,
    created_at   timestamp NOT NULL,
    PRIMARY KEY (agent_id, nonce)
);
CREATE INDEX longpoll_sessions_last_seen ON longpoll_sessions (last_seen_at);

CREATE TABLE queues (
    id              integer PRIMARY KEY,
    uid             uuid NOT NULL UNIQUE,
    project_id      bigint NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    engine          text NOT NULL,
    name            text NOT NULL,
    broker_type     text,
    broker_url_hint text,
    last_seen_at    timestamp,
    pending_count   bigint NOT NULL DEFAULT 0,
    depth_at        timestamp,
    consumer_count  bigint NOT NULL DEFAULT 0,
    created_at      timestamp NOT NULL,
    updated_at      timestamp NOT NULL,
    UNIQUE (project_id, engine, name)
);

-- Engine workers as events and heartbeats report them. agent_id is the last agent that reported the row.
CREATE TABLE workers (
    id             integer PRIMARY KEY,
    uid            uuid NOT NULL UNIQUE,
    project_id     bigint NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    engine         text NOT NULL,
    name           text NOT NULL,
    hostname       text,
    pid            bigint,
    concurrency    bigint,
    queues         text NOT NULL DEFAULT '[]',
    state          text NOT NULL DEFAULT 'unknown' CHECK (state IN ('online', 'offline', 'draining', 'unknown')),
    last_heartbeat timestamp,
    load_average   text,
    active_tasks   bigint NOT NULL DEFAULT 0,
    metadata       text NOT NULL DEFAULT '{}',
    agent_id       bigint REFERENCES agents (id) ON DELETE SET NULL,
    processed      bigint NOT NULL DEFAULT 0,
    succeeded      bigint NOT NULL DEFAULT 0,
    failed         bigint NOT NULL DEFAULT 0,
    retried        bigint NOT NULL DEFAULT 0,
    created_at     timestamp NOT NULL,
    updated_at     timestamp NOT NULL,
    UNIQUE (project_id, engine, name)
);

-- Current state a task. engine_id, name_id, queue_id and worker_id point into names.
-- seen_at is the arrival of the first event and never changes: the order of the live list.
CREATE TABLE tasks (
    id             integer PRIMARY KEY,
    project_id     bigint NOT NULL,
    engine_id      bigint NOT NULL,
    task_id        text NOT NULL,
    name_id        bigint NOT NULL,
    queue_id       bigint,
    worker_id      bigint,
    state          bigint NOT NULL,
    priority       bigint NOT NULL,
    retry_count    bigint NOT NULL DEFAULT 0,
    runtime_ms     bigint,
    eta            timestamp,
    received_at    timestamp,
    started_at     timestamp,
    finished_at    timestamp,
    last_failed_at timestamp,
    seen_at        timestamp NOT NULL,
    updated_at     timestamp NOT NULL,
    fingerprint    text,
    parent_task_id text,
    root_task_id   text,
    tags           text,
    args           text,
    kwargs         text,
    result         text,
    exception      text,
    traceback      text
);
CREATE UNIQUE INDEX tasks_identity ON tasks (project_id, engine_id, task_id);
CREATE INDEX tasks_started ON tasks (project_id, started_at, id);
CREATE INDEX tasks_state_started ON tasks (project_id, state, started_at, id);
CREATE INDEX tasks_name_started ON tasks (project_id, name_id, started_at, id);
CREATE INDEX tasks_queue_started ON tasks (project_id, queue_id, started_at, id);
CREATE INDEX tasks_seen ON tasks (project_id, seen_at, id);
CREATE INDEX tasks_fingerprint ON tasks (project_id, fingerprint, last_failed_at) WHERE fingerprint IS NOT NULL;
CREATE INDEX tasks_failed ON tasks (project_id, last_failed_at, id) WHERE last_failed_at IS NOT NULL;
CREATE INDEX tasks_root ON tasks (project_id, root_task_id) WHERE root_task_id IS NOT NULL;
CREATE INDEX tasks_parent ON tasks (project_id, parent_task_id) WHERE parent_task_id IS NOT NULL;

-- Life-cycle events of tasks (received, started, succeeded, failed, retried, revoked).
-- The key is the protocol's identity: one event per task, kind and second. at is cut to the
-- second, at_us holds the microseconds that belong to it. stripped says which members of the
-- payload are left out because the task row (or worker_id) holds the same value.
CREATE TABLE events (
    task_id   bigint NOT NULL,
    kind      bigint NOT NULL,
    at        timestamp NOT NULL,
    at_us     bigint NOT NULL,
    agent_id  bigint NOT NULL,
    worker_id bigint,
    stripped  bigint NOT NULL,
    payload   text NOT NULL,
    PRIMARY KEY (task_id, kind, at)
) WITHOUT ROWID;

-- Everything else agents report: worker and queue reports, kinds that create no task.
CREATE TABLE loose_events (
    uid         uuid PRIMARY KEY,
    project_id  bigint NOT NULL,
    agent_id    bigint NOT NULL,
    engine_id   bigint NOT NULL,
    task_id     text NOT NULL DEFAULT '',
    kind        text NOT NULL,
    occurred_at timestamp NOT NULL,
    payload     text NOT NULL
);
CREATE INDEX loose_events_task ON loose_events (project_id, engine_id, task_id, occurred_at);
CREATE INDEX loose_events_occurred ON loose_events (occurred_at);

-- Tasks per state, kept in the transaction that changes them.
CREATE TABLE task_counts (
    project_id bigint NOT NULL,
    state      bigint NOT NULL,
    n          bigint NOT NULL,
    PRIMARY KEY (project_id, state)
) WITHOUT ROWID;

-- Counters and latency sketches. res is the width of the bucket in minutes (1, 60, 1440), at its start,
-- kind one of pkg/domain.RollupKind, queue_id 0 when the task has no queue.
CREATE TABLE rollups (
    project_id bigint NOT NULL,
    res        bigint NOT NULL,
    at         timestamp NOT NULL,
    name_id    bigint NOT NULL,
    queue_id   bigint NOT NULL,
    kind       bigint NOT NULL,
    n          bigint NOT NULL,
    runtime_n  bigint NOT NULL,
    runtime_ms bigint NOT NULL,
    sketch     blob,
    PRIMARY KEY (project_id, res, at, name_id, queue_id, kind)
) WITHOUT ROWID;

-- Append-only changes to task_counts, rollups, issues and worker totals that a folder merges (PostgreSQL writers).
CREATE TABLE rollup_deltas (
    id      integer PRIMARY KEY,
    payload blob NOT NULL
);

-- Failure groups, kept in the transaction that changes their tasks.
CREATE TABLE issues (
    project_id       bigint NOT NULL,
    fingerprint      text NOT NULL,
    engine_id        bigint NOT NULL,
    occurrences      bigint NOT NULL,
    open_count       bigint NOT NULL,
    first_seen       timestamp NOT NULL,
    last_seen        timestamp NOT NULL,
    sample_name_id   bigint NOT NULL,
    sample_exception text,
    PRIMARY KEY (project_id, fingerprint, engine_id)
) WITHOUT ROWID;
CREATE INDEX issues_last_seen ON issues (project_id, last_seen);

CREATE TABLE commands (
    id                   uuid PRIMARY KEY,
    project_id           bigint NOT NULL REFERENCES projects (id),
    agent_id             bigint REFERENCES agents (id),
    issued_by            uuid,
    action               text NOT NULL,
    target_type          text NOT NULL,
    target_id            text,
    payload              text NOT NULL DEFAULT '{}',
    request_hash         text NOT NULL DEFAULT '',
    idempotency_key      text,
    status               text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'dispatched', 'completed', 'failed', 'timeout', 'cancelled')),
    result               text,
    error                text,
    source_ip            text,
    required_contract    text,
    issued_at            timestamp NOT NULL,
    dispatched_at        timestamp,
    completed_at         timestamp,
    timeout_at           timestamp NOT NULL,
    timeout_seconds      bigint NOT NULL,
    claimed_by           text,
    claimed_worker       text,
    delivery_claim_token uuid
);
CREATE UNIQUE INDEX commands_idempotency ON commands (project_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX commands_project_issued ON commands (project_id, issued_at DESC, id DESC);
CREATE INDEX commands_open ON commands (agent_id, status, issued_at) WHERE status IN ('pending', 'dispatched');

-- Audit records wait here, written in the transaction of the change they tell of, until the
-- audit service appends them to the chain. record is canonical JSON, mac its HMAC.
CREATE TABLE audit_outbox (
    id         integer PRIMARY KEY,
    record     text NOT NULL,
    mac        text NOT NULL,
    created_at timestamp NOT NULL
);

-- Outbox rows that the audit service could not trust, kept for inspection; the chain tells of each.
CREATE TABLE audit_set_aside (
    id           integer PRIMARY KEY,
    record       text NOT NULL,
    mac          text NOT NULL,
    reason       text NOT NULL,
    created_at   timestamp NOT NULL,
    set_aside_at timestamp NOT NULL
);

-- Refusals, one row per address, action and minute, so that a flood can't fill the table.
CREATE TABLE audit_refusals (
    minute     timestamp NOT NULL,
    source_ip  text NOT NULL,
    action     text NOT NULL,
    reason     text NOT NULL,
    n          bigint NOT NULL,
    last_at    timestamp NOT NULL,
    PRIMARY KEY (minute, source_ip, action, reason)
);

CREATE TABLE audit_log (
    seq              bigint PRIMARY KEY,
    id               uuid NOT NULL UNIQUE,
    project_id       uuid,
    user_id          uuid,
    api_key_id       uuid,
    action           text NOT NULL,
    target_type      text NOT NULL,
    target_id        text,
    result           text NOT NULL,
    outcome          text,
    event_id         uuid,
    metadata         text NOT NULL DEFAULT '{}',
    source_ip        text,
    user_agent       text,
    occurred_at      timestamp NOT NULL,
    hmac_version     bigint NOT NULL,
    hmac_key_id      text NOT NULL,
    chain_generation uuid NOT NULL,
    prev_row_hmac    text,
    row_hmac         text NOT NULL
);
CREATE INDEX audit_log_project_occurred ON audit_log (project_id, occurred_at);
CREATE INDEX audit_log_occurred ON audit_log (occurred_at);

-- Holds a row only inside a transaction that may delete from audit_log.
CREATE TABLE audit_transition (
    kind text PRIMARY KEY
);

-- The signed head of the chain (singleton = 1).
CREATE TABLE audit_state (
    singleton         bigint PRIMARY KEY CHECK (singleton = 1),
    generation        uuid NOT NULL,
    installation_id   uuid NOT NULL,
    state_key_id      text NOT NULL,
    head_seq          bigint NOT NULL,
    head_row_hmac     text,
    head_hmac_key_id  text,
    head_occurred_at  timestamp,
    head_id           uuid,
    prune_row_hmac    text,
    prune_hmac_key_id text,
    prune_occurred_at timestamp,
    prune_id          uuid,
    active_row_count  bigint NOT NULL,
    active_key_counts text NOT NULL,
    state_mac         text NOT NULL
);

-- +goose StatementBegin
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
WHEN NOT EXISTS (SELECT 1 FROM audit_transition)
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE audit_state;
DROP TABLE audit_log;
DROP TABLE audit_transition;
DROP TABLE audit_refusals;
DROP TABLE audit_set_aside;
DROP TABLE audit_outbox;
DROP TABLE commands;
DROP TABLE issues;
DROP TABLE rollup_deltas;
DROP TABLE rollups;
DROP TABLE task_counts;
DROP TABLE loose_events;
DROP TABLE events;
DROP TABLE tasks;
DROP TABLE workers;
DROP TABLE queues;
DROP TABLE longpoll_sessions;
DROP TABLE agent_status;
DROP TABLE agent_workers;
DROP TABLE agents;
DROP TABLE memberships;
DROP TABLE projects;
DROP TABLE setup_token;
DROP TABLE sessions;
DROP TABLE users;
DROP TABLE names;
DROP TABLE leases;
DROP TABLE meta;
