// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { offsetText, zoneOptions } from "./zones";

describe("zones of the profile", () => {
  const summer = Date.parse("2026-07-01T00:00:00Z");
  it("tells the distance from UTC, which changes with the season", () => {
    expect(offsetText("Europe/Berlin", summer)).toBe("UTC+02:00");
    expect(offsetText("Europe/Berlin", Date.parse("2026-01-01T00:00:00Z"))).toBe("UTC+01:00");
    expect(offsetText("Asia/Kolkata", summer)).toBe("UTC+05:30");
    expect(offsetText("UTC", summer)).toBe("UTC+00:00");
    expect(offsetText("Mars/Olympus", summer)).toBe("");
  });
  it("lists every zone once, the likely ones first, also one this browser does not know", () => {
    const options = zoneOptions("Mars/Olympus", "Europe/Berlin", summer);
    expect(options.slice(0, 3).map((option) => option.value)).toEqual([
      "UTC",
      "Europe/Berlin",
      "Mars/Olympus",
    ]);
    expect(options[1]?.note).toBe("UTC+02:00, this browser");
    const names = options.map((option) => option.value);
    expect(names).toContain("Asia/Kolkata");
    expect(names).not.toContain("Asia/Calcutta");
    expect(options.length).toBeGreaterThan(300);
    expect(new Set(options.map((option) => option.value)).size).toBe(options.length);
  });
});
