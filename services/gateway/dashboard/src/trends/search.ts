// SPDX-License-Identifier: AGPL-3.0-or-later
import type { BreakdownBy, BreakdownSort } from "../insight/queries";
import type { Sort } from "../ui/sort";

/** TrendsSearch is the page's state in the address, besides the window and the sort of the table. */
export interface TrendsSearch {
  /** Only this task ... */
  name?: string;
  /** ... or only this queue. */
  queue?: string;
  by?: BreakdownBy;
  sort?: string;
}

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value.trim() ? value.trim().slice(0, 500) : undefined;

/** parseTrends reads the address; what makes no sense is dropped. */
export function parseTrends(search: Record<string, unknown>): TrendsSearch {
  const out: TrendsSearch = {};
  const name = text(search.name);
  const queue = text(search.queue);
  const sort = text(search.sort);
  if (name) out.name = name;
  if (queue) out.queue = queue;
  if (search.by === "queue") out.by = "queue";
  if (sort) out.sort = sort;
  return out;
}

/** What the API can put in order by itself; with it the first rows are the first of all, not only of a page. */
const serverSorts: Record<string, BreakdownSort> = {
  failed: "failed",
  ended: "ended",
  p95: "p95",
  wait: "p95_wait",
  rate: "rate",
};

/** apiSort asks for the rows that matter under a sort; columns the API does not know order what it answered. */
export const apiSort = (sort: Sort): BreakdownSort => (sort.desc && serverSorts[sort.id]) || "ended";
