// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { fillDepths } from "./depths";

const at = (text: string) => Date.parse(`2026-05-04T${text}Z`);
const point = (text: string, depth: number, peak = depth) => ({ t: `2026-05-04T${text}Z`, depth, peak });

describe("fillDepths", () => {
  it("leaves gaps where nothing was reported", () => {
    const got = fillDepths(
      [point("10:01:00", 4, 9), point("10:03:00", 0)],
      60,
      at("10:00:20"),
      at("10:05:00"),
    );
    expect(got.depth).toEqual([null, 4, null, 0, null]);
    expect(got.peak).toEqual([null, 9, null, 0, null]);
    expect(got.times[0]).toBe(at("10:00:00"));
  });
  it("drops what lies outside and stays bounded", () => {
    const got = fillDepths([point("09:00:00", 1), point("12:00:00", 1)], 60, at("10:00:00"), at("10:02:00"));
    expect(got.depth).toEqual([null, null]);
    expect(fillDepths([], 60, 0, 400 * 86_400_000).times.length).toBe(1500);
  });
});
