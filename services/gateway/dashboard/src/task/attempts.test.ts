// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { Task, TaskEvent } from "../api/types";
import { type Attempt, buildHistory, readable, retriesOf, segmentsOf, spanOf, stepNote } from "./attempts";

const base = Date.parse("2026-05-01T10:00:00Z");
let serial = 0;
const event = (
  kind: string,
  seconds: number,
  payload: TaskEvent["payload"] = {},
  agent = "a",
): TaskEvent => ({
  id: String(serial++).padStart(4, "0"),
  project_id: "p",
  agent_id: agent,
  engine: "celery",
  task_id: "t",
  kind: `task.${kind}`,
  occurred_at: new Date(base + Math.floor(seconds * 1000))
    .toISOString()
    .replace("Z", `${String(Math.round((seconds * 1e6) % 1000)).padStart(3, "0")}Z`),
  payload,
});
const brief = (attempts: Attempt[]) =>
  attempts.map((each) => [
    each.receivedAt === null ? null : Math.round(each.receivedAt - base) / 1000,
    each.startedAt === null ? null : Math.round(each.startedAt - base) / 1000,
    each.endedAt === null ? null : Math.round(each.endedAt - base) / 1000,
    each.outcome,
  ]);
const lengths = (attempts: Attempt[], now = 0, live = false) =>
  attempts.map((_, i) =>
    segmentsOf(attempts, i, base + now * 1000, live).map((s) => [s.kind, Math.round(s.to - s.from) / 1000]),
  );

describe("steps", () => {
  it("orders events by microsecond, and those of one instant as a task lives", () => {
    const { steps } = buildHistory([
      event("failed", 1.000002),
      event("started", 1.000001),
      event("received", 0),
    ]);
    expect(steps.map((step) => step.kind)).toEqual(["task.received", "task.started", "task.failed"]);
    expect(Math.round((steps[2]?.gap ?? 0) * 1000)).toBe(1);
    const same = buildHistory([event("succeeded", 1), event("started", 1), event("received", 1)]).steps;
    expect(same.map((step) => step.kind)).toEqual(["task.received", "task.started", "task.succeeded"]);
  });
  it("folds several reports of one happening, also across its neighbours", () => {
    const { steps, attempts } = buildHistory([
      event("received", 0, {}, "a"),
      event("started", 0.999, {}, "a"),
      event("succeeded", 1.0005, {}, "a"),
      event("started", 1.001, {}, "b"),
      event("received", 0.2, {}, "b"),
    ]);
    expect(steps.map((step) => step.copies)).toEqual([2, 2, 1]);
    expect(attempts).toHaveLength(1);
  });
  it("folds an end that is told twice", () => {
    const { steps } = buildHistory([
      event("started", 0),
      event("succeeded", 14, { runtime_ms: 9360 }),
      event("succeeded", 16, { runtime_ms: 9360 }),
    ]);
    expect(steps.map((step) => step.copies)).toEqual([1, 2]);
  });
  it("notes what matters about an event", () => {
    const note = (kind: string, payload: TaskEvent["payload"]) => {
      const [step] = buildHistory([event(kind, 0, payload)]).steps;
      return step && stepNote(step);
    };
    expect(note("failed", { exception: "Traceback\n  File\nValueError: kaput\n" })).toBe("ValueError: kaput");
    expect(note("started", { worker: "w1@shop" })).toBe("on w1@shop");
    expect(note("revoked", { expired: true, terminated: false })).toBe("it had expired");
  });
});

