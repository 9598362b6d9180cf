// SPDX-License-Identifier: AGPL-3.0-or-later
import { type PointerEvent, type ReactNode, useRef, useState } from "react";
import type { Zone } from "../api/time";
import { useZone } from "../ui/clock";
import { ChevronIcon } from "../ui/icons";
import { StateShape, type Tone, taskLook, toneText } from "../ui/state";
import { type Attempt, type Segment, segmentsOf, spanOf } from "./attempts";
import { formatOffset, formatPrecise, formatSpan, ticks } from "./precise";

const runFill: Record<string, string> = {
  succeeded: "bg-good",
  failed: "bg-bad",
  rejected: "bg-bad",
  retried: "bg-retry",
  revoked: "bg-warn",
};

const looks: Record<string, string> = {
  succeeded: "success",
  failed: "failure",
  rejected: "rejected",
  retried: "retry",
  revoked: "revoked",
  superseded: "unknown",
};

const said: Record<string, string> = {
  succeeded: "succeeded",
  failed: "failed",
  rejected: "rejected",
  retried: "will be retried",
  revoked: "revoked",
  superseded: "end not reported",
};

interface Told {
  label: string;
  state: string;
}

/** told is an attempt's state in words. */
function told(attempt: Attempt, lost: boolean): Told {
  if (lost && !attempt.outcome) return { label: "probably lost", state: "unknown" };
  if (attempt.outcome) {
    const label = attempt.outcome === "revoked" && attempt.expired ? "expired" : said[attempt.outcome];
    return { label: label ?? attempt.outcome, state: looks[attempt.outcome] ?? "unknown" };
  }
  return attempt.startedAt !== null
    ? { label: "running", state: "started" }
    : { label: "waiting", state: "received" };
}

const names: Record<Segment["kind"], string> = { wait: "waited", delay: "waited for its retry", run: "ran" };

/** Gantt shows each attempt as a bar of waiting and running on one time axis, with the exact times on request. */
export function Gantt({
  attempts,
  now,
  live,
  lost,
}: {
  attempts: Attempt[];
  now: number;
  live: boolean;
  /** The attempt that goes on is probably lost. */
  lost: boolean;
}) {
  const zone = useZone();
  const area = useRef<HTMLDivElement>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const span = spanOf(attempts, now, live);
  if (!span) return null;
  const length = Math.max(span.to - span.from, 0.001);
  // A single instant has no length to measure.
  const instant = span.to === span.from;
  const marks = instant ? [] : ticks(length, 7);
  const move = (event: PointerEvent) => {
    const box = area.current?.getBoundingClientRect();
    if (!box || box.width === 0) return;
    const share = (event.clientX - box.left) / box.width;
    setCursor(share >= 0 && share <= 1 ? share : null);
  };
  const at = (share: number) => `${share * 100}%`;
  const share = (ms: number) => (ms - span.from) / length;
  return (
    <figure
      className="space-y-1"
      onPointerMove={move}
      onPointerLeave={() => setCursor(null)}
      data-testid="attempts"
    >
      <div className={`grid grid-cols-1 md:grid-cols-[8.5rem_minmax(0,1fr)_8rem] ${instant ? "hidden" : ""}`}>
        <div ref={area} aria-hidden="true" className="relative h-5 text-xs text-soft md:col-start-2">
          {marks.map((mark, i) => {
            const place = mark / length;
            if (place > 0.94 && i > 0) return null;
            return (
              <span
                key={mark}
                className={`absolute top-0 whitespace-nowrap ${i === 0 ? "" : "-translate-x-1/2"} ${i % 2 === 1 ? "max-md:hidden" : ""}`}
                style={{ left: at(place) }}
              >
                {formatOffset(mark)}
              </span>
            );
          })}
          {cursor !== null && (
            <span
              className={`absolute -top-1 z-10 rounded-md border border-edge bg-panel px-1.5 whitespace-nowrap text-ink ${cursor > 0.5 ? "-translate-x-full" : ""}`}
              style={{ left: at(cursor) }}
            >
              {formatPrecise(span.from + cursor * length, zone)}{" "}
              <span className="text-soft">+{formatSpan(cursor * length)}</span>
            </span>
          )}
        </div>
      </div>
      <ol className="space-y-1">
        {attempts.map((attempt, i) => (
          <Row
            key={attempt.number}
            attempt={attempt}
            only={attempts.length === 1}
            lost={lost && i === attempts.length - 1}
            before={attempts[i - 1]}
            segments={segmentsOf(attempts, i, now, live)}
            zone={zone}
            share={share}
            backdrop={
              <>
                {marks.slice(1).map((mark) => (
                  <span
                    key={mark}
                    className="absolute inset-y-0 w-px bg-line"
                    style={{ left: at(mark / length) }}
                  />
                ))}
                {cursor !== null && (
                  <span className="absolute inset-y-0 z-10 w-px bg-accent" style={{ left: at(cursor) }} />
                )}
              </>
            }
          />
        ))}
      </ol>
      <figcaption className="flex flex-wrap gap-x-4 pt-1 text-xs text-soft">
        <span>
          {instant ? "At" : "From"} {formatPrecise(span.from, zone, true)}
        </span>
        {!instant && (
          <>
            <span>{formatSpan(length)} in all</span>
            <span className="ml-auto flex gap-4">
              <Key className="border border-edge bg-raised">waiting</Key>
              <Key className="bg-soft">running</Key>
            </span>
          </>
        )}
      </figcaption>
    </figure>
  );
}

