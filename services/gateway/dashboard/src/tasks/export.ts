// SPDX-License-Identifier: AGPL-3.0-or-later
import { path, type Query } from "../api/client";
import type { ColumnId } from "./columns";

/** What a column of the list is called in an exported file. */
const names: Record<ColumnId, readonly string[]> = {
  state: ["state"],
  name: ["name"],
  detail: ["exception", "args", "kwargs"],
  exception: ["exception"],
  args: ["args", "kwargs"],
  queue: ["queue"],
  worker: ["worker"],
  engine: ["engine"],
  priority: ["priority"],
  wait: ["received_at", "started_at"],
  run: ["runtime_ms"],
  retries: ["retry_count"],
  received: ["received_at"],
  started: ["started_at"],
  finished: ["finished_at"],
  id: ["task_id"],
};

const everything =
  "task_id,name,state,priority,queue,worker,engine,received_at,started_at,finished_at,runtime_ms,retry_count,exception,traceback,args,kwargs,result,tags";

/** exportColumns are the columns of the file; the id always comes first, or a row can't be found again. */
export function exportColumns(shown: readonly ColumnId[] | null): string {
  if (!shown) return everything;
  return [...new Set(["task_id", ...shown.flatMap((id) => names[id])])].join(",");
}

/** exportAddress is where the browser downloads the file from; the session cookie goes along. */
export function exportAddress(slug: string, query: Query, fields: string, format: string): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...query, fields, format })) {
    if (value !== undefined && value !== null && value !== "") params.set(key, String(value));
  }
  return `/api/v1${path`/projects/${slug}/tasks`}?${params}`;
}
