// SPDX-License-Identifier: AGPL-3.0-or-later
// The part of TimeChart that needs uPlot: a chunk of its own, loaded with the first chart.
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { parseTime, type Zone } from "../api/time";
import { type Series, type TimeChartProps, useThemeKey, useWidth, valueText } from "./chart";
import { axisDuration, axisTime, durationSteps, stackUp } from "./chartdata";
import { useZone } from "./clock";

type Props = TimeChartProps & {
  starts: number[];
  height: number;
  onHover: (index: number | null) => void;
};

/** Charts with this key share their crosshair. */
const crosshair = "page";

export default function Plot(props: Props) {
  const { starts, bucketSeconds, series, unit, height } = props;
  const [host, setHost] = useState<HTMLDivElement | null>(null);
  const width = useWidth(host);
  const theme = useThemeKey();
  const zone = useZone();
  const latest = useRef(props);
  latest.current = props;
  const plot = useRef<uPlot | null>(null);
  // The picture is built again only when its make-up changes; new numbers go into the one that is there.
  const shape = JSON.stringify([unit, series.map((s) => [s.label, s.tone, s.kind, s.dashed ?? false])]);
  const data = useMemo(() => toData(starts, series), [starts, series]);
  const latestData = useRef(data);
  latestData.current = data;
  const ready = width > 0;

  // biome-ignore lint/correctness/useExhaustiveDependencies: shape stands for series and unit, theme for colours
  useEffect(() => {
    if (!host || !ready) return;
    const chart = build(host, latest, latestData.current, zone);
    plot.current = chart;
    return () => {
      plot.current = null;
      chart.destroy();
    };
  }, [host, ready, shape, theme, zone]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a changed bucket length changes the x scale
  useEffect(() => plot.current?.setData(data), [data, bucketSeconds, props.markers]);
  useEffect(() => {
    if (width > 0) plot.current?.setSize({ width, height });
  }, [width, height]);

  return <div ref={setHost} className="h-full w-full overflow-hidden" />;
}

function toData(starts: number[], series: Series[]): uPlot.AlignedData {
  const stacks = series.filter((each) => each.kind === "stack");
  const sums = stackUp(stacks.map((each) => each.values));
  const rows: (number | null)[][] = [];
  // The tallest sum is drawn first, the lower ones over it.
  for (let i = sums.length - 1; i >= 0; i--) rows.push(sums[i] ?? []);
  for (const each of series) {
    if (each.kind === "band")
      rows.push(each.values, each.low ?? each.values.map((v) => (v === null ? null : 0)));
    if (each.kind === "line") rows.push(each.values);
  }
  return [starts.map((ms) => ms / 1000), ...rows] as uPlot.AlignedData;
}

function build(host: HTMLElement, latest: { current: Props }, data: uPlot.AlignedData, zone: Zone): uPlot {
  const { series, unit } = latest.current;
  const colour = palette(host);
  const stacked = series.filter((each) => each.kind === "stack");
  const hasBars = stacked.length > 0;
  const drawn: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  for (const each of [...stacked].reverse()) {
    drawn.push({
      label: each.label,
      fill: colour(`${each.tone}-fill`),
      width: 0,
      points: { show: false },
      paths: uPlot.paths.bars?.({ size: [0.86, 60], align: 1 }),
    });
  }
  for (const each of series) {
    const line: uPlot.Series = {
      label: each.label,
      stroke: colour(each.tone),
      width: each.kind === "band" ? 1 : 1.6,
      dash: each.dashed ? [5, 3] : undefined,
      points: { show: (u, i) => lonely(u.data[i]), size: 4, fill: colour(each.tone) },
      spanGaps: false,
    };
    if (each.kind === "line") drawn.push(line);
    if (each.kind === "band") {
      const upper = drawn.length;
      drawn.push(line, { ...line, label: `${each.label}, lower end` });
      bands.push({ series: [upper, upper + 1], fill: fade(colour(each.tone)) });
    }
  }
  const font = `12px ${getComputedStyle(host).fontFamily}`;
  const axis: uPlot.Axis = {
    stroke: colour("soft"),
    font,
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1, size: 4 },
  };
  let down = 0;
  const options: uPlot.Options = {
    width: Math.max(1, Math.floor(host.clientWidth)),
    height: latest.current.height,
    legend: { show: false },
    padding: [10, 18, 0, 0],
    cursor: {
      sync: { key: crosshair, setSeries: false, scales: ["x", null] },
      drag: { x: Boolean(latest.current.onBrush), y: false, setScale: false },
      y: false,
      points: { show: !hasBars, size: 6 },
      // Over bars the bucket is the one under the pointer, not the one whose start is nearest.
      dataIdx: (u, _, nearest, at) =>
        hasBars ? Math.max(0, nearest - ((u.data[0][nearest] ?? 0) > at ? 1 : 0)) : nearest,
    },
    scales: {
      x: {
        time: true,
        range: (u) => {
          const xs = u.data[0];
          const first = xs[0] ?? 0;
          // The last bucket has a length too; the same for bars and lines, so that crosshairs stand in line.
          return [first, (xs.at(-1) ?? first) + Math.max(1, latest.current.bucketSeconds)];
        },
      },
      y: { range: (_u, _min, max) => [0, niceTop(max, unit)] },
    },
    axes: [
      {
        ...axis,
        size: 26,
        values: (_u, splits, _i, _s, incr) => splits.map((s) => axisTime(s * 1000, incr, zone)),
      },
      {
        ...axis,
        size: 54,
        // Durations get steps that are round in seconds, minutes and hours.
        ...(unit === "ms" ? { incrs: durationSteps } : {}),
        values: (_u, splits) =>
          splits.map((value) => (unit === "ms" ? axisDuration(value) : valueText(unit, value))),
      },
    ],
    series: drawn,
    bands,
    tzDate: (ts) =>
      zone === "local"
        ? new Date(ts * 1000)
        : uPlot.tzDate(new Date(ts * 1000), zone === "utc" ? "Etc/UTC" : zone),
    hooks: {
      setCursor: [
        (u) =>
          latest.current.onHover(
            u.cursor.left !== undefined && u.cursor.left >= 0 ? (u.cursor.idx ?? null) : null,
          ),
      ],
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width < 4) return;
          const from = u.posToVal(left, "x") * 1000;
          const to = u.posToVal(left + width, "x") * 1000;
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          latest.current.onBrush?.(new Date(Math.round(from)), new Date(Math.round(to)));
        },
      ],
      draw: [(u) => drawMarkers(u, latest.current, colour("accent"))],
      ready: [
        (u) => {
          u.over.style.cursor = latest.current.onPick ? "pointer" : "crosshair";
          u.over.addEventListener("pointerdown", (event) => {
            down = event.clientX;
          });
          u.over.addEventListener("click", (event) => {
            const index = u.cursor.idx;
            if (Math.abs(event.clientX - down) > 3 || index === null || index === undefined) return;
            const { starts, bucketSeconds, onPick } = latest.current;
            const start = starts[index];
            if (start !== undefined)
              onPick?.({ index, from: new Date(start), to: new Date(start + bucketSeconds * 1000) });
          });
        },
      ],
    },
  };
  return new uPlot(options, data, host);
}

