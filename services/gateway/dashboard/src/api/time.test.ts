// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import {
  between,
  fieldsOf,
  formatAbsolute,
  formatAge,
  formatCount,
  formatDuration,
  fromField,
  instantOf,
  parseTime,
  toField,
  zoneName,
} from "./time";

it("reads times without a zone as UTC", () => {
  expect(parseTime("2026-11-23T21:41:55")).toBe(Date.parse("2026-11-23T21:41:55Z"));
  expect(parseTime("2026-11-23T21:41:55.663893+00:00")).toBe(Date.parse("2026-11-23T21:41:55.663Z"));
  expect(parseTime("2026-11-23T23:41:55+02:00")).toBe(Date.parse("2026-11-23T21:41:55Z"));
  expect(parseTime("soon")).toBeNull();
  expect(parseTime(null)).toBeNull();
});

it("never measures a negative time", () => {
  expect(between("2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z")).toBe(0);
  expect(between(null, "2026-01-01T00:00:00Z")).toBeNull();
});

describe("formatDuration", () => {
  it.each([
    [0, "0 ms"],
    [4.4, "4 ms"],
    [999, "999 ms"],
    [999.7, "1.00 s"],
    [1240, "1.24 s"],
    [9996, "10.0 s"],
    [59_960, "1 m 00 s"],
    [125_000, "2 m 05 s"],
    [3_599_600, "1 h 00 m"],
    [11_520_000, "3 h 12 m"],
    [187_200_000, "2 d 4 h"],
  ])("%d ms is %s", (ms, text) => expect(formatDuration(ms)).toBe(text));
  it("has a sign for nothing", () => expect(formatDuration(null)).toBe("–"));
});

it("shortens ages and counts", () => {
  expect([0, 1999, 12_000, 240_000, 10_800_000, 432_000_000, -5000].map(formatAge)).toEqual([
    "now",
    "now",
    "12 s",
    "4 m",
    "3 h",
    "5 d",
    "now",
  ]);
  expect([0, 9999, 12_345, 99_960, 999_600, 12_300_000].map(formatCount)).toEqual([
    "0",
    "9999",
    "12.3 k",
    "100 k",
    "1.0 M",
    "12.3 M",
  ]);
});

it("shows absolute times in UTC", () => {
  expect(formatAbsolute(Date.parse("2026-01-02T03:04:05.067Z"), "utc", true)).toBe("2026-01-02 03:04:05.067");
});

describe("zones", () => {
  it("shows absolute times in a named zone, also across a clock change", () => {
    expect(formatAbsolute(Date.parse("2026-03-29T00:59:59Z"), "Europe/Berlin")).toBe("2026-03-29 01:59:59");
    expect(formatAbsolute(Date.parse("2026-03-29T01:00:00Z"), "Europe/Berlin")).toBe("2026-03-29 03:00:00");
    expect(formatAbsolute(Date.parse("2026-01-01T00:00:00.250Z"), "Asia/Kolkata", true)).toBe(
      "2026-01-01 05:30:00.250",
    );
  });
  it("takes UTC for a zone it does not know", () => {
    expect(formatAbsolute(0, "Mars/Olympus")).toBe("1970-01-01 00:00:00");
  });
  it.each([
    ["2026-03-28T22:15:07Z", "Europe/Berlin"],
    ["2026-03-29T01:30:00Z", "Europe/Berlin"],
    ["2026-07-01T12:00:00Z", "America/New_York"],
    ["2026-07-01T12:00:00Z", "utc"],
    ["2026-12-01T12:00:00Z", "local"],
    ["2026-12-01T12:00:00Z", "Pacific/Chatham"],
  ])("%s in %s goes to its fields and back", (text, zone) => {
    const ms = Date.parse(text);
    expect(instantOf(fieldsOf(ms, zone), zone)).toBe(ms);
  });
  it("reads and writes date fields", () => {
    const ms = Date.parse("2026-07-01T12:00:00Z");
    expect(toField(ms, "Europe/Berlin")).toBe("2026-07-01T14:00:00");
    expect(fromField("2026-07-01T14:00", "Europe/Berlin")).toBe(ms);
    expect(fromField("", "utc")).toBeNull();
  });
  it("names UTC and named zones", () => {
    expect([zoneName("utc"), zoneName("Asia/Tokyo")]).toEqual(["UTC", "Asia/Tokyo"]);
  });
});
