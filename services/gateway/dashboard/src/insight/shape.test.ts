// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import {
  brushWindow,
  bucketWindow,
  failureRates,
  percentiles,
  sumBuckets,
  timesOf,
  underneath,
  zeroFilled,
} from "./shape";
import type { Bucket, Series } from "./types";

const t0 = Date.parse("2026-01-01T00:00:00Z");
const bucket = (minute: number, more: Partial<Bucket> = {}): Bucket => ({
  t: new Date(t0 + minute * 60_000).toISOString(),
  received: 0,
  started: 0,
  succeeded: 0,
  failed: 0,
  retried: 0,
  revoked: 0,
  run: null,
  wait: null,
  ...more,
});
const series = (minutes: number): Series => ({
  window: {
    from: new Date(t0).toISOString(),
    to: new Date(t0 + minutes * 60_000).toISOString(),
    seconds: minutes * 60,
  },
  bucket_seconds: 60,
  buckets: [],
  markers: [],
});

describe("zero filling", () => {
  it("puts quiet buckets in, so that two points never become a slope", () => {
    const filled = zeroFilled({
      bucket_seconds: 60,
      buckets: [bucket(4, { failed: 2 }), bucket(0, { succeeded: 5 })],
    });
    expect(timesOf(filled).map((ms) => (ms - t0) / 60_000)).toEqual([0, 1, 2, 3, 4]);
    expect(filled.map((each) => each.succeeded + each.failed)).toEqual([5, 0, 0, 0, 2]);
  });
  it("leaves a full row alone and survives nonsense", () => {
    const full = [bucket(0), bucket(1), bucket(2)];
    expect(zeroFilled({ bucket_seconds: 60, buckets: full })).toEqual(full);
    expect(zeroFilled({ bucket_seconds: 0, buckets: full })).toEqual(full);
    expect(zeroFilled({ bucket_seconds: 60, buckets: [{ ...bucket(0), t: "soon" }] })).toEqual([]);
    expect(zeroFilled({ bucket_seconds: 1, buckets: [bucket(0), bucket(1_000_000)] }).length).toBeLessThan(
      3000,
    );
  });
});

it("has no rate and no percentile where nothing ended", () => {
  const buckets = [
    bucket(0, { succeeded: 3, failed: 1, run: { n: 4, p50_ms: 5, p95_ms: 9, p99_ms: 10 } }),
    bucket(1),
    bucket(2, { revoked: 4 }),
  ];
  expect(failureRates(buckets)).toEqual([0.25, null, null]);
  expect(percentiles(buckets, "run", "p95_ms")).toEqual([9, null, null]);
});

describe("brush", () => {
  it("becomes whole buckets inside the window", () => {
    const range = brushWindow(series(60), t0 + 10.4 * 60_000, t0 + 5.6 * 60_000);
    expect(range && [(range.from.getTime() - t0) / 60_000, (range.to.getTime() - t0) / 60_000]).toEqual([
      5, 11,
    ]);
    const over = brushWindow(series(60), t0 - 500_000, t0 + 90 * 60_000);
    expect(over && [over.from.getTime() - t0, (over.to.getTime() - t0) / 60_000]).toEqual([0, 60]);
  });
  it("is not a click, and never less than a minute", () => {
    expect(brushWindow(series(60), t0 + 1000, t0 + 9000)).toBeNull();
    const fine = { ...series(60), bucket_seconds: 5 };
    const range = brushWindow(fine, t0 + 60_000, t0 + 70_000);
    expect(range && range.to.getTime() - range.from.getTime()).toBe(60_000);
  });
});

it("zooms along the round times that buckets begin at", () => {
  const shifted = { ...series(60), buckets: [bucket(-3)], bucket_seconds: 300 };
  const range = brushWindow(shifted, t0 + 4 * 60_000, t0 + 9 * 60_000);
  expect(range && [(range.from.getTime() - t0) / 60_000, (range.to.getTime() - t0) / 60_000]).toEqual([
    2, 12,
  ]);
});

it("lays the window before under the present one by place, not by number", () => {
  const now = { ...series(10), buckets: [bucket(0), bucket(1), bucket(2)] };
  const before = { window: { ...now.window, from: new Date(t0 - 600_000).toISOString() } };
  const old = [bucket(-11, { failed: 9 }), bucket(-10, { failed: 1 }), bucket(-8, { failed: 3 })];
  expect(underneath(now, now.buckets, before, old).map((each) => each?.failed ?? null)).toEqual([1, null, 3]);
  expect(underneath(now, now.buckets, undefined, [])).toEqual([null, null, null]);
});

it("cuts the last bucket at the end of the window", () => {
  const half = series(10);
  half.bucket_seconds = 240;
  const { from, to } = bucketWindow(half, t0 + 8 * 60_000);
  expect([from.getTime() - t0, to.getTime() - t0]).toEqual([480_000, 600_000]);
});

it("adds neighbours up for a sparkline", () => {
  expect(sumBuckets([1, 2, 3, 4, 5], 3)).toEqual([3, 7, 5]);
  expect(sumBuckets([1, 2], 3)).toEqual([1, 2]);
});
