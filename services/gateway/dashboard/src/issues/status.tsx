// SPDX-License-Identifier: AGPL-3.0-or-later
import { StateShape, toneText } from "../ui/state";

const looks = {
  ongoing: { label: "Ongoing", shape: "triangle", tone: "bad" },
  recovered: { label: "Recovered", shape: "disc", tone: "good" },
} as const;

/** StatusBadge: an issue is ongoing while a task of it has not succeeded since. */
export function StatusBadge({ status, fresh }: { status: "ongoing" | "recovered"; fresh: boolean }) {
  const look = looks[status];
  return (
    <span className="inline-flex items-center gap-1.5 whitespace-nowrap">
      <StateShape look={look} />
      <span className={toneText[look.tone]}>{look.label}</span>
      {fresh && (
        <span className="rounded-sm border border-edge px-1 text-xs" title="It began inside this time range">
          new
        </span>
      )}
    </span>
  );
}
