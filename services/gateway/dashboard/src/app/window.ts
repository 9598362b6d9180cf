// SPDX-License-Identifier: AGPL-3.0-or-later

/** The ranges the picker offers; each ends now. */
export const presets = ["15m", "1h", "6h", "24h", "7d"] as const;
export type Preset = (typeof presets)[number];
export const defaultPreset: Preset = "24h";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

export const presetMs: Record<Preset, number> = {
  "15m": 15 * minute,
  "1h": hour,
  "6h": 6 * hour,
  "24h": day,
  "7d": 7 * day,
};

/** A live window moves on in steps, so that equal views ask equal questions between two steps. */
export const stepMs: Record<Preset, number> = {
  "15m": 10 * second,
  "1h": 15 * second,
  "6h": 30 * second,
  "24h": minute,
  "7d": 5 * minute,
};

/** The API refuses longer windows. */
export const longestMs = 400 * day;
const shortestMs = second;

/** The range as it stands in the address: a preset, or a fixed window, or nothing (the default preset). */
export interface RangeSearch {
  range?: Preset;
  from?: string;
  to?: string;
}

function instant(value: unknown): number | null {
  if (typeof value !== "string" || value === "") return null;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? null : ms;
}

const iso = (ms: number) => new Date(ms).toISOString();

/** parseRange reads the address; what makes no sense is dropped, so that an edited link never breaks a page. */
export function parseRange(search: Record<string, unknown>): RangeSearch {
  const range = presets.find((each) => each === search.range);
  if (range) return { range };
  const from = instant(search.from);
  const to = instant(search.to);
  if (from === null || to === null) return {};
  const fixed = fitWindow(from, to);
  return fixed ? { from: iso(fixed.from), to: iso(fixed.to) } : {};
}

/** fitWindow orders both ends and keeps the window within what the API takes; null when nothing is left. */
export function fitWindow(a: number, b: number): { from: number; to: number } | null {
  if (!Number.isFinite(a) || !Number.isFinite(b)) return null;
  const to = Math.max(a, b);
  const from = Math.max(Math.min(a, b), to - longestMs);
  return to - from < shortestMs ? null : { from, to };
}

/**
 * liveWindow ends at the next step, a moment in the future: an event that arrives before the window moves on is
 * then inside it, and an answer that is asked for again shows it.
 */
export function liveWindow(preset: Preset, now: number): { from: number; to: number } {
  const step = stepMs[preset];
  const to = Math.ceil(now / step) * step;
  return { from: to - presetMs[preset], to };
}

const presetLabels: Record<Preset, string> = {
  "15m": "15 minutes",
  "1h": "hour",
  "6h": "6 hours",
  "24h": "24 hours",
  "7d": "7 days",
};

export const presetLabel = (preset: Preset): string => `Last ${presetLabels[preset]}`;

/** spanText names a length of time in its largest unit: 45 s, 15 min, 6 h, 7 d. */
export function spanText(ms: number): string {
  const of = (n: number, unit: string) => `${Number(n.toFixed(1))} ${unit}`;
  if (ms < minute) return of(ms / second, "s");
  if (ms < 2 * hour) return of(ms / minute, "min");
  if (ms < 2 * day) return of(ms / hour, "h");
  return of(ms / day, "d");
}
