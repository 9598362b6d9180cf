// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { poolStep } from "./pool";

it("keeps the last slot of a pool", () => {
  expect(poolStep(1, -1)).toMatch(/one slot at least/);
  expect(poolStep(2, -1)).toBeNull();
  expect(poolStep(null, -1)).toBeNull();
  expect(poolStep(1, 1)).toBeNull();
});
