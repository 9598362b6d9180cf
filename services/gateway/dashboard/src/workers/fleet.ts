// SPDX-License-Identifier: AGPL-3.0-or-later
import type { WorkerPublic } from "../api/schema";
import { plural } from "../insight/format";

export interface Host {
  /** The host's name; what can't be told is grouped under "". */
  name: string;
  workers: WorkerPublic[];
  online: number;
  suspects: number;
  active: number;
  /** Slots of the online workers that tell their pool's size. */
  slots: number;
  load: number | null;
}

/** hostOf is where a worker runs: as it tells, else what stands behind the @ of its name. */
export function hostOf(worker: Pick<WorkerPublic, "hostname" | "name">): string {
  const at = worker.name.lastIndexOf("@");
  const named = at >= 0 ? worker.name.slice(at + 1) : "";
  // Celery tells its node name where others tell the host.
  const told = worker.hostname?.includes("@")
    ? worker.hostname.slice(worker.hostname.lastIndexOf("@") + 1)
    : worker.hostname;
  return told || named;
}

/** attention orders workers: suspects, then what is offline or in doubt, then the rest by name. */
export function attention(worker: WorkerPublic): number {
  if (worker.idle_suspect) return 0;
  if (worker.state === "offline") return 1;
  if (worker.state !== "online") return 2;
  return 3;
}

/** byHost groups workers by host, hosts that need a look first. */
export function byHost(workers: WorkerPublic[]): Host[] {
  const hosts = new Map<string, Host>();
  for (const worker of workers) {
    const name = hostOf(worker);
    let host = hosts.get(name);
    if (!host) {
      host = { name, workers: [], online: 0, suspects: 0, active: 0, slots: 0, load: null };
      hosts.set(name, host);
    }
    host.workers.push(worker);
    if (worker.idle_suspect) host.suspects++;
    if (worker.state !== "online") continue;
    host.online++;
    host.active += worker.active_tasks;
    host.slots += worker.concurrency ?? 0;
    const load = worker.load_average?.[0];
    if (load !== undefined) host.load = Math.max(host.load ?? 0, load);
  }
  const all = [...hosts.values()];
  for (const host of all)
    host.workers.sort((a, b) => attention(a) - attention(b) || a.name.localeCompare(b.name));
  return all.sort(
    (a, b) =>
      b.suspects - a.suspects ||
      Math.sign(b.workers.length - b.online) - Math.sign(a.workers.length - a.online) ||
      Number(a.name === "") - Number(b.name === "") ||
      a.name.localeCompare(b.name),
  );
}

/** answer is the first line of the page: are they consuming? */
export function answer(workers: WorkerPublic[]): string {
  if (workers.length === 0) return "";
  const online = workers.filter((worker) => worker.state === "online");
  const suspects = workers.filter((worker) => worker.idle_suspect);
  const offline = workers.filter((worker) => worker.state === "offline").length;
  const rate = online.reduce((sum, worker) => sum + worker.rate_per_minute, 0);
  const parts = [];
  if (suspects.length > 0) {
    parts.push(
      suspects.length === 1
        ? `${suspects[0]?.name} is alive but seems not to consume`
        : `${suspects.length} workers are alive but seem not to consume`,
    );
  }
  if (online.length === 0) parts.push("No worker is online");
  else {
    const active = online.reduce((sum, worker) => sum + worker.active_tasks, 0);
    const slots = online.reduce((sum, worker) => sum + (worker.concurrency ?? 0), 0);
    parts.push(
      `${online.length} of ${workers.length} online, ${slots > 0 ? `${active} of ${slots} slots busy` : `${plural(active, "task")} running`}${rate >= 0.1 ? `, ${rate < 10 ? rate.toFixed(1) : Math.round(rate)} tasks a minute` : ""}`,
    );
  }
  if (offline > 0 && suspects.length === 0) parts.push(`${offline} offline`);
  return parts.join("; ");
}

/** advice says what to do about a worker that is alive and idle though work waits. */
export function advice(worker: Pick<WorkerPublic, "engine">): string[] {
  if (worker.engine === "celery") {
    return [
      "Restart its pool: a child process that hangs or died keeps its slot.",
      "Have it leave the queue and consume it again, which renews its link to the broker.",
      "If it does not come back, restart the worker's process on its host and look at its log from then.",
    ];
  }
  return [
    "Look at the worker's log on its host: it may hang in a task or have lost the broker.",
    "Restart the worker's process.",
  ];
}
