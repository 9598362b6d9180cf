// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { Command } from "../api/types";
import { parseCommandSearch } from "./search";
import { answer, steps } from "./steps";

const command = (over: Partial<Command>): Command =>
  ({
    status: "completed",
    issued_at: "2026-05-04T10:00:00Z",
    dispatched_at: null,
    completed_at: null,
    ...over,
  }) as Command;

describe("steps", () => {
  it("tells each step with the time since the one before", () => {
    const got = steps(
      command({ dispatched_at: "2026-05-04T10:00:00.250Z", completed_at: "2026-05-04T10:00:01.250Z" }),
    );
    expect(got.map((each) => [each.label, each.afterMs])).toEqual([
      ["Issued", null],
      ["Handed to the agent", 250],
      ["Done", 1000],
    ]);
  });
  it("knows commands that never reached an agent", () => {
    const got = steps(command({ status: "timeout", completed_at: "2026-05-04T10:01:00Z" }));
    expect(got.map((each) => [each.label, each.afterMs])).toEqual([
      ["Issued", null],
      ["Given up waiting", 60_000],
    ]);
  });
});

describe("answer", () => {
  it("counts what is open and what went wrong", () => {
    expect(answer([command({})], false)).toBe("1 command, none open, all that ended were done");
    expect(
      answer(
        [command({ status: "pending" }), command({ status: "failed" }), command({ status: "timeout" })],
        true,
      ),
    ).toBe("3 newest commands, 1 open, 2 failed or unanswered");
    expect(answer([], false)).toBe("");
  });
});

describe("parseCommandSearch", () => {
  it("takes texts and leaves the rest", () => {
    expect(parseCommandSearch({ status: "failed", target: "celery:1", id: 7, action: "" })).toEqual({
      status: "failed",
      action: undefined,
      target: "celery:1",
      id: "7",
    });
  });
});
