// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { useLive } from "../api/live";
import { formatCount, formatDuration } from "../api/time";
import { type Range, useRange } from "../app/range";
import { FailureChart, PercentileChart, ThroughputChart } from "../insight/charts";
import { plural, windowWords } from "../insight/format";
import { useLastingError } from "../insight/lasting";
import { type Shown, toTasks, toTrends } from "../insight/links";
import { type BreakdownBy, insight, type Scope, windowBefore } from "../insight/queries";
import { ended } from "../insight/shape";
import { StaleNote } from "../insight/stale";
import { TailName } from "../insight/tailname";
import type { BreakdownRow, Percentiles, Series } from "../insight/types";
import { Button, buttonClass, ErrorNote } from "../ui/controls";
import { formatPercent } from "../ui/delta";
import { CloseIcon } from "../ui/icons";
import { Page } from "../ui/page";
import { Sparkline } from "../ui/spark";
import { type DataColumn, DataTable, useUrlSort } from "../ui/table";
import { Choice } from "../ui/toggle";
import { apiSort } from "./search";

/** Trends answers: how has it been going, and which task or queue is it? */
export function TrendsPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/trends" });
  const search = useSearch({ from: "/app/projects/$slug/trends" });
  const range = useRange();
  const client = useQueryClient();
  const poll = useLive(
    ["task.changed"],
    [
      ["p", slug, "series", range.key],
      ["p", slug, "breakdown", range.key],
    ],
    2000,
  );
  const scope = { name: search.name, queue: search.queue };
  const series = useQuery({ ...insight.series(slug, range, scope), refetchInterval: poll });
  const before = useQuery({
    ...insight.series(slug, windowBefore(range), scope),
    refetchInterval: 60_000,
  });
  const failure = useLastingError(series);
  const parts = { slug, range, query: series, scope };
  const one = search.name ?? search.queue;
  return (
    <Page
      title={one ?? "Trends"}
      slug={slug}
      answer={series.data && summary(series.data, windowWords(range.range, series.data.window.seconds))}
      actions={
        one && (
          <Link {...(toTasks(slug, scope, range) as { to: string })} className={buttonClass()}>
            Its tasks
          </Link>
        )
      }
    >
      <ScopeBar slug={slug} name={search.name} queue={search.queue} range={range} />
      <StaleNote query={series} />
      {failure && !series.data ? (
        <ErrorNote
          error={failure}
          what="The charts could not be loaded"
          onRetry={() => {
            void series.refetch();
            void client.invalidateQueries({ queryKey: ["p", slug, "breakdown"] });
          }}
        />
      ) : (
        <div className="grid grid-cols-1 gap-4 xl:grid-cols-2">
          <div className="min-w-0 xl:col-span-2">
            <ThroughputChart {...parts} title="Outcomes" height={240} />
          </div>
          <PercentileChart {...parts} kind="run" />
          <PercentileChart {...parts} kind="wait" />
          <div className="min-w-0 xl:col-span-2">
            <FailureChart {...parts} before={before.data} height={140} />
          </div>
        </div>
      )}
      {!(failure && !series.data) && (
        <BreakdownTable
          slug={slug}
          range={range}
          // Of one task its queues are of interest, of one queue its tasks.
          by={search.name ? "queue" : search.queue ? "task" : (search.by ?? "task")}
          scope={scope}
          poll={poll}
        />
      )}
    </Page>
  );
}

/** summary says in one line what the charts show. */
export function summary({ buckets }: Series, window: string): string {
  let all = 0;
  let failed = 0;
  for (const bucket of buckets) {
    all += ended(bucket);
    failed += bucket.failed;
  }
  if (all === 0) return `No task ended in ${window}`;
  return `${plural(all, "task")} ended in ${window}, ${failed === 0 ? "none" : formatPercent(failed / all)} failed`;
}

function ScopeBar({
  slug,
  name,
  queue,
  range,
}: {
  slug: string;
  name: string | undefined;
  queue: string | undefined;
  range: Shown;
}) {
  if (!name && !queue) {
    return (
      <p className="text-soft">
        All tasks of this project. Drag over a chart to zoom in, click a bar to see its tasks, or choose one
        task or queue below.
      </p>
    );
  }
  return (
    <div className="flex flex-wrap items-center gap-2">
      <span className="text-soft">Only</span>
      {name && <Chip label="task" value={name} />}
      {queue && <Chip label="queue" value={queue} />}
      <Link {...(toTrends(slug, {}, range) as { to: string })} className={buttonClass("quiet")}>
        <CloseIcon className="size-4" /> Show everything
      </Link>
    </div>
  );
}

function Chip({ label, value }: { label: string; value: string }) {
  return (
    <span className="inline-flex min-h-7 max-w-full items-center gap-1.5 rounded-md border border-line bg-panel px-2">
      <span className="text-xs text-soft">{label}</span>
      <span className="min-w-0 font-medium">{value}</span>
    </span>
  );
}

