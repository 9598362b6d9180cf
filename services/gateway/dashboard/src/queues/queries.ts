// SPDX-License-Identifier: AGPL-3.0-or-later
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, path } from "../api/client";
import type { QueueDetailPublic, QueuePublic } from "../api/schema";
import type { Range } from "../app/range";

type Window = Pick<Range, "key" | "query">;

/** Both live under the key that push hints about tasks and agents make stale. */
export const queueList = (slug: string, range: Window) =>
  queryOptions({
    queryKey: ["p", slug, "queues", "list", range.key],
    queryFn: ({ signal }) => api.get<QueuePublic[]>(path`/projects/${slug}/queues`, range.query, signal),
    placeholderData: keepPreviousData,
  });

export const queueDetail = (slug: string, engine: string, name: string, range: Window) =>
  queryOptions({
    queryKey: ["p", slug, "queues", "one", engine, name, range.key],
    queryFn: ({ signal }) =>
      api.get<QueueDetailPublic>(path`/projects/${slug}/queues/${engine}/${name}`, range.query, signal),
    // The same queue in another window stays on screen; another queue does not.
    placeholderData: (before, query) =>
      query?.queryKey[4] === engine && query.queryKey[5] === name ? before : undefined,
  });
