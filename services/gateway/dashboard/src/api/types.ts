// SPDX-License-Identifier: AGPL-3.0-or-later
// The part of the REST API this dashboard reads, in its wire form. Timestamps are text; api/time.ts parses them.

export type TaskState =
  | "pending"
  | "received"
  | "started"
  | "success"
  | "failure"
  | "retry"
  | "revoked"
  | "rejected"
  | "unknown";
export type Role = "viewer" | "auditor" | "operator" | "admin";
export type CommandStatus = "pending" | "dispatched" | "completed" | "failed" | "timeout" | "cancelled";
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Project {
  id: string;
  slug: string;
  name: string;
  description: string | null;
  environment: string;
  timezone: string;
  is_active: boolean;
}

export interface User {
  id: string;
  email: string;
  first_name: string | null;
  last_name: string | null;
  display_name: string | null;
  is_admin: boolean;
  timezone: string;
  created_at: string;
}

export interface Me extends User {
  memberships: { project_id: string; project_slug: string; role: Role }[];
}

export interface LoginResponse {
  user: User;
  mfa_required?: boolean;
}

export interface PasswordPolicy {
  min_length: number;
  required_character_classes: number;
  character_class_names: string[];
}

export interface Session {
  id: string;
  issued_at: string;
  last_seen_at: string;
  ip_at_issue: string;
  user_agent_at_issue: string | null;
  is_current: boolean;
}

export interface Task {
  id: string;
  project_id: string;
  engine: string;
  task_id: string;
  name: string;
  queue: string | null;
  state: TaskState;
  priority: string;
  args: Json;
  kwargs: Json;
  result: Json;
  exception: string | null;
  traceback: string | null;
  retry_count: number;
  eta: string | null;
  received_at: string | null;
  started_at: string | null;
  finished_at: string | null;
  runtime_ms: number | null;
  worker_name: string | null;
  parent_task_id: string | null;
  root_task_id: string | null;
  tags: string[];
  created_at: string;
  updated_at: string;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
  total_count?: number | null;
}

export interface TaskEvent {
  id: string;
  agent_id: string;
  engine: string;
  task_id: string;
  kind: string;
  occurred_at: string;
  payload: { [key: string]: Json };
}

export interface Agent {
  id: string;
  name: string;
  state: "online" | "offline" | "unknown";
  protocol_version: string;
  framework_adapter: string;
  engine_adapters: string[];
  scheduler_adapters: string[];
  capabilities: { [engine: string]: Json };
  last_seen_at: string | null;
  last_connect_at: string | null;
  created_at: string;
  is_outdated: boolean;
  host_name?: string | null;
  agent_version?: string | null;
  version_status?: string | null;
}

export interface MintedAgent {
  agent: Agent;
  token: string;
  hmac_secret: string;
}

export interface Worker {
  id: string;
  engine: string;
  name: string;
  hostname: string | null;
  pid: number | null;
  concurrency: number | null;
  queues: string[];
  state: "online" | "offline" | "draining" | "unknown";
  last_heartbeat: string | null;
  load_average?: number[] | null;
  active_tasks: number;
  processed: number;
  failed: number;
  succeeded: number;
  retried: number;
  created_at: string;
}

export interface Queue {
  id: string;
  name: string;
  engine: string;
  broker_type: string | null;
  last_seen_at: string | null;
}

export interface Stats {
  window_hours: number;
  tasks_by_state: Record<TaskState, number>;
  tasks_total: number;
  tasks_failed_24h: number;
  tasks_succeeded_24h: number;
  failure_rate_24h: number;
  agents_online: number;
  agents_offline: number;
  workers_online: number;
  workers_offline: number;
  commands_pending: number;
  queue_depths: { name: string; engine: string; pending_count: number; last_seen_at?: string | null }[];
}

export interface Command {
  id: string;
  agent_id: string | null;
  issued_by: string | null;
  action: string;
  target_type: string;
  target_id: string | null;
  payload: { [key: string]: Json };
  status: CommandStatus;
  result: Json;
  error: string | null;
  issued_at: string;
  dispatched_at: string | null;
  completed_at: string | null;
  timeout_at: string;
}

export interface ErrorBody {
  error: string;
  message: string;
  request_id: string | null;
  details: { [key: string]: Json };
}
