// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { best, score } from "./match";

describe("score", () => {
  it("prefers the start, then the start of a word, then anywhere, then initials", () => {
    const points = ["mail.send", "shop.mail", "hotmails", "my app is late"].map((text) =>
      score("mail", text),
    );
    expect(points).toEqual(points.toSorted((a, b) => b - a));
    expect(points.every((each) => each > 0)).toBe(true);
  });
  it("needs every word", () => {
    expect(score("switch dark", "Switch to the dark theme")).toBeGreaterThan(0);
    expect(score("switch blue", "Switch to the dark theme")).toBe(0);
  });
  it("takes initials, but no letters from the middle of words", () => {
    expect(score("dl", "Dead letters")).toBeGreaterThan(0);
    expect(score("delet", "Dead letters")).toBeGreaterThan(0);
    expect(score("mail", "Theme: dark switch appearance mode colour")).toBe(0);
  });
  it("does not take single letters in any order", () => expect(score("z", "queue")).toBe(0));
});

it("best keeps the order of equal matches and the limit", () => {
  const found = best(["a1", "b1", "a2", "a3"], "a", (each) => score("a", each), 2);
  expect(found.map(({ item }) => item)).toEqual(["a1", "a2"]);
  expect(best(["a", "b"], " ", () => 0, 5)).toHaveLength(2);
});
