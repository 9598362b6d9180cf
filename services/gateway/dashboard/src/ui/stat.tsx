// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { change } from "./delta";
import type { Goto } from "./goto";
import { type Tone, toneText } from "./state";

/**
 * Stat is one number of a page's answer: name, value, how it moved against the window before, and a link to the
 * rows behind it. `good` says which direction is welcome; a change without a judgement stays grey.
 */
export function Stat({
  label,
  value,
  now,
  before,
  good = "none",
  note,
  tone,
  to,
}: {
  label: string;
  /** Already formatted. */
  value: ReactNode;
  /** The same as a number, with the number of the window before: shows the change. */
  now?: number | null;
  before?: number | null;
  good?: "up" | "down" | "none";
  /** One short line below, unit or context. */
  note?: ReactNode;
  tone?: Tone;
  to?: Goto;
}) {
  const moved = change(now, before);
  const judged =
    !moved || moved.dir === 0 || good === "none"
      ? "text-soft"
      : moved.dir > 0 === (good === "up")
        ? "text-good"
        : "text-bad";
  return (
    <div className="relative min-w-0 rounded-md border border-line bg-panel px-3 py-2 has-[a:hover]:bg-raised">
      <p className="truncate text-xs text-soft">
        {to ? (
          <Link {...(to as { to: string })} className="row-link hover:text-ink hover:underline">
            {label}
          </Link>
        ) : (
          label
        )}
      </p>
      <p className={`truncate text-xl leading-8 font-semibold ${tone ? toneText[tone] : ""}`}>{value}</p>
      <p className="flex min-h-5 flex-wrap gap-x-2 text-xs text-soft">
        {moved && (
          <span className={judged} title="Against the window of the same length before this one">
            <span aria-hidden="true">{moved.dir > 0 ? "▲" : moved.dir < 0 ? "▼" : "="}</span>
            <span className="sr-only">{moved.dir > 0 ? "up" : moved.dir < 0 ? "down" : "unchanged"}</span>{" "}
            {moved.text}
          </span>
        )}
        {note && <span className="min-w-0">{note}</span>}
      </p>
    </div>
  );
}

/** A row of Stats that wraps; two per line on a phone. */
export function Stats({ children }: { children: ReactNode }) {
  return (
    <div className="grid grid-cols-2 gap-2 sm:grid-cols-3 lg:grid-cols-4 xl:grid-cols-6">{children}</div>
  );
}
