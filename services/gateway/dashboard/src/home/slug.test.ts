// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { slugOf, slugProblem } from "./slug";

it("proposes a short name that fits into an address", () => {
  expect(["Shop", "Größe & Maß 2", "  --x--  ", "日本", `a ${"b".repeat(60)}`].map(slugOf)).toEqual([
    "shop",
    "gro-e-ma-2",
    "x",
    "",
    `a-${"b".repeat(48)}`,
  ]);
});

it("knows what the brain refuses", () => {
  expect(
    ["shop", "a-b", "ab", "-ab", "Shop", "a".repeat(51)].map((slug) => slugProblem(slug) === null),
  ).toEqual([true, true, false, false, false, false]);
});
