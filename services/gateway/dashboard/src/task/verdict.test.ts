// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { Task, TaskEvent } from "../api/types";
import { displayName, failureText, shortName, verdict } from "./verdict";

const task = (part: Partial<Task>): Task =>
  ({
    name: "shop.charge",
    state: "success",
    queue: null,
    exception: null,
    traceback: null,
    retry_count: 0,
    eta: null,
    received_at: "2026-05-01T10:00:00Z",
    started_at: "2026-05-01T10:00:14Z",
    finished_at: "2026-05-01T10:00:16.300Z",
    runtime_ms: null,
    worker_name: null,
    created_at: "2026-05-01T10:00:00Z",
    ...part,
  }) as Task;
const now = Date.parse("2026-05-01T10:01:14Z");

describe("verdict", () => {
  it("tells the whole story of a failure", () => {
    const failed = task({
      state: "failure",
      retry_count: 2,
      traceback: "Traceback\n  File\nTimeoutError: no answer\n",
    });
    expect(verdict(failed, [], now)).toBe(
      "Failed after 2 retries: TimeoutError: no answer, 2.30 s after start, waited 14.0 s",
    );
  });
  it("prefers the engine's runtime", () => {
    expect(verdict(task({ runtime_ms: 5 }), [], now)).toBe("Succeeded, ran 5 ms, waited 14.0 s");
  });
  it("says how long work has been waiting, and where", () => {
    const waiting = task({ state: "received", started_at: null, finished_at: null, queue: "mail" });
    expect(verdict(waiting, [], now)).toBe("Waiting for 1 m 14 s in queue mail, not started yet");
  });
  it("knows tasks that are due later", () => {
    const later = task({ state: "received", started_at: null, eta: "2026-05-01T10:02:14Z" });
    expect(verdict(later, [], now)).toBe("Scheduled, due in 1 m 00 s");
  });
  it("covers running, retried, revoked and unknown", () => {
    expect(verdict(task({ state: "started", finished_at: null, worker_name: "w1" }), [], now)).toBe(
      "Running for 1 m 00 s, on w1, waited 14.0 s",
    );
    expect(verdict(task({ state: "retry", retry_count: 1, exception: "IOError" }), [], now)).toBe(
      "Failed and will be retried (1 so far): IOError",
    );
    expect(verdict(task({ state: "revoked", started_at: null }), [], now)).toBe("Revoked before it started");
    expect(verdict(task({ state: "unknown" }), [], now)).toContain("not reported");
  });
});

it("names failures from a traceback, from repr, or from the class", () => {
  expect(failureText(task({ exception: "Traceback\n  x\nValueError: kaput\n" }))).toBe("ValueError: kaput");
  const event = {
    kind: "task.failed",
    payload: { exception_message: "RuntimeError('it: broke')" },
  } as unknown as TaskEvent;
  expect(failureText(task({ exception: "RuntimeError" }), [event])).toBe("RuntimeError: it: broke");
  expect(failureText(task({ exception: "RuntimeError" }))).toBe("RuntimeError");
  expect(failureText(task({}))).toBeNull();
});

it("shortens names and hides placeholders", () => {
  expect(shortName("shop.tasks.charge")).toBe("charge");
  expect(displayName("<unknown:13c17332>")).toBe("(name not reported yet)");
});
