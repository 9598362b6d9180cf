// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { compareValues, parseSort, sortText } from "./sort";

describe("sort", () => {
  it("goes into the address and back", () => {
    for (const sort of [
      { id: "failed", desc: true },
      { id: "p95_ms", desc: false },
    ])
      expect(parseSort(sortText(sort))).toEqual(sort);
  });
  it.each(["", "--a", "a b", "<x>", undefined])("drops %j", (text) => expect(parseSort(text)).toBeNull());
  it("orders as people do", () => {
    expect(["task10", "Task2", "task1"].toSorted(compareValues)).toEqual(["task1", "Task2", "task10"]);
    expect([10, 9, 100].toSorted(compareValues)).toEqual([9, 10, 100]);
    expect([true, false].toSorted(compareValues)).toEqual([false, true]);
  });
});
