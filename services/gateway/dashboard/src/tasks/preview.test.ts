// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { argsPreview, callPreview } from "./preview";

it("writes a call on one line", () => {
  expect(argsPreview([42, "eu"], { amount: 12.5 })).toBe('42, "eu", amount=12.5');
  expect(argsPreview(null, null)).toBe("");
});

it("writes it from the head of its JSON text", () => {
  const cut = (args: string | null, kwargs: string | null) =>
    callPreview({ args: null, kwargs: null, args_preview: args, kwargs_preview: kwargs });
  expect(cut('[1,"a"]', '{"b":2}')).toBe('1, "a", b=2');
  expect(cut('[1,"a long tex', '{"b":2}')).toBe('1,"a long tex…, "b":2');
  expect(cut("[]", null)).toBe("");
  expect(callPreview({ args: [1], kwargs: {} })).toBe("1");
});
