// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Panel, Skeleton } from "../ui/controls";
import type { Goto } from "../ui/goto";
import { TailName } from "./tailname";

export interface Ranked {
  key: string;
  name: string;
  /** The number the list is ordered by. */
  value: ReactNode;
  /** The same between 0 and 1, drawn as a bar behind the row. */
  share: number;
  note?: ReactNode;
  to: Goto;
}

/** Ranking is a short list, largest first: what it is about, how much, and where its rows are. */
export function Ranking({
  title,
  rows,
  empty,
  more,
  tone = "accent",
}: {
  title: string;
  rows: Ranked[];
  empty: string;
  more?: { label: string; to: Goto };
  tone?: "accent" | "bad";
}) {
  return (
    <Panel
      title={title}
      pad={false}
      actions={
        more && (
          <Link {...(more.to as { to: string })} className="text-xs text-accent hover:underline">
            {more.label}
          </Link>
        )
      }
    >
      {rows.length === 0 ? (
        <p className="px-3 py-4 text-soft">{empty}</p>
      ) : (
        <ol>
          {rows.map((row) => (
            <li
              key={row.key}
              className="relative flex min-h-9 items-center gap-3 overflow-hidden border-line border-t px-3 py-1 first:border-t-0 hover:bg-raised max-sm:min-h-11"
            >
              <span
                aria-hidden="true"
                className={`absolute bottom-0 left-0 h-0.5 ${tone === "bad" ? "bg-bad" : "bg-accent"}`}
                style={{ width: `${Math.max(0, Math.min(1, row.share)) * 100}%` }}
              />
              <Link {...(row.to as { to: string })} className="row-link min-w-0 flex-1 hover:underline">
                <TailName name={row.name} />
              </Link>
              {row.note && <span className="text-xs whitespace-nowrap text-soft">{row.note}</span>}
              <span className="font-semibold whitespace-nowrap">{row.value}</span>
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

export function RankingSkeleton({ title }: { title: string }) {
  return (
    <Panel title={title}>
      <div className="space-y-3">
        {["a", "b", "c", "d", "e"].map((key) => (
          <div key={key} className="flex gap-3">
            <Skeleton className="h-4 flex-1" />
            <Skeleton className="h-4 w-12" />
          </div>
        ))}
      </div>
    </Panel>
  );
}
