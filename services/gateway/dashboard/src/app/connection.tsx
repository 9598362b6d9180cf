// SPDX-License-Identifier: AGPL-3.0-or-later
import { useIsFetching } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useLastContact, useLink } from "../api/live";
import { formatAge } from "../api/time";
import { useNow } from "../ui/clock";
import { useToast } from "../ui/toast";

const looks = {
  connecting: { label: "Connecting", tone: "text-soft", say: "Opening the live connection" },
  live: { label: "Live", tone: "text-good", say: "Changes appear as they happen" },
  catching: {
    label: "Catching up",
    tone: "text-run",
    say: "The live connection is back; what was missed is being fetched",
  },
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

/** The first hints come this soon after the connection; before, nobody may have asked yet. */
const askedWithin = 600;
/** Some page may ask all the time; after this long the catching up is over anyhow. */
const caughtUpWithin = 10_000;
/** A blink of the connection is not worth a word. */
const worthSaying = 2000;

/** useCatchUp follows a lost connection until everything missed is fetched, and says so. */
function useCatchUp(link: ReturnType<typeof useLink>): boolean {
  const toast = useToast();
  const fetching = useIsFetching();
  const [since, setSince] = useState<number | null>(null);
  const lost = useRef<number | null>(null);
  const wasLive = useRef(false);
  useEffect(() => {
    if (link === "live") {
      wasLive.current = true;
      if (lost.current !== null) setSince(Date.now());
    } else {
      if (wasLive.current && lost.current === null) lost.current = Date.now();
      setSince(null);
    }
  }, [link]);
  useEffect(() => {
    if (since === null) return;
    const due = since + (fetching === 0 ? askedWithin : caughtUpWithin);
    const wait = Math.max(0, due - Date.now());
    const timer = window.setTimeout(() => {
      const away = since - (lost.current ?? since);
      lost.current = null;
      setSince(null);
      if (away >= worthSaying)
        toast("good", `Connected again after ${formatAge(away)}. The page is up to date.`);
    }, wait);
    return () => window.clearTimeout(timer);
  }, [since, fetching, toast]);
  return since !== null;
}

/** One honest indicator: how fresh is what I see? */
export function Connection() {
  const link = useLink();
  const lastContact = useLastContact();
  const now = useNow();
  const catching = useCatchUp(link);
  const state = link === "live" && catching ? "catching" : link;
  const look = looks[state];
  const last = lastContact();
  const age = last === null ? null : now - last;
  const stale = link !== "live" && age !== null && age > 5000 ? formatAge(age) : null;
  return (
    <output
      title={`${look.say}${age === null ? "" : `. Last heard from the brain: ${age < 2000 ? "just now" : `${formatAge(age)} ago`}`}`}
      data-testid="connection"
      data-link={state}
      className={`inline-flex shrink-0 items-center gap-1.5 whitespace-nowrap px-1 ${look.tone}`}
    >
      <svg viewBox="0 0 10 10" aria-hidden="true" className="size-2.5">
        {state === "live" ? (
          <circle cx="5" cy="5" r="4.5" fill="currentColor" />
        ) : state === "offline" ? (
          <path d="m1 1 8 8m0-8-8 8" stroke="currentColor" strokeWidth="2" />
        ) : state === "catching" ? (
          <path d="M5 .5a4.5 4.5 0 0 1 0 9z" fill="currentColor" />
        ) : (
          <circle cx="5" cy="5" r="3.8" fill="none" stroke="currentColor" strokeWidth="1.6" />
        )}
      </svg>
      <span className={state === "live" ? "max-sm:sr-only" : "max-md:sr-only"}>{look.label}</span>
      {stale && <span className="text-soft max-sm:sr-only">{stale} old</span>}
    </output>
  );
}
