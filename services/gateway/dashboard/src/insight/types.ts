// SPDX-License-Identifier: AGPL-3.0-or-later
// The answers that home, overview, trends and issues are made of.

import type * as schema from "../api/schema";

export type Window = schema.Window;
export type Percentiles = schema.LatencyPublic;
export type Backlog = schema.Backlog;
export type WindowFigures = schema.Previous;
export type Overview = schema.OverviewPublic;
export type Bucket = schema.SeriesBucket;
export type Marker = schema.Marker;
export type Series = schema.SeriesPublic;

export interface HomeProject {
  slug: string;
  name: string;
  environment: string;
  ended: number;
  failed: number;
  failure_rate: number;
  spark: number[];
  spark_failed: number[];
  worst_queue: { name: string; p95_wait_ms: number } | null;
  workers_online: number;
  workers_offline: number;
  agents_online: number;
  agents_offline: number;
  open_issues: number;
  stuck_commands: number;
  last_activity: string | null;
}

export interface Attention {
  kind: string;
  project: string;
  text: string;
  since: string | null;
  severity: string;
}

export interface HomeFailure {
  fingerprint: string;
  project: string;
  name: string;
  exception: string | null;
  occurrences: number;
  first_seen: string;
  last_seen: string;
  engine: string;
  task_id: string;
}

export interface Home {
  window: Window;
  projects: HomeProject[];
  attention: Attention[];
  failures: HomeFailure[];
}

export interface BreakdownRow {
  key: string;
  ended: number;
  succeeded: number;
  failed: number;
  retried: number;
  revoked: number;
  failure_rate: number;
  run: Percentiles | null;
  wait: Percentiles | null;
  spark: number[];
  spark_failed: number[];
}

export interface Breakdown {
  window: Window;
  rows: BreakdownRow[];
}

export interface Issue {
  fingerprint: string;
  status: "ongoing" | "recovered";
  occurrences: number;
  open_count: number;
  recovered_count: number;
  first_seen: string | null;
  last_seen: string | null;
  engines: string[];
  sample_exception: string | null;
  sample_task_name: string | null;
  /** Occurrences in the window, in 24 equal parts. */
  spark: number[];
  tasks: string[];
  queues: string[];
}

export interface IssuePage {
  items: Issue[];
  next_cursor: string | null;
}

export interface Share {
  name: string;
  count: number;
}

export interface IssueDetail extends Issue {
  window: Window;
  bucket_seconds: number;
  buckets: { t: string; count: number }[];
  sample: { engine: string; task_id: string; exception: string | null; traceback: string | null } | null;
  /** How many of its tasks the shares below were counted on. */
  sampled: number;
  top_tasks: Share[];
  top_queues: Share[];
  top_workers: Share[];
  recent: {
    engine: string;
    task_id: string;
    name: string;
    state: string;
    queue: string | null;
    worker: string | null;
    finished_at: string | null;
    retry_count: number;
  }[];
}
