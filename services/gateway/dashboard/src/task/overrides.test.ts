// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { parseJsonField } from "./overrides";

it("reads lists and objects", () => {
  expect(parseJsonField('[1, {"a": null}]', "list").value).toEqual([1, { a: null }]);
  expect(parseJsonField("", "object").value).toEqual({});
});

it("says what is wrong", () => {
  expect(parseJsonField("{", "object").problem).toContain("Not valid JSON");
  expect(parseJsonField("{}", "list").problem).toContain("list");
  expect(parseJsonField("[]", "object").problem).toContain("object");
  expect(parseJsonField('{"__z4j_x": 1}', "object").problem).toContain("reserved");
  expect(parseJsonField(`["${"x".repeat(70_000)}"]`, "list").problem).toContain("64 KiB");
});
