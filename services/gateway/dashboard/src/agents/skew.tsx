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

/** SkewBanner says which agents are of another version than the brain, and which side to upgrade. */
export function SkewBanner({ slug, linked = false }: { slug: string; linked?: boolean }) {
  const agents = useQuery(queries.agents(slug));
  if (!agents.data) return null;
  const { outdated, newer, incompatible } = findSkew(agents.data);
  const lines: [string, string][] = [];
  if (incompatible.length > 0) {
    lines.push([
      "Another major version",
      `${listOf(incompatible)}. Some things may not work: bring both to the same.`,
    ]);
  }
  if (outdated.length > 0) {
    lines.push([
      "Agent older than the brain",
      `${listOf(outdated)}. It still works; upgrade its z4j packages.`,
    ]);
  }
  if (newer.length > 0) lines.push(["Agent newer than the brain", `${listOf(newer)}. Upgrade the brain.`]);
  if (lines.length === 0) return null;
  return (
    <Notice tone="warn">
      <div data-testid="version-skew">
        {lines.map(([title, text]) => (
          <p key={title}>
            <strong>{title}:</strong> {text}
          </p>
        ))}
        {linked && (
          <Link to="/projects/$slug/agents" params={{ slug }} className="text-accent underline">
            See all agents
          </Link>
        )}
      </div>
    </Notice>
  );
}
