// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { SkewBanner } from "../agents/skew";
import { useLive } from "../api/live";
import { fetchTasks, queries } from "../api/queries";
import { formatCount, formatDuration } from "../api/time";
import type { Queue } from "../api/types";
import { type Range, useRange } from "../app/range";
import { FailureChart, LatencyChart, ThroughputChart } from "../insight/charts";
import { windowWords } from "../insight/format";
import { useLastingError } from "../insight/lasting";
import { toPage, toTasks, toTrends } from "../insight/links";
import { insight, windowBefore } from "../insight/queries";
import { Ranking, RankingSkeleton } from "../insight/ranking";
import { StaleNote } from "../insight/stale";
import type { Overview } from "../insight/types";
import { FirstSteps } from "../tasks/firststeps";
import { ErrorNote } from "../ui/controls";
import { formatPercent } from "../ui/delta";
import { Later } from "../ui/later";
import { Page } from "../ui/page";
import { answer } from "./answer";
import { AnswerBanner, AnswerSkeleton } from "./banner";
import { Delivery, WorkersStrip } from "./strip";
import { Tiles, TilesSkeleton } from "./tiles";

/** Overview answers: is work getting done in time? */
export function OverviewPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/" });
  const range = useRange();
  const poll = useLive(
    ["task.changed", "agent.changed", "command.changed"],
    [
      ["p", slug, "overview"],
      ["p", slug, "series", range.key],
    ],
    2000,
  );
  const overview = useQuery({ ...insight.overview(slug, range), refetchInterval: poll });
  const data = overview.data;
  const failure = useLastingError(overview);
  const silent = data !== undefined && isSilent(data);
  // Only a project in which nothing happens is asked whether anything ever did.
  const any = useQuery({
    queryKey: ["p", slug, "tasks-any"],
    queryFn: ({ signal }) => fetchTasks(slug, {}, null, 1, signal),
    enabled: silent,
    refetchInterval: silent ? poll : false,
  });
  const queues = useQuery({ ...queries.queues(slug), enabled: (data?.backlog.waiting ?? 0) > 0 });
  const starving = starvingQueue(queues.data);
  const virgin = silent && any.data?.items.length === 0;

  return (
    <Page title="Overview" slug={slug}>
      {failure && !data ? (
        <ErrorNote
          error={failure}
          what="The overview could not be loaded"
          onRetry={() => void overview.refetch()}
        />
      ) : virgin ? (
        <FirstSteps slug={slug} />
      ) : data ? (
        <AnswerBanner answer={answer(data, windowWords(range.range, data.window.seconds), starving)} />
      ) : (
        <AnswerSkeleton />
      )}
      <StaleNote query={overview} />
      <SkewBanner slug={slug} linked />
      {!virgin && !(failure && !data) && <Body slug={slug} range={range} overview={data} poll={poll} />}
    </Page>
  );
}

/** The queue whose oldest task has waited longest. */
export function starvingQueue(
  queues: Pick<Queue, "name" | "oldest_wait_seconds">[] | undefined,
): string | null {
  let worst: Pick<Queue, "name" | "oldest_wait_seconds"> | null = null;
  for (const queue of queues ?? [])
    if ((queue.oldest_wait_seconds ?? 0) > (worst?.oldest_wait_seconds ?? 0)) worst = queue;
  return worst?.name ?? null;
}

const isSilent = ({ totals, previous, backlog }: Overview): boolean =>
  totals.received + totals.started + totals.succeeded + totals.failed + backlog.waiting === 0 &&
  previous.totals.received + previous.totals.succeeded + previous.totals.failed === 0;

