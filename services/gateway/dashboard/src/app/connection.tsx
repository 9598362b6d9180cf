// SPDX-License-Identifier: AGPL-3.0-or-later
import { useLastContact, useLink } from "../api/live";
import { formatAge } from "../api/time";
import { useNow } from "../ui/clock";

const looks = {
  connecting: { label: "Connecting", tone: "text-soft", say: "Opening the live connection" },
  live: { label: "Live", tone: "text-good", say: "Changes appear as they happen" },
  reconnecting: {
    label: "Reconnecting",
    tone: "text-warn",
    say: "The live connection was lost and is being opened again",
  },
  polling: {
    label: "Polling",
    tone: "text-warn",
    say: "No live connection (a proxy may block WebSockets); the pages ask every 3 seconds instead",
  },
  offline: {
    label: "Offline",
    tone: "text-bad",
    say: "The brain does not answer; what you see is the last known state",
  },
} as const;

/** One honest indicator: how fresh is what I see? */
export function Connection() {
  const link = useLink();
  const lastContact = useLastContact();
  const now = useNow();
  const look = looks[link];
  const last = lastContact();
  const stale = link !== "live" && last !== null && now - last > 5000 ? formatAge(now - last) : null;
  return (
    <output
      title={look.say}
      data-testid="connection"
      data-link={link}
      className={`inline-flex items-center gap-1.5 whitespace-nowrap px-1 ${look.tone}`}
    >
      <svg viewBox="0 0 10 10" aria-hidden="true" className="size-2.5">
        {link === "live" ? (
          <circle cx="5" cy="5" r="4.5" fill="currentColor" />
        ) : link === "offline" ? (
          <path d="m1 1 8 8m0-8-8 8" stroke="currentColor" strokeWidth="2" />
        ) : (
          <circle cx="5" cy="5" r="3.8" fill="none" stroke="currentColor" strokeWidth="1.6" />
        )}
      </svg>
      <span className="max-sm:sr-only">{look.label}</span>
      {stale && <span className="text-soft">{stale} old</span>}
    </output>
  );
}
