// SPDX-License-Identifier: AGPL-3.0-or-later
import { useState } from "react";
import type { Agent, TaskEvent } from "../api/types";
import { useZone } from "../ui/clock";
import { Button, CopyButton, Panel } from "../ui/controls";
import { ChevronIcon } from "../ui/icons";
import { formatPrecise, preciseTime } from "./precise";
import { fromJson } from "./value";
import { ValueTree } from "./valuetree";

const firstRows = 25;

/** RawEvents is the evidence: each event as it was stored, oldest first, with its payload. */
export function RawEvents({ events, agents }: { events: TaskEvent[]; agents: Agent[] | undefined }) {
  const [all, setAll] = useState(false);
  if (events.length === 0) return null;
  const sorted = [...events].sort(
    (a, b) => (preciseTime(a.occurred_at) ?? 0) - (preciseTime(b.occurred_at) ?? 0),
  );
  const shown = all ? sorted : sorted.slice(0, firstRows);
  return (
    <Panel pad={false}>
      <details>
        <summary className="px-3 py-2 font-semibold">Raw events ({events.length})</summary>
        <div className="flex justify-end border-line border-t px-3 py-1.5">
          <CopyButton text={JSON.stringify(sorted, null, 2)} label="Copy all as JSON" />
        </div>
        <ul className="divide-y divide-line border-line border-t">
          {shown.map((event) => (
            <RawEvent
              key={event.id}
              event={event}
              agent={agents?.find((each) => each.id === event.agent_id)?.name ?? null}
            />
          ))}
        </ul>
        {shown.length < sorted.length && (
          <div className="border-line border-t p-2">
            <Button kind="quiet" onClick={() => setAll(true)}>
              {sorted.length - shown.length} more
            </Button>
          </div>
        )}
      </details>
    </Panel>
  );
}

function RawEvent({ event, agent }: { event: TaskEvent; agent: string | null }) {
  const zone = useZone();
  const [open, setOpen] = useState(false);
  const at = preciseTime(event.occurred_at);
  return (
    <li className="px-3 py-1">
      <div className="flex items-center gap-2">
        <button
          type="button"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
          className="flex min-h-7 min-w-0 flex-1 flex-wrap items-center gap-x-3 rounded-md text-left hover:bg-raised max-sm:min-h-10"
        >
          <ChevronIcon
            className={`size-3 shrink-0 text-soft transition-transform ${open ? "rotate-90" : ""}`}
          />
          <code className="min-w-28">{event.kind}</code>
          <time className="text-xs text-soft" dateTime={event.occurred_at}>
            {at === null ? event.occurred_at : formatPrecise(at, zone, true)}
          </time>
          {agent && <span className="text-xs text-soft max-sm:hidden">reported by {agent}</span>}
        </button>
        <CopyButton text={JSON.stringify(event, null, 2)} label={`Copy the ${event.kind} event`} compact />
      </div>
      {open && (
        <div className="py-1.5 pl-5">
          <ValueTree value={fromJson(event.payload)} path="payload" label={`Payload of ${event.kind}`} />
        </div>
      )}
    </li>
  );
}