describe("attempts", () => {
  it("gives the hand-out of a retry to the attempt it is for, although it precedes the report of the retry", () => {
    // What a Celery worker sends: the second hand-out was lost in the second it shared with the first.
    const { attempts } = buildHistory([
      event("received", 27.191),
      event("started", 27.221),
      event("retried", 27.632, { reason: "Gone('away')" }),
      event("started", 30.604),
      event("received", 31.005),
      event("retried", 31.016, { reason: "Gone('far away')" }),
      event("started", 34.008),
      event("failed", 34.412, {
        exception: "Gone",
        exception_message: "Gone('for good')",
        traceback: "T\nGone: for good",
      }),
    ]);
    expect(brief(attempts)).toEqual([
      [27.191, 27.221, 27.632, "retried"],
      [null, 30.604, 31.016, "retried"],
      [31.005, 34.008, 34.412, "failed"],
    ]);
    expect(attempts.map((each) => each.error)).toEqual(["Gone: away", "Gone: far away", "Gone: for good"]);
    expect(attempts[2]?.traceback).toContain("for good");
    expect(lengths(attempts)).toEqual([
      [
        ["wait", 0.03],
        ["run", 0.411],
      ],
      [
        ["delay", 2.972],
        ["run", 0.412],
      ],
      [
        ["delay", 2.992],
        ["run", 0.404],
      ],
    ]);
  });
  it("invents an attempt for an end whose start is not known", () => {
    const { attempts } = buildHistory([
      event("received", 0),
      event("started", 0.1),
      event("retried", 0.2),
      event("failed", 3),
    ]);
    expect(brief(attempts)).toEqual([
      [0, 0.1, 0.2, "retried"],
      [null, null, 3, "failed"],
    ]);
  });
  it("tells an attempt that began again without an end of the one before", () => {
    const { attempts } = buildHistory([
      event("received", 0),
      event("started", 1, { worker: "w1" }),
      event("received", 60),
      event("started", 61, { worker: "w2" }),
      event("succeeded", 62),
    ]);
    expect(brief(attempts)).toEqual([
      [0, 1, null, "superseded"],
      [60, 61, 62, "succeeded"],
    ]);
    expect(attempts.map((each) => each.worker)).toEqual(["w1", "w2"]);
    expect(lengths(attempts)[0]).toEqual([
      ["wait", 1],
      ["run", 59],
    ]);
  });
  it("does not take a crossed report for another attempt", () => {
    const { attempts } = buildHistory([
      event("started", 1),
      event("received", 1.001),
      event("succeeded", 1.1),
    ]);
    expect(brief(attempts)).toEqual([[1, 1, 1.1, "succeeded"]]);
  });
  it("keeps one attempt when two ends are reported", () => {
    const { attempts } = buildHistory([
      event("received", 0),
      event("started", 1),
      event("revoked", 2, { terminated: true, signum: 15 }),
      event("failed", 2.001, { exception_message: "Terminated(15,)" }),
    ]);
    expect(attempts).toHaveLength(1);
    expect(attempts[0]).toMatchObject({ outcome: "failed", terminated: true, signal: 15 });
  });
  it("counts a hand-out before the start as a redelivery", () => {
    const { attempts } = buildHistory([event("received", 0), event("received", 30), event("started", 31)]);
    expect(attempts).toMatchObject([{ redelivered: 1, outcome: null }]);
  });
  it("fills gaps from the task's own record", () => {
    const task = {
      state: "failure",
      received_at: "2026-05-01T10:00:00Z",
      started_at: "2026-05-01T10:00:01.5Z",
      finished_at: "2026-05-01T10:00:02Z",
      worker_name: "w",
      traceback: "T",
      retry_count: 0,
    } as Task;
    const { attempts } = buildHistory([], task);
    expect(brief(attempts)).toEqual([[0, 1.5, 2, "failed"]]);
    expect(attempts[0]).toMatchObject({ worker: "w", pieced: true, traceback: "T" });
    expect(retriesOf({ ...task, retry_count: 3 }, attempts)).toBe(3);
  });
});

describe("segments", () => {
  it("lets what goes on grow with the clock, only while the page is live", () => {
    const running = buildHistory([event("started", 0)]).attempts;
    expect(segmentsOf(running, 0, base + 7000, true)).toMatchObject([{ kind: "run", open: true }]);
    expect(lengths(running, 7, true)).toEqual([[["run", 7]]]);
    expect(spanOf(running, base + 7000, true)).toEqual({ from: base, to: base + 7000 });
    const waiting = buildHistory([event("received", 0)]).attempts;
    expect(lengths(waiting, 5, true)).toEqual([[["wait", 5]]]);
  });
  it("shows the delay of a retry that has not come back", () => {
    const { attempts } = buildHistory([event("started", 0), event("received", 0.9), event("retried", 1)]);
    expect(lengths(attempts, 4, true)).toEqual([[["run", 1]], [["delay", 3]]]);
  });
});

it("reads exceptions written as repr", () => {
  expect(readable("RuntimeError('it: broke')")).toBe("RuntimeError: it: broke");
  expect(readable('KeyError("it\'s")')).toBe("KeyError: it's");
  expect(readable("Timeout()")).toBe("Timeout");
  expect(readable("plain words")).toBe("plain words");
});
