// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { answer, isLate, troubles } from "./eyes";

const agent = (over: object = {}) => ({
  name: "shop",
  state: "online",
  lost: 0,
  lost_results: 0,
  lag_seconds: null,
  buffered: 0,
  version_status: "current",
  newest_version: "1.13.0",
  agent_version: "1.13.0",
  failures: 0,
  ...over,
});

describe("troubles", () => {
  it("finds none in a healthy agent", () => {
    expect(troubles(agent())).toEqual([]);
    expect(troubles(agent({ lag_seconds: 2 }))).toEqual([]);
  });
  it("tells what is wrong, the gravest first, each with what to do", () => {
    const got = troubles(
      agent({ lost: 1, lag_seconds: 60, buffered: 12, version_status: "outdated", agent_version: "1.12.0" }),
    );
    expect(got.map((each) => each.text)).toEqual([
      "1 event lost",
      "events arrive 60 s late, 12 in its buffer",
      "version 1.12.0 is outdated",
    ]);
    expect(got.every((each) => each.remedy.length > 20)).toBe(true);
  });
  it("does not call an agent late that is gone", () => {
    expect(isLate(agent({ state: "offline", lag_seconds: 600 }))).toBe(false);
    expect(troubles(agent({ state: "offline" }))[0]?.bad).toBe(true);
  });
});

describe("answer", () => {
  it("says whether the eyes are open", () => {
    expect(answer([])).toBe("Nothing is watched yet");
    expect(answer([agent()])).toBe("Online, nothing lost, nothing late");
    expect(answer([agent(), agent({ state: "offline" })])).toBe("1 of 2 online, nothing lost, nothing late");
    expect(answer([agent({ lost: 4, lag_seconds: 100 }), agent()])).toBe(
      "All 2 online, shop lost telemetry, shop late",
    );
    expect(answer([agent({ state: "offline" })])).toBe("0 of 1 online");
  });
});
