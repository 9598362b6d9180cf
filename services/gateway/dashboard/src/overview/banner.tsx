// SPDX-License-Identifier: AGPL-3.0-or-later
import { Skeleton } from "../ui/controls";
import { StateShape, toneText } from "../ui/state";
import type { Answer } from "./answer";

const looks = {
  good: { label: "", shape: "disc", tone: "good", frame: "border-line bg-panel" },
  warn: { label: "", shape: "half", tone: "warn", frame: "border-warn bg-warn-wash" },
  bad: { label: "", shape: "triangle", tone: "bad", frame: "border-bad bg-bad-wash" },
  none: { label: "", shape: "ring", tone: "wait", frame: "border-line bg-panel" },
} as const;

/** AnswerBanner is the page's answer: one word, then the reason for it. */
export function AnswerBanner({ answer }: { answer: Answer }) {
  const look = looks[answer.tone];
  return (
    <p
      role="status"
      data-testid="answer"
      data-tone={answer.tone}
      className={`flex items-baseline gap-2.5 rounded-md border px-3 py-2.5 text-base ${look.frame}`}
    >
      <span className="self-center">
        <StateShape look={look} />
      </span>
      <span className="min-w-0">
        <strong className={`text-lg ${answer.tone === "none" ? "" : toneText[look.tone]}`}>
          {answer.verdict}:
        </strong>{" "}
        {answer.reason}.
      </span>
    </p>
  );
}

export function AnswerSkeleton() {
  return (
    <div role="status" className="flex h-12 items-center gap-3 rounded-md border border-line bg-panel px-3">
      <span className="sr-only">Loading the overview</span>
      <Skeleton className="size-3 rounded-full" />
      <Skeleton className="h-4 w-full max-w-xl" />
    </div>
  );
}
