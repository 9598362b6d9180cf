// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { formatExact, formatRate, formatRough, windowWords } from "./format";

it("shortens durations for sentences", () => {
  expect([0.2, 12, 180, 7200, 9000, 259_200].map(formatRough)).toEqual([
    "under a second",
    "12 s",
    "3 min",
    "2 h",
    "2.5 h",
    "3 days",
  ]);
  expect([0, 0.01, 0.44, 3, 41.6, 12_340].map(formatRate)).toEqual(["0", "<0.1", "0.4", "3", "42", "12.3 k"]);
  expect(formatExact(12430)).toBe("12,430");
  expect([0, 999, 1000, -1234, 1234567.4].map(formatExact)).toEqual([
    "0",
    "999",
    "1,000",
    "-1,234",
    "1,234,567",
  ]);
});

it("names the window", () => {
  expect(windowWords("1h", 3600)).toBe("the last hour");
  expect(windowWords(null, 7800)).toBe("the chosen 2 h 10 m");
});
