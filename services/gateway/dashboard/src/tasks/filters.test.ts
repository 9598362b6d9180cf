// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { usualColumns } from "./columns";
import { parseTaskSearch, shown, toQuery } from "./filters";

describe("parseTaskSearch", () => {
  it("keeps what it knows and drops the rest", () => {
    expect(
      parseTaskSearch({ q: " state:failure ", sort: "started", density: "huge", open: "celery/a/b" }),
    ).toEqual({
      q: "state:failure",
      sort: "started",
      open: "celery/a/b",
    });
    expect(parseTaskSearch({ q: "", cols: "nonsense", open: "x", density: "compact" })).toEqual({
      density: "compact",
    });
  });
  it("makes plain parameters part of the filter and takes them out of the address", () => {
    const out = parseTaskSearch({ state: "failure,retry,broken", queue: 42, name: "a b", q: "mail" });
    expect(out.q).toBe('mail state:failure,retry queue:42 task:"a b"');
    expect(out).toHaveProperty("state", undefined);
    expect(parseTaskSearch({ state: "broken" }).q).toBeUndefined();
  });
  it("reads columns in the table's order", () => {
    expect(parseTaskSearch({ cols: "queue,state" }).cols).toBe("state,name,queue");
  });
});

describe("toQuery", () => {
  const query = { from: "2026-05-01T11:00:00.000Z", to: "2026-05-01T12:00:00.000Z" };
  it("bounds the list by the page's range, open at the end while it is live", () => {
    expect(toQuery("mail", { live: true, query })).toEqual({
      query: "mail",
      from: query.from,
      to: undefined,
    });
    expect(toQuery(undefined, { live: false, query })).toEqual({ query: undefined, ...query });
  });
  it("leaves the time to the filter when it has one", () => {
    expect(toQuery("since:2h", { live: true, query })).toEqual({ query: "since:2h" });
  });
});

it("shows what the address says, else what the reader left, else the usual", () => {
  expect(shown({}, {})).toEqual({ columns: usualColumns, density: "compact" });
  expect(shown({}, { density: "comfortable" }).density).toBe("comfortable");
  expect(shown({ density: "compact", cols: "name" }, { density: "comfortable" })).toEqual({
    columns: ["name"],
    density: "compact",
  });
});
