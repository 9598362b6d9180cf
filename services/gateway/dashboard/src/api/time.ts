// SPDX-License-Identifier: AGPL-3.0-or-later

/** parseTime reads the API's timestamps. A value without a zone is UTC. */
export function parseTime(text: string | null | undefined): number | null {
  if (!text) return null;
  const zoned = /(?:Z|[+-]\d{2}:?\d{2})$/i.test(text) ? text : `${text}Z`;
  const ms = Date.parse(zoned);
  return Number.isNaN(ms) ? null : ms;
}

/** between is the milliseconds from one API timestamp to another, never negative, null if either is missing. */
export function between(from: string | null | undefined, to: string | null | undefined): number | null {
  const a = parseTime(from);
  const b = parseTime(to);
  return a === null || b === null ? null : Math.max(0, b - a);
}

/** formatDuration keeps about three significant figures: 4 ms, 1.24 s, 2 m 05 s, 3 h 12 m, 2 d 4 h. */
export function formatDuration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 1) return "0 ms";
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 9.995) return `${s.toFixed(2)} s`;
  if (s < 59.95) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  const pad = (n: number) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${pad(whole % 60)} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** formatAge is the short form used in tables: now, 12 s, 4 m, 3 h, 5 d. Clocks that differ never show the future. */
export function formatAge(ms: number): string {
  const s = Math.floor(Math.max(0, ms) / 1000);
  if (s < 2) return "now";
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

export type Zone = "local" | "utc";

/** formatAbsolute shows date, time and milliseconds in the chosen zone. */
export function formatAbsolute(ms: number, zone: Zone, withMillis = false): string {
  const d = new Date(ms);
  const p = (n: number, w = 2) => String(n).padStart(w, "0");
  const utc = zone === "utc";
  const date = utc
    ? `${d.getUTCFullYear()}-${p(d.getUTCMonth() + 1)}-${p(d.getUTCDate())}`
    : `${d.getFullYear()}-${p(d.getMonth() + 1)}-${p(d.getDate())}`;
  const time = utc
    ? `${p(d.getUTCHours())}:${p(d.getUTCMinutes())}:${p(d.getUTCSeconds())}`
    : `${p(d.getHours())}:${p(d.getMinutes())}:${p(d.getSeconds())}`;
  const millis = withMillis ? `.${p(utc ? d.getUTCMilliseconds() : d.getMilliseconds(), 3)}` : "";
  return `${date} ${time}${millis}`;
}

/** zoneName is what the top bar shows for the zone in use. */
export function zoneName(zone: Zone): string {
  if (zone === "utc") return "UTC";
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
}

export function formatCount(n: number): string {
  if (n < 10_000) return String(n);
  if (n < 999_500) return `${(n / 1000).toFixed(n < 99_950 ? 1 : 0)} k`;
  return `${(n / 1_000_000).toFixed(n < 99_950_000 ? 1 : 0)} M`;
}
