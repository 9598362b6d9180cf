// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Look, StateShape, toneText } from "../ui/state";
import { drainText, type Trend } from "./answer";

const looks: Record<Trend, Look> = {
  empty: { label: "Empty", shape: "disc", tone: "good" },
  draining: { label: "Draining", shape: "half", tone: "run" },
  steady: { label: "Steady", shape: "ring", tone: "warn" },
  growing: { label: "Growing", shape: "triangle", tone: "warn" },
  stalled: { label: "Stalled", shape: "cross", tone: "bad" },
  unknown: { label: "Not known", shape: "question", tone: "wait" },
};

/** TrendBadge tells where a queue is going, as a shape, a colour and a word. */
export function TrendBadge({ trend, drain }: { trend: Trend; drain: number | null }) {
  const look = looks[trend];
  return (
    <span
      className="inline-flex items-center gap-1.5 whitespace-nowrap"
      title={drainText({ trend, drain_seconds: drain })}
      data-trend={trend}
    >
      <StateShape look={look} />
      <span className={toneText[look.tone]}>{look.label}</span>
    </span>
  );
}
