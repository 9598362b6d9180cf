// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Agent, Json, Me, Role } from "../api/types";

const rank: Record<Role, number> = { viewer: 0, auditor: 1, operator: 2, admin: 3 };

/** roleIn is the caller's role in a project; an instance administrator acts as admin everywhere. */
export function roleIn(me: Me | undefined, slug: string): Role {
  if (!me) return "viewer";
  if (me.is_admin) return "admin";
  return me.memberships.find((membership) => membership.project_slug === slug)?.role ?? "viewer";
}

export const atLeast = (role: Role, need: Role): boolean => rank[role] >= rank[need];

/** capabilities of an agent for one engine or scheduler, as the agent announced them. */
export function capabilities(agent: Agent, engine: string): string[] {
  const value: Json | undefined = agent.capabilities[engine];
  if (Array.isArray(value)) return value.filter((each): each is string => typeof each === "string");
  return [];
}

export interface Allowed {
  /** Agents that can do it now, the one that reported the task first. */
  agents: Agent[];
  /** Why it can't be done; null when it can. The same order of checks as the API's. */
  reason: string | null;
}

const names: Record<string, string> = {
  retry_task: "retry tasks",
  cancel_task: "cancel tasks",
  purge_queue: "purge queues",
};

/** allowed decides whether an action on an engine can be offered, and says why when it can't. */
export function allowed(
  agents: Agent[] | undefined,
  engine: string,
  action: string,
  role: Role,
  need: Role,
  reporters: string[] = [],
): Allowed {
  if (!atLeast(role, need)) return { agents: [], reason: `Your role here is ${role}; this needs ${need}` };
  if (!agents) return { agents: [], reason: "Checking which agents are online" };
  const serving = agents.filter((agent) => agent.engine_adapters.includes(engine));
  if (serving.length === 0) return { agents: [], reason: `No agent of this project serves ${engine}` };
  const online = serving.filter((agent) => agent.state === "online");
  if (online.length === 0) return { agents: [], reason: `No agent for ${engine} is online` };
  const able = online.filter((agent) => capabilities(agent, engine).includes(action));
  if (able.length === 0)
    return { agents: [], reason: `The ${engine} agent can't ${names[action] ?? action}` };
  const first = able.filter((agent) => reporters.includes(agent.id));
  return { agents: [...first, ...able.filter((agent) => !first.includes(agent))], reason: null };
}
