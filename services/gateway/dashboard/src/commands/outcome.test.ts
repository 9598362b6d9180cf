// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import type { Command } from "../api/types";
import { actionLabel, isDone, newTaskId, outcomeText } from "./outcome";

const command = (part: Partial<Command>): Command =>
  ({
    action: "retry_task",
    status: "completed",
    result: null,
    error: null,
    issued_at: "2026-05-01T10:00:00Z",
    dispatched_at: "2026-05-01T10:00:00.100Z",
    completed_at: "2026-05-01T10:00:00.192Z",
    ...part,
  }) as Command;

it("words every outcome", () => {
  expect(outcomeText(command({}))).toBe("done in 92 ms");
  expect(outcomeText(command({ result: { purged: 1 } }))).toBe("1 message removed");
  expect(outcomeText(command({ status: "failed", error: "no such task" }))).toBe("no such task");
  expect(
    outcomeText(
      command({ action: "purge_queue", status: "failed", error: "purge confirm_token missing or stale" }),
    ),
  ).toContain("removed nothing");
  expect(outcomeText(command({ action: "add_consumer", result: { queue: "mail" } }))).toBe(
    "it consumes mail now",
  );
  expect(outcomeText(command({ action: "cancel_consumer", result: { queue: "mail" } }))).toBe(
    "it has left mail",
  );
  expect(outcomeText(command({ action: "pool_shrink", result: { delta: 2 } }))).toBe("shrunk by 2");
  expect(outcomeText(command({ status: "timeout" }))).toContain("may or may not");
  expect(outcomeText(command({ status: "dispatched" }))).toContain("waiting");
});

it("knows when a command has ended and what it started", () => {
  expect(isDone(command({ status: "pending" }))).toBe(false);
  expect(isDone(command({ status: "timeout" }))).toBe(true);
  expect(newTaskId(command({ result: { new_task_id: "x" } }))).toBe("x");
  expect(newTaskId(command({ result: "text" }))).toBeNull();
  expect(actionLabel("custom_thing")).toBe("custom thing");
});
