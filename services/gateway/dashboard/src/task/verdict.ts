// SPDX-License-Identifier: AGPL-3.0-or-later
import { between, formatDuration, parseTime } from "../api/time";
import type { Task, TaskEvent } from "../api/types";
import { errorLine } from "./traceback";

const terminal = new Set(["success", "failure", "revoked", "rejected"]);
export const isTerminal = (state: string): boolean => terminal.has(state);

/** runtime is the engine's own figure, else the time between start and end. */
export function runtime(task: Task): number | null {
  return task.runtime_ms ?? between(task.started_at, task.finished_at);
}

export const waitTime = (task: Task): number | null => between(task.received_at, task.started_at);

/** failureText is the shortest honest name of the failure: "TimeoutError: card gateway did not answer". */
export function failureText(task: Task, events: TaskEvent[] = []): string | null {
  const source = task.traceback ?? (task.exception?.includes("\n") ? task.exception : null);
  const line = source ? errorLine(source) : null;
  if (line) return line;
  const reported = events.find((event) => event.kind === "task.failed")?.payload.exception_message;
  // Engines report the message as repr(exception), which names the type as well.
  if (typeof reported === "string" && reported.trim()) {
    const repr = /^([\w.]+)\((['"])([\s\S]*)\2,?\)$/.exec(reported.trim());
    return repr ? `${repr[1]}: ${repr[3]}` : reported.trim();
  }
  return task.exception?.trim().split("\n").at(-1) ?? null;
}

/** shortName drops the module path of a dotted task name. */
export const shortName = (name: string): string => name.split(".").at(-1) || name;

/** displayName replaces the placeholder some engines send before the name is known. */
export const displayName = (name: string): string =>
  !name || /^<unknown:/.test(name) ? "(name not reported yet)" : name;

/** verdict answers the task page's question, why did it end like this, in one line. */
export function verdict(task: Task, events: TaskEvent[], now: number): string {
  const ran = runtime(task);
  const waited = waitTime(task);
  const retries =
    task.retry_count > 0 ? `after ${task.retry_count} ${task.retry_count === 1 ? "retry" : "retries"}` : null;
  const waitedText = waited !== null && waited >= 1 ? `waited ${formatDuration(waited)}` : null;
  const join = (...parts: (string | null)[]) => parts.filter(Boolean).join(", ");
  const since = (at: string | null) => {
    const ms = parseTime(at);
    return ms === null ? null : formatDuration(Math.max(0, now - ms));
  };

  switch (task.state) {
    case "success":
      return join(
        ["Succeeded", retries].filter(Boolean).join(" "),
        ran !== null ? `ran ${formatDuration(ran)}` : null,
        waitedText,
      );
    case "failure": {
      const what = failureText(task, events);
      const head = ["Failed", retries].filter(Boolean).join(" ") + (what ? `: ${what}` : "");
      return join(head, ran !== null ? `${formatDuration(ran)} after start` : null, waitedText);
    }
    case "started": {
      const running = since(task.started_at);
      return join(
        running ? `Running for ${running}` : "Running",
        task.worker_name ? `on ${task.worker_name}` : null,
        retries,
        waitedText,
      );
    }
    case "received":
    case "pending": {
      const waiting = since(task.received_at ?? task.created_at);
      const where = task.queue ? ` in queue ${task.queue}` : "";
      const eta = parseTime(task.eta);
      if (eta !== null && eta > now) return `Scheduled, due in ${formatDuration(eta - now)}`;
      return `Waiting${waiting ? ` for ${waiting}` : ""}${where}, not started yet`;
    }
    case "retry": {
      const attempts = task.retry_count > 0 ? ` (${task.retry_count} so far)` : "";
      const what = failureText(task, events);
      return `Failed and will be retried${attempts}${what ? `: ${what}` : ""}`;
    }
    case "revoked":
      return task.started_at
        ? join(
            "Revoked",
            ran !== null ? `${formatDuration(ran)} after start` : "after it had started",
            waitedText,
          )
        : "Revoked before it started";
    case "rejected":
      return "Rejected: the worker refused the message";
    default:
      return "The engine has not reported a state for this task";
  }
}
