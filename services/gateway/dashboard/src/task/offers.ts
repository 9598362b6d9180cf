// SPDX-License-Identifier: AGPL-3.0-or-later
import { allowed, atLeast } from "../agents/access";
import type { Action } from "../api/schema";
import type { Agent, Role, Task } from "../api/types";
import { isTerminal } from "./verdict";

/** What can be done to a task, as a page offers it. */
export interface Offer {
  /** Why not; null when it can be done. */
  reason: string | null;
  /** Who can do it, the API's choice first. Empty for what the brain does itself, and while nobody is known. */
  agents: Agent[];
  /** Why `agents` is empty for what an agent has to do, as while the list is on its way; else null. */
  nobody: string | null;
}

/** Engines whose agents can start the same call again from its id alone. */
const byReference = new Set(["celery", "rq"]);

export type TaskAction = "retry" | "retry_as_is" | "cancel" | "rate_limit" | "delete";

/** How the API calls an action; the names of commands are understood as well. */
const apiNames: Record<TaskAction, string[]> = {
  retry: ["retry", "retry_task"],
  retry_as_is: ["retry_as_is"],
  cancel: ["cancel", "cancel_task"],
  rate_limit: ["rate_limit"],
  delete: ["delete", "delete_task", "bulk_delete"],
};

const commands: Partial<Record<TaskAction, string>> = {
  retry: "retry_task",
  retry_as_is: "retry_task",
  cancel: "cancel_task",
  rate_limit: "rate_limit",
};

/**
 * offer tells whether an action can be offered: the API's own word where it gives one, else the same checks from
 * what the page knows. `told` is the task's allowed_actions.
 */
export function offer(
  action: TaskAction,
  told: Action[] | undefined,
  task: Task,
  agents: Agent[] | undefined,
  role: Role,
  reporters: string[],
): Offer {
  const command = commands[action];
  const local = command ? allowed(agents, task.engine, command, role, "operator", reporters) : null;
  const word = told?.find((each) => apiNames[action].includes(each.action));
  if (word) {
    const able = local?.agents ?? [];
    const first = agents?.find((each) => each.id === word.agent_id);
    const list = first ? [first, ...able.filter((each) => each.id !== first.id)] : able;
    return {
      agents: list,
      reason: word.allowed ? null : (word.reason ?? "This can't be done now"),
      nobody: list.length === 0 ? (local?.reason ?? null) : null,
    };
  }
  if (!local) {
    const may = atLeast(role, "admin");
    return { agents: [], reason: may ? null : `Your role here is ${role}; this needs admin`, nobody: null };
  }
  const { agents: able } = local;
  if (action === "retry_as_is" && !local.reason && !byReference.has(task.engine))
    return { agents: able, reason: `${task.engine} can't look up the original call`, nobody: null };
  if (action === "cancel" && !local.reason && isTerminal(task.state))
    return { agents: able, reason: "This task has ended; there is nothing to cancel", nobody: null };
  return { ...local, nobody: local.reason };
}

/** rateProblem checks a rate as engines read it: 0, 10, 10/s, 10/m, 10/h. */
export function rateProblem(rate: string): string | null {
  return /^\d{1,9}(?:\/[smh])?$/.test(rate.trim())
    ? null
    : "A number, or a number per s, m or h, like 10/m. 0 lifts the limit";
}
