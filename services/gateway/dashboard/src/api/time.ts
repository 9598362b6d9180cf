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

/** A zone to show times in: the browser's, UTC, or an IANA name like "Europe/Berlin". */
export type Zone = "local" | "utc" | (string & {});

export interface Fields {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(zone: string): Intl.DateTimeFormat {
  let found = formatters.get(zone);
  if (!found) {
    const options = {
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    } as const;
    try {
      found = new Intl.DateTimeFormat("en-US", { ...options, timeZone: zone });
    } catch {
      // A name that this browser does not know: UTC is at least unmistakable.
      found = new Intl.DateTimeFormat("en-US", { ...options, timeZone: "UTC" });
    }
    formatters.set(zone, found);
  }
  return found;
}

/** fieldsOf is what calendar and clock show at an instant in a zone; the month counts from 1. */
export function fieldsOf(ms: number, zone: Zone): Fields {
  const d = new Date(ms);
  if (zone === "utc") {
    return {
      year: d.getUTCFullYear(),
      month: d.getUTCMonth() + 1,
      day: d.getUTCDate(),
      hour: d.getUTCHours(),
      minute: d.getUTCMinutes(),
      second: d.getUTCSeconds(),
    };
  }
  if (zone === "local") {
    return {
      year: d.getFullYear(),
      month: d.getMonth() + 1,
      day: d.getDate(),
      hour: d.getHours(),
      minute: d.getMinutes(),
      second: d.getSeconds(),
    };
  }
  const out: Fields = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
  for (const { type, value } of formatterOf(zone).formatToParts(d))
    if (type in out) out[type as keyof Fields] = Number(value);
  return out;
}

/** instantOf is the way back: the instant at which calendar and clock of a zone show these fields. */
export function instantOf(fields: Fields, zone: Zone): number {
  const asUTC = (f: Fields) => Date.UTC(f.year, f.month - 1, f.day, f.hour, f.minute, f.second);
  const wanted = asUTC(fields);
  // The offset at the first guess may be that of the other side of a clock change; the second look corrects it.
  const guess = wanted - (asUTC(fieldsOf(wanted, zone)) - wanted);
  return guess - (asUTC(fieldsOf(guess, zone)) - wanted);
}

const two = (n: number) => String(n).padStart(2, "0");

/** formatAbsolute shows date, time and milliseconds in the chosen zone. */
export function formatAbsolute(ms: number, zone: Zone, withMillis = false): string {
  const f = fieldsOf(ms, zone);
  // No zone in use differs from another by parts of a second.
  const millis = withMillis ? `.${String(((ms % 1000) + 1000) % 1000).padStart(3, "0")}` : "";
  return `${f.year}-${two(f.month)}-${two(f.day)} ${two(f.hour)}:${two(f.minute)}:${two(f.second)}${millis}`;
}

/** toField writes an instant the way a datetime-local field wants it. */
export const toField = (ms: number, zone: Zone): string => formatAbsolute(ms, zone).replace(" ", "T");

/** fromField reads such a field; browsers leave out seconds that are 0. */
export function fromField(text: string, zone: Zone): number | null {
  const match = /^(\d{4,6})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d))?/.exec(text);
  if (!match) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1)
    .map((part) => Number(part ?? 0));
  return instantOf({ year, month, day, hour, minute, second }, zone);
}

/** The browser's zone. It is asked for once: to make a formatter takes a millisecond, and every age on screen names its zone. */
let localName = "";

/** zoneName is what the top bar shows for the zone in use. */
export function zoneName(zone: Zone): string {
  if (zone === "utc") return "UTC";
  if (zone !== "local") return zone;
  localName ||= Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
  return localName;
}

/** grouped is a whole number with its digits in groups of three, without the formatter that takes the browser 30 ms to make. */
export function grouped(n: number): string {
  return String(n).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

export function formatCount(n: number): string {
  if (n < 10_000) return String(n);
  if (n < 999_500) return `${(n / 1000).toFixed(n < 99_950 ? 1 : 0)} k`;
  return `${(n / 1_000_000).toFixed(n < 99_950_000 ? 1 : 0)} M`;
}
