// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import type { Agent, Task } from "../api/types";
import { offer, rateProblem } from "./offers";

const task = { engine: "celery", state: "failure" } as Task;
const agent = (id: string): Agent =>
  ({
    id,
    name: id,
    state: "online",
    engine_adapters: ["celery"],
    capabilities: { celery: ["retry_task", "cancel_task", "rate_limit"] },
  }) as unknown as Agent;
const agents = [agent("a"), agent("b")];

it("takes the API's word, and its agent first", () => {
  const told = [
    { action: "retry_task", allowed: true, reason: null, agent_id: "b" },
    { action: "cancel", allowed: false, reason: "It has ended.", agent_id: null },
  ];
  expect(offer("retry", told, task, agents, "operator", []).agents.map((each) => each.id)).toEqual([
    "b",
    "a",
  ]);
  expect(offer("cancel", told, task, agents, "operator", []).reason).toBe("It has ended.");
});

it("tells why nobody is there to do what may be done", () => {
  const told = [{ action: "retry", allowed: true, reason: null, agent_id: "b" }];
  expect(offer("retry", told, task, undefined, "operator", [])).toEqual({
    reason: null,
    agents: [],
    nobody: "Checking which agents are online",
  });
  expect(offer("retry", told, task, agents, "operator", []).nobody).toBeNull();
  expect(offer("retry", told, task, [], "operator", []).nobody).toContain("No agent");
});

it("judges by itself where the API says nothing", () => {
  expect(offer("retry", undefined, task, agents, "operator", ["b"])).toMatchObject({ reason: null });
  expect(offer("retry", undefined, task, agents, "viewer", []).reason).toContain("needs operator");
  expect(offer("cancel", undefined, task, agents, "operator", []).reason).toContain("has ended");
  expect(offer("delete", undefined, task, agents, "operator", []).reason).toContain("needs admin");
  expect(offer("delete", undefined, task, agents, "admin", []).reason).toBeNull();
});

it("checks rates", () => {
  for (const good of ["0", "10", "10/s", "5/m", "100/h"]) expect(rateProblem(good)).toBeNull();
  for (const bad of ["", "x", "1/d", "-1", "1.5/s"]) expect(rateProblem(bad)).toContain("number");
});
