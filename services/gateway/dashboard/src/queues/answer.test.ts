// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { QueuePublic } from "../api/schema";
import { answer, backlog, backlogText, drainText, type Trend, verdict } from "./answer";

const queue = (over: Partial<QueuePublic>): QueuePublic =>
  ({
    name: "mail",
    engine: "celery",
    depth: null,
    waiting: 0,
    waiting_capped: false,
    trend: "empty",
    drain_seconds: null,
    consumers: 1,
    ...over,
  }) as QueuePublic;

describe("backlog", () => {
  it("takes the larger of depth and waiting, because a broker does not count what workers hold", () => {
    expect(backlog(queue({ depth: 3, waiting: 8 }))).toEqual({ n: 8, more: false });
    expect(backlog(queue({ depth: 9, waiting: 8 }))).toEqual({ n: 9, more: false });
  });
  it("knows nothing when nothing is reported", () => {
    expect(backlog(queue({ depth: null, waiting: null }))).toBeNull();
    expect(backlogText(queue({ depth: null, waiting: null }))).toBe("not known");
  });
  it("says that there are more", () => {
    expect(backlogText(queue({ waiting: 1000, waiting_capped: true }))).toBe("over 1,000");
    expect(backlogText(queue({ waiting: 1000, waiting_capped: true, depth: 4000 }))).toBe("4,000");
  });
});

describe("verdict", () => {
  it.each<[Partial<QueuePublic>, RegExp]>([
    [{ trend: "empty" }, /^Nothing waits/],
    [{ trend: "draining", waiting: 40, drain_seconds: 180 }, /^Yes: 40 wait, empty in about 3 min/],
    [{ trend: "draining", waiting: 1, drain_seconds: null }, /^Yes: 1 waits, and fewer/],
    [{ trend: "growing", waiting: 40 }, /^No: 40 wait, and more comes in/],
    [{ trend: "steady", waiting: 40 }, /^Not at this pace/],
    [{ trend: "stalled", waiting: 40, consumers: 0 }, /no online worker consumes it/],
    [{ trend: "stalled", waiting: 40, consumers: null }, /and nothing starts/],
    [{ trend: "unknown", waiting: null }, /neither depth nor/],
    [{ trend: "unknown", waiting: 2 }, /2 wait with its workers, all busy/],
    [{ trend: "unknown", waiting: 0, consumers: 0 }, /nobody consumes it/],
    [{ trend: "unknown", waiting: 0, depth: 2 }, /not been reported for long enough/],
  ])("%o", (over, text) => {
    expect(verdict(queue(over))).toMatch(text);
  });
});

describe("answer", () => {
  it("names the worst queues first", () => {
    const list = [
      queue({ name: "slow", trend: "growing", waiting: 500 }),
      queue({ name: "dead", trend: "stalled", waiting: 3 }),
      queue({ name: "more", trend: "growing", waiting: 5 }),
    ];
    expect(answer(list)).toBe("dead stands still (3 waiting), slow grows (500 waiting) and 1 more");
  });
  it("says when all is well", () => {
    expect(answer([queue({})])).toBe("Nothing waits");
    expect(answer([queue({ trend: "draining", waiting: 4, drain_seconds: 90 }), queue({})])).toBe(
      "Every queue drains, the last in about 2 min",
    );
    expect(answer([queue({ trend: "steady", waiting: 4 })])).toBe("1 queue with work waiting, none growing");
    expect(answer([queue({ trend: "unknown", waiting: 4 }), queue({ trend: "steady", waiting: 4 })])).toMatch(
      /^mail can't be judged/,
    );
    expect(answer([queue({ trend: "unknown", waiting: null })])).toMatch(/1 queue can't be judged/);
  });
  it("names a queue that is in use and has no consumer", () => {
    expect(answer([queue({ consumers: 0, ended: 4 })])).toBe("Nothing waits; nobody consumes mail");
    expect(answer([queue({ consumers: 0, ended: 0 })])).toBe("Nothing waits");
    expect(answer([queue({ consumers: null, ended: 4 })])).toBe("Nothing waits");
  });
  it("says nothing about no queues", () => {
    expect(answer([])).toBe("");
  });
});

describe("drainText", () => {
  it("has words for every trend", () => {
    for (const trend of ["empty", "draining", "steady", "growing", "stalled", "unknown"] as Trend[]) {
      expect(drainText({ trend, drain_seconds: 60 }).length).toBeGreaterThan(5);
    }
  });
});
