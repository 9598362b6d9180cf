// SPDX-License-Identifier: AGPL-3.0-or-later
import { queryOptions } from "@tanstack/react-query";
import { api, path } from "../api/client";
import type { WorkerDetailPublic, WorkerPublic } from "../api/schema";

/** Both live under the key that push hints about tasks and agents make stale. */
export const workerList = (slug: string) =>
  queryOptions({
    queryKey: ["p", slug, "workers", "list"],
    queryFn: ({ signal }) => api.get<WorkerPublic[]>(path`/projects/${slug}/workers`, undefined, signal),
  });

export const workerDetail = (slug: string, id: string) =>
  queryOptions({
    queryKey: ["p", slug, "workers", "one", id],
    queryFn: ({ signal }) =>
      api.get<WorkerDetailPublic>(path`/projects/${slug}/workers/${id}`, undefined, signal),
  });
