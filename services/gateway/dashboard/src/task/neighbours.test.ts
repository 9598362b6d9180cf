// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { neighboursOf, rememberList } from "./neighbours";

function memory(): Storage {
  const items = new Map<string, string>();
  return {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
  } as Storage;
}
const row = (id: string) => ({ engine: "celery", task_id: id });

it("knows what comes before and after", () => {
  const storage = memory();
  rememberList("shop", "?state=failure", [row("a"), row("b"), row("c")], storage);
  expect(neighboursOf("shop", row("b"), storage)).toEqual({
    previous: row("a"),
    next: row("c"),
    position: 2,
    count: 3,
    search: "?state=failure",
  });
  expect(neighboursOf("shop", row("a"), storage)?.previous).toBeNull();
  expect(neighboursOf("other", row("a"), storage)).toBeNull();
  expect(neighboursOf("shop", row("z"), storage)).toBeNull();
  storage.setItem("z4j-task-list", "broken");
  expect(neighboursOf("shop", row("a"), storage)).toBeNull();
});
