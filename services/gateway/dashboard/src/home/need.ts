// SPDX-License-Identifier: AGPL-3.0-or-later
import { parseTime } from "../api/time";
import { plural } from "../insight/format";
import type { Attention, HomeProject } from "../insight/types";

export type Severity = Attention["severity"];

const weight: Record<Severity, number> = { critical: 1000, warning: 100 };

/** Too few tasks make any failure rate look dramatic. */
const enough = 20;

/**
 * need is how much a project asks to be looked at; only its order matters. What the brain itself calls critical or a
 * warning weighs most, then blindness (no agent), lost workers, waits and the failure rate.
 */
export function need(project: HomeProject, attention: Attention[]): number {
  let score = 0;
  for (const each of attention) if (each.project === project.slug) score += weight[each.severity];
  if (project.agents_online === 0 && project.agents_offline > 0) score += 60;
  if (project.workers_offline > 0) score += Math.min(30, 5 * project.workers_offline);
  if (project.worst_queue) score += Math.min(40, project.worst_queue.p95_wait_ms / 3000);
  if (project.ended >= enough) score += 80 * project.failure_rate;
  score += Math.min(20, project.open_issues) + Math.min(20, 4 * project.stuck_commands);
  return score;
}

/** byNeed puts the project that needs somebody first; equals go by last activity, then by name. */
export function byNeed(projects: HomeProject[], attention: Attention[]): HomeProject[] {
  return projects
    .map((project) => ({ project, score: need(project, attention) }))
    .sort(
      (a, b) =>
        Math.round(b.score) - Math.round(a.score) ||
        (parseTime(b.project.last_activity) ?? 0) - (parseTime(a.project.last_activity) ?? 0) ||
        a.project.name.localeCompare(b.project.name),
    )
    .map((each) => each.project);
}

const severityRank: Record<Severity, number> = { critical: 0, warning: 1 };

/** bySeverity orders what wants attention: the worst first, and among equals what has lasted longest. */
export function bySeverity(attention: Attention[]): Attention[] {
  return [...attention].sort(
    (a, b) =>
      severityRank[a.severity] - severityRank[b.severity] ||
      (parseTime(a.since) ?? Number.MAX_SAFE_INTEGER) - (parseTime(b.since) ?? Number.MAX_SAFE_INTEGER),
  );
}

/** homeAnswer says which project needs somebody. */
export function homeAnswer(projects: HomeProject[], attention: Attention[]): string {
  const names = new Map(projects.map((project) => [project.slug, project.name]));
  const asking = [...new Set(attention.map((each) => each.project))];
  if (projects.length === 0) return "";
  if (asking.length === 0)
    return projects.length === 1
      ? "Nothing needs you"
      : `None of ${plural(projects.length, "project")} needs you`;
  const ordered = byNeed(projects, attention)
    .map((project) => project.slug)
    .filter((slug) => asking.includes(slug));
  const named = ordered.slice(0, 3).map((slug) => names.get(slug) ?? slug);
  const more = ordered.length - named.length;
  const list = more > 0 ? `${named.join(", ")} and ${more} more` : joinAnd(named);
  return `${list} ${ordered.length === 1 ? "needs" : "need"} you`;
}

const joinAnd = (names: string[]): string =>
  names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;

/** Where the reader goes to look after one kind of attention. */
export const targets = {
  agents_offline: "agents",
  workers_offline: "workers",
  backlog: "queues",
  stuck_commands: "commands",
  failure_rate: "issues",
} as const satisfies Record<Attention["kind"], string>;
