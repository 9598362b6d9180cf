// SPDX-License-Identifier: AGPL-3.0-or-later
import { queryOptions } from "@tanstack/react-query";
import { api, path } from "../api/client";
import type { SimilarTasksResponse, TaskTreeResponse } from "../api/schema";
import type { Command, Page, Task } from "../api/types";

/** The rows lack results, tracebacks and arguments. */
export type SimilarTasks = Omit<SimilarTasksResponse, "items"> & { items: Task[] };

const project = (slug: string) => path`/projects/${slug}`;

/** Questions that only the task page asks. Their keys start like the shared ones, so push hints renew them. */
export const taskQueries = {
  tree: (slug: string, engine: string, id: string) =>
    queryOptions({
      queryKey: ["p", slug, "tree", engine, id],
      queryFn: ({ signal }) =>
        api.get<TaskTreeResponse>(project(slug) + path`/tasks/${engine}/${id}/tree`, undefined, signal),
    }),
  /** What agents were told about the task, newest first. */
  sent: (slug: string, engine: string, id: string) =>
    queryOptions({
      queryKey: ["p", slug, "commands", "of", engine, id],
      queryFn: ({ signal }) =>
        api.get<Page<Command>>(
          `${project(slug)}/commands`,
          { target_id: `${engine}:${id}`, limit: 50 },
          signal,
        ),
    }),
  /** Failures like this one: of the same issue, else of the same name. */
  similar: (slug: string, engine: string, id: string) =>
    queryOptions({
      queryKey: ["p", slug, "similar", engine, id],
      queryFn: ({ signal }) =>
        api.get<SimilarTasks>(
          `${project(slug)}${path`/tasks/${engine}/${id}`}/similar`,
          { limit: 9 },
          signal,
        ),
      staleTime: 30_000,
    }),
};