function Key({ className, children }: { className: string; children: ReactNode }) {
  return (
    <span>
      <span className={`mr-1.5 inline-block size-2.5 ${className}`} />
      {children}
    </span>
  );
}

function Row({
  attempt,
  only,
  lost,
  before,
  segments,
  zone,
  share,
  backdrop,
}: {
  attempt: Attempt;
  only: boolean;
  lost: boolean;
  before: Attempt | undefined;
  segments: Segment[];
  zone: Zone;
  share: (ms: number) => number;
  backdrop: ReactNode;
}) {
  const [open, setOpen] = useState(false);
  const { label, state } = told(attempt, lost);
  const look = taskLook(state);
  const sum = (kinds: Segment["kind"][]) =>
    segments.filter((each) => kinds.includes(each.kind)).reduce((all, each) => all + each.to - each.from, 0);
  const seen = attempt.startedAt !== null && attempt.outcome !== "superseded" ? sum(["run"]) : null;
  const ran = attempt.runtime ?? seen;
  const waits = sum(["wait", "delay"]);
  const summary = [
    label,
    waits > 0 ? `waited ${formatSpan(waits)}` : null,
    ran !== null ? `ran ${formatSpan(ran)}` : null,
    attempt.error,
  ].filter(Boolean);
  return (
    <li className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-3 md:grid-cols-[8.5rem_minmax(0,1fr)_8rem]">
      <button
        type="button"
        aria-expanded={open}
        aria-label={`Attempt ${attempt.number}: ${summary.join(", ")}`}
        onClick={() => setOpen(!open)}
        className="-mx-1 flex min-h-7 min-w-0 items-center gap-1.5 rounded-md px-1 text-left hover:bg-raised max-sm:min-h-9"
      >
        <ChevronIcon
          className={`size-3 shrink-0 text-soft transition-transform ${open ? "rotate-90" : ""}`}
        />
        <StateShape look={look} />
        <span className="whitespace-nowrap">Attempt {attempt.number}</span>
      </button>
      <div className="relative h-7 max-md:order-3 max-md:col-span-2">
        {backdrop}
        {segments.map((each) => (
          <Bar
            key={`${each.kind}-${each.from}`}
            segment={each}
            attempt={attempt}
            lost={lost}
            zone={zone}
            share={share}
          />
        ))}
        {segments.length === 0 && attempt.endedAt !== null && (
          <span
            title={`${label} at ${formatPrecise(attempt.endedAt, zone)}; its start was not reported`}
            className={`absolute top-1 h-5 w-1 rounded-[2px] ${runFill[attempt.outcome ?? ""] ?? "bg-run"}`}
            style={{ left: `min(${share(attempt.endedAt) * 100}%, 100% - 4px)` }}
          />
        )}
      </div>
      <span className={`text-right text-xs whitespace-nowrap ${toneText[look.tone as Tone]}`}>
        {ran !== null
          ? lost
            ? label
            : `${attempt.endedAt === null ? "running" : "ran"} ${formatSpan(ran)}`
          : waits > 0
            ? `waited ${formatSpan(waits)}`
            : label}
      </span>
      {attempt.error && !only && (
        <p className="pl-5 text-xs text-soft max-md:order-4 max-md:col-span-2 md:col-span-2 md:col-start-2 md:pl-0">
          <span className={toneText[look.tone as Tone]}>{label}</span>: {attempt.error}
        </p>
      )}
      {open && (
        <div className="max-md:order-5 max-md:col-span-2 md:col-span-2 md:col-start-2">
          <Times attempt={attempt} before={before} zone={zone} label={label} />
        </div>
      )}
    </li>
  );
}