function Body({
  slug,
  range,
  overview,
  poll,
}: {
  slug: string;
  range: Range;
  overview: Overview | undefined;
  poll: number;
}) {
  return (
    <>
      {overview ? <Tiles slug={slug} overview={overview} shown={range} /> : <TilesSkeleton />}
      <Charts slug={slug} range={range} poll={poll} />
      {overview ? (
        <Later fallback={<RankingSkeletons />}>
          <Lists slug={slug} range={range} overview={overview} />
          <div className="grid grid-cols-1 gap-4 xl:grid-cols-[minmax(0,1fr)_22rem]">
            <WorkersStrip slug={slug} overview={overview} shown={range} />
            <Delivery slug={slug} overview={overview} shown={range} />
          </div>
        </Later>
      ) : (
        <RankingSkeletons />
      )}
    </>
  );
}

function RankingSkeletons() {
  return (
    <div className="grid grid-cols-1 gap-4 lg:grid-cols-3">
      <RankingSkeleton title="Failing most" />
      <RankingSkeleton title="Slowest" />
      <RankingSkeleton title="Busiest queues" />
    </div>
  );
}

function Charts({ slug, range, poll }: { slug: string; range: Range; poll: number }) {
  const series = useQuery({ ...insight.series(slug, range), refetchInterval: poll });
  // What has been does not change; only the window moves.
  const before = useQuery({ ...insight.series(slug, windowBefore(range)), refetchInterval: 60_000 });
  const failure = useLastingError(series);
  if (failure && !series.data) {
    return (
      <ErrorNote
        error={failure}
        what="The charts could not be loaded"
        onRetry={() => void series.refetch()}
      />
    );
  }
  const parts = { slug, range, query: series };
  return (
    <div className="grid grid-cols-1 gap-4 xl:grid-cols-2">
      <div className="min-w-0 xl:col-span-2">
        <ThroughputChart {...parts} height={220} />
      </div>
      <LatencyChart {...parts} height={180} />
      <FailureChart {...parts} before={before.data} height={180} />
    </div>
  );
}

function Lists({ slug, range, overview }: { slug: string; range: Range; overview: Overview }) {
  const { top_failing, slowest, busiest_queues } = overview;
  const worst = Math.max(1, ...top_failing.map((row) => row.failed));
  const slow = Math.max(1, ...slowest.map((row) => row.p95_ms));
  const busy = Math.max(1, ...busiest_queues.map((row) => row.ended));
  return (
    <div className="grid grid-cols-1 gap-4 lg:grid-cols-3">
      <Ranking
        title="Failing most"
        tone="bad"
        empty="No task failed in this window."
        more={{ label: "All tasks", to: toTrends(slug, { by: "task", sort: "-failed" }, range) }}
        rows={top_failing.map((row) => ({
          key: row.name,
          name: row.name,
          value: <span className="text-bad">{formatCount(row.failed)}</span>,
          note: `${formatPercent(row.failure_rate)} of ${formatCount(row.total)}`,
          share: row.failed / worst,
          to: toTasks(slug, { name: row.name, state: "failure" }, range),
        }))}
      />
      <Ranking
        title="Slowest, p95 run time"
        empty="No task ended in this window."
        more={{ label: "All tasks", to: toTrends(slug, { by: "task", sort: "-p95" }, range) }}
        rows={slowest.map((row) => ({
          key: row.name,
          name: row.name,
          value: formatDuration(row.p95_ms),
          note: `p50 ${formatDuration(row.p50_ms)}`,
          share: row.p95_ms / slow,
          to: toTrends(slug, { name: row.name }, range),
        }))}
      />
      <Ranking
        title="Busiest queues"
        empty="No queue was used in this window."
        more={{ label: "All queues", to: toPage("queues", slug, range) }}
        rows={busiest_queues.map((row) => ({
          key: row.name,
          name: row.name || "no queue known",
          value: formatCount(row.ended),
          note: row.p95_wait_ms === null ? undefined : `p95 wait ${formatDuration(row.p95_wait_ms)}`,
          share: row.ended / busy,
          to: toTrends(slug, { queue: row.name }, range),
        }))}
      />
    </div>
  );
}
