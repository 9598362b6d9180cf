// SPDX-License-Identifier: AGPL-3.0-or-later
import type { QueuePublic } from "../api/schema";
import { formatExact, formatRough, plural } from "../insight/format";

export type Trend = QueuePublic["trend"];

/** How bad a queue's trend is, for sorting and for which ones the answer names: the worst first. */
export const severity: Record<Trend, number> = {
  stalled: 5,
  growing: 4,
  steady: 3,
  draining: 2,
  unknown: 1,
  empty: 0,
};

/** backlog is what waits in a queue, and whether there is more than that; null when nobody knows. */
export function backlog(
  queue: Pick<QueuePublic, "depth" | "waiting" | "waiting_capped">,
): { n: number; more: boolean } | null {
  const waiting = queue.waiting ?? 0;
  if (queue.depth !== null && queue.depth >= waiting) return { n: queue.depth, more: false };
  if (queue.waiting === null) return queue.depth === null ? null : { n: queue.depth, more: false };
  return { n: waiting, more: queue.waiting_capped };
}

export function backlogText(
  queue: Pick<QueuePublic, "depth" | "waiting" | "waiting_capped">,
  unknown = "not known",
): string {
  const waits = backlog(queue);
  return waits ? `${waits.more ? "over " : ""}${formatExact(waits.n)}` : unknown;
}

/** drainText says in a few words where a queue is going. */
export function drainText(queue: Pick<QueuePublic, "trend" | "drain_seconds">): string {
  switch (queue.trend) {
    case "empty":
      return "nothing waits";
    case "draining":
      return queue.drain_seconds === null ? "draining" : `empty in about ${formatRough(queue.drain_seconds)}`;
    case "steady":
      return "as much comes in as goes out";
    case "growing":
      return "more comes in than goes out";
    case "stalled":
      return "nothing starts although work waits";
    case "unknown":
      return "too little is reported to tell";
  }
}

/** verdict answers "will it drain?" for one queue, in a sentence. */
export function verdict(queue: QueuePublic): string {
  const waits = backlog(queue);
  const count = waits ? `${backlogText(queue)} ${waits.n === 1 && !waits.more ? "waits" : "wait"}` : "";
  switch (queue.trend) {
    case "empty":
      return "Nothing waits.";
    case "draining":
      return queue.drain_seconds === null
        ? `Yes: ${count}, and fewer every minute.`
        : `Yes: ${count}, empty in about ${formatRough(queue.drain_seconds)} at this pace.`;
    case "steady":
      return `Not at this pace: ${count}, and as much comes in as goes out.`;
    case "growing":
      return `No: ${count}, and more comes in than goes out.`;
    case "stalled":
      return queue.consumers === 0
        ? `No: ${count}, and no online worker consumes it.`
        : `No: ${count}, and nothing starts.`;
    case "unknown":
      if (!waits) return "Can't tell: neither depth nor waiting tasks are reported.";
      if (waits.n === 0) return "Can't tell: nobody consumes it, and nobody reports what the broker holds.";
      return queue.depth === null
        ? `Can't tell: ${count} with its workers, all busy, and nobody reports what the broker holds behind them.`
        : `Can't tell yet: ${count}, and its depth has not been reported for long enough.`;
  }
}

/** answer is the first line of the page: which queues will not drain by themselves, and which nobody works on. */
export function answer(queues: QueuePublic[]): string {
  if (queues.length === 0) return "";
  const left = queues.filter(
    (queue) =>
      queue.consumers === 0 &&
      ((backlog(queue)?.n ?? 0) > 0 || queue.ended > 0 || (queue.in_per_minute ?? 0) > 0),
  );
  if (left.length === 0) return flow(queues);
  return `${flow(queues)}; nobody consumes ${left.length === 1 ? left[0]?.name : `${left.length} of them`}`;
}

function flow(queues: QueuePublic[]): string {
  const bad = queues
    .filter((queue) => queue.trend === "stalled" || queue.trend === "growing")
    .sort((a, b) => severity[b.trend] - severity[a.trend] || (backlog(b)?.n ?? 0) - (backlog(a)?.n ?? 0));
  const waiting = queues.filter((queue) => (backlog(queue)?.n ?? 0) > 0);
  if (bad.length === 0) {
    if (waiting.length === 0) {
      const unknown = queues.filter((queue) => queue.trend === "unknown").length;
      return unknown > 0
        ? `Nothing known to wait; ${plural(unknown, "queue")} can't be judged`
        : "Nothing waits";
    }
    const slowest = Math.max(0, ...waiting.map((queue) => queue.drain_seconds ?? 0));
    const unsure = waiting.filter((queue) => queue.trend === "unknown");
    if (unsure.length > 0)
      return `${unsure.length === 1 ? unsure[0]?.name : `${unsure.length} queues`} can't be judged: work waits with busy workers, and what the broker holds is not reported`;
    const steady = waiting.filter((queue) => queue.trend !== "draining").length;
    if (steady > 0) return `${plural(waiting.length, "queue")} with work waiting, none growing`;
    return `Every queue drains, the last in about ${formatRough(slowest)}`;
  }
  const named = bad
    .slice(0, 2)
    .map(
      (queue) =>
        `${queue.name} ${queue.trend === "stalled" ? "stands still" : "grows"} (${backlogText(queue)} waiting)`,
    )
    .join(", ");
  return `${named}${bad.length > 2 ? ` and ${bad.length - 2} more` : ""}`;
}
