// SPDX-License-Identifier: AGPL-3.0-or-later
import { parseTime } from "../api/time";
import type { Agent, Task } from "../api/types";

/** How long a waiting task may wait before a worker that never reports a start is suspected. */
const patience = 20_000;

/**
 * silentCelery recognises a Celery worker that was started without task events: an agent with Celery is online,
 * tasks are received, and of all recent ones not a single one was ever reported as started or ended.
 * A prefork worker reports starts and ends only as events, and sends those only with -E.
 */
export function silentCelery(tasks: Task[], agents: Agent[], now: number): boolean {
  if (!agents.some((agent) => agent.state === "online" && agent.engine_adapters.includes("celery")))
    return false;
  let waiting = 0;
  for (const task of tasks) {
    if (task.engine !== "celery") continue;
    if (task.started_at || task.finished_at) {
      if (task.state !== "revoked") return false;
      continue;
    }
    const eta = parseTime(task.eta);
    if (task.state !== "received" || (eta !== null && eta > now)) continue;
    const received = parseTime(task.received_at);
    if (received !== null && now - received > patience) waiting++;
  }
  return waiting > 0;
}