function BreakdownTable({
  slug,
  range,
  by,
  scope,
  poll,
}: {
  slug: string;
  range: Range;
  by: BreakdownBy;
  scope: Scope;
  poll: number;
}) {
  const navigate = useNavigate();
  const [sort, onSort] = useUrlSort({ id: "ended", desc: true });
  const breakdown = useQuery({
    ...insight.breakdown(slug, range, by, apiSort(sort), scope),
    refetchInterval: poll,
  });
  const { name, queue } = scope;
  const scoped = Boolean(name || queue);
  const more = (breakdown.data?.keys ?? 0) - (breakdown.data?.rows.length ?? 0);
  const columns = useMemo(
    () => breakdownColumns(slug, by, { name, queue }, range),
    [slug, by, name, queue, range],
  );
  const failure = useLastingError(breakdown);
  const setBy = (next: BreakdownBy) =>
    void navigate({
      to: ".",
      replace: true,
      search: ((old: Record<string, unknown>) => ({
        ...old,
        by: next === "task" ? undefined : next,
      })) as never,
    });
  return (
    <section className="space-y-2" aria-label="Breakdown">
      <div className="flex flex-wrap items-center gap-3">
        <h2 className="font-semibold">{scoped ? (by === "queue" ? "By queue" : "By task") : "Breakdown"}</h2>
        {!scoped && (
          <Choice
            label="Break down by"
            value={by}
            options={[
              { value: "task", label: "By task" },
              { value: "queue", label: "By queue" },
            ]}
            onChange={setBy}
          />
        )}
        {more > 0 && (
          <span className="text-soft">
            The first {breakdown.data?.rows.length} of {breakdown.data?.keys} by the chosen column.
          </span>
        )}
      </div>
      {failure && !breakdown.data ? (
        <ErrorNote
          error={failure}
          what="The breakdown could not be loaded"
          onRetry={() => void breakdown.refetch()}
        />
      ) : (
        <DataTable
          label={by === "task" ? "Tasks by name" : "Queues"}
          columns={columns}
          rows={breakdown.data?.rows}
          rowKey={(row) => row.key}
          rowHref={(row) =>
            toTrends(slug, { ...scope, [by === "task" ? "name" : "queue"]: row.key || undefined }, range)
          }
          sort={sort}
          onSort={onSort}
          empty={
            <div className="rounded-md border border-line bg-panel px-3 py-6 text-soft">
              <p>No task ended in this window.</p>
              {range.live && range.range !== "7d" && (
                <Button className="mt-2" onClick={() => range.setRange("7d")}>
                  Look at the last 7 days
                </Button>
              )}
            </div>
          }
        />
      )}
    </section>
  );
}

const span = (of: Percentiles | null, which: "p50_ms" | "p95_ms") =>
  of ? formatDuration(of[which]) : <span className="text-soft">–</span>;

function breakdownColumns(
  slug: string,
  by: BreakdownBy,
  scope: Scope,
  shown: Shown & { label: string },
): DataColumn<BreakdownRow>[] {
  const window = shown.label.toLowerCase();
  return [
    {
      id: "key",
      header: by === "task" ? "Task" : "Queue",
      sort: (row) => row.key,
      className: "w-1/3 max-w-0",
      cell: (row) => <TailName name={row.key || "no queue known"} className="font-medium" />,
    },
    {
      id: "ended",
      header: "Ended",
      sort: (row) => row.ended,
      descFirst: true,
      cell: (row) => (
        <span className="inline-flex items-center gap-2 align-middle">
          <Sparkline values={row.spark} failed={row.spark_failed} label={`${row.key}, ${window}`} />
          <span className="w-14 text-right">{formatCount(row.ended)}</span>
        </span>
      ),
    },
    {
      id: "failed",
      header: "Failed",
      align: "right",
      sort: (row) => row.failed,
      descFirst: true,
      cell: (row) =>
        row.failed === 0 ? (
          <span className="text-soft">0</span>
        ) : (
          <Link
            {...(toTasks(
              slug,
              { ...scope, [by === "task" ? "name" : "queue"]: row.key, state: "failure" },
              shown,
            ) as {
              to: string;
            })}
            className="relative z-10 text-bad hover:underline"
          >
            {formatCount(row.failed)}
          </Link>
        ),
    },
    {
      id: "rate",
      header: "Failure rate",
      align: "right",
      sort: (row) => row.failure_rate,
      descFirst: true,
      cell: (row) =>
        row.failed === 0 ? <span className="text-soft">0 %</span> : formatPercent(row.failure_rate),
    },
    {
      id: "retried",
      header: "Retried",
      align: "right",
      minor: true,
      sort: (row) => row.retried,
      descFirst: true,
      cell: (row) => (row.retried === 0 ? <span className="text-soft">0</span> : formatCount(row.retried)),
    },
    {
      id: "p50",
      header: "Run p50",
      align: "right",
      minor: true,
      sort: (row) => row.run?.p50_ms,
      descFirst: true,
      cell: (row) => span(row.run, "p50_ms"),
    },
    {
      id: "p95",
      header: "Run p95",
      align: "right",
      sort: (row) => row.run?.p95_ms,
      descFirst: true,
      cell: (row) => span(row.run, "p95_ms"),
    },
    {
      id: "wait",
      header: "Wait p95",
      align: "right",
      sort: (row) => row.wait?.p95_ms,
      descFirst: true,
      cell: (row) => span(row.wait, "p95_ms"),
    },
  ];
}
