// SPDX-License-Identifier: AGPL-3.0-or-later
// Generated from docs/openapi.json by `npm run generate`. Do not edit.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Action {
  action: string;
  agent_id: string | null;
  allowed: boolean;
  reason: string | null;
}

export interface AdminSettingsResponse {
  settings: SettingItem[];
  z4j_home: string;
}

export interface AgentHealthSnapshot {
  captured_at: string;
  id: number;
  telemetry_loss: TelemetryLossPayload | null;
  worker_id: string | null;
}

export interface AgentPublic {
  agent_version: string | null;
  buffered: number | null;
  capabilities: { [key: string]: Json };
  created_at: string;
  engine_adapters: string[];
  failures: number;
  framework_adapter: string;
  host_name: string | null;
  id: string;
  is_outdated: boolean;
  lag_seconds: number | null;
  last_connect_at: string | null;
  last_event_at: string | null;
  last_seen_at: string | null;
  lost: number;
  lost_results: number;
  name: string;
  newest_version: string;
  processes: number;
  project_id: string;
  protocol_version: string;
  reported_at: string | null;
  scheduler_adapters: string[];
  state: string;
  version_status: string | null;
}

export interface AgentWorkerPublic {
  agent_id: string;
  created_at: string;
  framework: string | null;
  id: string;
  last_connect_at: string | null;
  last_seen_at: string | null;
  pid: number | null;
  project_id: string;
  role: string | null;
  started_at: string | null;
  state: string;
  updated_at: string;
  worker_id: string | null;
}

export interface AgentsNow {
  offline: number;
  online: number;
}

export interface Aggregate {
  agents_online: number;
  agents_total: number;
  failure_rate_24h: number;
  failures_24h: number;
  stuck_commands: number;
  tasks_24h: number;
  workers_online: number;
  workers_total: number;
}

export interface AttentionItem {
  count: number | null;
  kind: string;
  message: string;
  project_id: string;
  project_name: string;
  project_slug: string;
  severity: string;
}

export interface Backlog {
  drain_seconds: number | null;
  in_per_minute: number;
  oldest_wait_seconds: number | null;
  out_per_minute: number;
  waiting: number;
  waiting_capped: boolean;
}

export interface BreakdownPublic {
  grain_seconds: number;
  keys: number;
  rows: BreakdownRow[];
  window: Window;
}

export interface BreakdownRow {
  ended: number;
  failed: number;
  failure_rate: number;
  key: string;
  received: number;
  retried: number;
  revoked: number;
  run: LatencyPublic | null;
  spark: number[];
  spark_failed: number[];
  started: number;
  succeeded: number;
  wait: LatencyPublic | null;
}

export interface BulkCancelItem {
  command_id: string | null;
  engine: string;
  reason: string | null;
  task_id: string;
}

export interface BulkCancelRequest {
  query?: string | null;
  tasks?: TaskRef[];
}

export interface BulkCancelResponse {
  issued: number;
  items: BulkCancelItem[];
  refused: number;
}

export interface BulkDeleteRequest {
  filter_name?: string | null;
  filter_priority?: string[];
  filter_query?: string | null;
  filter_queue?: string | null;
  filter_search?: string | null;
  filter_since?: string | null;
  filter_state?: "pending" | "received" | "started" | "success" | "failure" | "retry" | "revoked" | "rejected" | "unknown" | null;
  filter_until?: string | null;
  filter_worker?: string | null;
  task_ids?: string[];
}

export interface BulkDeleteResponse {
  deleted_count: number;
}

export interface BulkRetryCountsPublic {
  claimed: number;
  failed: number;
  pending: number;
  succeeded: number;
  total: number;
  unknown: number;
  unobserved: number;
}

export interface BulkRetryItem {
  command_id: string | null;
  completed_at: string | null;
  delivery_state: "pending" | "delivery_claimed";
  engine: string;
  error: string | null;
  name: string;
  ordinal: number;
  outcome: "unobserved" | "succeeded" | "failed" | "unknown";
  task_id: string;
}

