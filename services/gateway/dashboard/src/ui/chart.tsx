// SPDX-License-Identifier: AGPL-3.0-or-later
import { lazy, Suspense, useEffect, useState, useSyncExternalStore } from "react";
import { formatAbsolute, formatCount, formatDuration, parseTime, zoneName } from "../api/time";
import { useZone } from "./clock";
import { formatPercent } from "./delta";
import { Later } from "./later";
import type { Tone } from "./state";
import { toneText } from "./state";

export interface Series {
  label: string;
  /** One per bucket; null where nothing was measured (drawn as a gap, never joined). Counts are 0, not null. */
  values: (number | null)[];
  tone: Tone | "accent" | "ink";
  /** stack: bars on top of each other, in the given order from below. band: filled between `low` and `values`. */
  kind: "stack" | "line" | "band";
  low?: (number | null)[];
  dashed?: boolean;
}

export interface Marker {
  t: string | number;
  kind: string;
  text: string;
}

export interface TimeChartProps {
  /** The name of the chart and of the table behind it: "Tasks ended, by outcome". */
  caption: string;
  /** Starts of the buckets: API timestamps or ms. All buckets, also the empty ones. */
  times: (string | number)[];
  bucketSeconds: number;
  series: Series[];
  /** What the values are; decides axis and readout. */
  unit?: "count" | "ms" | "rate" | "percent";
  height?: number;
  /** Dragging over the chart; usually useRange().setWindow. */
  onBrush?: (from: Date, to: Date) => void;
  /** A click on a bucket, or on its row in the table: usually a link to the tasks of that time. */
  onPick?: (bucket: { index: number; from: Date; to: Date }) => void;
  markers?: Marker[];
  /** The caption is for screen readers only, because a heading next to it says the same. */
  quiet?: boolean;
}

const Plot = lazy(() => import("./chartplot"));

export const valueText = (unit: TimeChartProps["unit"], value: number | null | undefined): string => {
  if (value === null || value === undefined) return "–";
  if (unit === "ms") return formatDuration(value);
  if (unit === "percent") return formatPercent(value);
  return Number.isInteger(value) || value >= 100 ? formatCount(Math.round(value)) : value.toFixed(1);
};

const fills: Record<Series["tone"], string> = {
  good: "text-good-fill",
  bad: "text-bad-fill",
  warn: "text-warn-fill",
  run: "text-run-fill",
  wait: "text-wait-fill",
  retry: "text-retry-fill",
  accent: "text-accent",
  ink: "text-soft",
};
const text: Record<Series["tone"], string> = { ...toneText, accent: "text-accent", ink: "text-ink" };

/**
 * TimeChart draws zero-filled buckets: stacked outcomes, lines, p50-p95 bands, markers. All charts of a page share
 * one crosshair. Drag zooms, click picks a bucket, and a table with the same numbers is behind it for everybody who
 * can't or won't use the picture. The drawing code (uPlot) loads with the first chart.
 */
export function TimeChart(props: TimeChartProps) {
  const { caption, times, series, unit = "count", height = 180, quiet } = props;
  const [at, setAt] = useState<number | null>(null);
  const [asTable, setAsTable] = useState(false);
  const zone = useZone();
  const starts = times.map((t) => (typeof t === "number" ? t : (parseTime(t) ?? 0)));
  const shown = at !== null && at < starts.length ? at : null;
  const marked = shown === null ? [] : markersIn(props.markers, starts[shown] ?? 0, props.bucketSeconds);
  const total = (each: Series) =>
    unit === "count" ? each.values.reduce<number>((sum, value) => sum + (value ?? 0), 0) : null;
  const peakOf = (each: Series) =>
    each.values.reduce<number | null>((max, v) => (v !== null && (max === null || v > max) ? v : max), null);
  return (
    <figure className="min-w-0">
      <figcaption className={quiet ? "sr-only" : "mb-1 font-semibold"}>{caption}</figcaption>
      <div className="mb-1 flex flex-wrap items-center gap-x-4 gap-y-0.5 text-xs">
        {series.map((each) => (
          <span key={each.label} className="inline-flex items-center gap-1.5 whitespace-nowrap">
            <Swatch series={each} />
            <span className="text-soft">{each.label}</span>
            <span className="min-w-10 font-medium">
              {shown !== null
                ? `${each.low ? `${valueText(unit, each.low[shown])} – ` : ""}${valueText(unit, each.values[shown])}`
                : unit === "count"
                  ? formatCount(total(each) ?? 0)
                  : `≤ ${valueText(unit, peakOf(each))}`}
            </span>
          </span>
        ))}
        <span className="min-w-0 truncate text-soft">
          {shown !== null
            ? `${formatAbsolute(starts[shown] ?? 0, zone)}${marked.length > 0 ? `: ${marked.map((m) => m.text).join(", ")}` : ""}`
            : "\u00a0"}
        </span>
        <button
          type="button"
          aria-pressed={asTable}
          onClick={() => setAsTable(!asTable)}
          className="ml-auto rounded-md px-1 text-soft underline hover:text-ink"
        >
          {asTable ? "As a chart" : "As a table"}
          <span className="sr-only">: {caption}</span>
        </button>
      </div>
      {asTable ? (
        <ChartTable {...props} starts={starts} />
      ) : (
        <div style={{ height }} role="img" aria-label={summary(caption, series, unit)}>
          <Later fallback={<div className="skeleton h-full w-full" />}>
            <Suspense fallback={<div className="skeleton h-full w-full" />}>
              <Plot {...props} unit={unit} height={height} starts={starts} onHover={setAt} />
            </Suspense>
          </Later>
        </div>
      )}
    </figure>
  );
}

