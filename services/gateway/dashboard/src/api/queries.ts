// SPDX-License-Identifier: AGPL-3.0-or-later
import { QueryClient, queryOptions } from "@tanstack/react-query";
import { ApiError, api, path, type Query } from "./client";
import type { Link, Topic } from "./push";
import type { SystemHealthResponse, VersionsSnapshotPublic } from "./schema";
import type {
  Agent,
  Command,
  Me,
  Page,
  PasswordPolicy,
  Project,
  Queue,
  Session,
  Stats,
  Task,
  TaskDetail,
  TaskEvent,
  Worker,
} from "./types";

export function createQueryClient(onUnauthenticated: () => void): QueryClient {
  const client = new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        // An answer in the 4xx range won't change by asking again; the network may.
        retry: (count, error) =>
          error instanceof ApiError && !error.offline && error.status < 500 ? false : count < 1,
        retryDelay: 700,
        // Pages stay readable offline; TanStack's own pause on navigator.onLine would hide the brain's state.
        networkMode: "always",
      },
      mutations: { networkMode: "always" },
    },
  });
  client.getQueryCache().subscribe((event) => {
    if (event.type !== "updated" || event.action.type !== "error") return;
    const error = event.action.error;
    if (!(error instanceof ApiError) || error.status !== 401) return;
    const { queryKey, state } = event.query;
    // The very first question, who is logged in, is answered by the router: it may lead to setup instead.
    if (queryKey[0] === "me" && state.data === undefined) return;
    if (queryKey[0] !== "public") onUnauthenticated();
  });
  return client;
}

/** How often a page refetches by itself: slowly while pushes arrive, every three seconds without them. */
export function pollInterval(link: Link): number {
  if (link === "live") return 20_000;
  return link === "offline" ? 5_000 : 3_000;
}

const project = (slug: string) => path`/projects/${slug}`;

export const queries = {
  me: () =>
    queryOptions({
      queryKey: ["me"],
      queryFn: ({ signal }) => api.get<Me>("/auth/me", undefined, signal),
      staleTime: 60_000,
    }),
  policy: () =>
    queryOptions({
      queryKey: ["public", "policy"],
      queryFn: () => api.get<PasswordPolicy>("/auth/policy"),
      staleTime: 600_000,
    }),
  sessions: () =>
    queryOptions({ queryKey: ["sessions"], queryFn: () => api.get<Session[]>("/auth/sessions") }),
  projects: () =>
    queryOptions({
      queryKey: ["projects"],
      queryFn: () => api.get<Project[]>("/projects"),
      staleTime: 30_000,
    }),
  /** What runs: versions, database, sizes. Administrators only. */
  system: () =>
    queryOptions({
      queryKey: ["system", "health"],
      queryFn: ({ signal }) => api.get<SystemHealthResponse>("/health/system", undefined, signal),
      staleTime: 60_000,
    }),
  versions: () =>
    queryOptions({
      queryKey: ["system", "versions"],
      queryFn: ({ signal }) => api.get<VersionsSnapshotPublic>("/admin/system/versions", undefined, signal),
      staleTime: 3_600_000,
    }),
  stats: (slug: string) =>
    queryOptions({
      queryKey: ["p", slug, "stats"],
      queryFn: ({ signal }) => api.get<Stats>(`${project(slug)}/stats`, { hours: 24 }, signal),
    }),
  task: (slug: string, engine: string, id: string) =>
    queryOptions({
      queryKey: ["p", slug, "task", engine, id],
      queryFn: ({ signal }) =>
        api.get<TaskDetail>(project(slug) + path`/tasks/${engine}/${id}`, undefined, signal),
    }),
  events: (slug: string, engine: string, id: string) =>
    queryOptions({
      queryKey: ["p", slug, "events", engine, id],
      queryFn: ({ signal }) =>
        api.get<Page<TaskEvent>>(`${project(slug)}/events`, { engine, task_id: id, limit: 200 }, signal),
    }),
  agents: (slug: string) =>
    queryOptions({
      queryKey: ["p", slug, "agents"],
      queryFn: ({ signal }) => api.get<Agent[]>(`${project(slug)}/agents`, undefined, signal),
    }),
  workers: (slug: string) =>
    queryOptions({
      queryKey: ["p", slug, "workers"],
      queryFn: ({ signal }) => api.get<Worker[]>(`${project(slug)}/workers`, undefined, signal),
    }),
  queues: (slug: string) =>
    queryOptions({
      queryKey: ["p", slug, "queues"],
      queryFn: ({ signal }) => api.get<Queue[]>(`${project(slug)}/queues`, undefined, signal),
    }),
  commands: (slug: string, status?: string) =>
    queryOptions({
      queryKey: ["p", slug, "commands", status ?? ""],
      queryFn: ({ signal }) =>
        api.get<Page<Command>>(`${project(slug)}/commands`, { status, limit: 100 }, signal),
    }),
  command: (slug: string, id: string) =>
    queryOptions({
      queryKey: ["p", slug, "command", id],
      queryFn: ({ signal }) => api.get<Command>(project(slug) + path`/commands/${id}`, undefined, signal),
    }),
};

/**
 * One page of tasks, without what only their own pages show (tracebacks, results). The live list keeps its own pages
 * (tasks/live.ts), so this is a plain call.
 */
export function fetchTasks(
  slug: string,
  filters: Query,
  cursor: string | null,
  limit: number,
  signal?: AbortSignal,
) {
  return api.get<Page<Task>>(
    `${project(slug)}/tasks`,
    { sort: "-received_at", fields: "basic", ...filters, cursor, limit, include_total: cursor === null },
    signal,
  );
}

/** Which cached answers a push hint makes stale. Workers and queues change with task and agent events. */
export function keysFor(topic: Topic): string[] {
  switch (topic) {
    case "task.changed":
      return ["task", "events", "stats", "queues", "workers"];
    case "command.changed":
      return ["commands", "command"];
    case "agent.changed":
      return ["agents", "stats", "workers"];
  }
}
