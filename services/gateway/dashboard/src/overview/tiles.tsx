// SPDX-License-Identifier: AGPL-3.0-or-later
import { formatCount, formatDuration } from "../api/time";
import { type Shown, sinceThen, toPage, toTasks } from "../insight/links";
import { ended } from "../insight/shape";
import type { Overview } from "../insight/types";
import { Skeleton } from "../ui/controls";
import { formatPercent, formatRate } from "../ui/delta";
import { Stat, Stats } from "../ui/stat";
import { drainText, waitingText } from "./answer";

/** Tiles are the numbers of the answer, each against the window before and each a link to its rows. */
export function Tiles({ slug, overview, shown }: { slug: string; overview: Overview; shown: Shown }) {
  const { totals, previous, wait, run, backlog } = overview;
  const count = ended(totals);
  const oldest =
    backlog.oldest_wait_seconds === null ? null : Date.now() - backlog.oldest_wait_seconds * 1000;
  // A window in which nothing happened is nothing to compare with.
  const before = ended(previous.totals);
  const minutes = overview.window.seconds / 60;
  return (
    <Stats>
      <Stat
        label="Tasks ended"
        value={formatCount(count)}
        now={count}
        before={before > 0 ? before : null}
        note={minutes > 0 ? formatRate(count / minutes) : undefined}
        to={toTasks(slug, {}, shown)}
      />
      <Stat
        label="Failure rate"
        value={formatPercent(totals.failure_rate)}
        now={totals.failure_rate}
        before={before > 0 ? previous.totals.failure_rate : null}
        good="down"
        tone={totals.failed > 0 ? "bad" : undefined}
        note={`${formatCount(totals.failed)} failed`}
        to={toTasks(slug, { state: "failure" }, shown)}
      />
      <Stat
        label="Wait, p95"
        value={formatDuration(wait?.p95_ms)}
        now={wait?.p95_ms}
        before={previous.wait?.p95_ms}
        good="down"
        note={wait ? `half below ${formatDuration(wait.p50_ms)}` : "no task started"}
        to={toPage("trends", slug, shown)}
      />
      <Stat
        label="Run time, p95"
        value={formatDuration(run?.p95_ms)}
        now={run?.p95_ms}
        before={previous.run?.p95_ms}
        good="down"
        note={run ? `half below ${formatDuration(run.p50_ms)}` : "no task ended"}
        to={toPage("trends", slug, shown)}
      />
      <Stat
        label="Waiting now"
        value={waitingText(backlog)}
        note={
          backlog.waiting > 0
            ? drainText(backlog)
            : `${formatRate(backlog.in_per_minute)} in, ${formatRate(backlog.out_per_minute)} out`
        }
        to={toTasks(slug, { state: "received,pending" }, sinceThen(oldest, Date.now()))}
      />
      <Stat
        label="Open issues"
        value={formatCount(overview.open_issues)}
        note={totals.retried > 0 ? `${formatCount(totals.retried)} retried` : "kinds of failure"}
        to={toPage("issues", slug, shown, { status: "ongoing" })}
      />
    </Stats>
  );
}

export function TilesSkeleton() {
  return (
    <Stats>
      {["ended", "failed", "wait", "run", "waiting", "issues"].map((key) => (
        <div key={key} className="space-y-2 rounded-md border border-line bg-panel px-3 py-2.5">
          <Skeleton className="h-3 w-20" />
          <Skeleton className="h-6 w-24" />
          <Skeleton className="h-3 w-28" />
        </div>
      ))}
    </Stats>
  );
}
