// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { keyTable, matchKey } from "./keys";
import { addressOf, obeysRange, pageAt, pages } from "./pages";

const press = (key: string, mod = false) => ({ key, mod });

describe("the table of keys", () => {
  it("has no key twice", () => {
    const all = keyTable.map((entry) => entry.keys.join(" "));
    expect(new Set(all).size).toBe(all.length);
  });
  it("has a page for each chord", () => {
    for (const { action } of keyTable)
      if (action.do === "go") expect(pages.some((page) => page.id === action.page)).toBe(true);
  });
  it("covers the pages people go to", () => {
    const chords = keyTable.filter((entry) => entry.group === "Go to").map((entry) => entry.keys[1]);
    expect(chords.join(" ")).toBe("h o t i r q w a c d");
  });
});

describe("matchKey", () => {
  it("waits after g, then goes", () => {
    expect(matchKey(press("g"), false)).toBe("armed");
    expect(matchKey(press("q"), true)).toEqual({ action: { do: "go", page: "queues" } });
  });
  it("takes r alone for the page's business, after g for trends", () => {
    expect(matchKey(press("r"), false)).toBeNull();
    expect(matchKey(press("r"), true)).toEqual({ action: { do: "go", page: "trends" } });
  });
  it("falls back to the plain meaning when the second key makes no chord", () => {
    expect(matchKey(press("j"), true)).toEqual({ action: { do: "row", step: 1 } });
    expect(matchKey(press("g"), true)).toBe("armed");
  });
  it("opens the palette with Ctrl or Cmd only", () => {
    expect(matchKey(press("k", true), false)).toEqual({ action: { do: "palette" } });
    expect(matchKey(press("k"), false)).toEqual({ action: { do: "row", step: -1 } });
    expect(matchKey(press("c", true), true)).toBeNull();
  });
  it("leaves everything else to the browser", () => {
    for (const key of ["a", "Enter", "Escape", "ArrowDown", " "])
      expect(matchKey(press(key), false)).toBeNull();
  });
});

describe("pages", () => {
  it.each([
    ["/projects/shop", "overview"],
    ["/projects/shop/", "overview"],
    ["/projects/shop/tasks", "tasks"],
    ["/projects/shop/tasks/celery/abc", "tasks"],
    ["/projects/shop/dead-letters", "dead-letters"],
    ["/account", "account"],
    ["/projects/shop/taskserver", null],
    ["/nowhere", null],
  ])("%s belongs to %s", (path, id) => expect(pageAt(path, "shop")?.id ?? null).toBe(id));
  it("have no address without the project they need", () => {
    expect(
      pages.filter((page) => addressOf(page, null) === null).every((page) => page.to.includes("$slug")),
    ).toBe(true);
    expect(pages.map((page) => addressOf(page, "a b"))).toContain("/projects/a%20b/tasks");
  });
  it.each([
    ["/home", true],
    ["/projects/shop", true],
    ["/projects/shop/tasks", true],
    ["/projects/shop/tasks/celery/abc", false],
    ["/projects/shop/queues/celery/mail", true],
    ["/projects/shop/agents/new", false],
    ["/system", false],
  ])("%s obeys the time range: %s", (path, want) => expect(obeysRange(path, "shop")).toBe(want));
});
