// SPDX-License-Identifier: AGPL-3.0-or-later
import { fieldsOf, type Zone } from "../api/time";

/** stackUp adds up series from the first (lowest) to the last; a missing value counts as nothing. */
export function stackUp(series: (number | null)[][]): number[][] {
  const sums: number[][] = [];
  for (const values of series) {
    const below = sums.at(-1);
    sums.push(values.map((value, i) => (below?.[i] ?? 0) + (value ?? 0)));
  }
  return sums;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n: number) => String(n).padStart(2, "0");

/** axisTime labels a tick: the clock, at midnight and for steps of days the date. `step` is in seconds. */
export function axisTime(ms: number, step: number, zone: Zone): string {
  const { hour, minute, second, day, month } = fieldsOf(ms, zone);
  if (step >= 86_400 || (hour === 0 && minute === 0 && second === 0)) return `${day} ${months[month - 1]}`;
  return step < 60 ? `${two(hour)}:${two(minute)}:${two(second)}` : `${two(hour)}:${two(minute)}`;
}

const [second, minute, hour, day] = [1000, 60_000, 3_600_000, 86_400_000];

/** Steps of an axis of durations, in milliseconds. */
export const durationSteps = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * second),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * minute),
  ...[1, 2, 3, 6, 12].map((n) => n * hour),
  ...[1, 2, 5, 10, 20, 50, 100].map((n) => n * day),
];

/** axisDuration labels a tick of durations as briefly as the steps allow: 500 ms, 15 s, 1:30 m, 2 h. */
export function axisDuration(ms: number): string {
  if (ms < second) return `${Math.round(ms)} ms`;
  if (ms < minute) return `${Math.round(ms / 100) / 10} s`;
  const [unit, part, name] =
    ms < hour ? [minute, second, "m"] : ms < day ? [hour, minute, "h"] : [day, hour, "d"];
  const rest = Math.round((ms % unit) / part);
  return `${Math.floor(ms / unit)}${rest === 0 ? "" : `:${String(rest).padStart(2, "0")}`} ${name}`;
}
