// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { passwordProblem, policyReason, policyText } from "./password";

const policy = { min_length: 12, required_character_classes: 3, character_class_names: [] };

it("says what is missing", () => {
  expect(passwordProblem("short", policy)).toBe("7 more characters needed");
  expect(passwordProblem("alllowercase", policy)).toContain("1 so far");
  expect(passwordProblem("Mixed-lower-1", policy)).toBeNull();
  expect(passwordProblem("only lower case but long", policy)).toBeNull();
});

it("counts characters, not code units", () => {
  expect(passwordProblem("\u{1F600}".repeat(11), policy)).toBe("1 more character needed");
});

it("words the policy and its refusals", () => {
  expect(policyText(policy)).toContain("At least 12 characters");
  expect(policyReason("password_in_breach_list")).toContain("common");
  expect(policyReason("else")).toBeNull();
});
