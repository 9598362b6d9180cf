// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import type { Task } from "../api/types";
import {
  allOf,
  isEmpty,
  isSelected,
  matching,
  nothing,
  removed,
  stretched,
  toggled,
  updated,
} from "./selection";

const rows = ["a", "b", "c", "d", "e"].map((id) => ({ id, state: "started" }) as Task);
const row = (i: number) => rows[i] as Task;
const ids = (selection: { tasks: ReadonlyMap<string, Task> }) => [...selection.tasks.keys()].sort().join("");

it("toggles single rows", () => {
  const one = toggled(nothing, row(1), rows);
  expect(ids(one)).toBe("b");
  expect(isEmpty(toggled(one, row(1), rows))).toBe(true);
});

it("stretches from the last choice, in both directions", () => {
  const from = toggled(nothing, row(2), rows);
  expect(ids(stretched(from, row(4), rows))).toBe("cde");
  expect(ids(stretched(from, row(0), rows))).toBe("abc");
  expect(ids(stretched(nothing, row(3), rows))).toBe("d");
});

it("selects the loaded rows and lets go of them", () => {
  const all = allOf(nothing, rows);
  expect(ids(all)).toBe("abcde");
  expect(isEmpty(allOf(all, rows))).toBe(true);
  expect(isEmpty(allOf(nothing, []))).toBe(true);
});

it("everything matching covers rows that are not loaded, until one is taken out", () => {
  expect(isSelected(matching(), "not loaded")).toBe(true);
  expect(ids(toggled(matching(), row(0), rows))).toBe("bcde");
  expect(isEmpty(allOf(matching(), rows))).toBe(true);
});

it("follows what becomes of the tasks", () => {
  const one = toggled(nothing, row(1), rows);
  const later = { id: "b", state: "failure" } as Task;
  expect(updated(one, [later]).tasks.get("b")?.state).toBe("failure");
  expect(updated(one, [row(1)])).toBe(one);
  expect(isEmpty(removed(one, ["b"]))).toBe(true);
});
