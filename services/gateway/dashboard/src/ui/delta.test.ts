// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { change, formatPercent, formatRate } from "./delta";

describe("change", () => {
  it.each([
    [120, 100, { dir: 1, text: "20 %" }],
    [95, 100, { dir: -1, text: "5.0 %" }],
    [5, 0, { dir: 1, text: "from 0" }],
    [0, 0, { dir: 0, text: "as before" }],
    [100.1, 100, { dir: 0, text: "as before" }],
    [5000, 100, { dir: 1, text: "50 times" }],
    [null, 3, null],
    [3, undefined, null],
  ])("%s after %s", (now, before, want) => expect(change(now, before)).toEqual(want));
});

describe("formats", () => {
  it.each([
    [0, "0 %"],
    [0.00002, "< 0.01 %"],
    [0.0042, "0.42 %"],
    [0.051, "5.1 %"],
    [1, "100 %"],
    [null, "–"],
  ])("rate %s", (rate, text) => expect(formatPercent(rate)).toBe(text));
  it.each([
    [0, "0/min"],
    [0.05, "3/h"],
    [12.34, "12/min"],
    [1200, "20/s"],
    [undefined, "–"],
  ])("%s per minute", (rate, text) => expect(formatRate(rate)).toBe(text));
});
