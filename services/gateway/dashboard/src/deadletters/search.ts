// SPDX-License-Identifier: AGPL-3.0-or-later
import { capabilities } from "../agents/access";
import type { Agent } from "../api/types";

export interface DeadLetterSearch {
  engine?: string;
  queue?: string;
}

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : typeof value === "number" ? String(value) : undefined;

export const parseDeadLetterSearch = (search: Record<string, unknown>): DeadLetterSearch => ({
  engine: text(search.engine),
  queue: text(search.queue),
});

export interface EngineChoice {
  engine: string;
  /** Why its dead letters can't be listed now; null when they can. */
  reason: string | null;
}

const need = "list_dead_letters";

/** enginesOf lists the engines of a project, those that can be asked for dead letters first. */
export function enginesOf(agents: Agent[]): EngineChoice[] {
  const engines = [...new Set(agents.flatMap((agent) => agent.engine_adapters))].sort();
  return engines
    .map((engine) => {
      const serving = agents.filter((agent) => agent.engine_adapters.includes(engine));
      const able = serving.filter((agent) => capabilities(agent, engine).includes(need));
      let reason: string | null = null;
      if (able.length === 0) reason = why[engine] ?? `The ${engine} adapter can't list dead letters`;
      else if (!able.some((agent) => agent.state === "online"))
        reason = `The agent ${able[0]?.name} is not online`;
      return { engine, reason };
    })
    .sort((a, b) => Number(a.reason !== null) - Number(b.reason !== null));
}

const why: Record<string, string> = {
  celery:
    "Celery keeps no dead letters: a task that failed for good is only in its result and here, among the failed tasks",
};
