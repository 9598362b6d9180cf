// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { queries } from "../api/queries";
import type { Agent } from "../api/types";
import { Notice } from "../ui/controls";

export interface Skew {
  outdated: Agent[];
  newer: Agent[];
  incompatible: Agent[];
}

/** findSkew sorts online agents by how their version relates to the brain's. */
export function findSkew(agents: Agent[]): Skew {
  const online = agents.filter((agent) => agent.state === "online");
  return {
    incompatible: online.filter((agent) => agent.version_status === "incompatible"),
    outdated: online.filter(
      (agent) =>
        agent.version_status !== "incompatible" && (agent.version_status === "outdated" || agent.is_outdated),
    ),
    newer: online.filter((agent) => agent.version_status === "newer_than_known"),
  };
}

export const versionText: Record<string, string> = {
  current: "current",
  outdated: "older than this brain",
  newer_than_known: "newer than this brain",
  incompatible: "another major version",
  unknown: "version not known",
};

const listOf = (agents: Agent[]) =>
  agents
    .slice(0, 3)
    .map((agent) => `${agent.name} (${agent.agent_version ?? "no version"})`)
    .join(", ") + (agents.length > 3 ? ` and ${agents.length - 3} more` : "");

export function SkewBanner({ slug }: { slug: string }) {
  const agents = useQuery(queries.agents(slug));
  if (!agents.data) return null;
  const { outdated, newer, incompatible } = findSkew(agents.data);
  if (outdated.length + newer.length + incompatible.length === 0) return null;
  return (
    <Notice tone="warn" title="Agents and brain have different versions">
      {incompatible.length > 0 && (
        <p>
          Another major version, some things may not work: {listOf(incompatible)}. Bring both to the same.
        </p>
      )}
      {outdated.length > 0 && (
        <p>
          Older than this brain, still served: {listOf(outdated)}. Upgrade the z4j packages in that
          application.
        </p>
      )}
      {newer.length > 0 && <p>Newer than this brain: {listOf(newer)}. Upgrade the brain.</p>}
      <p>
        <Link to="/projects/$slug/agents" params={{ slug }} className="text-accent underline">
          See all agents
        </Link>
      </p>
    </Notice>
  );
}
