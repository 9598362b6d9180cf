// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import {
  childPath,
  fromPython,
  holdsCut,
  holdsRedacted,
  plain,
  readValue,
  redaction,
  toJson,
  truncation,
} from "./value";

const json = (text: string) => {
  const value = fromPython(text);
  return value && toJson(value);
};

describe("fromPython", () => {
  it("reads what repr() writes", () => {
    expect(json("{'ok': True, 'items': [1, 2.5, None], 'nested': {'a': ('x',)}}")).toEqual({
      ok: true,
      items: [1, 2.5, null],
      nested: { a: ["x"] },
    });
    expect(json(`'it\\'s "so"\\n\\u00e9'`)).toBe('it\'s "so"\né');
    expect(json("[]")).toEqual([]);
    expect(json("(1)")).toBe(1);
    expect(fromPython("(1, 2)")?.kind).toBe("tuple");
    expect(fromPython("{1, 2}")?.kind).toBe("set");
    expect(fromPython("()")).toEqual({ kind: "tuple", items: [] });
    expect(fromPython("{}")).toEqual({ kind: "dict", entries: [] });
    expect(json("-1.5e-7")).toBe(-1.5e-7);
    expect(json("{1: 'a', (2, 3): 'b'}")).toMatchObject({ 1: "a" });
  });
  it("keeps objects as they are written", () => {
    expect(fromPython("Decimal('1.20')")).toEqual({ kind: "object", text: "Decimal('1.20')" });
    expect(fromPython("datetime.datetime(2024, 5, 1, tzinfo=datetime.timezone.utc)")?.kind).toBe("object");
    expect(fromPython("<User: ann (1)>")).toEqual({ kind: "object", text: "<User: ann (1)>" });
    expect(json("{'user': <User object at 0x7f>, 'n': 1}")).toEqual({ user: "<User object at 0x7f>", n: 1 });
    expect(fromPython("b'\\x00a'")).toEqual({ kind: "string", text: "\\x00a" });
    expect(fromPython("inf")?.kind).toBe("number");
  });
  it("marks what the worker left out", () => {
    const value = fromPython("{'a': [1, 2, {...}], 'b': [...]}");
    expect(value && holdsCut(value)).toBe(true);
    expect(json("{'a': 1, ...}")).toEqual({ a: 1, "…": "…" });
  });
  it("gives up rather than guess", () => {
    for (const text of [
      "{'a': ",
      "'open",
      "[1 2]",
      "{1: 2",
      "f(1",
      "<a",
      "1 2",
      "",
      "'\\xzz'",
      "[".repeat(100),
    ])
      expect(fromPython(text)).toBeNull();
  });
});

describe("readValue", () => {
  it("tells where a value comes from", () => {
    expect(readValue({ a: 1 }).from).toBe("json");
    expect(readValue('{"a": true}').from).toBe("json text");
    expect(readValue("{'a': True}").from).toBe("python text");
    expect(readValue("'text'")).toEqual({ value: { kind: "string", text: "text" }, from: "python text" });
    expect(readValue("30").value.kind).toBe("number");
    expect(readValue("None").value.kind).toBe("null");
    for (const text of ["at last", "2024 was good", "hello (world)"])
      expect(readValue(text).from).toBe("text");
  });
});

it("writes values that can be pasted", () => {
  expect(plain(readValue("{'a': (1, None)}").value)).toBe('{\n  "a": [\n    1,\n    null\n  ]\n}');
  expect(toJson(readValue("123456789012345678901").value)).toBe("123456789012345678901");
  expect(childPath(childPath("kwargs", "tags"), 0)).toBe('kwargs["tags"][0]');
});

it("says why a value is gone", () => {
  expect(redaction("[REDACTED]", "Password")).toContain("called Password");
  expect(redaction("[REDACTED]", "api_token")).toContain("called api_token");
  expect(redaction("[REDACTED]", "email")).toContain("looked like");
  expect(redaction("fine", "password")).toBeNull();
  expect(holdsRedacted(readValue({ a: [{ b: "[REDACTED]" }] }).value)).toBe(true);
});

it("says how much was cut", () => {
  expect(truncation("yyy[...12 more bytes truncated]")).toEqual({
    text: "yyy",
    note: "cut: 12 more bytes were not stored",
  });
  expect(truncation(`${"y".repeat(1021)}...`)?.note).toContain("worker");
  expect(truncation("and so on...")).toBeNull();
});
