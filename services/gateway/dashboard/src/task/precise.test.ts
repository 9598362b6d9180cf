// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { formatOffset, formatPrecise, formatSpan, preciseTime, ticks } from "./precise";

it("keeps the microseconds of a timestamp", () => {
  const a = preciseTime("2026-05-01T10:00:00.123456Z") ?? 0;
  const b = preciseTime("2026-05-01T10:00:00.123789Z") ?? 0;
  expect(Math.round((b - a) * 1000)).toBe(333);
  expect(formatPrecise(a, "utc")).toBe("10:00:00.123456");
  expect(formatPrecise(a, "utc", true)).toBe("2026-05-01 10:00:00.123456 UTC");
  expect(preciseTime("2026-05-01T10:00:00Z")).toBe(Date.parse("2026-05-01T10:00:00Z"));
  expect(preciseTime(null)).toBeNull();
});

it("names spans down to the microsecond", () => {
  expect(formatSpan(0.333)).toBe("333 µs");
  expect(formatSpan(0.9999)).toBe("1 ms");
  expect(formatSpan(12)).toBe("12 ms");
  expect(formatSpan(null)).toBe("–");
});

it("puts ticks on round offsets", () => {
  expect(ticks(7222, 8)).toEqual([0, 1000, 2000, 3000, 4000, 5000, 6000, 7000]);
  expect(ticks(400, 5)).toEqual([0, 100, 200, 300, 400]);
  expect(ticks(3_600_000, 6)).toEqual([0, 600_000, 1_200_000, 1_800_000, 2_400_000, 3_000_000, 3_600_000]);
  expect(ticks(0, 5)).toEqual([0]);
  for (const span of [0.4, 3, 90_000, 250_000, 86_400_000, 9e9])
    expect(ticks(span, 6).length).toBeLessThan(9);
  expect([0, 0.5, 250, 3000, 120_000, 7_200_000].map(formatOffset)).toEqual([
    "0",
    "+500 µs",
    "+250 ms",
    "+3 s",
    "+2 m",
    "+2 h",
  ]);
});
