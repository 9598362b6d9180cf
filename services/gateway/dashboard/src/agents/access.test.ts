// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import type { Agent, Me } from "../api/types";
import { allowed, atLeast, roleIn } from "./access";

const agent = (id: string, state: Agent["state"], actions: string[]): Agent =>
  ({ id, state, engine_adapters: ["celery"], capabilities: { celery: actions } }) as unknown as Agent;
const me = (part: Partial<Me>): Me => ({ is_admin: false, memberships: [], ...part }) as Me;

it("finds the role in a project", () => {
  expect(roleIn(me({ is_admin: true }), "x")).toBe("admin");
  expect(roleIn(me({ memberships: [{ project_id: "1", project_slug: "x", role: "operator" }] }), "x")).toBe(
    "operator",
  );
  expect(roleIn(me({}), "x")).toBe("viewer");
  expect(atLeast("auditor", "operator")).toBe(false);
});

it("says why an action is not possible", () => {
  const reason = (agents: Agent[], role: "viewer" | "operator" = "operator") =>
    allowed(agents, "celery", "retry_task", role, "operator").reason;
  expect(reason([], "viewer")).toBe("Your role here is viewer; this needs operator");
  expect(reason([])).toBe("No agent of this project serves celery");
  expect(reason([agent("a", "offline", ["retry_task"])])).toBe("No agent for celery is online");
  expect(reason([agent("a", "online", [])])).toBe("The celery agent can't retry tasks");
  expect(reason([agent("a", "online", ["retry_task"])])).toBeNull();
});

it("asks the agent that reported the task first", () => {
  const agents = [agent("a", "online", ["cancel_task"]), agent("b", "online", ["cancel_task"])];
  expect(
    allowed(agents, "celery", "cancel_task", "admin", "operator", ["b"]).agents.map((each) => each.id),
  ).toEqual(["b", "a"]);
});
