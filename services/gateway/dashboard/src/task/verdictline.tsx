// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Tone, toneText } from "../ui/state";
import type { Verdict } from "./verdict";

const edge: Record<Tone, string> = {
  good: "border-good",
  bad: "border-bad",
  warn: "border-warn",
  run: "border-run",
  wait: "border-edge",
  retry: "border-retry",
};

/** VerdictLine is the page's answer, in the colour of its state. */
export function VerdictLine({ verdict }: { verdict: Verdict }) {
  return (
    <div className={`space-y-0.5 border-l-4 pl-3 ${edge[verdict.tone]}`}>
      <p className={`text-base font-medium ${toneText[verdict.tone]}`} data-testid="verdict">
        {verdict.text}
      </p>
      {verdict.advice && <p className="text-soft">{verdict.advice}</p>}
    </div>
  );
}
