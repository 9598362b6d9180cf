// SPDX-License-Identifier: AGPL-3.0-or-later
import { between, formatDuration, parseTime } from "../api/time";
import type { Agent, Command, Task, TaskEvent, Worker } from "../api/types";
import type { Tone } from "../ui/state";
import { type Attempt, buildHistory, readable, retriesOf } from "./attempts";
import { errorLine, ownFrame } from "./traceback";

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
  if (line) return line.replace(/^[\w.]+\.(?=[A-Z]\w*(?::|$))/, "");
  const reported = events.find((event) => event.kind === "task.failed")?.payload.exception_message;
  if (typeof reported === "string" && reported.trim()) return readable(reported);
  return task.exception?.trim().split("\n").at(-1) ?? null;
}

/** shortName drops the module path of a dotted task name. */
export const shortName = (name: string): string => name.split(".").at(-1) || name;

/** displayName replaces the placeholder some engines send before the name is known. */
export const displayName = (name: string): string =>
  !name || /^<unknown:/.test(name) ? "(name not reported yet)" : name;

/** What else is known around a task; each part may be missing. */
export interface Surroundings {
  workers?: Worker[];
  agents?: Agent[];
  /** Commands sent for this task, newest first. */
  commands?: Command[];
}

export interface Verdict {
  /** One sentence: why did it end like this, or why has it not ended? */
  text: string;
  tone: Tone;
  /** What to look at next, where the state alone does not say. */
  advice: string | null;
  /** It counts as running, and yet nobody is there who could run it. */
  lost?: boolean;
}

interface Case {
  task: Task;
  attempts: Attempt[];
  last: Attempt | undefined;
  events: TaskEvent[];
  now: number;
  around: Surroundings;
}

const join = (...parts: (string | null | false | undefined)[]) => parts.filter(Boolean).join(", ");
const plural = (n: number, one: string, many: string) => `${n} ${n === 1 ? one : many}`;

/** judge answers the task page's question from everything that is known. */
export function judge(task: Task, events: TaskEvent[], now: number, around: Surroundings = {}): Verdict {
  const { attempts } = buildHistory(events, task);
  const each: Case = { task, attempts, last: attempts.at(-1), events, now, around };
  switch (task.state) {
    case "success":
      return succeeded(each);
    case "failure":
      return failed(each);
    case "started":
      return running(each);
    case "received":
    case "pending":
      return waiting(each);
    case "retry":
      return retrying(each);
    case "revoked":
      return revoked(each);
    case "rejected":
      return {
        text: "Rejected: the worker refused the message",
        tone: "bad",
        advice:
          "The worker's log says why; whether the broker kept the message depends on its dead-letter settings.",
      };
    default:
      return { text: "The engine has not reported a state for this task", tone: "wait", advice: null };
  }
}

/** verdict is the sentence alone. */
export const verdict = (task: Task, events: TaskEvent[], now: number, around?: Surroundings): string =>
  judge(task, events, now, around).text;

function after(c: Case): string | null {
  const retries = retriesOf(c.task, c.attempts);
  const lost = c.attempts.filter((each) => each.outcome === "superseded").length;
  return (
    join(
      retries > 0 && plural(retries, "retry", "retries"),
      lost > 0 && plural(lost, "start that never ended", "starts that never ended"),
    ) || null
  );
}

/** How long it waited before its first start. The task's own times are those of the last attempt. */
function waited(c: Case): string | null {
  const first = c.attempts[0];
  const from = first?.sentAt ?? first?.receivedAt ?? null;
  const ms =
    c.attempts.length > 1
      ? from !== null && first?.startedAt != null
        ? first.startedAt - from
        : null
      : waitTime(c.task);
  return ms !== null && ms >= 1 ? `waited ${formatDuration(ms)}` : null;
}

/** With retries, the way from the first sight to the end is longer than the last run. */
function inAll(c: Case): string | null {
  const first = c.attempts[0];
  const from = first?.sentAt ?? first?.receivedAt ?? first?.startedAt ?? null;
  const to = c.last?.endedAt ?? null;
  return c.attempts.length > 1 && from !== null && to !== null ? `${formatDuration(to - from)} in all` : null;
}

function succeeded(c: Case): Verdict {
  const ran = runtime(c.task);
  const behind = after(c);
  return {
    text: join(
      `Succeeded${behind ? ` after ${behind}` : ""}`,
      ran !== null && `ran ${formatDuration(ran)}`,
      waited(c),
      inAll(c),
    ),
    tone: "good",
    advice: null,
  };
}

function failed(c: Case): Verdict {
  const ran = runtime(c.task);
  const behind = after(c);
  const what = failureText(c.task, c.events);
  const source = c.task.traceback ?? c.last?.traceback ?? c.task.exception ?? "";
  const own = ownFrame(source);
  const place = own?.where && own.where !== "<module>" ? ` in ${own.where}` : "";
  const lost = /^WorkerLostError\b|^(?:billiard\.)?exceptions\.WorkerLostError/.test(what ?? "");
  const limit = /^(?:Soft)?TimeLimitExceeded\b/.test(what ?? "");
  return {
    text: join(
      `Failed${behind ? ` after ${behind}` : ""}${what ? `: ${clip(what)}${place}` : ""}`,
      ran !== null && `${formatDuration(ran)} after start`,
      waited(c),
      inAll(c),
    ),
    tone: "bad",
    advice: lost
      ? "The process that worked on it died. Out of memory is the usual cause: look for the kernel's OOM killer in the host's log."
      : limit
        ? "It ran into its time limit; the traceback shows where it was at that moment."
        : null,
  };
}