/** A value without neighbours makes no line; a point shows it. */
function lonely(values: ArrayLike<number | null | undefined> | undefined): boolean {
  if (!values) return false;
  for (let i = 0; i < values.length; i++) {
    const alone = (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null;
    if ((values[i] ?? null) !== null && alone) return true;
  }
  return false;
}

function niceTop(max: number | null, unit: Props["unit"]): number {
  if (unit === "percent") return Math.min(1, Math.max(0.01, (max ?? 0) * 1.15));
  if (max === null || max <= 0) return unit === "ms" ? 100 : 5;
  return unit === "count" ? Math.max(4, max * 1.08) : max * 1.1;
}

function drawMarkers(u: uPlot, { markers }: Props, colour: string) {
  if (!markers || markers.length === 0) return;
  const { ctx, bbox } = u;
  const ratio = uPlot.pxRatio;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.fillStyle = colour;
  ctx.lineWidth = ratio;
  for (const marker of markers) {
    const t = typeof marker.t === "number" ? marker.t : parseTime(marker.t);
    if (t === null) continue;
    const x = u.valToPos(t / 1000, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.setLineDash([4 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.moveTo(x - 4 * ratio, bbox.top - 7 * ratio);
    ctx.lineTo(x + 4 * ratio, bbox.top - 7 * ratio);
    ctx.lineTo(x, bbox.top);
    ctx.fill();
  }
  ctx.restore();
}

type Colour = Series["tone"] | "soft" | "line" | `${Series["tone"]}-fill`;

/** palette resolves the tokens to what a canvas understands, in the theme on screen. */
function palette(host: HTMLElement): (name: Colour) => string {
  const probe = document.createElement("span");
  probe.hidden = true;
  host.append(probe);
  const known = new Map<Colour, string>();
  const read = (token: string): string => {
    probe.style.color = `var(--color-${token})`;
    return getComputedStyle(probe).color;
  };
  for (const name of ["soft", "line", "accent", "ink"] as const) known.set(name, read(name));
  known.set("accent-fill", read("accent")).set("ink-fill", read("soft"));
  for (const name of ["good", "bad", "warn", "run", "retry"] as const) {
    known.set(name, read(name));
    known.set(`${name}-fill`, read(`${name}-fill`));
  }
  known.set("wait", read("edge")).set("wait-fill", read("wait-fill"));
  probe.remove();
  return (name) => known.get(name) ?? "gray";
}

const fade = (colour: string) => `color-mix(in oklch, ${colour} 22%, transparent)`;
