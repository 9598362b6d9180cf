// SPDX-License-Identifier: AGPL-3.0-or-later
import type { MintedAgent } from "../api/types";

const loopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;

/** needsDevMode: agents refuse an unencrypted connection to another machine unless told otherwise. */
export function needsDevMode(origin: string): boolean {
  const url = new URL(origin);
  return url.protocol === "http:" && !loopback.test(url.hostname);
}

/** envBlock is what an agent needs in its environment, ready to paste into a .env file. */
export function envBlock(minted: MintedAgent, slug: string, origin: string): string {
  const lines = [
    `Z4J_BRAIN_URL=${origin}`,
    `Z4J_PROJECT_ID=${slug}`,
    `Z4J_TOKEN=${minted.token}`,
    `Z4J_HMAC_SECRET=${minted.hmac_secret}`,
  ];
  if (needsDevMode(origin)) lines.push("Z4J_DEV_MODE=1");
  return lines.join("\n");
}

/** exportBlock is the same for a shell; the secrets are base64url and need no quoting. */
export const exportBlock = (env: string): string =>
  env
    .split("\n")
    .map((line) => `export ${line}`)
    .join("\n");

export interface Recipe {
  id: string;
  label: string;
  install: string;
  start: string;
  note: string;
}

/** How each engine picks the agent up, with nothing but the package and the environment where possible. */
export const recipes: Recipe[] = [
  {
    id: "celery",
    label: "Celery",
    install: "pip install z4j-celery",
    start: "celery -A your_app worker -E",
    note: "Add `import z4j_celery` to the module that creates your Celery app; the agent then starts with the worker. Keep -E: without it a worker reports only that tasks were received.",
  },
  {
    id: "rq",
    label: "RQ",
    install: "pip install z4j-rq",
    start: "python worker.py",
    note: "In the script that starts your worker, call `from z4j_rq import register_worker_bootstrap; register_worker_bootstrap()` before `Worker(...).work()`. Z4J_RQ_REDIS_URL names the Redis when it is not the local one.",
  },
  {
    id: "django",
    label: "Django + Celery",
    install: "pip install 'z4j-django[celery]'",
    start: "celery -A your_project worker -E",
    note: "Add `z4j_django` to INSTALLED_APPS. Web and worker processes then report by themselves.",
  },
  {
    id: "other",
    label: "Dramatiq, Huey, arq, TaskIQ",
    install: "pip install z4j-dramatiq",
    start: "python -m your_worker",
    note: "Install the package of your engine (z4j-dramatiq, z4j-huey, z4j-arq, z4j-taskiq) and call `z4j_bare.install_agent(engines=[...])` with its adapter where your worker starts.",
  },
];
