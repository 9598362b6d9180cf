// SPDX-License-Identifier: AGPL-3.0-or-later
import { formatDuration, parseTime, type Zone, zoneName } from "../api/time";

/**
 * preciseTime is parseTime with the microseconds that Date drops, as a fraction of a millisecond: events of one
 * task are often less than a millisecond apart, and their order is what the timeline tells.
 */
export function preciseTime(text: string | null | undefined): number | null {
  const ms = parseTime(text);
  if (ms === null || !text) return ms;
  const micros = /\.\d{3}(\d{1,6})/.exec(text)?.[1];
  return micros ? ms + Number(`0.${micros}`) : ms;
}

/** formatSpan is formatDuration down to the microsecond. */
export function formatSpan(ms: number | null | undefined): string {
  if (ms !== null && ms !== undefined && ms >= 0 && ms < 1) {
    const micros = Math.round(ms * 1000);
    return micros < 1000 ? `${micros} µs` : "1 ms";
  }
  return formatDuration(ms);
}

/** formatPrecise is the time of day with microseconds and, where asked for, the date and the zone. */
export function formatPrecise(ms: number, zone: Zone, withDate = false): string {
  const whole = Math.floor(ms);
  const d = new Date(whole);
  const p = (n: number, w = 2) => String(n).padStart(w, "0");
  const utc = zone === "utc";
  const micros = Math.min(999, Math.round((ms - whole) * 1000));
  const time = utc
    ? `${p(d.getUTCHours())}:${p(d.getUTCMinutes())}:${p(d.getUTCSeconds())}.${p(d.getUTCMilliseconds(), 3)}`
    : `${p(d.getHours())}:${p(d.getMinutes())}:${p(d.getSeconds())}.${p(d.getMilliseconds(), 3)}`;
  const date = utc
    ? `${d.getUTCFullYear()}-${p(d.getUTCMonth() + 1)}-${p(d.getUTCDate())}`
    : `${d.getFullYear()}-${p(d.getMonth() + 1)}-${p(d.getDate())}`;
  return `${withDate ? `${date} ` : ""}${time}${p(micros, 3)}${withDate ? ` ${zoneName(zone)}` : ""}`;
}

const steps = [1, 2, 5];
const clock = [
  60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
].map((seconds) => seconds * 1000);

/** ticks are round offsets from zero to span, at most `most` of them, in units a person counts in. */
export function ticks(span: number, most: number): number[] {
  if (span <= 0 || most < 1) return [0];
  const least = span / most;
  let step = clock.find((each) => each >= least) ?? Math.ceil(least / 604_800_000) * 604_800_000;
  if (least <= 30_000) {
    const power = 10 ** Math.floor(Math.log10(least));
    const nice = steps.map((each) => each * power).find((each) => each >= least * 0.999) ?? 10 * power;
    // 50 s would be no step of a minute.
    step = nice > 20_000 ? (nice > 30_000 ? 60_000 : 30_000) : nice;
  }
  const out: number[] = [];
  for (let i = 0; i * step <= span * 1.0001 && out.length <= most + 1; i++) out.push(i * step);
  return out;
}

/** formatOffset is a tick's text: +0, +250 ms, +3 s, +2 m. */
export function formatOffset(ms: number): string {
  if (ms === 0) return "0";
  if (ms < 1) return `+${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `+${Number(ms.toFixed(1))} ms`;
  if (ms < 60_000) return `+${Number((ms / 1000).toFixed(2))} s`;
  if (ms < 3_600_000) return `+${Number((ms / 60_000).toFixed(1))} m`;
  if (ms < 86_400_000) return `+${Number((ms / 3_600_000).toFixed(1))} h`;
  return `+${Number((ms / 86_400_000).toFixed(1))} d`;
}