/** A message can be a page long; the sentence keeps its head, the traceback has the rest. */
const clip = (text: string): string => (text.length > 240 ? `${text.slice(0, 239)}…` : text);

const since = (at: string | null | undefined, now: number): string | null => {
  const ms = parseTime(at);
  return ms === null ? null : formatDuration(Math.max(0, now - ms));
};

function workerOf(c: Case): Worker | undefined {
  const name = c.last?.worker ?? c.task.worker_name;
  return c.around.workers?.find((each) => each.name === name && each.engine === c.task.engine);
}

/** blind says so when nobody online could report what happens to the task now. */
function blind(c: Case): string | null {
  const agents = c.around.agents?.filter((each) => each.engine_adapters.includes(c.task.engine));
  if (!agents || agents.some((each) => each.state === "online")) return null;
  const seen = agents
    .map((each) => each.last_seen_at ?? "")
    .sort()
    .at(-1);
  const ago = since(seen, c.now);
  return `No ${c.task.engine} agent is online${ago ? `; the last one was heard ${ago} ago` : ""}, so this may be out of date.`;
}

/** How long a worker may be silent, while its agent is away, before it counts as gone. */
const silentFor = 60_000;

/**
 * goneSince is when a worker was last heard, for one that is not there any more: the engine said so, or the agent
 * that reports it is away and it has been silent since. null for one that is there.
 */
function goneSince(worker: Worker, c: Case): string | null {
  const heard = worker.last_heartbeat ?? worker.created_at;
  if (worker.state === "offline") return heard;
  const agent = c.around.agents?.find((each) => each.id === worker.agent_id);
  const ms = parseTime(heard);
  return agent && agent.state !== "online" && ms !== null && c.now - ms > silentFor ? heard : null;
}

function running(c: Case): Verdict {
  const { task, now } = c;
  const name = c.last?.worker ?? task.worker_name;
  const worker = workerOf(c);
  const behind = after(c);
  const started = c.last?.startedAt ?? parseTime(task.started_at);
  const time = started !== null ? formatDuration(Math.max(0, now - started)) : null;
  const gone = worker ? goneSince(worker, c) : null;
  if (worker && gone !== null) {
    const ago = since(gone, now);
    const offline = worker.state === "offline";
    return {
      text: join(
        offline
          ? `Probably lost: worker ${worker.name} went offline${ago ? ` ${ago} ago` : ""} and never reported an end`
          : `Probably lost: worker ${worker.name} was last heard ${ago} ago and has not reported an end`,
        time && `started ${time} ago`,
      ),
      tone: "bad",
      lost: true,
      advice: `${offline ? "" : "If only its connection to z4j is cut, the end is reported once that is back. "}${
        task.engine === "celery"
          ? "Celery hands a task out again only with acks_late; otherwise retry it here once you know that it may run twice."
          : "If the engine does not hand it out again, retry it here once you know that it may run twice."
      }`,
    };
  }
  const starter = c.events.find((each) => each.kind === "task.started")?.agent_id;
  const agent = c.around.agents?.find((each) => each.id === starter);
  const connected = parseTime(agent?.last_connect_at);
  const restarted = connected !== null && started !== null && connected > started + 5_000;
  return {
    text: join(
      time ? `Running for ${time}` : "Running",
      name && `on ${name}`,
      behind && `after ${behind}`,
      waited(c),
    ),
    tone: "run",
    advice:
      blind(c) ??
      (restarted
        ? `Agent ${agent?.name} connected again after the start: if its worker was restarted then, this run is lost.`
        : null),
  };
}

/** cancelled finds a cancellation that the agent has carried out. */
const cancelled = (c: Case): Command | undefined =>
  c.around.commands?.find((each) => each.action === "cancel_task" && each.status === "completed");

/** consumersOf are the online workers that take from the task's queue; null when nothing is known about that. */
function consumersOf(c: Case): Worker[] | null {
  const { task, around } = c;
  const known = around.workers?.filter((each) => each.engine === task.engine);
  if (!known || !task.queue || known.every((each) => each.queues.length === 0)) return null;
  return known.filter(
    (each) =>
      each.state === "online" && each.queues.includes(task.queue ?? "") && goneSince(each, c) === null,
  );
}

