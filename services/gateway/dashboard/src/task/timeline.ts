// SPDX-License-Identifier: AGPL-3.0-or-later
import { parseTime } from "../api/time";
import type { Json, TaskEvent } from "../api/types";

/** Order of happenings within one instant, as a task lives. */
const rank: Record<string, number> = {
  "task.sent": 0,
  "task.received": 1,
  "task.started": 2,
  "task.retried": 3,
  "task.revoked": 4,
  "task.rejected": 4,
  "task.failed": 5,
  "task.succeeded": 5,
};

export interface Step {
  id: string;
  kind: string;
  at: number;
  /** Since the first event. */
  offset: number;
  /** Since the event before. */
  gap: number;
  attempt: number;
  /** How many reports of the same happening were folded into this one (several agents see the same broker). */
  copies: number;
  events: TaskEvent[];
}

/** How close two reports of the same kind have to be to count as one happening. */
const sameWithin = 1500;

/**
 * buildTimeline puts events in the order they happened (the API sends newest first, and several may share an
 * instant), folds duplicate reports, and numbers the attempts.
 */
export function buildTimeline(events: TaskEvent[]): Step[] {
  const sorted = events
    .map((event) => ({ event, at: parseTime(event.occurred_at) ?? 0 }))
    .sort(
      (a, b) =>
        a.at - b.at ||
        (rank[a.event.kind] ?? 9) - (rank[b.event.kind] ?? 9) ||
        (a.event.id < b.event.id ? -1 : 1),
    );
  const steps: Step[] = [];
  let attempt = 1;
  let retriedBefore = false;
  for (const { event, at } of sorted) {
    const twin = steps.findLast((step) => step.kind === event.kind);
    const sinceTwin = steps.slice(twin ? steps.indexOf(twin) + 1 : 0);
    if (twin && at - twin.at <= sameWithin && sinceTwin.length === 0) {
      twin.copies++;
      twin.events.push(event);
      continue;
    }
    if (retriedBefore && (event.kind === "task.received" || event.kind === "task.started")) {
      attempt++;
      retriedBefore = false;
    }
    if (event.kind === "task.retried") retriedBefore = true;
    const first = steps[0]?.at ?? at;
    const previous = steps.at(-1)?.at ?? at;
    steps.push({
      id: event.id,
      kind: event.kind,
      at,
      offset: at - first,
      gap: at - previous,
      attempt,
      copies: 1,
      events: [event],
    });
  }
  return steps;
}

export interface Segment {
  kind: "wait" | "run";
  from: number;
  to: number;
  attempt: number;
  /** How the run ended; null while it goes on. */
  end: string | null;
}

/** segments turns steps into the bar: waiting and running stretches per attempt. `now` closes what still goes on. */
export function segments(steps: Step[], now: number): Segment[] {
  const out: Segment[] = [];
  let waitFrom: number | null = null;
  let runFrom: number | null = null;
  let attempt = 1;
  for (const step of steps) {
    attempt = step.attempt;
    if (step.kind === "task.sent" || step.kind === "task.received") {
      waitFrom ??= step.at;
    } else if (step.kind === "task.started") {
      if (waitFrom !== null) out.push({ kind: "wait", from: waitFrom, to: step.at, attempt, end: null });
      waitFrom = null;
      runFrom ??= step.at;
    } else {
      const from: number | null = runFrom ?? waitFrom;
      if (from !== null)
        out.push({ kind: runFrom === null ? "wait" : "run", from, to: step.at, attempt, end: step.kind });
      runFrom = null;
      waitFrom = step.kind === "task.retried" ? step.at : null;
    }
  }
  const openFrom = runFrom ?? waitFrom;
  if (openFrom !== null) {
    out.push({
      kind: runFrom === null ? "wait" : "run",
      from: openFrom,
      to: Math.max(now, openFrom),
      attempt,
      end: null,
    });
  }
  return out;
}

const labels: Record<string, string> = {
  "task.sent": "Sent",
  "task.received": "Received by a worker",
  "task.started": "Started",
  "task.retried": "Will be retried",
  "task.revoked": "Revoked",
  "task.rejected": "Rejected",
  "task.failed": "Failed",
  "task.succeeded": "Succeeded",
};

export const stepLabel = (kind: string): string =>
  labels[kind] ?? kind.replace(/^task\./, "").replaceAll("_", " ");

export const stepState: Record<string, string> = {
  "task.sent": "pending",
  "task.received": "received",
  "task.started": "started",
  "task.retried": "retry",
  "task.revoked": "revoked",
  "task.rejected": "rejected",
  "task.failed": "failure",
  "task.succeeded": "success",
};

function textOf(value: Json | undefined): string | null {
  return typeof value === "string" && value.trim() !== "" ? value : null;
}

/** stepNote is the one detail of an event worth showing beside it. */
export function stepNote(step: Step): string | null {
  for (const { payload } of step.events) {
    if (step.kind === "task.failed") {
      const note = textOf(payload.exception_message) ?? textOf(payload.exception);
      if (note) return note.trimEnd().split("\n").at(-1) ?? null;
    } else if (step.kind === "task.retried") {
      const note = textOf(payload.reason) ?? textOf(payload.exception);
      if (note) return note.trimEnd().split("\n").at(-1) ?? null;
    } else if (step.kind === "task.started") {
      const worker = textOf(payload.worker);
      if (worker) return `on ${worker}`;
    } else if (step.kind === "task.received") {
      const queue = textOf(payload.queue);
      if (queue) return `from queue ${queue}`;
    } else if (step.kind === "task.revoked") {
      if (payload.expired === true) return "it had expired";
      if (payload.terminated === true) return "terminated while it ran";
    }
  }
  return null;
}
