// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Allowed, allowed } from "../agents/access";
import { ApiError, api, path, type Query } from "../api/client";
import { fetchTasks } from "../api/queries";
import type { Agent, Command, Role, Task } from "../api/types";
import { isTerminal } from "../task/verdict";

export type BulkAction = "retry" | "cancel" | "delete";

/** Nothing in bulk goes further than this in one go. */
export const mostTasks = 10_000;

/** A page as large as the API hands out; the rows come without what is not needed here. */
const gatherPage = 1000;

export interface Gathered {
  tasks: Task[];
  /** There are more than these. */
  capped: boolean;
}

/**
 * gather collects what matches the filter now, before anybody is asked: what is confirmed is then exactly what
 * happens, whatever arrives in the meantime.
 */
export async function gather(slug: string, query: Query, signal: AbortSignal): Promise<Gathered> {
  const tasks: Task[] = [];
  const seen = new Set<string>();
  let cursor: string | null = null;
  do {
    const page: { items: Task[]; next_cursor: string | null } = await fetchTasks(
      slug,
      query,
      cursor,
      gatherPage,
      signal,
    );
    for (const task of page.items) {
      if (seen.has(task.id)) continue;
      seen.add(task.id);
      tasks.push(task);
    }
    cursor = page.next_cursor;
  } while (cursor && tasks.length < mostTasks);
  return { tasks: tasks.slice(0, mostTasks), capped: cursor !== null || tasks.length > mostTasks };
}

/** Engines whose agents can start the same call again from its id alone. */
const byReference = new Set(["celery", "rq"]);

/** Part is what one engine's agent does. */
export interface Part {
  engine: string;
  tasks: Task[];
  agents: Agent[];
  /** Why these are left alone. */
  reason: string | null;
}

export interface Plan {
  action: BulkAction;
  /** What will be done. */
  parts: Part[];
  tasks: Task[];
  /** What is left alone, and why. */
  skipped: { count: number; why: string }[];
  /** Why nothing can be done at all. */
  reason: string | null;
}

const capability: Record<Exclude<BulkAction, "delete">, string> = {
  retry: "retry_task",
  cancel: "cancel_task",
};

/** plan sorts the chosen tasks into what can be done and what can't. */
export function plan(
  action: BulkAction,
  tasks: readonly Task[],
  agents: Agent[] | undefined,
  role: Role,
): Plan {
  const skipped: Plan["skipped"] = [];
  let chosen = [...tasks];
  if (action === "cancel") {
    const ended = chosen.filter((task) => isTerminal(task.state)).length;
    if (ended > 0) skipped.push({ count: ended, why: "ended already" });
    chosen = chosen.filter((task) => !isTerminal(task.state));
  }
  if (action === "delete") return { action, parts: [], tasks: chosen, skipped, reason: null };

  const engines = new Map<string, Task[]>();
  for (const task of chosen) {
    const list = engines.get(task.engine);
    if (list) list.push(task);
    else engines.set(task.engine, [task]);
  }
  const parts: Part[] = [];
  for (const [engine, list] of engines) {
    const can: Allowed = allowed(agents, engine, capability[action], role, "operator");
    const reason =
      can.reason ??
      (action === "retry" && !byReference.has(engine)
        ? `${engine} can't look up the original call; open a task to retry it with its arguments`
        : null);
    if (reason) skipped.push({ count: list.length, why: reason });
    else parts.push({ engine, tasks: list, agents: can.agents, reason });
  }
  const done = parts.flatMap((part) => part.tasks);
  const why = skipped.map((each) => each.why)[0] ?? null;
  return {
    action,
    parts,
    tasks: done,
    skipped,
    reason: done.length > 0 ? null : why === "ended already" ? "All of them have ended" : why,
  };
}

/** Outcome is what became of one task. */
export interface Outcome {
  task: Task;
  ok: boolean;
  text: string;
  command?: Command;
  commandId?: string;
}

export type Tell = (outcome: Outcome) => void;

const deleteChunk = 500;

/** deleteTasks removes tasks from the history, in pieces that the API takes. */
export async function deleteTasks(slug: string, tasks: readonly Task[], tell: Tell, signal: AbortSignal) {
  for (let at = 0; at < tasks.length; at += deleteChunk) {
    if (signal.aborted) return;
    const chunk = tasks.slice(at, at + deleteChunk);
    await patiently(
      () =>
        api.post<{ deleted_count: number }>(path`/projects/${slug}/tasks/bulk-delete`, {
          task_ids: chunk.map((task) => task.id),
        }),
      signal,
    );
    for (const task of chunk) tell({ task, ok: true, text: "deleted" });
  }
}

const atOnce = 4;
const askAgain = 700;

/**
 * commandTasks sends one command for each task, a few at a time, and waits for the answer of each, so that every
 * task has a result of its own. `agents` names the agent that carries it out, by engine.
 */
export async function commandTasks(
  slug: string,
  kind: "retry-task" | "cancel-task",
  tasks: readonly Task[],
  agents: Readonly<Record<string, string>>,
  tell: Tell,
  signal: AbortSignal,
) {
  const queue = [...tasks];
  const next = async (): Promise<void> => {
    for (let task = queue.shift(); task && !signal.aborted; task = queue.shift()) {
      const each = task;
      try {
        const command = await patiently(
          () =>
            api.post<Command>(path`/projects/${slug}/commands/${kind}`, {
              agent_id: agents[each.engine],
              engine: each.engine,
              task_id: each.task_id,
            }),
          signal,
        );
        const ended = await ending(slug, command, signal);
        tell({
          task: each,
          ok: ended.status === "completed",
          text: outcome(ended),
          command: ended,
          commandId: ended.id,
        });
      } catch (error) {
        if (signal.aborted) return;
        // A refusal concerns one task; without a connection every further one would fail the same way.
        if (error instanceof ApiError && error.offline) throw error;
        tell({ task: each, ok: false, text: error instanceof Error ? error.message : "it was refused" });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, queue.length) }, next));
}

async function ending(slug: string, command: Command, signal: AbortSignal): Promise<Command> {
  let now = command;
  while ((now.status === "pending" || now.status === "dispatched") && !signal.aborted) {
    await pause(askAgain, signal);
    now = await api.get<Command>(path`/projects/${slug}/commands/${command.id}`, undefined, signal);
  }
  return now;
}

function outcome(command: Command): string {
  switch (command.status) {
    case "completed":
      return "done";
    case "timeout":
      return command.error || "the agent did not answer in time";
    default:
      return command.error || command.status;
  }
}

/** patiently waits as long as the API says when it asks for a slower pace. */
export async function patiently<T>(run: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 429 || signal.aborted) throw error;
      await pause((error.retryAfter ?? 5) * 1000, signal);
    }
  }
}

export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const stop = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      done();
    };
    const timer = setTimeout(stop, ms);
    signal.addEventListener("abort", stop);
  });
}
