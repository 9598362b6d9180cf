// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { isNewer, scriptOf } from "./build";

describe("isNewer", () => {
  it.each([
    ["1.14.1", "1.14.0", true],
    ["1.14.0", "1.14.0", false],
    ["1.9.0", "1.14.0", false],
    ["2.0", "1.14.9", true],
    ["1.14.0", "1.14.0rc1", true],
    ["1.14.0rc2", "1.14.0rc10", false],
    ["1.14.0-rc.1", "1.14.0", false],
    ["dev", "1.14.0", null],
    ["", "", null],
  ])("%s against %s", (a, b, want) => expect(isNewer(a, b)).toBe(want));
});

describe("scriptOf", () => {
  it("finds the script of a build", () => {
    expect(scriptOf('<script type="module" crossorigin src="/assets/index-DGm-wJ7z.js"></script>')).toBe(
      "/assets/index-DGm-wJ7z.js",
    );
  });
  it("finds nothing in another page", () => expect(scriptOf("<h1>Bad gateway</h1>")).toBeNull());
});
