// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { axisTime, stackUp } from "./chartdata";

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
