// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMemo } from "react";
import { formatDuration } from "../api/time";
import type { TaskEvent } from "../api/types";
import { Absolute, useNow } from "../ui/clock";
import { Panel, Skeleton } from "../ui/controls";
import { JsonBlock } from "../ui/json";
import { StateShape, taskLook, toneText } from "../ui/state";
import { buildTimeline, type Segment, segments, stepLabel, stepNote, stepState } from "./timeline";

export function Timeline({
  events,
  loading,
  open,
}: {
  events: TaskEvent[];
  loading: boolean;
  open: boolean;
}) {
  const steps = useMemo(() => buildTimeline(events), [events]);
  if (loading) {
    return (
      <div role="status" className="space-y-2">
        <span className="sr-only">Loading the events</span>
        <Skeleton className="h-6" />
        <Skeleton className="h-20" />
      </div>
    );
  }
  if (steps.length === 0) {
    return (
      <p className="text-soft">
        No event is stored for this task; its events may have passed their retention.
      </p>
    );
  }
  const attempts = steps.at(-1)?.attempt ?? 1;
  return (
    <div className="space-y-3">
      <Bar steps={steps} open={open} />
      <ol>
        {steps.map((step, i) => {
          const look = taskLook(stepState[step.kind] ?? "unknown");
          const note = stepNote(step);
          return (
            <li key={step.id}>
              {attempts > 1 && step.attempt !== (steps[i - 1]?.attempt ?? 0) && (
                <p className="pt-2 pb-0.5 text-xs font-semibold text-soft">Attempt {step.attempt}</p>
              )}
              {i > 0 && (
                <div className="ml-[5px] flex items-center border-edge border-l py-px pl-5 text-xs text-soft">
                  {step.gap >= 1 ? formatDuration(step.gap) : "at once"}
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
                </span>
                <span className="text-right text-xs whitespace-nowrap text-soft">
                  <span className="max-sm:hidden">
                    <Absolute at={step.events[0]?.occurred_at} millis />
                  </span>
                  <span className="ml-2 inline-block min-w-14">+{formatDuration(step.offset)}</span>
                </span>
              </div>
            </li>
          );
        })}
      </ol>
    </div>
  );
}

const endTone: Record<string, string> = {
  "task.succeeded": "bg-good",
  "task.failed": "bg-bad",
  "task.rejected": "bg-bad",
  "task.retried": "bg-retry",
  "task.revoked": "bg-warn",
};

function Bar({ steps, open }: { steps: ReturnType<typeof buildTimeline>; open: boolean }) {
  const now = useNow();
  const last = steps.at(-1)?.at ?? now;
  const parts = segments(steps, open ? now : last).filter((part) => part.to > part.from);
  const total = parts.reduce((sum, part) => sum + part.to - part.from, 0);
  if (total <= 0) return null;
  const say = (part: Segment) =>
    `${part.kind === "wait" ? "waited" : "ran"} ${formatDuration(part.to - part.from)}`;
  const sum = (kind: Segment["kind"]) =>
    parts.filter((part) => part.kind === kind).reduce((all, part) => all + part.to - part.from, 0);
  return (
    <figure className="space-y-1.5">
      <div
        role="img"
        aria-label={parts.map(say).join(", then ")}
        className="flex h-4 gap-px overflow-hidden rounded-md"
      >
        {parts.map((part) => (
          <div
            key={`${part.from}-${part.kind}`}
            title={say(part)}
            className={`min-w-0.5 ${part.kind === "wait" ? "border border-edge bg-raised" : (endTone[part.end ?? ""] ?? "bg-run")}`}
            style={{ flexGrow: (part.to - part.from) / total, flexBasis: 0 }}
          />
        ))}
      </div>
      <figcaption className="flex gap-4 text-xs text-soft">
        <span>
          <span className="mr-1.5 inline-block size-2.5 border border-edge bg-raised" />
          waited {formatDuration(sum("wait"))}
        </span>
        <span>
          <span className="mr-1.5 inline-block size-2.5 bg-soft" />
          ran {formatDuration(sum("run"))}
        </span>
        <span className="ml-auto">{formatDuration(total)} in all</span>
      </figcaption>
    </figure>
  );
}

export function RawEvents({ events }: { events: TaskEvent[] }) {
  if (events.length === 0) return null;
  return (
    <Panel pad={false}>
      <details>
        <summary className="px-3 py-2 font-semibold">Raw events ({events.length})</summary>
        <ul className="divide-y divide-line border-line border-t">
          {events.map((event) => (
            <li key={event.id} className="space-y-1 px-3 py-2">
              <p className="flex flex-wrap gap-x-3">
                <code>{event.kind}</code>
                <span className="text-xs text-soft">
                  <Absolute at={event.occurred_at} millis />
                </span>
              </p>
              <JsonBlock value={event.payload} />
            </li>
          ))}
        </ul>
      </details>
    </Panel>
  );
}
