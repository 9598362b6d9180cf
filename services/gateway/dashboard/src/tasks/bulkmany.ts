// SPDX-License-Identifier: AGPL-3.0-or-later
import { api, path } from "../api/client";
import type { BulkCancelResponse, BulkRetryItems, BulkRetryRequestPublic } from "../api/schema";
import type { Task } from "../api/types";
import { patiently, pause, type Tell } from "./bulk";

/** From this many on the brain does the work by itself, so that a closed window does not stop it. */
export const durableFrom = 20;

const itemsPage = 1000;
const askEvery = 1000;

/** A key that makes a repeated request the same one. crypto.randomUUID exists on https and localhost only. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `dashboard-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

type Client = Pick<typeof api, "get" | "post">;

/**
 * retryMany hands the tasks of one engine to the brain as a durable request and tells of each as its result comes in.
 * Going away stops the telling, not the work.
 */
export async function retryMany(
  slug: string,
  engine: string,
  tasks: readonly Task[],
  agent: string,
  tell: Tell,
  signal: AbortSignal,
  client: Client = api,
) {
  const made = await patiently(
    () =>
      client.post<BulkRetryRequestPublic>(path`/projects/${slug}/bulk-retry-requests`, {
        idempotency_key: newKey(),
        agent_id: agent,
        filter: { engine, task_ids: tasks.map((task) => task.task_id) },
        max: tasks.length,
      }),
    signal,
  );
  const open = new Map(tasks.map((task) => [task.task_id, task]));
  const url = path`/projects/${slug}/bulk-retry-requests/${made.id}`;
  // Results come in about the order of the items: what lies before the first open one needs no second look.
  let settled = -1;
  for (;;) {
    const now = await client.get<BulkRetryRequestPublic>(url, undefined, signal);
    let after: number | null = settled;
    let unbroken = true;
    while (after !== null) {
      const page: BulkRetryItems = await client.get<BulkRetryItems>(
        `${url}/items`,
        { after, limit: itemsPage },
        signal,
      );
      for (const item of page.items) {
        const task = open.get(item.task_id);
        if (item.outcome === "unobserved") unbroken = false;
        else if (task) {
          open.delete(item.task_id);
          tell({
            task,
            ok: item.outcome === "succeeded",
            text:
              item.outcome === "succeeded" ? "done" : item.error || "the agent did not say what became of it",
            commandId: item.command_id ?? undefined,
          });
        }
        if (unbroken) settled = item.ordinal;
      }
      after = page.next;
    }
    if (open.size === 0) return;
    if (now.status === "blocked" || now.status === "paused") {
      const why =
        now.status === "paused"
          ? "somebody paused it"
          : "its time was up before the agent got to it; retry what is left";
      for (const task of open.values()) tell({ task, ok: false, text: why });
      return;
    }
    if (now.status !== "in_progress") {
      for (const task of open.values()) tell({ task, ok: false, text: "it was not part of the request" });
      return;
    }
    await pause(askEvery, signal);
    if (signal.aborted) return;
  }
}

const cancelPage = 500;

/** cancelMany sends the cancellations together; each item says whether it was sent, or why not. */
export async function cancelMany(
  slug: string,
  tasks: readonly Task[],
  tell: Tell,
  signal: AbortSignal,
  client: Client = api,
) {
  for (let at = 0; at < tasks.length && !signal.aborted; at += cancelPage) {
    const part = tasks.slice(at, at + cancelPage);
    const answer = await patiently(
      () =>
        client.post<BulkCancelResponse>(path`/projects/${slug}/commands/bulk-cancel`, {
          tasks: part.map(({ engine, task_id }) => ({ engine, task_id })),
        }),
      signal,
    );
    const items = new Map(answer.items.map((item) => [`${item.engine}/${item.task_id}`, item]));
    for (const task of part) {
      const item = items.get(`${task.engine}/${task.task_id}`);
      const sent = item?.command_id ?? null;
      tell({
        task,
        ok: sent !== null,
        text: sent !== null ? "sent to the agent" : (item?.reason ?? "it was left alone"),
        commandId: sent ?? undefined,
      });
    }
  }
}
