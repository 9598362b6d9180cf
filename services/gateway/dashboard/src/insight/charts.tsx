// SPDX-License-Identifier: AGPL-3.0-or-later
import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useMemo } from "react";
import type { Range } from "../app/range";
import { type Series as ChartSeries, TimeChart } from "../ui/chart";
import { Panel, Skeleton } from "../ui/controls";
import { type TaskPick, toTasks } from "./links";
import {
  brushWindow,
  bucketWindow,
  failureRates,
  percentiles,
  timesOf,
  underneath,
  zeroFilled,
} from "./shape";
import type { Bucket, Series } from "./types";

/** The answer to one question; the page that asked says so when it failed. */
interface Asked {
  data: Series | undefined;
}

interface Props {
  slug: string;
  range: Range;
  query: Asked;
  height?: number;
  /** What the chart is about, so that a click leads to these rows only. */
  scope?: TaskPick;
  title?: string;
  actions?: ReactNode;
}

/** useBuckets fills the buckets once for each answer. */
export function useBuckets(series: Series | undefined): Bucket[] {
  return useMemo(() => (series ? zeroFilled(series) : []), [series]);
}

/** useChartActions: drag to zoom into whole buckets, click to see the tasks of one. */
export function useChartActions(
  slug: string,
  range: Range,
  series: (Pick<Series, "window" | "bucket_seconds"> & { buckets: { t: string }[] }) | undefined,
  pick: TaskPick,
): { onBrush: (from: Date, to: Date) => void; onPick: (bucket: { from: Date }) => void } {
  const navigate = useNavigate();
  return {
    onBrush: (from, to) => {
      const zoomed = series && brushWindow(series, from.getTime(), to.getTime());
      if (zoomed) range.setWindow(zoomed.from, zoomed.to);
    },
    onPick: ({ from }) => {
      if (!series) return;
      const window = bucketWindow(series, from.getTime());
      void navigate(toTasks(slug, pick, { range: null, ...window }) as { to: string });
    },
  };
}

function Frame({
  title,
  query,
  height,
  actions,
  children,
}: {
  title: string;
  query: Asked;
  height: number;
  actions?: ReactNode;
  children: (series: Series) => ReactNode;
}) {
  return (
    <Panel title={title} actions={actions}>
      {query.data ? (
        children(query.data)
      ) : (
        <div role="status" className="space-y-2">
          <span className="sr-only">Loading the chart: {title}</span>
          <Skeleton className="h-4 w-72 max-w-full" />
          <div style={{ height }}>
            <Skeleton className="h-full" />
          </div>
        </div>
      )}
    </Panel>
  );
}

/** Failures stand on the ground line, where their height can be read; the rest is piled on top of them. */
export function outcomeStack(buckets: Bucket[]): ChartSeries[] {
  return [
    { label: "Failed", kind: "stack", tone: "bad", values: buckets.map((bucket) => bucket.failed) },
    { label: "Retried", kind: "stack", tone: "retry", values: buckets.map((bucket) => bucket.retried) },
    { label: "Revoked", kind: "stack", tone: "warn", values: buckets.map((bucket) => bucket.revoked) },
    { label: "Succeeded", kind: "stack", tone: "good", values: buckets.map((bucket) => bucket.succeeded) },
  ];
}

export function ThroughputChart({ slug, range, query, height = 200, scope = {}, title, actions }: Props) {
  const buckets = useBuckets(query.data);
  const act = useChartActions(slug, range, query.data, scope);
  return (
    <Frame title={title ?? "Throughput"} query={query} height={height} actions={actions}>
      {(series) => (
        <TimeChart
          quiet
          caption="Tasks by outcome"
          times={timesOf(buckets)}
          bucketSeconds={series.bucket_seconds}
          series={outcomeStack(buckets)}
          markers={series.markers}
          height={height}
          {...act}
        />
      )}
    </Frame>
  );
}

/** LatencyChart: how long tasks wait and run, the slowest 5 of 100 left out. */
export function LatencyChart({ slug, range, query, height = 180, scope = {} }: Props) {
  const buckets = useBuckets(query.data);
  const act = useChartActions(slug, range, query.data, scope);
  return (
    <Frame title="Wait and run time, p95" query={query} height={height}>
      {(series) => (
        <TimeChart
          quiet
          caption="Wait and run time, 95th percentile"
          unit="ms"
          times={timesOf(buckets)}
          bucketSeconds={series.bucket_seconds}
          series={[
            { label: "Wait", kind: "line", tone: "run", values: percentiles(buckets, "wait", "p95_ms") },
            { label: "Run", kind: "line", tone: "retry", values: percentiles(buckets, "run", "p95_ms") },
          ]}
          markers={series.markers}
          height={height}
          {...act}
        />
      )}
    </Frame>
  );
}

/** FailureChart lays the window before under the present one, hour by hour. */
export function FailureChart({
  slug,
  range,
  query,
  before,
  height = 180,
  scope = {},
}: Props & { before: Series | undefined }) {
  const buckets = useBuckets(query.data);
  const old = useBuckets(before);
  const act = useChartActions(slug, range, query.data, { ...scope, state: "failure" });
  const oldRates = query.data ? failureRates(underneath(query.data, buckets, before, old)) : [];
  return (
    <Frame title="Failure rate" query={query} height={height}>
      {(series) => (
        <TimeChart
          quiet
          caption="Share of tasks that failed, with the window before"
          unit="percent"
          times={timesOf(buckets)}
          bucketSeconds={series.bucket_seconds}
          series={[
            { label: "This window", kind: "line", tone: "bad", values: failureRates(buckets) },
            ...(oldRates.some((rate) => rate !== null)
              ? [
                  {
                    label: "Window before",
                    kind: "line" as const,
                    tone: "wait" as const,
                    dashed: true,
                    values: oldRates,
                  },
                ]
              : []),
          ]}
          markers={series.markers}
          height={height}
          {...act}
        />
      )}
    </Frame>
  );
}

const kinds = {
  run: { title: "Run time", caption: "Run time, percentiles", tone: "retry" },
  wait: { title: "Wait before the start", caption: "Wait before the start, percentiles", tone: "run" },
} as const;

/** PercentileChart: the band between p50 and p95, and p99 above it. */
export function PercentileChart({
  slug,
  range,
  query,
  kind,
  height = 180,
  scope = {},
}: Props & { kind: "run" | "wait" }) {
  const buckets = useBuckets(query.data);
  const act = useChartActions(slug, range, query.data, scope);
  const { title, caption, tone } = kinds[kind];
  const p50 = percentiles(buckets, kind, "p50_ms");
  return (
    <Frame title={title} query={query} height={height}>
      {(series) => (
        <TimeChart
          quiet
          caption={caption}
          unit="ms"
          times={timesOf(buckets)}
          bucketSeconds={series.bucket_seconds}
          series={[
            {
              label: "p50 to p95",
              kind: "band",
              tone,
              values: percentiles(buckets, kind, "p95_ms"),
              low: p50,
            },
            { label: "p50", kind: "line", tone, values: p50 },
            {
              label: "p99",
              kind: "line",
              tone: "warn",
              dashed: true,
              values: percentiles(buckets, kind, "p99_ms"),
            },
          ]}
          markers={series.markers}
          height={height}
          {...act}
        />
      )}
    </Frame>
  );
}
