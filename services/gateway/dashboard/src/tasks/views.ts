// SPDX-License-Identifier: AGPL-3.0-or-later
import { queryOptions } from "@tanstack/react-query";
import { api, path } from "../api/client";
import type { SavedTaskFilters } from "../api/schema";
import type { TaskSearch } from "./filters";
import { add, quote, write } from "./query";

/** ViewFilters holds the filter text; views of earlier releases hold single filters instead. */
export type ViewFilters = Partial<SavedTaskFilters>;

/** SavedView is a filter of this reader, kept under a name in the project. */
export interface SavedView {
  id: string;
  name: string;
  filters: ViewFilters;
}

export const savedViews = (slug: string) =>
  queryOptions({
    queryKey: ["p", slug, "saved-views"],
    queryFn: ({ signal }) => api.get<SavedView[]>(path`/projects/${slug}/saved-views`, undefined, signal),
    staleTime: 60_000,
  });

/** textOf is the filter of a view in the filter language. */
export function textOf(filters: ViewFilters): string {
  let text = filters.query ?? "";
  if (filters.state) text = add(text, write({ key: "state", values: [filters.state] }));
  if (filters.priority?.length) text = add(text, write({ key: "priority", values: filters.priority }));
  if (filters.search) text = add(text, quote(filters.search, true));
  return text;
}

/** filtersOf is what is kept of the address. The time range belongs to the page; a view may have its own `since:`. */
export const filtersOf = (q: string | undefined): ViewFilters => ({ query: q ?? "" });

/** applied is the address that shows a view; how the list looks and the time range stay as they are. */
export function applied(view: SavedView, now: TaskSearch): TaskSearch {
  return { cols: now.cols, density: now.density, sort: now.sort, q: textOf(view.filters) || undefined };
}

/** matchingView is the view that the address shows now, if it is one. */
export function matchingView(views: readonly SavedView[], now: TaskSearch): SavedView | null {
  return views.find(({ filters }) => textOf(filters) === (now.q ?? "")) ?? null;
}
