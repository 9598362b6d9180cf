// SPDX-License-Identifier: AGPL-3.0-or-later
import { formatDuration } from "../api/time";
import { formatExact, formatPercent, formatRate, formatRough, plural } from "../insight/format";
import type { Backlog, Overview } from "../insight/types";

export interface Answer {
  tone: "good" | "warn" | "bad" | "none";
  /** Yes, No, or what is in between. */
  verdict: string;
  reason: string;
}

/** From these shares on failures are the answer, not a footnote, once enough tasks ended to tell. */
const manyFail = 0.2;
const mostFail = 0.5;
const enough = 20;
/** A wait below this is fine whatever it was before, and a backlog that drains within this is no backlog. */
const calmWaitMs = 2_000;
const calmDrainSeconds = 600;
/** A backlog this young may just be a burst that has not been picked up yet. */
const patienceSeconds = 60;

export const waitingText = (backlog: Backlog): string =>
  `${backlog.waiting_capped ? "more than " : ""}${formatExact(backlog.waiting)}`;

/** drainText says when the backlog will be gone, or why that can't be said. */
export function drainText(backlog: Backlog): string {
  const { waiting, drain_seconds, in_per_minute, out_per_minute } = backlog;
  if (waiting === 0) return "nothing waits";
  if (drain_seconds !== null)
    return drain_seconds < 1 ? "drains at once" : `drains in ${formatRough(drain_seconds)}`;
  if (out_per_minute <= 0) return "does not drain: nothing is being finished";
  if (in_per_minute > out_per_minute)
    return `grows: ${formatRate(in_per_minute)} a minute come in, ${formatRate(out_per_minute)} go out`;
  return `stands still at ${formatRate(out_per_minute)} a minute`;
}

/** isStuck: work waits and nothing says that it will ever be done. */
function isStuck({ waiting, drain_seconds, oldest_wait_seconds }: Backlog): boolean {
  return waiting > 0 && drain_seconds === null && (oldest_wait_seconds ?? 0) >= patienceSeconds;
}

/** answer is the one sentence at the top: is work getting done in time? */
export function answer(o: Overview, window: string): Answer {
  const { totals, backlog, workers, agents } = o;
  const ended = totals.succeeded + totals.failed + totals.revoked;
  const said = figures(o, window);
  const waits = `${waitingText(backlog)} ${backlog.waiting === 1 && !backlog.waiting_capped ? "task waits" : "tasks wait"}`;
  const since =
    backlog.oldest_wait_seconds !== null && backlog.oldest_wait_seconds >= 1
      ? `, the oldest for ${formatRough(backlog.oldest_wait_seconds)}`
      : "";

  if (agents.online === 0) {
    return {
      tone: "warn",
      verdict: "Can't tell",
      reason: `no agent is online, so nothing new is reported. ${said}`,
    };
  }
  if (workers.online === 0 && backlog.waiting > 0)
    return { tone: "bad", verdict: "No", reason: `${waits}${since} and no worker is online. ${said}` };
  if (isStuck(backlog)) {
    const suspects =
      workers.idle_suspect > 0
        ? ` ${plural(workers.idle_suspect, "worker is", "workers are")} alive but take nothing.`
        : "";
    return {
      tone: "bad",
      verdict: backlog.out_per_minute > 0 ? "Falling behind" : "No",
      reason: `${waits}${since}; the backlog ${drainText(backlog)}.${suspects} ${said}`,
    };
  }
  if (ended >= enough && totals.failure_rate >= mostFail)
    return { tone: "bad", verdict: "No", reason: `most tasks fail. ${said}; backlog ${drainText(backlog)}` };
  if (backlog.drain_seconds !== null && backlog.drain_seconds > calmDrainSeconds)
    return {
      tone: "warn",
      verdict: "Late",
      reason: `${waits}${since}; the backlog ${drainText(backlog)}. ${said}`,
    };
  if (totals.failure_rate >= (ended >= enough ? manyFail : mostFail))
    return {
      tone: "warn",
      verdict: "In part",
      reason: `many tasks fail. ${said}; backlog ${drainText(backlog)}`,
    };
  const wait = o.wait?.p95_ms ?? 0;
  const waitBefore = o.previous.wait?.p95_ms ?? null;
  if (wait > calmWaitMs && waitBefore !== null && wait > 2 * waitBefore) {
    return {
      tone: "warn",
      verdict: "Slower than before",
      reason: `p95 wait ${formatDuration(wait)}, it was ${formatDuration(waitBefore)}. ${said}; backlog ${drainText(backlog)}`,
    };
  }
  if (ended === 0 && backlog.waiting === 0) {
    return {
      tone: "none",
      verdict: "Quiet",
      reason: `no task ran in ${window} and none waits; ${plural(workers.online, "worker is", "workers are")} ready`,
    };
  }
  return { tone: "good", verdict: "Yes", reason: `${said}; backlog: ${drainText(backlog)}` };
}

/** figures are the numbers of the sentence: how many, how many failed, how long they waited. */
function figures(o: Overview, window: string): string {
  const ended = o.totals.succeeded + o.totals.failed + o.totals.revoked;
  if (ended === 0) return `no task ended in ${window}`;
  const parts = [`${plural(ended, "task")} in ${window}`];
  parts.push(o.totals.failed === 0 ? "none failed" : `${formatPercent(o.totals.failure_rate)} failed`);
  if (o.wait && o.wait.n > 0) parts.push(`p95 wait ${formatDuration(o.wait.p95_ms)}`);
  return parts.join(", ");
}
