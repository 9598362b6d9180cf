// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const running = new Set();

function start(command, env, stdio) {
  // A process group of its own, so that the children of a worker end with it.
  const child = spawn("sh", ["-c", command], { env, stdio, detached: true });
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

/** startWorker runs the worker with the variables exactly as the wizard shows them. */
export function startWorker(command, envText) {
  const env = { ...process.env };
  for (const line of envText.trim().split("\n")) {
    const at = line.indexOf("=");
    if (at > 0) env[line.slice(0, at)] = line.slice(at + 1);
  }
  return start(command, env, ["ignore", "ignore", process.env.Z4J_E2E_VERBOSE ? "inherit" : "ignore"]);
}

/** Producer puts work into the queue through a helper that answers one JSON line per request. */
export class Producer {
  #child;
  #lines;

  constructor(command) {
    this.#child = start(command, process.env, ["pipe", "pipe", "inherit"]);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async request(body) {
    this.#child.stdin.write(`${JSON.stringify(body)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the producer has ended");
    const answer = JSON.parse(value);
    if (answer.error) throw new Error(`the producer failed: ${answer.error}`);
    return answer;
  }

  /** send enqueues one task and returns its id. */
  async send(task, args) {
    const { ids } = await this.request({ op: "send", task, args });
    return ids[0];
  }
}

/** stop ends a program and its children, and waits until it has ended. */
export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has just ended by itself.
  }
  await ended;
}

/** stopAll ends everything that this run has started. */
export const stopAll = () => Promise.all([...running].map(stop));
