// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { TaskEvent } from "../api/types";
import { buildTimeline, segments, stepNote } from "./timeline";

const base = Date.parse("2026-05-01T10:00:00Z");
let serial = 0;
const event = (kind: string, seconds: number, payload: TaskEvent["payload"] = {}): TaskEvent => ({
  id: String(serial++).padStart(4, "0"),
  project_id: "p",
  agent_id: "a",
  engine: "celery",
  task_id: "t",
  kind: `task.${kind}`,
  occurred_at: new Date(base + seconds * 1000).toISOString(),
  payload,
});

describe("buildTimeline", () => {
  it("orders events of one instant as a task lives", () => {
    const steps = buildTimeline([event("failed", 1), event("started", 1), event("received", 0)]);
    expect(steps.map((step) => step.kind)).toEqual(["task.received", "task.started", "task.failed"]);
    expect(steps.map((step) => step.offset)).toEqual([0, 1000, 1000]);
    expect(steps.map((step) => step.gap)).toEqual([0, 1000, 0]);
  });
  it("folds several reports of one happening", () => {
    const steps = buildTimeline([
      event("received", 0),
      event("started", 1),
      event("started", 1.2),
      event("succeeded", 5),
    ]);
    expect(steps.map((step) => step.copies)).toEqual([1, 2, 1]);
  });
  it("counts attempts", () => {
    const steps = buildTimeline([
      event("received", 0),
      event("started", 1),
      event("retried", 2),
      event("received", 3),
      event("started", 9),
      event("failed", 10),
    ]);
    expect(steps.map((step) => step.attempt)).toEqual([1, 1, 1, 2, 2, 2]);
  });
});

describe("segments", () => {
  it("splits waiting from running", () => {
    const steps = buildTimeline([event("received", 0), event("started", 4), event("succeeded", 5)]);
    expect(segments(steps, base + 99_000).map((s) => [s.kind, (s.to - s.from) / 1000, s.end])).toEqual([
      ["wait", 4, null],
      ["run", 1, "task.succeeded"],
    ]);
  });
  it("lets an unfinished run grow with the clock", () => {
    const open = segments(buildTimeline([event("started", 0)]), base + 7000);
    expect(open).toMatchObject([{ kind: "run", from: base, to: base + 7000, end: null }]);
  });
  it("shows the wait between a retry and its next start", () => {
    const steps = buildTimeline([
      event("started", 0),
      event("retried", 1),
      event("started", 11),
      event("failed", 12),
    ]);
    expect(segments(steps, 0).map((s) => [s.kind, (s.to - s.from) / 1000])).toEqual([
      ["run", 1],
      ["wait", 10],
      ["run", 1],
    ]);
  });
});

it("notes what matters about an event", () => {
  const [failed] = buildTimeline([
    event("failed", 0, { exception: "Traceback\n  File\nValueError: kaput\n" }),
  ]);
  expect(failed && stepNote(failed)).toBe("ValueError: kaput");
  const [started] = buildTimeline([event("started", 0, { worker: "w1@shop" })]);
  expect(started && stepNote(started)).toBe("on w1@shop");
});