function summary(caption: string, series: Series[], unit: TimeChartProps["unit"]): string {
  const parts = series.map((each) => {
    const known = each.values.filter((value): value is number => value !== null);
    if (known.length === 0) return `${each.label}: no values`;
    const peak = valueText(unit, Math.max(...known));
    if (unit !== "count") return `${each.label}: up to ${peak}`;
    return `${each.label}: ${known.reduce((sum, value) => sum + value, 0)} in all, at most ${peak} at a time`;
  });
  return `${caption}. ${parts.join("; ")}`;
}

function markersIn(markers: Marker[] | undefined, start: number, seconds: number): Marker[] {
  return (markers ?? []).filter((marker) => {
    const t = typeof marker.t === "number" ? marker.t : (parseTime(marker.t) ?? 0);
    return t >= start && t < start + seconds * 1000;
  });
}

function Swatch({ series }: { series: Series }) {
  return (
    <svg
      viewBox="0 0 14 10"
      aria-hidden="true"
      className={`h-2.5 w-3.5 ${(series.kind === "stack" ? fills : text)[series.tone]}`}
    >
      {series.kind === "line" ? (
        <path
          d="M0 5h14"
          stroke="currentColor"
          strokeWidth="2"
          strokeDasharray={series.dashed ? "4 2" : undefined}
        />
      ) : (
        <rect width="14" height="10" rx="2" fill="currentColor" opacity={series.kind === "band" ? 0.35 : 1} />
      )}
    </svg>
  );
}

function ChartTable({
  caption,
  series,
  unit,
  starts,
  bucketSeconds,
  onPick,
  height = 180,
}: TimeChartProps & { starts: number[] }) {
  const zone = useZone();
  return (
    <div
      className="overflow-auto"
      style={{ height }}
      tabIndex={0}
      role="region"
      aria-label={`${caption}, as a table`}
    >
      <table className="w-full text-left text-xs">
        <caption className="sr-only">{caption}</caption>
        <thead className="sticky top-0 bg-panel text-soft">
          <tr>
            <th scope="col" className="px-2 font-semibold">
              Time ({zoneName(zone)})
            </th>
            {series.map((each) => (
              <th key={each.label} scope="col" className="px-2 text-right font-semibold">
                {each.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {starts.map((start, i) => (
            <tr key={start} className="border-line border-t">
              <th scope="row" className="px-2 font-normal whitespace-nowrap">
                {onPick ? (
                  <button
                    type="button"
                    className="text-accent underline"
                    onClick={() =>
                      onPick({
                        index: i,
                        from: new Date(start),
                        to: new Date(start + bucketSeconds * 1000),
                      })
                    }
                  >
                    {formatAbsolute(start, zone)}
                  </button>
                ) : (
                  formatAbsolute(start, zone)
                )}
              </th>
              {series.map((each) => (
                <td key={each.label} className="px-2 text-right">
                  {each.low ? `${valueText(unit, each.low[i])} – ` : ""}
                  {valueText(unit, each.values[i])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** useThemeKey changes when the colours on screen do, for whatever draws with computed colours. */
export function useThemeKey(): string {
  return useSyncExternalStore(subscribeTheme, themeKey);
}

const themeKey = () =>
  `${document.documentElement.dataset.theme ?? "system"} ${window.matchMedia("(prefers-color-scheme: dark)").matches}`;

function subscribeTheme(listener: () => void) {
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const observer = new MutationObserver(listener);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  media.addEventListener("change", listener);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", listener);
  };
}

/** useWidth of an element in whole pixels, 0 before the first layout. */
export function useWidth(element: HTMLElement | null): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return width;
}
