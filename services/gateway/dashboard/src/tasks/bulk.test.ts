// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import type { Agent, Task } from "../api/types";
import { plan } from "./bulk";

const task = (id: string, engine: string, state: string) => ({ id, task_id: id, engine, state }) as Task;
const agent = (engine: string, ...can: string[]) =>
  ({
    id: `agent of ${engine}`,
    state: "online",
    engine_adapters: [engine],
    capabilities: { [engine]: can },
  }) as unknown as Agent;

const tasks = [
  task("a", "celery", "failure"),
  task("b", "celery", "started"),
  task("c", "huey", "failure"),
  task("d", "arq", "received"),
];
const agents = [agent("celery", "retry_task", "cancel_task"), agent("huey", "retry_task", "cancel_task")];

it("retries by engine and says what is left alone", () => {
  const out = plan("retry", tasks, agents, "operator");
  expect(out.parts.map((part) => [part.engine, part.tasks.length, part.agents[0]?.id])).toEqual([
    ["celery", 2, "agent of celery"],
  ]);
  expect(out.skipped).toEqual([
    { count: 1, why: expect.stringContaining("huey can't look up") },
    { count: 1, why: "No agent of this project serves arq" },
  ]);
  expect(out.reason).toBeNull();
});

it("cancels only what has not ended", () => {
  const out = plan("cancel", tasks, agents, "operator");
  expect(out.tasks.map((each) => each.id)).toEqual(["b"]);
  expect(out.skipped[0]).toEqual({ count: 2, why: "ended already" });
  expect(plan("cancel", tasks.slice(0, 1), agents, "operator").reason).toBe("All of them have ended");
});

it("tells a viewer why nothing can be done", () => {
  expect(plan("retry", tasks, agents, "viewer").reason).toContain("needs operator");
});

it("deletes whatever is chosen", () => {
  expect(plan("delete", tasks, undefined, "admin")).toMatchObject({ tasks, reason: null, skipped: [] });
});
