// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { Backlog, Overview, WindowFigures } from "../insight/types";
import { answer, drainText } from "./answer";

const backlog: Backlog = {
  waiting: 0,
  waiting_capped: false,
  oldest_wait_seconds: null,
  in_per_minute: 200,
  out_per_minute: 210,
  drain_seconds: null,
};

function overview(more: Partial<Overview> = {}): Overview {
  const figures: WindowFigures = {
    window: { from: "2026-01-01T00:00:00Z", to: "2026-01-01T01:00:00Z", seconds: 3600 },
    totals: {
      received: 12_430,
      started: 12_430,
      succeeded: 12_380,
      failed: 50,
      retried: 8,
      revoked: 0,
      failure_rate: 0.004,
    },
    run: { n: 12_430, p50_ms: 80, p95_ms: 400, p99_ms: 900 },
    wait: { n: 12_430, p50_ms: 30, p95_ms: 1200, p99_ms: 3000 },
    total: null,
  };
  return {
    ...figures,
    grain_seconds: 60,
    previous: figures,
    backlog: { ...backlog, waiting: 40, oldest_wait_seconds: 2, drain_seconds: 180 },
    top_failing: [],
    slowest: [],
    busiest_queues: [],
    workers: { online: 3, offline: 0, idle_suspect: 0 },
    agents: { online: 1, offline: 0 },
    open_issues: 0,
    commands: { open: 0, completed: 0, failed: 0, timeout: 0 },
    ...more,
  };
}

const hour = "the last hour";

describe("is work getting done in time?", () => {
  it("yes, with the numbers that prove it", () => {
    expect(answer(overview(), hour)).toEqual({
      tone: "good",
      verdict: "Yes",
      reason: "12,430 tasks in the last hour, 0.40 % failed, p95 wait 1.20 s; backlog: drains in 3 min",
    });
  });
  it("nobody can tell without an agent", () => {
    const said = answer(overview({ agents: { online: 0, offline: 2 } }), hour);
    expect(said).toMatchObject({ tone: "warn", verdict: "Can't tell" });
    expect(said.reason).toContain("no agent is online");
  });
  it("no, when work waits and no worker is there", () => {
    const said = answer(
      overview({
        workers: { online: 0, offline: 2, idle_suspect: 0 },
        backlog: { ...backlog, waiting: 1, oldest_wait_seconds: 300 },
      }),
      hour,
    );
    expect(said).toMatchObject({ tone: "bad", verdict: "No" });
    expect(said.reason).toContain("1 task waits, the oldest for 5 min and no worker is online");
  });
  it("falling behind, when more comes in than goes out", () => {
    const growing = {
      ...backlog,
      waiting: 900,
      oldest_wait_seconds: 400,
      in_per_minute: 90,
      out_per_minute: 30,
    };
    const said = answer(overview({ backlog: growing }), hour);
    expect(said).toMatchObject({ tone: "bad", verdict: "Falling behind" });
    expect(said.reason).toContain("grows: 90/min come in, 30/min go out");
  });
  it("no, when nothing goes out, and it names workers that only seem alive", () => {
    const stuck = {
      ...backlog,
      waiting: 1000,
      waiting_capped: true,
      oldest_wait_seconds: 400,
      out_per_minute: 0,
    };
    const said = answer(
      overview({ backlog: stuck, workers: { online: 2, offline: 0, idle_suspect: 2 } }),
      hour,
    );
    expect(said).toMatchObject({ tone: "bad", verdict: "No" });
    expect(said.reason).toContain("more than 1,000 tasks wait");
    expect(said.reason).toContain("2 workers are alive but take nothing");
  });
  it("in part, when one queue starves while the rest flows, and it names the queue", () => {
    const starved = { ...backlog, waiting: 30, oldest_wait_seconds: 7200, drain_seconds: 120 };
    const said = answer(overview({ backlog: starved }), hour, "reports");
    expect(said).toMatchObject({ tone: "warn", verdict: "In part" });
    expect(said.reason).toContain("30 tasks wait, the oldest for 2 h in reports. 12,430 tasks");
  });
  it("a planned task that waits alone is no alarm", () => {
    const planned = {
      ...backlog,
      waiting: 1,
      oldest_wait_seconds: 7200,
      in_per_minute: 0,
      out_per_minute: 0,
    };
    expect(answer(overview({ backlog: planned }), hour)).toMatchObject({ tone: "warn", verdict: "Waiting" });
  });
  it("does not cry over a backlog of a few tasks", () => {
    const small = { ...backlog, waiting: 4, oldest_wait_seconds: 90, in_per_minute: 50, out_per_minute: 40 };
    expect(answer(overview({ backlog: small }), hour).verdict).toBe("Yes");
  });
  it("knows at least how long a backlog lasts that is not counted to its end", () => {
    const huge = { ...backlog, waiting: 1000, waiting_capped: true, in_per_minute: 0, out_per_minute: 50 };
    expect(drainText(huge)).toBe("drains in more than 20 min");
    expect(answer(overview({ backlog: huge }), hour).verdict).toBe("Late");
  });
  it("a burst of the last seconds is no alarm", () => {
    const burst = { ...backlog, waiting: 50, oldest_wait_seconds: 3, in_per_minute: 900 };
    expect(answer(overview({ backlog: burst }), hour).verdict).toBe("Yes");
  });
  it("failures are the answer when they are many", () => {
    const base = overview();
    const failing = (failure_rate: number) => overview({ totals: { ...base.totals, failure_rate } });
    expect(answer(failing(0.7), hour)).toMatchObject({ tone: "bad", verdict: "No" });
    expect(answer(failing(0.3), hour)).toMatchObject({ tone: "warn", verdict: "In part" });
    // Two of three failed is worth saying, but no alarm.
    const few = overview({
      totals: { ...base.totals, succeeded: 1, failed: 2, failure_rate: 0.67 },
      backlog: { ...backlog },
    });
    expect(answer(few, hour).verdict).toBe("In part");
  });
  it("late, when the backlog needs long", () => {
    const slow = { ...backlog, waiting: 900, oldest_wait_seconds: 40, drain_seconds: 7200 };
    expect(answer(overview({ backlog: slow }), hour)).toMatchObject({ tone: "warn", verdict: "Late" });
  });
  it("slower than before, when waits have doubled", () => {
    const base = overview();
    const said = answer(
      overview({
        wait: { n: 10, p50_ms: 1, p95_ms: 9000, p99_ms: 9000 },
        previous: { ...base.previous, wait: { n: 10, p50_ms: 1, p95_ms: 3000, p99_ms: 9000 } },
      }),
      hour,
    );
    expect(said).toMatchObject({ tone: "warn", verdict: "Slower than before" });
    expect(said.reason).toContain("p95 wait 9.00 s, it was 3.00 s");
  });
  it("quiet is not an alarm", () => {
    const base = overview();
    const none = { ...base.totals, received: 0, started: 0, succeeded: 0, failed: 0, failure_rate: 0 };
    expect(answer(overview({ totals: none, wait: null, backlog }), hour)).toMatchObject({
      tone: "none",
      verdict: "Quiet",
    });
  });
});

it("says when the backlog is gone", () => {
  expect(drainText(backlog)).toBe("nothing waits");
  expect(drainText({ ...backlog, waiting: 3, drain_seconds: 0.2 })).toBe("drains at once");
  expect(drainText({ ...backlog, waiting: 3, in_per_minute: 5, out_per_minute: 5 })).toBe(
    "stands still at 5/min",
  );
});
