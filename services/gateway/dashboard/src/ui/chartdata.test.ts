// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { axisDuration, axisTime, stackUp } from "./chartdata";

describe("stackUp", () => {
  it("adds from below and takes a gap for nothing", () => {
    expect(
      stackUp([
        [1, 2, null],
        [0, null, 3],
        [4, 1, 1],
      ]),
    ).toEqual([
      [1, 2, 0],
      [1, 2, 3],
      [5, 3, 4],
    ]);
  });
});

describe("axisTime", () => {
  const at = (text: string) => Date.parse(text);
  it.each([
    ["2026-03-05T14:30:00Z", 300, "14:30"],
    ["2026-03-05T14:30:05Z", 5, "14:30:05"],
    ["2026-03-05T00:00:00Z", 3600, "5 Mar"],
    ["2026-12-31T12:00:00Z", 86_400, "31 Dec"],
  ])("%s every %i s", (time, step, text) => expect(axisTime(at(time), step, "utc")).toBe(text));
});

it("labels an axis of durations briefly", () => {
  expect([0, 500, 1500, 15_000, 90_000, 120_000, 5_400_000, 172_800_000].map(axisDuration)).toEqual([
    "0 ms",
    "500 ms",
    "1.5 s",
    "15 s",
    "1:30 m",
    "2 m",
    "1:30 h",
    "2 d",
  ]);
});
