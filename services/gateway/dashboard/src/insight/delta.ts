// SPDX-License-Identifier: AGPL-3.0-or-later
import { formatCount, formatDuration } from "../api/time";
import { formatPercent } from "./format";

export interface Delta {
  /** What to show beside the number: "+12 %", "-0.3 pp", "new". */
  text: string;
  /** Which way it went; a change too small to mean anything is flat. */
  direction: "up" | "down" | "flat";
  tone: "good" | "bad" | "flat";
  /** The number of the window before, for the tooltip and for screen readers. */
  before: string;
}

/** What a rise means: nothing in itself, good, or bad. */
export type Wish = "neutral" | "more" | "less";

function toneOf(direction: Delta["direction"], wish: Wish): Delta["tone"] {
  if (direction === "flat" || wish === "neutral") return "flat";
  return (direction === "up") === (wish === "more") ? "good" : "bad";
}

/** relative compares two amounts. Below `noise` (a share) it is called unchanged. */
function relative(now: number, before: number, wish: Wish, shown: string, noise: number): Delta {
  if (before === 0) {
    const direction = now > 0 ? "up" : "flat";
    return {
      text: now > 0 ? "from none" : "as before",
      direction,
      tone: toneOf(direction, wish),
      before: shown,
    };
  }
  const change = now / before - 1;
  if (Math.abs(change) < noise) return { text: "as before", direction: "flat", tone: "flat", before: shown };
  const direction = change > 0 ? "up" : "down";
  const text =
    change >= 9
      ? `×${Math.round(now / before)}`
      : `${change > 0 ? "+" : "−"}${Math.round(Math.abs(change) * 100)} %`;
  return { text, direction, tone: toneOf(direction, wish), before: shown };
}

export const countDelta = (now: number, before: number, wish: Wish = "neutral"): Delta =>
  relative(now, before, wish, formatCount(before), 0.01);

/** durationDelta has nothing to say when either window measured nothing. */
export function durationDelta(
  now: number | null | undefined,
  before: number | null | undefined,
): Delta | null {
  if (now === null || now === undefined || before === null || before === undefined) return null;
  return relative(now, before, "less", formatDuration(before), 0.05);
}

/** rateDelta compares shares in percentage points: "+0.3 pp" is clear where "+300 %" would only frighten. */
export function rateDelta(now: number, before: number): Delta {
  const points = (now - before) * 100;
  if (Math.abs(points) < 0.05)
    return { text: "as before", direction: "flat", tone: "flat", before: formatPercent(before) };
  const direction = points > 0 ? "up" : "down";
  const size = Math.abs(points);
  return {
    text: `${points > 0 ? "+" : "−"}${size < 10 ? size.toFixed(1) : size.toFixed(0)} pp`,
    direction,
    tone: toneOf(direction, "less"),
    before: formatPercent(before),
  };
}
