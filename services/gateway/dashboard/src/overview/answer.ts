// SPDX-License-Identifier: AGPL-3.0-or-later
import { formatDuration } from "../api/time";
import { formatExact, formatRough, plural } from "../insight/format";
import type { Backlog, Overview } from "../insight/types";
import { formatPercent, formatRate } from "../ui/delta";

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

/** A task that waits this long is starved, however well the rest flows. */
const starvedSeconds = 600;

export const waitingText = (backlog: Backlog): string =>
  `${backlog.waiting_capped ? "more than " : ""}${formatExact(backlog.waiting)}`;

/** drainSeconds is when the backlog will be gone at this pace: at least that, when not all of it was counted. */
function drainSeconds(backlog: Backlog): number | null {
  if (backlog.drain_seconds !== null || !backlog.waiting_capped) return backlog.drain_seconds;
  const fewer = backlog.out_per_minute - backlog.in_per_minute;
  return fewer > 0 ? (backlog.waiting / fewer) * 60 : null;
}

/** drainText says when the backlog will be gone, or why that can't be said. */
export function drainText(backlog: Backlog): string {
  const { waiting, waiting_capped, in_per_minute, out_per_minute } = backlog;
  if (waiting === 0) return "nothing waits";
  const seconds = drainSeconds(backlog);
  if (seconds !== null && waiting_capped) return `drains in more than ${formatRough(seconds)}`;
  if (seconds !== null) return seconds < 1 ? "drains at once" : `drains in ${formatRough(seconds)}`;
  if (out_per_minute <= 0) return "does not drain: nothing is being finished";
  if (in_per_minute > out_per_minute)
    return `grows: ${formatRate(in_per_minute)} come in, ${formatRate(out_per_minute)} go out`;
  return `stands still at ${formatRate(out_per_minute)}`;
}

/** falling: clearly more comes in than goes out, and what waits is more than a minute's work. */
function falling(backlog: Backlog): boolean {
  const { waiting, in_per_minute, out_per_minute } = backlog;
  return (
    drainSeconds(backlog) === null &&
    in_per_minute > 1.1 * out_per_minute &&
    waiting >= Math.max(10, out_per_minute)
  );
}

/**
 * answer is the one sentence at the top: is work getting done in time? `starving` names the queue whose oldest task
 * has waited longest.
 */
export function answer(o: Overview, window: string, starving: string | null = null): Answer {
  const { totals, backlog, workers, agents } = o;
  const ended = totals.succeeded + totals.failed + totals.revoked;
  const said = figures(o, window);
  const oldest = backlog.oldest_wait_seconds ?? 0;
  const waits = `${waitingText(backlog)} ${backlog.waiting === 1 && !backlog.waiting_capped ? "task waits" : "tasks wait"}`;
  const since =
    oldest >= 1 ? `, the oldest for ${formatRough(oldest)}${starving ? ` in ${starving}` : ""}` : "";
  const suspects =
    workers.idle_suspect > 0
      ? `; ${plural(workers.idle_suspect, "worker is", "workers are")} alive but ${workers.idle_suspect === 1 ? "takes" : "take"} nothing`
      : "";

  if (agents.online === 0) {
    return {
      tone: "warn",
      verdict: "Can't tell",
      reason: `no agent is online, so nothing new is reported. Known so far: ${said}`,
    };
  }
  if (workers.online === 0 && backlog.waiting > 0)
    return {
      tone: "bad",
      verdict: "No",
      reason: `${waits}${since} and no worker is online. ${capital(said)}`,
    };
  if (backlog.waiting > 0 && oldest >= patienceSeconds) {
    if (backlog.out_per_minute <= 0 && (backlog.in_per_minute > 0 || workers.idle_suspect > 0)) {
      return {
        tone: "bad",
        verdict: "No",
        reason: `${waits}${since}, and nothing is being finished${suspects}. ${capital(said)}`,
      };
    }
    if (falling(backlog)) {
      return {
        tone: "bad",
        verdict: "Falling behind",
        reason: `${waits}${since}; the backlog ${drainText(backlog)}${suspects}. ${capital(said)}`,
      };
    }
  }
  if (ended >= enough && totals.failure_rate >= mostFail)
    return {
      tone: "bad",
      verdict: "No",
      reason: `most tasks fail. ${capital(said)}; backlog ${drainText(backlog)}`,
    };
  if ((drainSeconds(backlog) ?? 0) > calmDrainSeconds)
    return {
      tone: "warn",
      verdict: "Late",
      reason: `${waits}${since}; the backlog ${drainText(backlog)}. ${capital(said)}`,
    };
  if (backlog.waiting > 0 && oldest >= starvedSeconds) {
    // A task with a planned start waits as well, and rightly so; the word stays below an alarm.
    return {
      tone: "warn",
      verdict: backlog.out_per_minute > 0 ? "In part" : "Waiting",
      reason: `${waits}${since}${suspects}. ${capital(said)}`,
    };
  }
  if (totals.failure_rate >= (ended >= enough ? manyFail : mostFail))
    return {
      tone: "warn",
      verdict: "In part",
      reason: `many tasks fail. ${capital(said)}; backlog ${drainText(backlog)}`,
    };
  const wait = o.wait?.p95_ms ?? 0;
  const waitBefore = o.previous.wait?.p95_ms ?? null;
  if (wait > calmWaitMs && waitBefore !== null && wait > 2 * waitBefore) {
    return {
      tone: "warn",
      verdict: "Slower than before",
      reason: `p95 wait ${formatDuration(wait)}, it was ${formatDuration(waitBefore)}. ${capital(said)}; backlog ${drainText(backlog)}`,
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

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** figures are the numbers of the sentence: how many, how many failed, how long they waited. */
function figures(o: Overview, window: string): string {
  const ended = o.totals.succeeded + o.totals.failed + o.totals.revoked;
  if (ended === 0) return `no task ended in ${window}`;
  const parts = [`${plural(ended, "task")} in ${window}`];
  parts.push(o.totals.failed === 0 ? "none failed" : `${formatPercent(o.totals.failure_rate)} failed`);
  if (o.wait && o.wait.n > 0) parts.push(`p95 wait ${formatDuration(o.wait.p95_ms)}`);
  return parts.join(", ");
}
