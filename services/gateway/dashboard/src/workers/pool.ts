// SPDX-License-Identifier: AGPL-3.0-or-later

/** poolStep says why a pool can't be resized by delta; null when it can. A pool of unknown size may be tried. */
export function poolStep(concurrency: number | null, delta: number): string | null {
  if (concurrency !== null && concurrency + delta < 1)
    return "A pool needs one slot at least; have the worker leave its queues instead";
  return null;
}
