// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { useLastContact, useLink } from "../api/live";
import { queries } from "../api/queries";
import { formatAge } from "../api/time";
import { useNow } from "../ui/clock";
import { Button } from "../ui/controls";
import { CloseIcon, InfoIcon, WarnIcon } from "../ui/icons";
import { isNewer, scriptOf } from "./build";

/** How often the page looks whether the brain serves another build than this one. */
const lookEvery = 15 * 60_000;

const mine = () => scriptOf(document.documentElement.outerHTML);

/** useNewBuild notices that the brain was upgraded under the open page; looks again after each lost connection. */
function useNewBuild(): boolean {
  const link = useLink();
  const [newer, setNewer] = useState(false);
  const live = link === "live";
  useEffect(() => {
    if (newer || !live) return;
    const control = new AbortController();
    const look = async () => {
      try {
        const response = await fetch("/", {
          headers: { Accept: "text/html" },
          cache: "no-cache",
          signal: control.signal,
        });
        const served = response.ok ? scriptOf(await response.text()) : null;
        const own = mine();
        if (served && own && served !== own) setNewer(true);
      } catch {
        // No answer: the connection indicator tells.
      }
    };
    void look();
    const timer = window.setInterval(() => void look(), lookEvery);
    return () => {
      control.abort();
      window.clearInterval(timer);
    };
  }, [live, newer]);
  useEffect(() => {
    // A page part of the old build is gone from the brain: the same news, learned the hard way.
    const onGone = () => setNewer(true);
    window.addEventListener("vite:preloadError", onGone);
    return () => window.removeEventListener("vite:preloadError", onGone);
  }, []);
  return newer;
}

const dismissedKey = "z4j-update-seen";

/**
 * Banners: offline, a newer build than the page, a newer release than the brain. They stand below the page, where
 * their coming and going moves nothing under the pointer.
 */
export function Banners() {
  const newBuild = useNewBuild();
  return (
    <>
      <Offline />
      {newBuild && (
        <Banner tone="info" testId="new-build">
          The brain was upgraded while this page was open. What you see still works, but may be out of date.
          <Button onClick={() => window.location.reload()}>Reload the page</Button>
        </Banner>
      )}
      <Update />
    </>
  );
}

function Offline() {
  const link = useLink();
  const lastContact = useLastContact();
  const now = useNow();
  if (link !== "offline") return null;
  const last = lastContact();
  return (
    <Banner tone="warn" testId="offline">
      The brain does not answer. Everything on this page is as it was
      {last === null ? "" : ` ${formatAge(now - last)} ago`}; the page goes on by itself when it is back.
    </Banner>
  );
}

/** Only administrators can do something about a new release, so only they are told. */
function Update() {
  const me = useQuery(queries.me());
  const admin = me.data?.is_admin ?? false;
  const system = useQuery({ ...queries.system(), enabled: admin });
  const versions = useQuery({ ...queries.versions(), enabled: admin });
  const [seen, setSeen] = useState(() => localStorage.getItem(dismissedKey));
  const running = system.data?.z4j_version;
  const newest = versions.data?.packages.z4j;
  if (!running || !newest || seen === newest || !isNewer(newest, running)) return null;
  return (
    <Banner tone="info" testId="update">
      z4j {newest} is available; this brain is {running}.
      <button
        type="button"
        aria-label="Don't show this again for this release"
        className="ml-auto grid size-7 place-items-center rounded-md hover:bg-raised"
        onClick={() => {
          localStorage.setItem(dismissedKey, newest);
          setSeen(newest);
        }}
      >
        <CloseIcon className="size-3.5" />
      </button>
    </Banner>
  );
}

function Banner({ tone, testId, children }: { tone: "info" | "warn"; testId: string; children: ReactNode }) {
  return (
    <div
      role="status"
      data-testid={`banner-${testId}`}
      className={`flex shrink-0 items-center gap-x-3 border-line border-t px-3 py-1.5 md:px-4 ${tone === "warn" ? "bg-warn-wash" : "bg-accent-wash"}`}
    >
      {tone === "warn" ? (
        <WarnIcon className="size-4 text-warn" />
      ) : (
        <InfoIcon className="size-4 text-accent" />
      )}
      <div className="flex min-w-0 flex-1 flex-wrap items-center gap-x-3 gap-y-1">{children}</div>
    </div>
  );
}
