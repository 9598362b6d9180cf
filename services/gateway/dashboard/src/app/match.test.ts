// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { best, score } from "./match";

describe("score", () => {
  it("prefers the start, then the start of a word, then anywhere, then mere order", () => {
    const points = ["mail.send", "shop.mail", "hotmails", "mxaxixl"].map((text) => score("mail", text));
    expect(points).toEqual(points.toSorted((a, b) => b - a));
    expect(points.every((each) => each > 0)).toBe(true);
  });
  it("needs every word", () => {
    expect(score("switch dark", "Switch to the dark theme")).toBeGreaterThan(0);
    expect(score("switch blue", "Switch to the dark theme")).toBe(0);
  });
  it("does not take single letters in any order", () => expect(score("z", "queue")).toBe(0));
});

it("best keeps the order of equal matches and the limit", () => {
  expect(best(["a1", "b1", "a2", "a3"], "a", (each) => each, 2)).toEqual(["a1", "a2"]);
});
