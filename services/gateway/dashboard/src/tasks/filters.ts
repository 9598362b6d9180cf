// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Query } from "../api/client";
import type { TaskState } from "../api/types";

export const states: TaskState[] = [
  "received",
  "started",
  "retry",
  "failure",
  "success",
  "revoked",
  "rejected",
  "pending",
  "unknown",
];

export const ranges = ["15m", "1h", "6h", "24h", "7d"] as const;
export type Range = (typeof ranges)[number];

const rangeMs: Record<Range, number> = {
  "15m": 900_000,
  "1h": 3_600_000,
  "6h": 21_600_000,
  "24h": 86_400_000,
  "7d": 604_800_000,
};

/** TaskFilters is the task list's state in the URL; everything absent means "not filtered". */
export interface TaskFilters {
  state?: TaskState;
  q?: string;
  queue?: string;
  name?: string;
  worker?: string;
  /** A window that ends now, like "1h" ... */
  range?: Range;
  /** ... or a fixed one, ISO times. */
  since?: string;
  until?: string;
}

const maxText = 200;

function text(value: unknown): string | undefined {
  // The router parses numbers and booleans in the query string; a task may well be called 42.
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") return undefined;
  return String(value).trim().slice(0, maxText) || undefined;
}

function instant(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}

/** parseFilters reads the URL; whatever makes no sense is dropped, so that an edited link never breaks the page. */
export function parseFilters(search: Record<string, unknown>): TaskFilters {
  const filters: TaskFilters = {};
  const state = states.find((each) => each === search.state);
  if (state) filters.state = state;
  for (const key of ["q", "queue", "name", "worker"] as const) {
    const value = text(search[key]);
    if (value) filters[key] = value;
  }
  const range = ranges.find((each) => each === search.range);
  const since = instant(search.since);
  const until = instant(search.until);
  if (range) filters.range = range;
  else {
    if (since) filters.since = since;
    if (until) filters.until = until;
  }
  return filters;
}

/** toQuery is what the API is asked. A moving window is cut to the second so that equal views ask equal questions. */
export function toQuery(filters: TaskFilters, now: number): Query {
  const { state, q, queue, name, worker, range } = filters;
  let { since, until } = filters;
  if (range) {
    since = new Date(Math.floor((now - rangeMs[range]) / 1000) * 1000).toISOString();
    until = undefined;
  }
  return { state, search: q, queue, name, worker, since, until };
}

export function isFiltered(filters: TaskFilters): boolean {
  return Object.values(filters).some((value) => value !== undefined);
}

/** filterKey tells when the list has to start over. */
export function filterKey(filters: TaskFilters): string {
  const { state, q, queue, name, worker, range, since, until } = filters;
  return JSON.stringify([state, q, queue, name, worker, range, since, until]);
}
