// SPDX-License-Identifier: AGPL-3.0-or-later
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, path, type Query } from "../api/client";
import type { Breakdown, Home, IssueDetail, IssuePage, Overview, Series } from "./types";

/** What useRange gives, as far as a question to the API goes. */
export interface AskedRange {
  key: string;
  query: { from: string; to: string };
}

/** The window of the same length before this one. */
export function windowBefore(range: AskedRange & { from: Date; to: Date }): AskedRange {
  const length = range.to.getTime() - range.from.getTime();
  return {
    key: `before ${range.key}`,
    query: { from: new Date(range.from.getTime() - length).toISOString(), to: range.query.from },
  };
}

/** Which tasks a chart or a table is about; nothing means all of them. */
export interface Scope {
  name?: string;
  queue?: string;
}

/** More kinds of failure than anybody looks through; the list says when there are more. */
export const mostIssues = 100;

export type BreakdownBy = "task" | "queue";
export type BreakdownSort = "failed" | "ended" | "p95" | "p95_wait" | "rate";

const project = (slug: string) => path`/projects/${slug}`;
const get =
  <T>(url: string, query: Query) =>
  ({ signal }: { signal: AbortSignal }) =>
    api.get<T>(url, query, signal);

/**
 * The range stands in the keys by what it is ("1h"), not by where it stands now: each refetch asks for the present
 * window, and what is on screen stays until the answer is there.
 */
export const insight = {
  home: (range: AskedRange) =>
    queryOptions({
      queryKey: ["home", range.key],
      queryFn: get<Home>("/home/overview", range.query),
      placeholderData: keepPreviousData,
    }),
  overview: (slug: string, range: AskedRange) =>
    queryOptions({
      queryKey: ["p", slug, "overview", range.key],
      queryFn: get<Overview>(`${project(slug)}/overview`, range.query),
      placeholderData: keepPreviousData,
    }),
  series: (slug: string, range: AskedRange, scope: Scope = {}, points = 120) =>
    queryOptions({
      queryKey: ["p", slug, "series", range.key, scope.name ?? "", scope.queue ?? "", points],
      queryFn: get<Series>(`${project(slug)}/series`, { ...range.query, points, ...scope }),
      placeholderData: keepPreviousData,
    }),
  breakdown: (slug: string, range: AskedRange, by: BreakdownBy, sort: BreakdownSort, scope: Scope = {}) =>
    queryOptions({
      queryKey: ["p", slug, "breakdown", range.key, by, sort, scope.name ?? "", scope.queue ?? ""],
      queryFn: get<Breakdown>(`${project(slug)}/breakdown`, {
        ...range.query,
        by,
        sort,
        ...scope,
        limit: 100,
      }),
      placeholderData: keepPreviousData,
    }),
  issues: (slug: string, range: AskedRange, status?: string) =>
    queryOptions({
      queryKey: ["p", slug, "issues", range.key, status ?? ""],
      queryFn: get<IssuePage>(`${project(slug)}/issues`, { ...range.query, status, limit: mostIssues }),
      placeholderData: keepPreviousData,
    }),
  issue: (slug: string, range: AskedRange, fingerprint: string) =>
    queryOptions({
      queryKey: ["p", slug, "issue", fingerprint, range.key],
      queryFn: get<IssueDetail>(project(slug) + path`/issues/${fingerprint}`, range.query),
      placeholderData: keepPreviousData,
    }),
};
