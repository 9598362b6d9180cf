// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { Agent, Command, Task, TaskEvent, Worker } from "../api/types";
import { displayName, failureText, judge, shortName, verdict } from "./verdict";

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
    engine: "celery",
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

describe("judge", () => {
  const event = (kind: string, seconds: number, payload: TaskEvent["payload"] = {}): TaskEvent => ({
    id: `${kind}${seconds}`,
    project_id: "p",
    agent_id: "a1",
    engine: "celery",
    task_id: "t",
    kind: `task.${kind}`,
    occurred_at: new Date(Date.parse("2026-05-01T10:00:00Z") + seconds * 1000).toISOString(),
    payload,
  });
  const worker = (part: Partial<Worker>): Worker =>
    ({
      name: "w1",
      engine: "celery",
      state: "online",
      queues: ["mail"],
      concurrency: 2,
      active_tasks: 0,
      last_heartbeat: "2026-05-01T10:00:44Z",
      ...part,
    }) as Worker;
  const agent = (part: Partial<Agent>): Agent =>
    ({
      id: "a1",
      name: "lab",
      state: "online",
      engine_adapters: ["celery"],
      last_connect_at: null,
      ...part,
    }) as Agent;
  const cancel = { action: "cancel_task", status: "completed" } as Command;
  const open = { started_at: null, finished_at: null, queue: "mail" };

  it("counts the retries that only the events tell, and names the own function", () => {
    const failed = task({
      state: "failure",
      received_at: "2026-05-01T10:00:06Z",
      started_at: "2026-05-01T10:00:08Z",
      finished_at: "2026-05-01T10:00:09Z",
      traceback: `Traceback (most recent call last):
  File "/srv/shop.py", line 3, in charge_card
    raise pay.errors.Timeout("no answer")
pay.errors.Timeout: no answer
`,
    });
    const events = [
      event("received", 0),
      event("started", 2),
      event("received", 2.9),
      event("retried", 3, { reason: "Timeout('no answer')" }),
      event("started", 8),
      event("failed", 9),
    ];
    expect(verdict(failed, events, now)).toBe(
      "Failed after 1 retry: Timeout: no answer in charge_card, 1.00 s after start, waited 2.00 s, 9.00 s in all",
    );
    const retry = judge(
      task({ state: "retry", ...open }),
      events.slice(0, 4),
      Date.parse("2026-05-01T10:00:05Z"),
    );
    expect(retry.text).toBe("Failed and will be retried (1 so far): Timeout: no answer, waiting for 2.00 s");
  });
  it("suspects a lost worker", () => {
    const started = task({ state: "started", finished_at: null, worker_name: "w1" });
    const lost = judge(started, [], now, { workers: [worker({ state: "offline" })] });
    expect(lost.text).toBe(
      "Probably lost: worker w1 went offline 30.0 s ago and never reported an end, started 1 m 00 s ago",
    );
    expect(lost.advice).toContain("acks_late");
    const silent = judge(started, [], Date.parse("2026-05-01T10:02:14Z"), {
      workers: [worker({ agent_id: "a1" })],
      agents: [agent({ state: "offline" })],
    });
    expect(silent.text).toBe(
      "Probably lost: worker w1 was last heard 1 m 30 s ago and has not reported an end, started 2 m 00 s ago",
    );
    expect(silent.advice).toContain("connection to z4j");
    const again = judge(started, [event("started", 14, { worker: "w1" })], now, {
      workers: [worker({})],
      agents: [agent({ last_connect_at: "2026-05-01T10:01:00Z" })],
    });
    expect(again.advice).toContain("connected again after the start");
  });
  it("says why a task never starts", () => {
    const waiting = task({ state: "received", ...open });
    expect(judge(waiting, [], now, { workers: [worker({ queues: ["other"] })] })).toMatchObject({
      text: "Waiting for 1 m 14 s in queue mail, never started: no online worker takes from that queue",
      tone: "bad",
    });
    expect(judge(waiting, [], now, { workers: [worker({ active_tasks: 2 })] }).advice).toContain(
      "All 2 slots",
    );
    expect(judge(waiting, [], now, { workers: [worker({})] }).advice).toContain("countdown or ETA");
    expect(judge(waiting, [], now, { agents: [agent({ state: "offline" })] }).advice).toContain(
      "No celery agent is online",
    );
    expect(judge(waiting, [], now, { commands: [cancel] }).text).toContain("Cancelled while it waited");
    const late = task({ state: "received", ...open, eta: "2026-05-01T10:01:04Z" });
    expect(verdict(late, [], now)).toContain("overdue by 10.0 s");
  });
  it("tells expired from cancelled from terminated", () => {
    const gone = task({ state: "revoked", ...open });
    expect(verdict(gone, [event("revoked", 5, { expired: true })], now)).toContain("Expired");
    expect(verdict(gone, [], now, { commands: [cancel] })).toBe(
      "Revoked before it started, cancelled from z4j",
    );
    const ran = task({ state: "revoked", finished_at: "2026-05-01T10:00:17Z" });
    const events = [
      event("received", 0),
      event("started", 14),
      event("revoked", 17, { terminated: true, signum: 15 }),
    ];
    expect(verdict(ran, events, now)).toBe(
      "Revoked, 3.00 s after start, its process was ended with SIGTERM, waited 14.0 s",
    );
  });
  it("counts starts that never ended", () => {
    const events = [
      event("received", 0),
      event("started", 1),
      event("received", 9),
      event("started", 10),
      event("succeeded", 11),
    ];
    expect(verdict(task({}), events, now)).toContain("Succeeded after 1 start that never ended");
  });
});
