// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import type { Agent, Task } from "../api/types";
import { argsPreview } from "./preview";
import { silentCelery } from "./silent";

const now = Date.parse("2026-05-01T10:00:00Z");
const agents = [{ state: "online", engine_adapters: ["celery"] }] as unknown as Agent[];
const task = (state: string, secondsAgo: number, part: Partial<Task> = {}): Task =>
  ({
    engine: "celery",
    state,
    received_at: new Date(now - secondsAgo * 1000).toISOString(),
    started_at: null,
    finished_at: null,
    eta: null,
    ...part,
  }) as Task;

it("suspects a worker without -E when nothing ever starts", () => {
  expect(silentCelery([task("received", 60), task("received", 1)], agents, now)).toBe(true);
});

it("is quiet while everything is normal", () => {
  expect(silentCelery([task("received", 5)], agents, now)).toBe(false);
  expect(silentCelery([task("received", 60)], [], now)).toBe(false);
  expect(
    silentCelery(
      [task("received", 60), task("success", 70, { started_at: "2026-05-01T09:59:00Z" })],
      agents,
      now,
    ),
  ).toBe(false);
  expect(silentCelery([task("received", 60, { eta: "2026-05-01T11:00:00Z" })], agents, now)).toBe(false);
  expect(silentCelery([task("received", 60, { engine: "rq" })], agents, now)).toBe(false);
});

it("previews arguments on one line", () => {
  expect(argsPreview([1, "a"], { b: [2] })).toBe('1, "a", b=[2]');
  expect(argsPreview(null, {})).toBe("");
  expect(argsPreview(["x".repeat(500)], {}).length).toBeLessThan(65);
});
