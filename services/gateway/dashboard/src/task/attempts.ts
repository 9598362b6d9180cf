// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Json, Task, TaskEvent } from "../api/types";
import { preciseTime } from "./precise";

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

/** One thing that happened to a task, however many agents reported it. */
export interface Step {
  id: string;
  kind: string;
  /** Milliseconds with a fraction down to the microsecond. */
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

/**
 * How an attempt ended: as the engine reported it, or "superseded" when the next attempt began without a word
 * about this one's end (a lost worker, a redelivery, or an engine that does not report retries).
 */
export type Outcome = "succeeded" | "failed" | "retried" | "revoked" | "rejected" | "superseded";

export interface Attempt {
  number: number;
  sentAt: number | null;
  receivedAt: number | null;
  startedAt: number | null;
  endedAt: number | null;
  outcome: Outcome | null;
  worker: string | null;
  /** The failure on one line: "TimeoutError: no answer". */
  error: string | null;
  traceback: string | null;
  expired: boolean;
  terminated: boolean;
  signal: number | null;
  /** The engine's own figure; the times between reports contain their way to the agent. */
  runtime: number | null;
  /** Handed out again before it had started. */
  redelivered: number;
  /** Times taken from the task itself because their events are gone. */
  pieced: boolean;
}

export interface History {
  steps: Step[];
  attempts: Attempt[];
}

/** How close two reports of the same kind from different agents have to be to count as one happening. */
const sameWithin = 1500;

const ends: Record<string, Outcome> = {
  "task.succeeded": "succeeded",
  "task.failed": "failed",
  "task.retried": "retried",
  "task.revoked": "revoked",
  "task.rejected": "rejected",
};

export function textOf(value: Json | undefined): string | null {
  return typeof value === "string" && value.trim() !== "" ? value : null;
}

/** readable turns repr(exception), which is what engines report, into "Type: message". */
export function readable(text: string): string {
  const repr = /^([A-Za-z_][\w.]*)\((['"])([\s\S]*)\2,?\)$/.exec(text.trim());
  if (repr) return `${repr[1]}: ${(repr[3] ?? "").replace(/\\(['"\\])/g, "$1")}`;
  const bare = /^([A-Za-z_][\w.]*)\(\)$/.exec(text.trim());
  if (bare?.[1]) return bare[1];
  return text.trimEnd().split("\n").at(-1) ?? text;
}

function errorOf(event: TaskEvent): string | null {
  const { payload } = event;
  if (event.kind === "task.failed") {
    const message = textOf(payload.exception_message);
    if (message) {
      const said = readable(message);
      const type = textOf(payload.exception);
      return type && !type.includes("\n") && !said.startsWith(type) ? `${type}: ${said}` : said;
    }
    const exception = textOf(payload.exception);
    return exception ? readable(exception) : null;
  }
  const reason = textOf(payload.reason) ?? textOf(payload.exception);
  return reason && event.kind === "task.retried" ? readable(reason) : null;
}

function traceOf(event: TaskEvent): string | null {
  const trace = textOf(event.payload.traceback);
  if (trace) return trace;
  const exception = textOf(event.payload.exception);
  return exception?.includes("\n") ? exception : null;
}

/** fold sorts events by when they happened and merges several agents' reports of one happening. */
function fold(events: TaskEvent[]): Step[] {
  const sorted = events
    .map((event) => ({ event, at: preciseTime(event.occurred_at) ?? 0 }))
    .sort(
      (a, b) =>
        a.at - b.at ||
        (rank[a.event.kind] ?? 9) - (rank[b.event.kind] ?? 9) ||
        (a.event.id < b.event.id ? -1 : 1),
    );
  const steps: Step[] = [];
  for (const { event, at } of sorted) {
    const twin = steps.findLast((step) => step.kind === event.kind);
    // An agent under load hears of one end twice, from the process and from the broker, seconds apart.
    if (twin && event.kind in ends && steps.at(-1) === twin && sameEnd(twin, event)) {
      twin.copies++;
      twin.events.push(event);
      continue;
    }
    if (twin && at - twin.at <= sameWithin) {
      const adjacent = steps.at(-1) === twin;
      const other = twin.events.every((each) => each.agent_id !== event.agent_id);
      if (adjacent || other) {
        twin.copies++;
        twin.events.push(event);
        continue;
      }
    }
    const first = steps[0]?.at ?? at;
    const previous = steps.at(-1)?.at ?? at;
    steps.push({
      id: event.id,
      kind: event.kind,
      at,
      offset: at - first,
      gap: at - previous,
      attempt: 1,
      copies: 1,
      events: [event],
    });
  }
  return steps;
}

function sameEnd(step: Step, event: TaskEvent): boolean {
  const told = step.events[0]?.payload;
  const { payload } = event;
  return (
    told?.runtime_ms === payload.runtime_ms &&
    told?.exception_message === payload.exception_message &&
    told?.reason === payload.reason &&
    step.kind !== "task.retried"
  );
}

const fresh = (number: number): Attempt => ({
  number,
  sentAt: null,
  receivedAt: null,
  startedAt: null,
  endedAt: null,
  outcome: null,
  worker: null,
  error: null,
  traceback: null,
  expired: false,
  terminated: false,
  signal: null,
  runtime: null,
  redelivered: 0,
  pieced: false,
});

/**
 * buildHistory puts a task's events in order (the API sends newest first) and deals them out to attempts. Celery
 * hands a retry out again before it reports the end of the attempt that asked for it, and the brain keeps one
 * event of a kind per second, so an attempt may lack any of its events.
 */
export function buildHistory(events: TaskEvent[], task?: Task): History {
  const steps = fold(events);
  const attempts: Attempt[] = [];
  const next = () => {
    const attempt = fresh(attempts.length + 1);
    attempts.push(attempt);
    return attempt;
  };
  for (const step of steps) {
    const current = attempts.at(-1);
    let at: Attempt;
    if (step.kind === "task.sent" || step.kind === "task.received") {
      const open = current && current.startedAt === null && current.endedAt === null;
      at = open ? current : next();
      if (step.kind === "task.sent") at.sentAt ??= step.at;
      else if (at.receivedAt === null) at.receivedAt = step.at;
      else at.redelivered++;
    } else if (step.kind === "task.started") {
      at = current && current.startedAt === null && current.endedAt === null ? current : next();
      at.startedAt = step.at;
      at.worker = step.events.map((event) => textOf(event.payload.worker)).find(Boolean) ?? null;
    } else if (step.kind in ends) {
      const running = attempts.findLast((each) => each.startedAt !== null && each.endedAt === null);
      const said = current?.outcome && current.outcome !== "retried" ? current : null;
      at = running ?? said ?? (current && current.endedAt === null ? current : next());
      close(at, step);
    } else {
      at = current ?? next();
    }
    step.attempt = at.number;
  }
  settle(attempts);
  if (task) piece(attempts, task);
  return { steps, attempts };
}

function close(attempt: Attempt, step: Step) {
  attempt.endedAt = step.at;
  attempt.outcome = ends[step.kind] ?? null;
  for (const event of step.events) {
    attempt.error ??= errorOf(event);
    attempt.traceback ??= traceOf(event);
    attempt.worker ??= textOf(event.payload.worker);
    if (event.payload.expired === true) attempt.expired = true;
    if (event.payload.terminated === true) attempt.terminated = true;
    if (typeof event.payload.signum === "number") attempt.signal = event.payload.signum;
    if (typeof event.payload.runtime_ms === "number") attempt.runtime = event.payload.runtime_ms;
  }
}

/** settle draws the conclusions that need the whole history. */
function settle(attempts: Attempt[]) {
  const last = attempts.at(-1);
  const before = attempts.at(-2);
  // A hand-out seen after the end belongs to the attempt that ended: the reports crossed each other.
  if (
    last &&
    before?.endedAt !== null &&
    before?.endedAt !== undefined &&
    before.outcome !== "retried" &&
    last.startedAt === null &&
    last.endedAt === null &&
    last.receivedAt !== null &&
    last.receivedAt <= before.endedAt
  ) {
    if (before.receivedAt === null && before.startedAt !== null)
      before.receivedAt = Math.min(last.receivedAt, before.startedAt);
    attempts.pop();
  }
  for (const [i, attempt] of attempts.entries()) {
    if (i < attempts.length - 1 && attempt.endedAt === null) attempt.outcome ??= "superseded";
  }
}

const outcomeOfState: Partial<Record<Task["state"], Outcome>> = {
  success: "succeeded",
  failure: "failed",
  revoked: "revoked",
  rejected: "rejected",
};

/** piece fills gaps of the last attempt from the task's own record, which outlives its events. */
function piece(attempts: Attempt[], task: Task) {
  const received = preciseTime(task.received_at);
  const started = preciseTime(task.started_at);
  const finished = preciseTime(task.finished_at);
  if (attempts.length === 0) {
    if (received === null && started === null && finished === null) return;
    attempts.push(fresh(1));
  }
  const last = attempts.at(-1);
  if (!last) return;
  const before = attempts.at(-2)?.endedAt ?? Number.NEGATIVE_INFINITY;
  const outcome = outcomeOfState[task.state];
  const open = last.endedAt === null;
  if (
    last.startedAt === null &&
    started !== null &&
    started >= before &&
    (open || started <= (last.endedAt ?? 0))
  ) {
    last.startedAt = started;
    last.worker ??= task.worker_name;
    last.pieced = true;
  }
  if (
    last.receivedAt === null &&
    received !== null &&
    attempts.length === 1 &&
    received <= (last.startedAt ?? received)
  ) {
    last.receivedAt = received;
    last.pieced = true;
  }
  if (open && outcome && finished !== null && finished >= (last.startedAt ?? before)) {
    last.endedAt = finished;
    last.outcome = outcome;
    last.pieced = true;
  }
  if (last.outcome === "failed") last.traceback ??= task.traceback;
}

export interface Segment {
  kind: "wait" | "delay" | "run";
  from: number;
  to: number;
  /** Still growing. */
  open: boolean;
}

/**
 * segmentsOf are the stretches of one attempt: waiting to be started (for a retry: the delay it asked for and
 * the queue together) and running. `now` closes what still goes on; an attempt whose end nobody reported runs
 * at most until the next one begins.
 */
export function segmentsOf(attempts: Attempt[], index: number, now: number, live: boolean): Segment[] {
  const out: Segment[] = [];
  const attempt = attempts[index];
  if (!attempt) return out;
  const before = attempts[index - 1]?.endedAt ?? null;
  const after = attempts[index + 1];
  const unended = after
    ? (after.receivedAt ?? after.startedAt)
    : live && attempt.outcome === null
      ? now
      : null;
  const stop = attempt.endedAt ?? unended;
  const waitFrom = before ?? attempt.sentAt ?? attempt.receivedAt;
  const waitTo = attempt.startedAt ?? stop;
  if (waitFrom !== null && waitTo !== null && waitTo > waitFrom) {
    const open = attempt.startedAt === null && attempt.endedAt === null && !after;
    out.push({ kind: before === null ? "wait" : "delay", from: waitFrom, to: waitTo, open });
  }
  if (attempt.startedAt !== null) {
    const to = Math.max(stop ?? attempt.startedAt, attempt.startedAt);
    out.push({ kind: "run", from: attempt.startedAt, to, open: attempt.endedAt === null && !after });
  }
  return out;
}

/** spanOf is the first and the last instant that the attempts cover. */
export function spanOf(attempts: Attempt[], now: number, live: boolean): { from: number; to: number } | null {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const each of attempts) {
    for (const at of [each.sentAt, each.receivedAt, each.startedAt, each.endedAt]) {
      if (at === null) continue;
      from = Math.min(from, at);
      to = Math.max(to, at);
    }
  }
  if (from > to) return null;
  const last = attempts.at(-1);
  if (live && last && last.outcome === null) to = Math.max(to, now);
  return { from, to };
}

/** retriesOf counts the retries that are known: most agents report the attempts but not their count. */
export const retriesOf = (task: Task, attempts: Attempt[]): number =>
  Math.max(task.retry_count, attempts.filter((each) => each.outcome === "retried").length);

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

/** stepNote is the one detail of an event worth showing beside it. */
export function stepNote(step: Step): string | null {
  for (const event of step.events) {
    const { payload } = event;
    if (step.kind === "task.failed" || step.kind === "task.retried") {
      const note = errorOf(event);
      if (note) return note;
    } else if (step.kind === "task.started") {
      const worker = textOf(payload.worker);
      if (worker) return `on ${worker}`;
    } else if (step.kind === "task.received") {
      const queue = textOf(payload.queue);
      if (queue) return `from queue ${queue}`;
    } else if (step.kind === "task.revoked") {
      if (payload.expired === true) return "it had expired";
      if (payload.terminated === true) return "its process was terminated";
    }
  }
  return null;
}
