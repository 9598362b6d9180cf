// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { fitWindow, liveWindow, longestMs, parseRange, presetMs, presets, spanText } from "./window";

describe("parseRange", () => {
  it("takes a preset and forgets a fixed window next to it", () => {
    expect(parseRange({ range: "6h", from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z" })).toEqual({
      range: "6h",
    });
  });
  it("takes a fixed window in any order", () => {
    expect(parseRange({ from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z" })).toEqual({
      from: "2026-01-01T00:00:00.000Z",
      to: "2026-01-02T00:00:00.000Z",
    });
  });
  it.each([
    [{}],
    [{ range: "9w" }],
    [{ from: "2026-01-01T00:00:00Z" }],
    [{ from: "yesterday", to: "2026-01-01T00:00:00Z" }],
    [{ from: "2026-01-01T00:00:00Z", to: "2026-01-01T00:00:00Z" }],
    [{ from: 5, to: "" }],
  ])("drops what makes no sense: %j", (search) => {
    expect(parseRange(search)).toEqual({});
  });
});

describe("fitWindow", () => {
  it("keeps the newest part of a window that is too long", () => {
    const fixed = fitWindow(0, longestMs + 10_000);
    expect(fixed).toEqual({ from: 10_000, to: longestMs + 10_000 });
  });
});

describe("liveWindow", () => {
  it.each(presets)("%s holds the present and has the right length", (preset) => {
    const now = Date.parse("2026-03-29T01:30:07.123Z");
    const { from, to } = liveWindow(preset, now);
    expect(to).toBeGreaterThanOrEqual(now);
    expect(to - from).toBe(presetMs[preset]);
  });
  it("stays the same between two steps", () => {
    const now = Date.parse("2026-03-29T01:30:01Z");
    expect(liveWindow("24h", now + 20_000)).toEqual(liveWindow("24h", now));
  });
});

describe("spanText", () => {
  it.each([
    [45_000, "45 s"],
    [900_000, "15 min"],
    [21_600_000, "6 h"],
    [604_800_000, "7 d"],
    [5_400_000, "90 min"],
  ])("%i", (ms, text) => expect(spanText(ms)).toBe(text));
});