export interface BulkRetryItems {
  items: BulkRetryItem[];
  next: number | null;
}

export interface BulkRetryRequest {
  agent_id: string;
  filter?: { [key: string]: Json };
  idempotency_key?: string | null;
  max?: number;
}

export interface BulkRetryRequestCreate {
  agent_id?: string | null;
  filter?: { [key: string]: Json };
  idempotency_key: string;
  max?: number;
}

export interface BulkRetryRequestList {
  items: BulkRetryRequestPublic[];
}

export interface BulkRetryRequestPublic {
  canonical_digest: string;
  canonicalizer_version: number;
  control_state: "running" | "paused" | "blocked";
  counts: BulkRetryCountsPublic;
  created_at: string;
  deadline_at: string;
  id: string;
  idempotency_key: string;
  last_progress_at: string | null;
  plan_digest: string;
  project_id: string;
  sealed_at: string;
  status: "no_match" | "in_progress" | "paused" | "blocked" | "succeeded" | "failed" | "partial" | "indeterminate";
  target_agent_id: string | null;
}

export interface BusyQueue {
  ended: number;
  failed: number;
  name: string;
  p95_wait_ms: number | null;
}

export interface ChangePasswordRequest {
  current_password: string;
  new_password: string;
}

export interface CommandListResponse {
  items: CommandPublic[];
  next_cursor: string | null;
}

export interface CommandPublic {
  action: string;
  agent_id: string | null;
  agent_name: string | null;
  completed_at: string | null;
  dispatched_at: string | null;
  duration_ms: number | null;
  error: string | null;
  id: string;
  issued_at: string;
  issued_by: string | null;
  issuer: IssuerPublic | null;
  payload: Json;
  project_id: string;
  result: Json;
  status: "pending" | "dispatched" | "completed" | "failed" | "timeout" | "cancelled";
  target: TargetPublic | null;
  target_id: string | null;
  target_type: string;
  timeout_at: string;
}

export interface CommandsIn {
  completed: number;
  failed: number;
  open: number;
  timeout: number;
}

export interface CompleteRequest {
  display_name?: string | null;
  email: string;
  password: string;
  token: string;
}

export interface CompleteResponse {
  project_id: string;
  user: UserPublic;
}

export interface ConsumerRequest {
  agent_id: string;
  engine?: string | null;
  idempotency_key?: string | null;
  queue: string;
  worker_name: string;
}

export interface CreateAgentRequest {
  name: string;
}

export interface CreateAgentResponse {
  agent: AgentPublic;
  hmac_secret: string;
  token: string;
}

export interface CreateProjectRequest {
  allowed_schedulers?: string[] | null;
  default_scheduler_owner?: string;
  description?: string | null;
  environment?: string;
  name: string;
  slug: string;
  timezone?: string;
}

export interface CreateUserRequest {
  display_name?: string | null;
  email: string;
  first_name?: string | null;
  is_admin?: boolean;
  last_name?: string | null;
  password: string;
  timezone?: string;
}

export interface DeadLetterEntry {
  attempts: number | null;
  error_excerpt: string;
  failed_at: string | null;
  queue: string;
  task_id: string;
  task_name: string;
}

export interface DeadLetterPage {
  engine: string;
  entries: DeadLetterEntry[];
  next_cursor: string | null;
  total: number | null;
}

export interface DeepCheckResult {
  activated?: boolean | null;
  detail?: string;
  expected?: string;
  latency_ms?: number | null;
  revision?: string;
  scope?: string;
  status: "ok" | "degraded" | "failed";
}

export interface DeepHealthCoverage {
  detail: string;
  startup_equivalent: boolean;
}

export interface DeepHealthResponse {
  checks: { [key: string]: DeepCheckResult };
  coverage: DeepHealthCoverage;
  status: "ok" | "degraded" | "failed";
}

export interface DepthPoint {
  depth: number;
  peak: number;
  t: string;
}

export interface Envelope {
  detail: Json;
  details: { [key: string]: Json };
  error: string;
  message: string;
  request_id: string;
  trace_id?: string;
}

