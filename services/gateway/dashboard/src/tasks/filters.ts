// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Query } from "../api/client";
import type { TaskState } from "../api/types";
import { type ColumnId, readColumns, usualColumns, writeColumns } from "./columns";
import { add, parse, stateWords, write } from "./query";

export const states: readonly TaskState[] = [
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

export type Density = "compact" | "comfortable";

/** Plain parameters that links from other pages may use; they become part of the filter. */
export interface TaskLink {
  /** One or several states, separated by commas. */
  state?: string;
  queue?: string;
  name?: string;
  worker?: string;
  engine?: string;
  priority?: string;
  exception?: string;
  fingerprint?: string;
}

/** TaskSearch is the task list in the address: what is filtered, how it is shown, what is open beside it. */
export interface TaskSearch extends TaskLink {
  /** The filter, in the language of query.ts. */
  q?: string;
  sort?: "started";
  /** The columns, when they are not the usual ones of this reader. */
  cols?: string;
  density?: Density;
  /** The task in the side panel: engine/id. */
  open?: string;
}

const maxText = 2000;

function text(value: unknown): string | undefined {
  // Numbers and booleans come from links that were built in code; a task may well be called 42.
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") return undefined;
  return String(value).trim().slice(0, maxText) || undefined;
}

const linkKeys = {
  state: "state",
  queue: "queue",
  name: "task",
  worker: "worker",
  engine: "engine",
  priority: "priority",
  exception: "exception",
  fingerprint: "issue",
} as const;

/** Several of these may be given as one comma list. */
const lists = new Set(["state", "priority"]);

/** parseTaskSearch reads the address; whatever makes no sense is dropped, so that an edited link never breaks the page. */
export function parseTaskSearch(search: Record<string, unknown>): TaskSearch {
  const out: TaskSearch = {};
  let q = text(search.q) ?? "";
  for (const [param, key] of Object.entries(linkKeys)) {
    const value = text(search[param]);
    // Taken over: written out of the address, or it would be added again with every change.
    if (param in search) out[param as keyof TaskLink] = undefined;
    if (!value) continue;
    let values = lists.has(key) ? value.split(",").map((each) => each.trim()) : [value];
    if (key === "state") values = values.filter((each) => (stateWords as readonly string[]).includes(each));
    if (values.length > 0) q = add(q, write({ key, values }));
  }
  if (q) out.q = q;
  if (search.sort === "started") out.sort = "started";
  const cols = readColumns(search.cols);
  if (cols) out.cols = writeColumns(cols);
  if (search.density === "compact" || search.density === "comfortable") out.density = search.density;
  const open = text(search.open);
  if (open && /^[^/]+\/./.test(open)) out.open = open;
  return out;
}

/** ownWindow tells whether the filter itself bounds the time; then it rules, and the page's range does not. */
export function ownWindow(q: string | undefined): boolean {
  return parse(q ?? "").tokens.some((token) => token.key === "since" || token.key === "until");
}

/** toQuery is what the API is asked for one filter within the page's time range. */
export function toQuery(
  q: string | undefined,
  range: { live: boolean; query: { from: string; to: string } },
): Query {
  if (ownWindow(q)) return { query: q };
  // A live range has no end: a task that arrives belongs to it at once.
  return { query: q || undefined, from: range.query.from, to: range.live ? undefined : range.query.to };
}

export interface Shown {
  columns: ColumnId[];
  density: Density;
}

const preferenceKey = "z4j-tasks-shown";

/** shown is how the list looks: as the address says, else as this reader left it last. */
export function shown(search: TaskSearch, preference: Partial<Shown>): Shown {
  return {
    columns: readColumns(search.cols) ?? preference.columns ?? [...usualColumns],
    density: search.density ?? preference.density ?? "compact",
  };
}

export function readPreference(): Partial<Shown> {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(preferenceKey) ?? "{}");
    if (!stored || typeof stored !== "object") return {};
    const { columns, density } = stored as Record<string, unknown>;
    const ids = Array.isArray(columns) ? readColumns(columns.join(",")) : null;
    return {
      ...(ids ? { columns: ids } : {}),
      ...(density === "compact" || density === "comfortable" ? { density } : {}),
    };
  } catch {
    return {};
  }
}

export function writePreference(preference: Shown) {
  try {
    localStorage.setItem(preferenceKey, JSON.stringify(preference));
  } catch {
    // A browser that stores nothing still has the address.
  }
}
