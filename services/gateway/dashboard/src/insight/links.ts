// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Goto } from "../ui/goto";

/** What a page shows now: a window that ends now, or a fixed one. */
export interface Shown {
  range: string | null;
  from: Date;
  to: Date;
}

export type Search = Record<string, string | undefined>;

/** windowSearch keeps a moving window moving and a frozen one frozen in the address of the next page. */
export function windowSearch(shown: Shown): Search {
  // The frame carries the window from page to page; what is not meant to be carried has to be said.
  if (shown.range) return { range: shown.range, from: undefined, to: undefined };
  return { range: undefined, from: shown.from.toISOString(), to: shown.to.toISOString() };
}

export interface TaskPick {
  state?: string;
  name?: string;
  queue?: string;
  worker?: string;
  fingerprint?: string;
}

/** taskSearch is the address of the rows behind a number: the same filters, the same window. */
export function taskSearch(pick: TaskPick, shown: Shown): Search {
  const search: Search = windowSearch(shown);
  for (const [key, value] of Object.entries(pick)) if (value) search[key] = value;
  return search;
}

const week = 7 * 86_400_000;

/** sinceThen is a window for what is so now and began at a time that the page's own window may leave out. */
export function sinceThen(began: number | null, now: number): Shown {
  if (began === null || now - began < week)
    return { range: "7d", from: new Date(now - week), to: new Date(now) };
  return { range: null, from: new Date(began - 1000), to: new Date(now + 60_000) };
}

// The search of a route is typed by the page that owns it; these addresses are made of the words all pages share.
const goto = (to: string, slug: string, search: Search, more = {}): Goto =>
  ({ to, params: { slug, ...more }, search }) as Goto;

export const toTasks = (slug: string, pick: TaskPick, shown: Shown): Goto =>
  goto("/projects/$slug/tasks", slug, taskSearch(pick, shown));

export const toTrends = (
  slug: string,
  pick: { name?: string; queue?: string; by?: string; sort?: string },
  shown: Shown,
): Goto => goto("/projects/$slug/trends", slug, taskSearch(pick, shown));

export const toIssue = (slug: string, fingerprint: string, shown: Shown): Goto =>
  goto("/projects/$slug/issues/$fingerprint", slug, windowSearch(shown), { fingerprint });

/** toPage leads to another page of a project with the same window. */
export const toPage = (
  page: "overview" | "trends" | "issues" | "queues" | "workers" | "agents" | "commands",
  slug: string,
  shown: Shown,
  search: Search = {},
): Goto =>
  goto(page === "overview" ? "/projects/$slug" : `/projects/$slug/${page}`, slug, {
    ...windowSearch(shown),
    ...search,
  });