export interface EventListResponse {
  items: EventPublic[];
  next_cursor: string | null;
}

export interface EventPublic {
  agent_id: string;
  engine: string;
  id: string;
  kind: string;
  occurred_at: string;
  payload: Json;
  project_id: string;
  task_id: string;
}

export interface FacetCount {
  count: number;
  value: string;
}

export interface FailingTask {
  failed: number;
  failure_rate: number;
  name: string;
  total: number;
}

export interface GrantMembershipRequest {
  role: "viewer" | "auditor" | "operator" | "admin";
  user_id: string;
}

export interface HealthResponse {
  status: string;
}

export interface HomeAttention {
  count: number;
  kind: "agents_offline" | "workers_offline" | "failure_rate" | "stuck_commands" | "backlog";
  project: string;
  project_name: string;
  severity: "critical" | "warning";
  since: string | null;
  text: string;
}

export interface HomeFailure {
  capped: boolean;
  exception: string | null;
  fingerprint: string;
  first_seen: string;
  last_seen: string;
  name: string | null;
  occurrences: number;
  open: number;
  project: string;
  project_name: string;
  sample: SampleTask | null;
  spark: number[];
}

export interface HomeProject {
  agents_offline: number;
  agents_online: number;
  attention: number;
  ended: number;
  environment: string;
  failed: number;
  failure_rate: number;
  id: string;
  last_activity: string | null;
  name: string;
  open_issues: number;
  slug: string;
  spark: number[];
  spark_failed: number[];
  stuck_commands: number;
  workers_offline: number;
  workers_online: number;
  worst_queue: WorstQueue | null;
}

export interface HomePublic {
  attention: HomeAttention[];
  failures: HomeFailure[];
  grain_seconds: number;
  projects: HomeProject[];
  window: Window;
}

export interface HomeSummaryPublic {
  aggregate: Aggregate;
  attention: AttentionItem[];
  projects: ProjectCard[];
  user: UserMini;
}

export interface IssueDetail {
  bucket_seconds: number;
  buckets: OccurrenceBucket[];
  engine_count: number;
  engines: string[];
  fingerprint: string;
  first_seen: string | null;
  last_seen: string | null;
  occurrences: number;
  occurrences_in_window: number;
  open_count: number;
  queues: string[];
  recent: IssueTask[];
  recovered_count: number;
  sample: IssueSample | null;
  sample_exception: string | null;
  sample_size: number;
  sample_task_name: string | null;
  spark: number[];
  status: "ongoing" | "recovered";
  tasks: string[];
  top_names: SharePublic[];
  top_queues: SharePublic[];
  top_workers: SharePublic[];
  window: Window;
  window_capped: boolean;
}

export interface IssueListResponse {
  items: IssuePublic[];
  next_cursor: string | null;
  window: Window;
}

export interface IssuePublic {
  engine_count: number;
  engines: string[];
  fingerprint: string;
  first_seen: string | null;
  last_seen: string | null;
  occurrences: number;
  occurrences_in_window: number;
  open_count: number;
  queues: string[];
  recovered_count: number;
  sample_exception: string | null;
  sample_task_name: string | null;
  spark: number[];
  status: "ongoing" | "recovered";
  tasks: string[];
  window_capped: boolean;
}

export interface IssueSample {
  engine: string;
  exception: string | null;
  failed_at: string | null;
  name: string;
  state: string;
  task_id: string;
  traceback: string | null;
}

export interface IssueTask {
  engine: string;
  exception: string | null;
  failed_at: string | null;
  name: string;
  queue: string | null;
  retries: number;
  state: string;
  task_id: string;
  worker: string | null;
}

export interface IssuerPublic {
  email: string | null;
  id: string;
  name: string;
}

export interface LatencyPublic {
  n: number;
  p50_ms: number;
  p95_ms: number;
  p99_ms: number;
}

export interface LintFindingPublic {
  detail: string;
  remedy: string;
  rule_id: string;
  setting: string;
  severity: string;
  title: string;
}

export interface LoginRequest {
  email: string;
  password: string;
  remember_me?: boolean;
}

