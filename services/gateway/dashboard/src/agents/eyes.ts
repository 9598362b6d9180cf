// SPDX-License-Identifier: AGPL-3.0-or-later
import type { AgentPublic } from "../api/schema";

/** From here on frames in the buffer are late, and not just on their way. */
const lateSeconds = 15;

export interface Trouble {
  text: string;
  /** What to do about it. */
  remedy: string;
  bad: boolean;
}

type Seen = Pick<
  AgentPublic,
  | "state"
  | "lost"
  | "lost_results"
  | "lag_seconds"
  | "buffered"
  | "version_status"
  | "newest_version"
  | "agent_version"
  | "failures"
>;

/** isLate says whether what an agent tells arrives late. */
export const isLate = (agent: Pick<AgentPublic, "state" | "lag_seconds">): boolean =>
  agent.state === "online" && (agent.lag_seconds ?? 0) > lateSeconds;

/** troubles lists why an agent's eyes may not see everything, the gravest first. */
export function troubles(agent: Seen): Trouble[] {
  const out: Trouble[] = [];
  if (agent.state === "offline")
    out.push({
      text: "offline: its tasks are not seen and can't be controlled",
      remedy: "Start the process it runs in. If that runs, ask it there: z4j-bare doctor.",
      bad: true,
    });
  if (agent.lost > 0)
    out.push({
      text: `${agent.lost} ${agent.lost === 1 ? "event" : "events"} lost`,
      remedy:
        "Its buffer was full for too long, so these tasks miss steps for good. Raise Z4J_BUFFER_MAX_EVENTS, and see why the brain could not be reached.",
      bad: true,
    });
  if (agent.lost_results > 0)
    out.push({
      text: `${agent.lost_results} command ${agent.lost_results === 1 ? "result" : "results"} lost`,
      remedy:
        "Those commands show no answer although they may have been done. Look at their effect in the engine.",
      bad: true,
    });
  if (isLate(agent))
    out.push({
      text: `events arrive ${Math.round(agent.lag_seconds ?? 0)} s late, ${agent.buffered ?? 0} in its buffer`,
      remedy: "It sends more slowly than it sees: look at the network between, and at the brain's load.",
      bad: false,
    });
  if (agent.version_status === "incompatible" || agent.version_status === "outdated")
    out.push({
      text: `version ${agent.agent_version} ${agent.version_status === "incompatible" ? "is of another major version" : "is outdated"}`,
      remedy: `Upgrade its z4j packages to ${agent.newest_version}.`,
      bad: agent.version_status === "incompatible",
    });
  return out;
}

/** answer is the first line of the page: are the eyes open? */
export function answer(agents: (Seen & { name: string })[]): string {
  if (agents.length === 0) return "Nothing is watched yet";
  const online = agents.filter((agent) => agent.state === "online").length;
  const parts = [
    online === agents.length
      ? online === 1
        ? "Online"
        : `All ${online} online`
      : `${online} of ${agents.length} online`,
  ];
  const losing = agents.filter((agent) => agent.lost > 0 || agent.lost_results > 0);
  const late = agents.filter(isLate);
  if (losing.length > 0)
    parts.push(`${losing.length === 1 ? losing[0]?.name : losing.length} lost telemetry`);
  if (late.length > 0) parts.push(`${late.length === 1 ? late[0]?.name : late.length} late`);
  if (losing.length === 0 && late.length === 0 && online > 0) parts.push("nothing lost, nothing late");
  return parts.join(", ");
}
