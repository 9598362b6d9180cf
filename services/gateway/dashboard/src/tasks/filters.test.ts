// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { filterKey, isFiltered, parseFilters, toQuery } from "./filters";

describe("parseFilters", () => {
  it("keeps what it knows and drops the rest", () => {
    expect(parseFilters({ state: "failure", q: " mail ", queue: 42, nonsense: 1, range: "1h" })).toEqual({
      state: "failure",
      q: "mail",
      queue: "42",
      range: "1h",
    });
    expect(parseFilters({ state: "broken", q: "", range: "2y", since: "yesterday" })).toEqual({});
  });
  it("prefers a moving window over fixed bounds", () => {
    expect(parseFilters({ range: "24h", since: "2026-01-01T00:00:00Z" })).toEqual({ range: "24h" });
    expect(parseFilters({ since: "2026-01-01T00:00:00Z" })).toEqual({ since: "2026-01-01T00:00:00.000Z" });
  });
  it("cuts text at the API's limit", () => {
    expect(parseFilters({ q: "x".repeat(500) }).q).toHaveLength(200);
  });
});

describe("toQuery", () => {
  it("turns a window into a bound", () => {
    const now = Date.parse("2026-05-01T12:00:00.700Z");
    expect(toQuery({ range: "1h", q: "a" }, now)).toMatchObject({
      since: "2026-05-01T11:00:00.000Z",
      search: "a",
    });
  });
  it("asks for everything without filters", () => {
    expect(Object.values(toQuery({}, 0)).every((value) => value === undefined)).toBe(true);
  });
});

it("knows whether anything is filtered, and when a list starts over", () => {
  expect(isFiltered({})).toBe(false);
  expect(isFiltered({ q: "x" })).toBe(true);
  expect(filterKey({ q: "a" })).not.toBe(filterKey({ queue: "a" }));
  expect(filterKey({ q: "a", state: "retry" })).toBe(filterKey({ state: "retry", q: "a" }));
});