export interface LoginResponse {
  mfa_enrollment_deadline: string | null;
  mfa_enrollment_required: boolean;
  mfa_required: boolean;
  user: UserPublic;
}

export interface Marker {
  kind: "agent_start" | "worker_first_seen";
  t: string;
  text: string;
}

export interface MembershipPublic {
  created_at: string;
  id: string;
  project_id: string;
  role: string;
  user_display_name: string | null;
  user_email: string;
  user_id: string;
}

export interface OccurrenceBucket {
  count: number;
  t: string;
}

export interface OverviewPublic {
  agents: AgentsNow;
  backlog: Backlog;
  busiest_queues: BusyQueue[];
  commands: CommandsIn;
  grain_seconds: number;
  open_issues: number;
  previous: Previous;
  run: LatencyPublic | null;
  slowest: SlowTask[];
  top_failing: FailingTask[];
  total: LatencyPublic | null;
  totals: TotalsPublic;
  wait: LatencyPublic | null;
  window: Window;
  workers: WorkersNow;
}

export interface PasswordPolicyPublic {
  character_class_names: string[];
  min_length: number;
  required_character_classes: number;
}

export interface PasswordResetRequest {
  new_password: string;
}

export interface PermissionsPublic {
  actions: string[];
  instance_admin: boolean;
  role: string;
}

export interface PoolResizeRequest {
  agent_id: string;
  delta: number;
  engine?: string | null;
  idempotency_key?: string | null;
  worker_name: string;
}

export interface Previous {
  run: LatencyPublic | null;
  total: LatencyPublic | null;
  totals: TotalsPublic;
  wait: LatencyPublic | null;
  window: Window;
}

export interface ProjectCard {
  agents_online: number;
  agents_total: number;
  environment: string;
  failure_rate_24h: number;
  failures_24h: number;
  health: string;
  id: string;
  last_activity_at: string | null;
  name: string;
  role: string | null;
  slug: string;
  stuck_commands: number;
  tasks_24h: number;
  workers_online: number;
  workers_total: number;
}

export interface ProjectLintPublic {
  findings_by_severity: { [key: string]: number };
  workers: WorkerLintPublic[];
  workers_evaluated: number;
  workers_not_evaluated: number;
}

export interface ProjectPublic {
  allowed_schedulers: string[] | null;
  created_at: string;
  default_scheduler_owner: string;
  description: string | null;
  environment: string;
  id: string;
  is_active: boolean;
  name: string;
  slug: string;
  timezone: string;
  updated_at: string;
}

export interface PurgeQueueRequest {
  agent_id: string;
  confirm_token?: string | null;
  force?: boolean;
  idempotency_key?: string | null;
  observed_depth?: number | null;
  queue: string;
}

export interface QueueDetailPublic {
  allowed_actions: Action[];
  broker_type: string | null;
  broker_url_hint: string | null;
  bucket_seconds: number;
  consumers: number | null;
  created_at: string;
  depth: number | null;
  depth_at: string | null;
  depth_series: DepthPoint[];
  depth_spark: (number | null)[];
  drain_seconds: number | null;
  ended: number;
  engine: string;
  failed: number;
  id: string;
  in_per_minute: number | null;
  last_seen_at: string | null;
  name: string;
  oldest_wait_seconds: number | null;
  out_per_minute: number;
  p95_wait_ms: number | null;
  pending_count: number;
  project_id: string;
  top_names: QueueNamePublic[];
  trend: "empty" | "draining" | "steady" | "growing" | "stalled" | "unknown";
  waiting: number | null;
  waiting_capped: boolean;
  window: Window;
  workers: QueueWorkerPublic[];
}

export interface QueueHealth {
  broker_type: string | null;
  engine: string;
  last_seen_at: string | null;
  name: string;
  pending_count: number;
}

export interface QueueNamePublic {
  ended: number;
  failed: number;
  failure_rate: number;
  name: string;
}

