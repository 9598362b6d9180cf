// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { offerOf } from "./offer";

describe("offerOf", () => {
  const actions = [
    { action: "restart_worker", allowed: true, reason: null, agent_id: "a1" },
    { action: "pool_grow", allowed: false, reason: "The worker is offline", agent_id: null },
    { action: "pool_shrink", allowed: false, reason: null, agent_id: null },
  ];
  it("names the agent of what can be done", () => {
    expect(offerOf(actions, "restart_worker")).toEqual({ agentId: "a1", reason: null });
  });
  it("gives the API's reason", () => {
    expect(offerOf(actions, "pool_grow").reason).toBe("The worker is offline");
    expect(offerOf(actions, "pool_shrink").reason).toBe("This can't be done now");
  });
  it("offers nothing that is not listed or not known yet", () => {
    expect(offerOf(actions, "purge_queue").reason).toMatch(/does not offer/);
    expect(offerOf(undefined, "restart_worker").reason).toMatch(/Checking/);
  });
});