function Bar({
  segment,
  attempt,
  lost: doubted,
  zone,
  share,
}: {
  segment: Segment;
  attempt: Attempt;
  lost: boolean;
  zone: Zone;
  share: (ms: number) => number;
}) {
  const left = share(segment.from) * 100;
  const width = (share(segment.to) - share(segment.from)) * 100;
  const unheard = segment.kind === "run" && attempt.outcome === null && doubted;
  const lost = unheard || (segment.kind === "run" && attempt.outcome === "superseded");
  const fill =
    segment.kind === "run"
      ? lost
        ? "border border-edge border-dashed"
        : (runFill[attempt.outcome ?? ""] ?? "bg-run")
      : segment.kind === "delay"
        ? "border border-edge border-dashed bg-raised"
        : "border border-edge bg-raised";
  const text = unheard
    ? "started, and nothing was heard of it since"
    : lost
      ? `started, and its end was not reported; the next attempt came ${formatSpan(segment.to - segment.from)} later`
      : `${names[segment.kind]} ${formatSpan(segment.to - segment.from)}`;
  return (
    <span
      title={`${text}\n${formatPrecise(segment.from, zone, true)}\n${segment.open ? "until now" : formatPrecise(segment.to, zone, true)}`}
      className={`absolute h-5 rounded-[2px] ${segment.kind === "run" ? "top-1" : "top-1.5 h-4"} ${fill}`}
      // The narrowest bar is still seen, and stays inside the track.
      style={{ left: `min(${left}%, 100% - 3px)`, width: `max(${width}%, 3px)` }}
    />
  );
}

function Times({
  attempt,
  before,
  zone,
  label,
}: {
  attempt: Attempt;
  before: Attempt | undefined;
  zone: Zone;
  label: string;
}) {
  const rows: [string, number | null][] = [
    ["Sent", attempt.sentAt],
    ["Received", attempt.receivedAt],
    ["Started", attempt.startedAt],
    ["Ended", attempt.endedAt],
  ];
  const known = rows.filter((row): row is [string, number] => row[1] !== null);
  let previous = before?.endedAt ?? null;
  const seen =
    attempt.startedAt !== null && attempt.endedAt !== null ? attempt.endedAt - attempt.startedAt : null;
  const late =
    attempt.runtime !== null && seen !== null && seen - attempt.runtime > 100 + attempt.runtime / 5;
  return (
    <div className="my-1 space-y-1.5 rounded-md bg-raised px-3 py-2 text-xs">
      <dl className="grid grid-cols-[5rem_minmax(0,1fr)] gap-x-3 gap-y-0.5">
        {known.map(([name, at]) => {
          const gap = previous === null ? null : at - previous;
          previous = Math.max(at, previous ?? at);
          return (
            <div key={name} className="contents">
              <dt className="text-soft">{name}</dt>
              <dd>
                {formatPrecise(at, zone, true)}
                {gap !== null && gap > 0 && <span className="text-soft"> +{formatSpan(gap)}</span>}
              </dd>
            </div>
          );
        })}
        <dt className="text-soft">Outcome</dt>
        <dd>
          {label}
          {attempt.signal !== null && `, signal ${attempt.signal}`}
        </dd>
        {attempt.worker && (
          <>
            <dt className="text-soft">Worker</dt>
            <dd>{attempt.worker}</dd>
          </>
        )}
        {attempt.error && (
          <>
            <dt className="text-soft">Error</dt>
            <dd className="text-bad">{attempt.error}</dd>
          </>
        )}
      </dl>
      {late && (
        <p className="text-soft">
          The worker itself measured {formatSpan(attempt.runtime)}; its reports took their time to the agent.
        </p>
      )}
      {attempt.receivedAt === null && (
        <p className="text-soft">
          When it was handed to the worker is not known: of events of one kind within a second one is kept.
        </p>
      )}
      {attempt.redelivered > 0 && (
        <p className="text-soft">
          It was handed out {attempt.redelivered} more {attempt.redelivered === 1 ? "time" : "times"} before
          it started.
        </p>
      )}
      {attempt.outcome === "superseded" && (
        <p className="text-soft">
          It began again without a report of this attempt's end: its worker was lost, the broker handed it out
          once more, or the engine does not report retries.
        </p>
      )}
      {attempt.pieced && (
        <p className="text-soft">
          Some of these times come from the task's own record; their events are gone.
        </p>
      )}
    </div>
  );
}