export interface QueuePublic {
  broker_type: string | null;
  broker_url_hint: string | null;
  consumers: number | null;
  created_at: string;
  depth: number | null;
  depth_at: string | null;
  depth_spark: (number | null)[];
  drain_seconds: number | null;
  ended: number;
  engine: string;
  failed: number;
  id: string;
  in_per_minute: number | null;
  last_seen_at: string | null;
  name: string;
  oldest_wait_seconds: number | null;
  out_per_minute: number;
  p95_wait_ms: number | null;
  pending_count: number;
  project_id: string;
  trend: "empty" | "draining" | "steady" | "growing" | "stalled" | "unknown";
  waiting: number | null;
  waiting_capped: boolean;
}

export interface QueueWorkerPublic {
  active_tasks: number;
  concurrency: number | null;
  hostname: string | null;
  id: string;
  idle_suspect: boolean;
  last_event_at: string | null;
  name: string;
  state: string;
}

export interface RateLimitRequest {
  agent_id: string;
  idempotency_key?: string | null;
  rate: string;
  task_name: string;
  worker_name?: string | null;
}

export interface ReadyResponse {
  reason?: "starting" | "database";
  status: "ready" | "unready";
}

export interface RecentFailurePublic {
  engine: string;
  exception: string | null;
  id: string;
  occurred_at: string;
  priority: string;
  project_id: string;
  project_name: string;
  project_slug: string;
  task_id: string;
  task_name: string | null;
  worker: string | null;
}

export interface RecentFailuresPublic {
  items: RecentFailurePublic[];
  next_cursor: string | null;
}

export interface RestartWorkerRequest {
  agent_id: string;
  engine?: string | null;
  idempotency_key?: string | null;
  worker_name: string;
}

export interface RetryTaskRequest {
  agent_id: string;
  engine: string;
  eta_seconds?: number | null;
  idempotency_key?: string | null;
  override_args?: Json[];
  override_kwargs?: { [key: string]: Json };
  task_id: string;
}

export interface SampleTask {
  engine: string;
  task_id: string;
}

export interface SavedTaskFilters {
  priority: string[];
  query?: string;
  search: string;
  state: "pending" | "received" | "started" | "success" | "failure" | "retry" | "revoked" | "rejected" | "unknown" | null;
}

export interface SavedTaskFiltersInput {
  priority?: string[];
  query?: string;
  search?: string;
  state?: "pending" | "received" | "started" | "success" | "failure" | "retry" | "revoked" | "rejected" | "unknown" | null;
}

export interface SavedViewPublic {
  created_at: string;
  filters: SavedTaskFilters;
  id: string;
  name: string;
  updated_at: string;
}

export interface SavedViewWrite {
  filters: SavedTaskFiltersInput;
  name: string;
}

export interface SeriesBucket {
  failed: number;
  received: number;
  retried: number;
  revoked: number;
  run: LatencyPublic | null;
  started: number;
  succeeded: number;
  t: string;
  wait: LatencyPublic | null;
}

export interface SeriesPublic {
  bucket_seconds: number;
  buckets: SeriesBucket[];
  markers: Marker[];
  window: Window;
}

export interface SessionPublic {
  id: string;
  ip_at_issue: string;
  is_current: boolean;
  issued_at: string;
  last_seen_at: string;
  user_agent_at_issue: string | null;
}

export interface SessionRevokedResponse {
  revoked: boolean;
}

export interface SettingItem {
  description: string;
  is_secret: boolean;
  name: string;
  source: string;
  value: string;
}

export interface SharePublic {
  count: number;
  value: string;
}

export interface SimilarTasksResponse {
  by: "fingerprint" | "name";
  fingerprint: string | null;
  items: TaskPublic[];
}

export interface SlowTask {
  n: number;
  name: string;
  p50_ms: number;
  p95_ms: number;
}

export interface StatsResponse {
  agents_offline: number;
  agents_online: number;
  commands_completed_24h: number;
  commands_failed_24h: number;
  commands_pending: number;
  commands_timeout_24h: number;
  failure_rate_24h: number;
  queue_depths: QueueHealth[];
  system_health: SystemHealth;
  tasks_by_state: TaskStateCounts;
  tasks_failed_24h: number;
  tasks_succeeded_24h: number;
  tasks_total: number;
  window_hours: number;
  workers_offline: number;
  workers_online: number;
}

