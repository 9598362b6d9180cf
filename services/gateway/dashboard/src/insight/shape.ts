// SPDX-License-Identifier: AGPL-3.0-or-later
import { parseTime } from "../api/time";
import type { Bucket, Series, Window } from "./types";

/** No marker, no zoom below this. */
const smallestZoomMs = 60_000;
/** Far more buckets than a chart has pixels would only hang the page. */
const mostBuckets = 2_000;

const emptyBucket = (ms: number): Bucket => ({
  t: new Date(ms).toISOString(),
  received: 0,
  started: 0,
  succeeded: 0,
  failed: 0,
  retried: 0,
  revoked: 0,
  run: null,
  wait: null,
});

/**
 * zeroFilled makes sure that every bucket between the first and the last is there, so that a quiet hour is drawn as
 * zero and never as a slope between its neighbours. The API fills already; a chart that lies is worth checking for.
 */
export function zeroFilled(series: Pick<Series, "buckets" | "bucket_seconds">): Bucket[] {
  const step = series.bucket_seconds * 1000;
  const known = series.buckets
    .map((bucket) => ({ bucket, ms: parseTime(bucket.t) }))
    .filter((each): each is { bucket: Bucket; ms: number } => each.ms !== null)
    .sort((a, b) => a.ms - b.ms);
  if (step <= 0) return known.map((each) => each.bucket);
  const out: Bucket[] = [];
  let next: number | null = null;
  for (const { bucket, ms } of known) {
    for (; next !== null && next < ms - step / 2 && out.length < mostBuckets; next += step)
      out.push(emptyBucket(next));
    out.push(bucket);
    next = ms + step;
  }
  return out;
}

/** times of the buckets in milliseconds, the form charts want. */
export const timesOf = (buckets: Bucket[]): number[] => buckets.map((bucket) => parseTime(bucket.t) ?? 0);

export const ended = (bucket: { succeeded: number; failed: number; revoked: number }): number =>
  bucket.succeeded + bucket.failed + bucket.revoked;

export const endedPerBucket = (buckets: Bucket[]): number[] => buckets.map(ended);

/** failureRates is the share of failures among what ended, null where nothing ended: no data is not 0 %. */
export const failureRates = (buckets: (Bucket | null)[]): (number | null)[] =>
  buckets.map((bucket) => {
    if (!bucket) return null;
    const of = bucket.succeeded + bucket.failed;
    return of === 0 ? null : bucket.failed / of;
  });

export const percentiles = (
  buckets: Bucket[],
  kind: "run" | "wait",
  which: "p50_ms" | "p95_ms" | "p99_ms",
): (number | null)[] => buckets.map((bucket) => bucket[kind]?.[which] ?? null);

/** bucketWindow is the time one bucket stands for, cut to the window of the series. */
export function bucketWindow(
  series: Pick<Series, "bucket_seconds" | "window">,
  ms: number,
): { from: Date; to: Date } {
  const { from, to } = edges(series.window);
  const end = ms + series.bucket_seconds * 1000;
  return { from: new Date(Math.max(ms, from)), to: new Date(Math.min(end, to)) };
}

function edges(window: Window): { from: number; to: number } {
  return { from: parseTime(window.from) ?? 0, to: parseTime(window.to) ?? Number.POSITIVE_INFINITY };
}

/**
 * brushWindow turns a dragged stretch of a chart into a range: whole buckets, never less than a minute, never past
 * the end of what is shown. A drag so short that it is a shaky click is null.
 */
export function brushWindow(
  series: Pick<Series, "bucket_seconds" | "window"> & { buckets: { t: string }[] },
  a: number,
  b: number,
): { from: Date; to: Date } | null {
  const step = series.bucket_seconds * 1000;
  if (step <= 0 || Math.abs(b - a) < step / 2) return null;
  const { from, to } = edges(series.window);
  // Buckets begin at round times, the first of them before the window does.
  const origin = parseTime(series.buckets[0]?.t) ?? from;
  let start = Math.max(from, Math.floor((Math.min(a, b) - origin) / step) * step + origin);
  let end = Math.min(to, Math.ceil((Math.max(a, b) - origin) / step) * step + origin);
  if (end - start < smallestZoomMs) {
    end = Math.min(to, start + smallestZoomMs);
    start = Math.max(from, end - smallestZoomMs);
  }
  return end > start ? { from: new Date(start), to: new Date(end) } : null;
}

/** underneath puts the buckets of an earlier window under those of a later one, by their place in the window. */
export function underneath(
  now: Pick<Series, "bucket_seconds" | "window">,
  buckets: Bucket[],
  before: Pick<Series, "window"> | undefined,
  old: Bucket[],
): (Bucket | null)[] {
  const shift = before ? (parseTime(now.window.from) ?? 0) - (parseTime(before.window.from) ?? 0) : 0;
  const half = (now.bucket_seconds * 1000) / 2;
  const moved = timesOf(old).map((ms) => ms + shift);
  let at = 0;
  return timesOf(buckets).map((ms) => {
    while (at < moved.length && (moved[at] ?? 0) < ms - half) at++;
    const found = moved[at];
    return found !== undefined && found <= ms + half ? (old[at] ?? null) : null;
  });
}

/** sumBuckets adds neighbours up until at most `most` remain; sparklines have few pixels. */
export function sumBuckets(values: number[], most: number): number[] {
  if (values.length <= most) return values;
  const size = Math.ceil(values.length / most);
  const out: number[] = [];
  for (let i = 0; i < values.length; i += size)
    out.push(values.slice(i, i + size).reduce((sum, value) => sum + value, 0));
  return out;
}
