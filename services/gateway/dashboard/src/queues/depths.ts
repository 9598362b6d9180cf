// SPDX-License-Identifier: AGPL-3.0-or-later
import type { DepthPoint } from "../api/schema";

/** No chart needs more points than it has pixels. */
const maxBuckets = 1500;

/**
 * fillDepths puts samples on an even grid over the window: a bucket without a sample is a gap, because a depth that
 * nobody reported is not a depth of zero.
 */
export function fillDepths(
  series: DepthPoint[],
  bucketSeconds: number,
  from: number,
  to: number,
): { times: number[]; depth: (number | null)[]; peak: (number | null)[] } {
  const step = bucketSeconds * 1000;
  const start = Math.floor(from / step) * step;
  const count = Math.min(maxBuckets, Math.max(1, Math.ceil((to - start) / step)));
  const times = Array.from({ length: count }, (_, i) => start + i * step);
  const depth: (number | null)[] = times.map(() => null);
  const peak: (number | null)[] = times.map(() => null);
  for (const point of series) {
    const i = Math.floor((Date.parse(point.t) - start) / step);
    if (i < 0 || i >= count) continue;
    depth[i] = point.depth;
    peak[i] = point.peak;
  }
  return { times, depth, peak };
}
