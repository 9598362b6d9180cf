// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { queries } from "../api/queries";
import type { Worker } from "../api/types";
import { plural } from "../insight/format";
import { type Shown, toPage } from "../insight/links";
import type { Overview } from "../insight/types";
import { Panel, Skeleton } from "../ui/controls";
import { presenceLook, StateShape } from "../ui/state";

const most = 24;
const rank: Record<string, number> = { offline: 0, draining: 1, unknown: 2, online: 3 };

/** The ones that need a look first, then by name, so that the strip stands still while nothing changes. */
export function stripOrder(workers: Worker[]): Worker[] {
  return [...workers].sort(
    (a, b) => (rank[a.state] ?? 2) - (rank[b.state] ?? 2) || a.name.localeCompare(b.name),
  );
}

/** WorkersStrip shows each worker as one small field: state, name, what it works on. */
export function WorkersStrip({ slug, overview, shown }: { slug: string; overview: Overview; shown: Shown }) {
  const workers = useQuery(queries.workers(slug));
  const { online, offline, idle_suspect } = overview.workers;
  const said = [
    `${online} online`,
    offline > 0 ? `${offline} offline` : "",
    idle_suspect > 0 ? `${idle_suspect} alive but idle while work waits` : "",
  ].filter(Boolean);
  const ordered = workers.data ? stripOrder(workers.data) : [];
  return (
    <Panel
      title="Workers"
      actions={
        <Link
          {...(toPage("workers", slug, shown) as { to: string })}
          className="text-xs text-accent hover:underline"
        >
          {said.join(", ")}
        </Link>
      }
    >
      {workers.error && !workers.data ? (
        <p className="text-soft">The list of workers could not be loaded.</p>
      ) : !workers.data ? (
        <div className="flex flex-wrap gap-2">
          {["a", "b", "c", "d"].map((key) => (
            <Skeleton key={key} className="h-8 w-44" />
          ))}
        </div>
      ) : ordered.length === 0 ? (
        <p className="text-soft">
          No worker has been seen yet. One appears with its first task or heartbeat.
        </p>
      ) : (
        <ul className="flex flex-wrap gap-2">
          {ordered.slice(0, most).map((worker) => (
            <li
              key={worker.id}
              className="flex h-8 max-w-full items-center gap-2 rounded-md border border-line px-2.5"
            >
              <StateShape look={presenceLook(worker.state)} />
              <span className="sr-only">{presenceLook(worker.state).label}</span>
              <span className="min-w-0 max-w-56 truncate" title={worker.name}>
                {worker.name}
              </span>
              {worker.state === "online" && (
                <span className="text-xs whitespace-nowrap text-soft">
                  {worker.active_tasks === 0 ? "free" : `${worker.active_tasks} running`}
                </span>
              )}
            </li>
          ))}
          {ordered.length > most && (
            <li className="flex h-8 items-center text-soft">and {ordered.length - most} more</li>
          )}
        </ul>
      )}
    </Panel>
  );
}

/** Delivery tells whether what people asked of the workers arrived. */
export function Delivery({ slug, overview, shown }: { slug: string; overview: Overview; shown: Shown }) {
  const { open, completed, failed, timeout } = overview.commands;
  const lost = failed + timeout;
  const all = open + completed + lost;
  const agents = overview.agents;
  return (
    <Panel title="Agents and commands">
      <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-2">
        <dt className="text-soft">Agents</dt>
        <dd>
          <Link {...(toPage("agents", slug, shown) as { to: string })} className="hover:underline">
            <StateLine
              look={agents.online > 0 ? "online" : "offline"}
              text={`${agents.online} online${agents.offline > 0 ? `, ${agents.offline} offline` : ""}`}
            />
          </Link>
        </dd>
        <dt className="text-soft">Commands</dt>
        <dd>
          <Link {...(toPage("commands", slug, shown) as { to: string })} className="hover:underline">
            {all === 0
              ? "none sent in this window"
              : `${plural(completed, "command")} carried out${open > 0 ? `, ${open} under way` : ""}`}
          </Link>
        </dd>
        {lost > 0 && (
          <>
            <dt className="text-soft">Not delivered</dt>
            <dd className="text-bad">
              <Link
                {...(toPage("commands", slug, shown, {
                  status: failed >= timeout ? "failed" : "timeout",
                }) as {
                  to: string;
                })}
                className="hover:underline"
              >
                {[failed > 0 ? `${failed} failed` : "", timeout > 0 ? `${timeout} without an answer` : ""]
                  .filter(Boolean)
                  .join(", ")}
              </Link>
            </dd>
          </>
        )}
      </dl>
    </Panel>
  );
}

function StateLine({ look, text }: { look: string; text: string }) {
  return (
    <span className="inline-flex items-center gap-1.5">
      <StateShape look={presenceLook(look)} />
      {text}
    </span>
  );
}
