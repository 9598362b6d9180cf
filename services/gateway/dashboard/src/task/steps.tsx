// SPDX-License-Identifier: AGPL-3.0-or-later
import { useZone } from "../ui/clock";
import { StateShape, taskLook, toneText } from "../ui/state";
import { type Step, stepLabel, stepNote, stepState } from "./attempts";
import { formatPrecise, formatSpan } from "./precise";

/** Steps lists every happening in the order it happened, with the time between. */
export function Steps({ steps, attempts }: { steps: Step[]; attempts: number }) {
  const zone = useZone();
  return (
    <ol>
      {steps.map((step, i) => {
        const look = taskLook(stepState[step.kind] ?? "unknown");
        const note = stepNote(step);
        return (
          <li key={step.id}>
            {i > 0 && (
              <div className="ml-[5px] flex items-center border-edge border-l py-px pl-5 text-xs text-soft">
                {step.gap > 0 ? formatSpan(step.gap) : "at once"}
              </div>
            )}
            <div className="grid grid-cols-[auto_minmax(0,1fr)_auto] items-baseline gap-2.5">
              <span className="relative top-px">
                <StateShape look={look} />
              </span>
              <span className="min-w-0">
                <span className={`font-medium ${toneText[look.tone]}`}>{stepLabel(step.kind)}</span>
                {note && <span className="text-soft"> {note}</span>}
                {step.copies > 1 && (
                  <span
                    className="text-xs text-soft"
                    title="Several agents watch the same broker and each reported it"
                  >
                    {" "}
                    reported {step.copies} times
                  </span>
                )}
                {attempts > 1 && (
                  <span className="text-xs whitespace-nowrap text-soft"> · attempt {step.attempt}</span>
                )}
              </span>
              <span className="text-right text-xs whitespace-nowrap text-soft">
                <time
                  dateTime={new Date(step.at).toISOString()}
                  title={formatPrecise(step.at, zone, true)}
                  className="max-sm:hidden"
                >
                  {formatPrecise(step.at, zone)}
                </time>
                <span className="ml-2 inline-block min-w-16" title={formatPrecise(step.at, zone, true)}>
                  +{formatSpan(step.offset)}
                </span>
              </span>
            </div>
          </li>
        );
      })}
    </ol>
  );
}
