// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link } from "@tanstack/react-router";
import type { Agent } from "../api/types";

/** AgentOptions are the options of a list from which the agent that carries something out is chosen. */
export function AgentOptions({ agents }: { agents: readonly Pick<Agent, "id" | "name" | "host_name">[] }) {
  return agents.map((agent) => (
    <option key={agent.id} value={agent.id}>
      {agent.name}
      {agent.host_name ? ` on ${agent.host_name}` : ""}
    </option>
  ));
}

/** IsAgentThere leads from an empty page to the first thing to look at. */
export function IsAgentThere({ slug }: { slug: string }) {
  return (
    <p>
      <Link to="/projects/$slug/agents" params={{ slug }} className="text-accent underline">
        Is an agent connected?
      </Link>
    </p>
  );
}