function waiting(c: Case): Verdict {
  const { task, now } = c;
  const eta = parseTime(task.eta);
  if (eta !== null && eta > now)
    return { text: `Scheduled, due in ${formatDuration(eta - now)}`, tone: "wait", advice: blind(c) };
  if (cancelled(c)) {
    return {
      text: "Cancelled while it waited: its worker skips it when its turn comes",
      tone: "warn",
      advice: "The engine reports it as revoked only then.",
    };
  }
  const first = c.attempts[0];
  const from = first?.receivedAt ?? parseTime(task.received_at) ?? parseTime(task.created_at);
  const ms = from === null ? null : Math.max(0, now - from);
  const where = task.queue ? ` in queue ${task.queue}` : "";
  const late = eta !== null ? `, overdue by ${formatDuration(now - eta)}` : "";
  const base = `Waiting${ms !== null ? ` for ${formatDuration(ms)}` : ""}${where}, not started yet${late}`;
  const consumers = consumersOf(c);
  if (consumers?.length === 0) {
    return {
      text: `Waiting${ms !== null ? ` for ${formatDuration(ms)}` : ""}${where}, never started: no online worker takes from that queue`,
      tone: "bad",
      advice:
        blind(c) ??
        (task.engine === "celery"
          ? `Start a worker on it: celery -A your_app worker -E -Q ${task.queue}`
          : `Start a ${task.engine} worker that listens to ${task.queue}.`),
    };
  }
  const dark = blind(c);
  const sent = first?.receivedAt === null && task.received_at === null;
  if (dark || ms === null || ms < 20_000) {
    return {
      text: base,
      tone: "wait",
      advice: dark ?? (sent ? "It was sent, and no worker has taken it yet." : null),
    };
  }
  return { text: base, tone: ms > 300_000 ? "warn" : "wait", advice: idle(c, consumers) };
}

/** idle guesses why a task that a worker took does not start. */
function idle(c: Case, consumers: Worker[] | null): string | null {
  if (!consumers || consumers.length === 0) return null;
  const slots = consumers.reduce((sum, each) => sum + (each.concurrency ?? 0), 0);
  const busy = consumers.reduce((sum, each) => sum + each.active_tasks, 0);
  if (slots > 0 && busy >= slots)
    return `All ${plural(slots, "slot", "slots")} of ${plural(consumers.length, "worker", "workers")} on this queue are busy.`;
  if (slots > 0 && c.task.engine === "celery") {
    return `${plural(consumers.length, "worker", "workers")} on this queue ${consumers.length === 1 ? "has" : "have"} free slots (${busy} of ${slots} busy): most likely it was sent with a countdown or ETA, which Celery agents do not report.`;
  }
  return null;
}

function retrying(c: Case): Verdict {
  const retries = retriesOf(c.task, c.attempts);
  const ended = c.attempts.findLast((each) => each.outcome === "retried");
  const what = ended?.error ?? failureText(c.task, c.events);
  const waits = ended?.endedAt ?? null;
  const ago = waits !== null ? Math.max(0, c.now - waits) : null;
  // How long the retries before took to come back tells when to expect this one.
  const delays = c.attempts.flatMap((each, i) => {
    const end = c.attempts[i - 1]?.endedAt;
    return each.startedAt !== null && end != null ? [each.startedAt - end] : [];
  });
  const usual = delays.at(-1) ?? null;
  const overdue = ago !== null && ago > Math.max(60_000, (usual ?? 0) * 3);
  if (cancelled(c))
    return {
      text: "Cancelled while it waited for its retry: its worker skips it then",
      tone: "warn",
      advice: null,
    };
  return {
    text: join(
      `Failed and will be retried${retries > 0 ? ` (${retries} so far)` : ""}${what ? `: ${clip(what)}` : ""}`,
      ago !== null && ago >= 1000 && `waiting for ${formatDuration(ago)}`,
    ),
    tone: "retry",
    advice:
      blind(c) ??
      (overdue
        ? `The retry has not come back${usual !== null ? `; the one before took ${formatDuration(usual)}` : ""}. Check that a worker still takes from ${c.task.queue ? `queue ${c.task.queue}` : "its queue"}.`
        : usual !== null
          ? `The retry before came back after ${formatDuration(usual)}.`
          : null),
  };
}

const signals: Record<number, string> = { 9: "SIGKILL", 15: "SIGTERM", 2: "SIGINT", 3: "SIGQUIT" };

function revoked(c: Case): Verdict {
  const { task, last } = c;
  const order = cancelled(c);
  const by = order ? "cancelled from z4j" : null;
  if (last?.expired) {
    return {
      text: "Expired: it had not started before the time its sender set, so the worker dropped it",
      tone: "warn",
      advice: "Workers that fall behind drop such tasks: look at the wait of its queue.",
    };
  }
  const started = task.started_at !== null || (last?.startedAt ?? null) !== null;
  if (!started) return { text: join("Revoked before it started", by), tone: "warn", advice: null };
  const ran =
    runtime(task) ?? (last?.startedAt != null && last.endedAt != null ? last.endedAt - last.startedAt : null);
  const signal = last?.signal ? (signals[last.signal] ?? `signal ${last.signal}`) : null;
  return {
    text: join(
      "Revoked",
      by,
      ran !== null ? `${formatDuration(ran)} after start` : "after it had started",
      last?.terminated && `its process was ended${signal ? ` with ${signal}` : ""}`,
      waited(c),
    ),
    tone: "warn",
    advice: last?.terminated ? "What it had done by then stays done." : null,
  };
}
