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