export interface StatusResponse {
  first_boot: boolean;
}

export interface SystemHealth {
  agents_all_online: boolean;
  brain_db_ok: boolean;
  failure_rate_ok: boolean;
  queue_depth_ok: boolean;
  status: string;
}

export interface SystemHealthResponse {
  architecture: string;
  database_size_mb: number;
  database_type: string;
  database_version: string;
  go_version: string;
  os: string;
  packages: { [key: string]: string };
  pid: number;
  z4j_version: string;
}

export interface TargetPublic {
  engine: string | null;
  kind: "task" | "queue" | "worker" | "name";
  name: string | null;
  queue: string | null;
  task_id: string | null;
  worker: string | null;
  worker_id: string | null;
}

export interface TaskDetail {
  allowed_actions: Action[];
  args: Json;
  args_preview?: string | null;
  created_at: string;
  engine: string;
  eta: string | null;
  exception: string | null;
  fingerprint: string | null;
  finished_at: string | null;
  id: string;
  kwargs: Json;
  kwargs_preview?: string | null;
  name: string;
  parent_task_id: string | null;
  priority: string;
  project_id: string;
  queue: string | null;
  received_at: string | null;
  result: Json;
  retry_count: number;
  root_task_id: string | null;
  runtime_ms: number | null;
  started_at: string | null;
  state: string;
  tags: string[];
  task_id: string;
  traceback: string | null;
  updated_at: string;
  worker_name: string | null;
}

export interface TaskFacetsResponse {
  approximate: boolean;
  engines: FacetCount[];
  names: FacetCount[];
  priorities: FacetCount[];
  queues: FacetCount[];
  states: FacetCount[];
  workers: FacetCount[];
}

export interface TaskListResponse {
  items: TaskPublic[];
  next_cursor: string | null;
  searched_to?: string | null;
  total_count: number | null;
}

export interface TaskPublic {
  args: Json;
  args_preview?: string | null;
  created_at: string;
  engine: string;
  eta: string | null;
  exception: string | null;
  finished_at: string | null;
  id: string;
  kwargs: Json;
  kwargs_preview?: string | null;
  name: string;
  parent_task_id: string | null;
  priority: string;
  project_id: string;
  queue: string | null;
  received_at: string | null;
  result: Json;
  retry_count: number;
  root_task_id: string | null;
  runtime_ms: number | null;
  started_at: string | null;
  state: string;
  tags: string[];
  task_id: string;
  traceback: string | null;
  updated_at: string;
  worker_name: string | null;
}

export interface TaskRef {
  engine: string;
  task_id: string;
}

export interface TaskRequest {
  agent_id: string;
  engine: string;
  idempotency_key?: string | null;
  task_id: string;
}

export interface TaskStateCounts {
  failure: number;
  pending: number;
  received: number;
  rejected: number;
  retry: number;
  revoked: number;
  started: number;
  success: number;
  unknown: number;
}

export interface TaskTreeNode {
  finished_at: string | null;
  name: string;
  parent_task_id: string | null;
  received_at: string | null;
  root_task_id: string | null;
  started_at: string | null;
  state: string;
  task_id: string;
}

export interface TaskTreeResponse {
  node_count: number;
  nodes: TaskTreeNode[];
  root_task_id: string;
  truncated: boolean;
}

export interface TelemetryLossPayload {
  adapter_events: { [key: string]: number };
  buffer_id: string;
  capacity_evicted_frames: number;
  command_results: number;
  content_rejected_frames: number;
  event_records: number;
  other_frames: number;
  runtime_id: string;
  unclassified_frames: number;
}

export interface TotalsPublic {
  failed: number;
  failure_rate: number;
  received: number;
  retried: number;
  revoked: number;
  started: number;
  succeeded: number;
}

export interface TrendBucket {
  avg_runtime_ms: number | null;
  failure: number;
  retry: number;
  revoked: number;
  success: number;
  t: string;
  total: number;
}

