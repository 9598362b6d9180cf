// SPDX-License-Identifier: AGPL-3.0-or-later
import { useSyncExternalStore } from "react";
import { formatAbsolute, formatAge, parseTime, type Zone, zoneName } from "../api/time";

/** One second-hand for the whole page: every age on screen ticks together and only while something listens. */
const tickListeners = new Set<() => void>();
let tickTimer = 0;
let tickNow = Date.now();

function subscribeTick(listener: () => void) {
  tickListeners.add(listener);
  if (!tickTimer) {
    // Another time than what was just drawn would draw every age again at once.
    if (Date.now() - tickNow > 1000) tickNow = Date.now();
    tickTimer = window.setInterval(() => {
      tickNow = Date.now();
      for (const each of tickListeners) each();
    }, 1000);
  }
  return () => {
    tickListeners.delete(listener);
    if (tickListeners.size === 0) {
      window.clearInterval(tickTimer);
      tickTimer = 0;
    }
  };
}

export function useNow(): number {
  return useSyncExternalStore(subscribeTick, () => tickNow);
}

/** useRounded is the next multiple of `step` ms after now; a component that uses it redraws once per step. */
export function useRounded(step: number | null): number {
  return useSyncExternalStore(step ? subscribeTick : never, () =>
    step ? Math.ceil(Date.now() / step) * step : 0,
  );
}
const never = () => () => undefined;

const zoneKey = "z4j-zone";
const zoneListeners = new Set<() => void>();
/** The zone of the visitor's profile; UTC there means that nobody has chosen one. */
let profileZone: string | null = null;

/** Nothing chosen here: the profile's zone when it has one, else the browser's. */
function readZone(): Zone {
  const chosen = localStorage.getItem(zoneKey);
  if (chosen === "utc" || chosen === "local") return chosen;
  return profileZone ?? "local";
}

function tellZone() {
  for (const listener of zoneListeners) listener();
}

/** setZone chooses for this browser; "profile" takes the choice back. */
export function setZone(zone: "utc" | "local" | "profile") {
  if (zone === "profile") localStorage.removeItem(zoneKey);
  else localStorage.setItem(zoneKey, zone);
  tellZone();
}

export function setProfileZone(zone: string | null | undefined) {
  const next = zone && zone !== "UTC" ? zone : null;
  if (next === profileZone) return;
  profileZone = next;
  tellZone();
}

export function useProfileZone(): string | null {
  return useSyncExternalStore(subscribeZone, () => profileZone);
}

function subscribeZone(listener: () => void) {
  zoneListeners.add(listener);
  return () => zoneListeners.delete(listener);
}

export function useZone(): Zone {
  return useSyncExternalStore(subscribeZone, readZone);
}

/** Age shows how long ago something was, with the absolute time and zone on hover. */
export function Age({ at, suffix = "" }: { at: string | null | undefined; suffix?: string }) {
  const now = useNow();
  const zone = useZone();
  const ms = parseTime(at);
  if (ms === null) return <span className="text-soft">–</span>;
  const age = formatAge(now - ms);
  return (
    <time dateTime={new Date(ms).toISOString()} title={`${formatAbsolute(ms, zone, true)} ${zoneName(zone)}`}>
      {age}
      {age !== "now" && suffix}
    </time>
  );
}

/** Absolute shows the date and time itself, with the zone on hover. */
export function Absolute({ at, millis = false }: { at: string | null | undefined; millis?: boolean }) {
  const zone = useZone();
  const ms = parseTime(at);
  if (ms === null) return <span className="text-soft">–</span>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={zoneName(zone)}>
      {formatAbsolute(ms, zone, millis)}
    </time>
  );
}
