// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { countDelta, durationDelta, rateDelta } from "./delta";

describe("deltas against the window before", () => {
  it("says how much an amount changed", () => {
    expect(countDelta(112, 100)).toMatchObject({
      text: "+12 %",
      direction: "up",
      tone: "flat",
      before: "100",
    });
    expect(countDelta(50, 100, "more")).toMatchObject({ text: "−50 %", direction: "down", tone: "bad" });
    expect(countDelta(1000, 100)).toMatchObject({ text: "×10" });
  });
  it("does not divide by nothing", () => {
    expect(countDelta(7, 0, "less")).toMatchObject({ text: "from none", tone: "bad" });
    expect(countDelta(0, 0)).toMatchObject({ text: "as before", direction: "flat" });
  });
  it("calls small changes no change", () => {
    expect(countDelta(1003, 1000).direction).toBe("flat");
    expect(durationDelta(1040, 1000)?.direction).toBe("flat");
    expect(rateDelta(0.0304, 0.0301).direction).toBe("flat");
  });
  it("is silent when a duration was not measured", () => {
    expect(durationDelta(null, 5)).toBeNull();
    expect(durationDelta(5, undefined)).toBeNull();
  });
  it("counts shares in points, where more is worse", () => {
    expect(rateDelta(0.05, 0.02)).toMatchObject({ text: "+3.0 pp", tone: "bad", before: "2 %" });
    expect(rateDelta(0.02, 0.25)).toMatchObject({ text: "−23 pp", tone: "good" });
  });
});