export interface TrendsResponse {
  bucket: string;
  series: TrendBucket[];
  window: string;
}

export interface UpdateMembershipRequest {
  role: "viewer" | "auditor" | "operator" | "admin";
}

export interface UpdateProfileRequest {
  display_name?: string | null;
  first_name?: string | null;
  last_name?: string | null;
  timezone?: string | null;
}

export interface UpdateProjectRequest {
  allowed_schedulers?: string[] | null;
  default_scheduler_owner?: string | null;
  description?: string | null;
  environment?: string | null;
  name?: string | null;
  slug?: string | null;
  timezone?: string | null;
}

export interface UpdateUserRequest {
  display_name?: string | null;
  first_name?: string | null;
  is_active?: boolean | null;
  is_admin?: boolean | null;
  last_name?: string | null;
  timezone?: string | null;
}

export interface UserAdminPublic {
  created_at: string;
  display_name: string | null;
  email: string;
  first_name: string | null;
  id: string;
  is_active: boolean;
  is_admin: boolean;
  last_login_at: string | null;
  last_name: string | null;
  timezone: string;
  updated_at: string;
}

export interface UserMePublic {
  created_at: string;
  display_name: string | null;
  email: string;
  first_name: string | null;
  id: string;
  is_admin: boolean;
  last_name: string | null;
  memberships: UserMembershipSummary[];
  timezone: string;
}

export interface UserMembershipSummary {
  project_id: string;
  project_slug: string;
  role: string;
}

export interface UserMini {
  display_name: string | null;
  email: string;
  id: string;
  is_admin: boolean;
}

export interface UserPublic {
  created_at: string;
  display_name: string | null;
  email: string;
  first_name: string | null;
  id: string;
  is_admin: boolean;
  last_name: string | null;
  timezone: string;
}

export interface VersionsSnapshotPublic {
  canonical_url: string;
  check_for_updates_url: string;
  fetched_at: string | null;
  fetched_from: string | null;
  generated_at: string;
  generated_by: string;
  packages: { [key: string]: string };
  schema_version: number;
  source: string;
}

export interface Window {
  from: string;
  seconds: number;
  to: string;
}

export interface WorkerDetailPublic {
  active_tasks: number;
  agent_id: string | null;
  allowed_actions: Action[];
  concurrency: number | null;
  created_at: string;
  current_tasks: WorkerTaskPublic[];
  engine: string;
  evaluated: boolean;
  failed: number;
  findings: LintFindingPublic[];
  hostname: string | null;
  id: string;
  idle_reason: string | null;
  idle_suspect: boolean;
  last_event_at: string | null;
  last_heartbeat: string | null;
  load_average: number[] | null;
  metadata: Json;
  name: string;
  pid: number | null;
  processed: number;
  project_id: string;
  queues: string[];
  rate_per_minute: number;
  rate_seconds: number;
  retried: number;
  state: string;
  succeeded: number;
  version: string | null;
}

export interface WorkerLintPublic {
  engine: string;
  evaluated: boolean;
  findings: LintFindingPublic[];
  hostname: string | null;
  worker_id: string;
  worker_name: string;
}

export interface WorkerPublic {
  active_tasks: number;
  agent_id: string | null;
  concurrency: number | null;
  created_at: string;
  engine: string;
  failed: number;
  hostname: string | null;
  id: string;
  idle_reason: string | null;
  idle_suspect: boolean;
  last_event_at: string | null;
  last_heartbeat: string | null;
  load_average: number[] | null;
  name: string;
  pid: number | null;
  processed: number;
  project_id: string;
  queues: string[];
  rate_per_minute: number;
  rate_seconds: number;
  retried: number;
  state: string;
  succeeded: number;
  version: string | null;
}

export interface WorkerTaskPublic {
  engine: string;
  name: string;
  queue: string | null;
  started_at: string | null;
  task_id: string;
}

export interface WorkersNow {
  idle_suspect: number;
  offline: number;
  online: number;
}

export interface WorstQueue {
  name: string;
  p95_wait_ms: number;
}
