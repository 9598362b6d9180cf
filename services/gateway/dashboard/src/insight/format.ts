// SPDX-License-Identifier: AGPL-3.0-or-later
import { formatCount, formatDuration, grouped } from "../api/time";

/** formatExact groups digits, for the sentence at the top of a page where the number itself is the answer. */
export const formatExact = (n: number): string => grouped(Math.round(n));

const trim = (text: string): string => text.replace(/\.0$/, "");

/** formatRate is a number per minute whose column or label says so: 0.4, 12, 1.2 k. */
export function formatRate(perMinute: number): string {
  if (!(perMinute > 0)) return "0";
  if (perMinute < 0.1) return "<0.1";
  if (perMinute < 10) return trim(perMinute.toFixed(1));
  return formatCount(Math.round(perMinute));
}

/** formatRough is a duration for a sentence, in one unit: 40 s, 3 min, 2.5 h, 4 days. */
export function formatRough(seconds: number): string {
  if (seconds < 1) return "under a second";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${trim((seconds / 3600).toFixed(1))} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${formatExact(n)} ${n === 1 ? one : many}`;

/** windowWords names the window in a sentence: "the last hour", "7 h 10 m of your choice". */
export function windowWords(range: string | null, seconds: number): string {
  const known: Record<string, string> = {
    "15m": "the last 15 minutes",
    "1h": "the last hour",
    "6h": "the last 6 hours",
    "24h": "the last 24 hours",
    "7d": "the last 7 days",
  };
  return (range && known[range]) || `the chosen ${formatDuration(seconds * 1000)}`;
}
