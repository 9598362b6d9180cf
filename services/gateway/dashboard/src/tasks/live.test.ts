// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { Page, Task, TaskState } from "../api/types";
import { append, freshLabel, refresh, reveal, start, update } from "./live";

const task = (id: string, state: TaskState = "success") => ({ id, state }) as Task;
const page = (ids: string[], next: string | null = "next"): Page<Task> => ({
  items: ids.map((id) => task(id)),
  next_cursor: next,
  total_count: 99,
});
const ids = (rows: Task[]) => rows.map((row) => row.id).join("");

describe("at the top", () => {
  it("puts new rows first and keeps older pages", () => {
    let list = append(start(page(["c", "b"], "1")), page(["a"], null));
    list = refresh(list, page(["e", "d", "c"], "2"), true);
    expect(ids(list.rows)).toBe("edcba");
    expect([...list.arrived]).toEqual(["e", "d"]);
    expect(list.cursor).toBeNull();
  });
  it("drops rows that no longer match", () => {
    const list = refresh(
      append(start(page(["d", "c"])), page(["b", "a"], null)),
      page(["d", "b"], "2"),
      true,
    );
    expect(ids(list.rows)).toBe("dba");
  });
  it("starts over when nothing is shared", () => {
    const list = refresh(start(page(["b", "a"], null)), page(["z", "y"], "9"), true);
    expect(ids(list.rows)).toBe("zy");
    expect(list.cursor).toBe("9");
  });
  it("follows a list that became empty", () => {
    expect(refresh(start(page(["a"], null)), page([], null), true).rows).toEqual([]);
  });
});

describe("while reading further down", () => {
  it("moves nothing, updates in place and counts the news", () => {
    const before = start(page(["b", "a"]));
    const next = refresh(before, { items: [task("c"), task("b", "failure")], next_cursor: "n" }, false);
    expect(ids(next.rows)).toBe("ba");
    expect(next.rows[0]?.state).toBe("failure");
    expect(freshLabel(next)).toBe("1 new");
    expect(ids(reveal(next).rows)).toBe("cba");
  });
  it("says when there is more than one page of news", () => {
    const next = refresh(start(page(["a"])), page(["z", "y"], "n"), false);
    expect(freshLabel(next)).toBe("2+ new");
    const shown = reveal(next);
    expect(ids(shown.rows)).toBe("zy");
    expect(shown.cursor).toBe("n");
  });
  it("says nothing when nothing is new", () => {
    expect(freshLabel(refresh(start(page(["a"])), page(["a"]), false))).toBeNull();
  });
});

it("never shows a row twice when pages overlap", () => {
  expect(ids(append(start(page(["c", "b"])), page(["b", "a"])).rows)).toBe("cba");
});

it("updates rows of an older page in place", () => {
  const list = update(start(page(["b", "a"])), [task("a", "retry"), task("q")]);
  expect(ids(list.rows)).toBe("ba");
  expect(list.rows[1]?.state).toBe("retry");
});
