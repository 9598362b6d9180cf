// SPDX-License-Identifier: AGPL-3.0-or-later

import { useQuery } from "@tanstack/react-query";
import { Link, linkOptions, useParams, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { IsAgentThere } from "../agents/options";
import { useLive } from "../api/live";
import type { WorkerPublic } from "../api/schema";
import { formatExact, formatRate, plural } from "../insight/format";
import { Age } from "../ui/clock";
import { CodeBlock, Empty, ErrorNote, Notice } from "../ui/controls";
import { WarnIcon } from "../ui/icons";
import { Page } from "../ui/page";
import { PresenceBadge } from "../ui/state";
import { type DataColumn, DataTable, useUrlSort } from "../ui/table";
import { answer, attention, byHost, type Host, hostOf } from "./fleet";
import { workerList } from "./queries";

/** Above this many hosts one table with a column of hosts is easier to read than many small ones. */
const groupedUpTo = 30;

export function WorkersPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/workers" });
  const search = useSearch({ strict: false }) as { show?: string };
  const refetchInterval = useLive(["agent.changed", "task.changed"], [["p", slug, "workers", "list"]], 1500);
  const workers = useQuery({ ...workerList(slug), refetchInterval });
  const [sort, onSort] = useUrlSort({ id: "state", desc: false });
  const shown = useMemo(
    () => workers.data?.filter((each) => search.show !== "attention" || attention(each) < 3),
    [workers.data, search.show],
  );
  const hosts = useMemo(() => byHost(shown ?? []), [shown]);
  const grouped = hosts.length > 1 && hosts.length <= groupedUpTo;
  const columns = useMemo(() => columnsOf(!grouped), [grouped]);
  const needing = workers.data?.filter((each) => attention(each) < 3).length ?? 0;
  const table = (label: string, rows: WorkerPublic[] | undefined) => (
    <DataTable
      label={label}
      columns={columns}
      rows={rows}
      rowKey={(worker) => worker.id}
      rowHref={(worker) =>
        linkOptions({ to: "/projects/$slug/workers/$workerId", params: { slug, workerId: worker.id } })
      }
      sort={sort}
      onSort={onSort}
      empty={search.show === "attention" ? <AllWell slug={slug} /> : <NoWorkers slug={slug} />}
    />
  );

  return (
    <Page
      title="Workers"
      slug={slug}
      answer={workers.data ? answer(workers.data) : undefined}
      actions={
        workers.data &&
        workers.data.length > 0 && <Show slug={slug} needing={needing} all={workers.data.length} />
      }
    >
      <Suspects slug={slug} workers={workers.data} />
      {workers.error && !workers.data ? (
        <ErrorNote
          error={workers.error}
          what="The workers could not be loaded"
          onRetry={() => void workers.refetch()}
        />
      ) : grouped ? (
        hosts.map((host) => (
          <section key={host.name} className="space-y-1.5">
            <HostHeading host={host} />
            {table(`Workers on ${host.name || "unknown hosts"}`, host.workers)}
          </section>
        ))
      ) : (
        <>
          {hosts.length === 1 && hosts[0] && <HostHeading host={hosts[0]} />}
          {table("Workers", shown)}
        </>
      )}
    </Page>
  );
}

function Show({ slug, needing, all }: { slug: string; needing: number; all: number }) {
  const search = useSearch({ strict: false }) as { show?: string };
  const chip =
    "inline-flex h-8 items-center rounded-md border border-line px-2.5 hover:bg-raised aria-[current=true]:border-accent aria-[current=true]:bg-accent-wash aria-[current=true]:font-semibold max-sm:h-10";
  const attentive = search.show === "attention";
  const to = (show: string | undefined) => ({
    to: "/projects/$slug/workers" as const,
    params: { slug },
    search: ((old: Record<string, unknown>) => ({ ...old, show })) as never,
  });
  return (
    <nav aria-label="Which workers" className="flex gap-1.5">
      <Link {...to(undefined)} className={chip} activeProps={{}} aria-current={!attentive}>
        All {all}
      </Link>
      <Link {...to("attention")} className={chip} activeProps={{}} aria-current={attentive}>
        Need a look {needing}
      </Link>
    </nav>
  );
}

/** Suspects says in words which workers live without working, why that is believed, and where to act. */
function Suspects({ slug, workers }: { slug: string; workers: WorkerPublic[] | undefined }) {
  const suspects = workers?.filter((worker) => worker.idle_suspect) ?? [];
  if (suspects.length === 0) return null;
  return (
    <Notice tone="warn" title="Alive, but they seem not to consume">
      <ul className="space-y-1" data-testid="suspects">
        {suspects.slice(0, 5).map((worker) => (
          <li key={worker.id}>
            <Link
              to="/projects/$slug/workers/$workerId"
              params={{ slug, workerId: worker.id }}
              className="font-medium underline"
            >
              {worker.name}
            </Link>
            : {worker.idle_reason}.
          </li>
        ))}
        {suspects.length > 5 && <li>and {suspects.length - 5} more</li>}
      </ul>
      <p>Open one to restart its pool or renew its link to the queue.</p>
    </Notice>
  );
}

function HostHeading({ host }: { host: Host }) {
  return (
    <div className="flex flex-wrap items-baseline gap-x-3 gap-y-0.5">
      <h2 className="font-semibold break-all">{host.name || "Host not told"}</h2>
      <p className="text-xs text-soft">
        {host.online} of {plural(host.workers.length, "worker")} online
        {host.slots > 0 && `, ${host.active} of ${host.slots} slots busy`}
        {host.load !== null && `, load ${host.load.toFixed(2)}`}
        {host.suspects > 0 && <span className="text-warn">, {host.suspects} alive but idle</span>}
      </p>
    </div>
  );
}

function AllWell({ slug }: { slug: string }) {
  return (
    <Empty title="No worker needs a look">
      <p>
        All are online, and none stands idle while work waits for it.{" "}
        <Link to="/projects/$slug/workers" params={{ slug }} className="text-accent underline">
          Show all
        </Link>
      </p>
    </Empty>
  );
}

function NoWorkers({ slug }: { slug: string }) {
  return (
    <Empty title="No worker has been seen yet">
      <p>
        A worker appears when the agent inside it connects, or with the first task it works on. Start one with
        the agent's environment variables set; for Celery:
      </p>
      <CodeBlock text="celery -A shop worker -E" label="start command" />
      <IsAgentThere slug={slug} />
    </Empty>
  );
}

/** WorkerState tells the state, and flags what is alive and idle though work waits. */
export function WorkerState({
  worker,
}: {
  worker: Pick<WorkerPublic, "state" | "idle_suspect" | "idle_reason">;
}) {
  if (!worker.idle_suspect) return <PresenceBadge state={worker.state} />;
  return (
    <span
      className="inline-flex items-center gap-1.5 whitespace-nowrap text-warn"
      title={worker.idle_reason ?? undefined}
      data-testid="idle-suspect"
    >
      <WarnIcon className="size-3.5" />
      Alive, idle
    </span>
  );
}

const dash = <span className="text-soft">–</span>;

function columnsOf(withHost: boolean): DataColumn<WorkerPublic>[] {
  const columns: DataColumn<WorkerPublic>[] = [
    {
      id: "name",
      header: "Worker",
      sort: (worker) => worker.name,
      className: "md:min-w-52 max-w-64",
      cell: (worker) => (
        <span className="block truncate font-medium" title={worker.name}>
          {worker.name}
        </span>
      ),
    },
    {
      id: "state",
      header: "State",
      className: "md:min-w-32",
      sort: (worker) => attention(worker),
      cell: (worker) => <WorkerState worker={worker} />,
    },
    {
      id: "active",
      header: "Active",
      title: "Tasks running now, of the slots in its pool",
      align: "right",
      descFirst: true,
      className: "md:min-w-24",
      sort: (worker) => worker.active_tasks,
      cell: (worker) =>
        worker.concurrency ? `${worker.active_tasks} of ${worker.concurrency}` : String(worker.active_tasks),
    },
    {
      id: "rate",
      header: "Ended / min",
      title: "Tasks ended a minute, over the last 5 to 10 minutes",
      align: "right",
      descFirst: true,
      className: "md:min-w-24",
      sort: (worker) => worker.rate_per_minute,
      cell: (worker) => formatRate(worker.rate_per_minute),
    },
    {
      id: "event",
      header: "Last event",
      title: "When it was last seen doing something with a task",
      align: "right",
      descFirst: true,
      className: "md:min-w-24",
      sort: (worker) => worker.last_event_at,
      cell: (worker) => <Age at={worker.last_event_at} suffix=" ago" />,
    },
    {
      id: "heartbeat",
      header: "Heartbeat",
      title: "When it was last known to live",
      align: "right",
      descFirst: true,
      minor: true,
      className: "md:min-w-24",
      sort: (worker) => worker.last_heartbeat,
      cell: (worker) => <Age at={worker.last_heartbeat} suffix=" ago" />,
    },
    {
      id: "failed",
      header: "Failed",
      title: "Of all tasks it ever ended",
      align: "right",
      descFirst: true,
      minor: true,
      className: "md:min-w-20",
      sort: (worker) => worker.failed,
      cell: (worker) =>
        worker.failed > 0 ? <span className="text-bad">{formatExact(worker.failed)}</span> : "0",
    },
    {
      id: "load",
      header: "Load",
      align: "right",
      descFirst: true,
      minor: true,
      className: "md:min-w-16",
      sort: (worker) => worker.load_average?.[0],
      cell: (worker) => worker.load_average?.[0]?.toFixed(2) ?? dash,
    },
    {
      id: "queues",
      header: "Queues",
      minor: true,
      sort: (worker) => worker.queues.join(" "),
      // It takes what is left, so that the tables of all hosts line up.
      className: "md:w-full md:max-w-0",
      cell: (worker) => (
        <span className="block truncate" title={worker.queues.join(", ")}>
          {worker.queues.length > 0 ? worker.queues.join(", ") : dash}
        </span>
      ),
    },
    {
      id: "engine",
      header: "Engine",
      minor: true,
      className: "md:min-w-24",
      sort: (worker) => worker.engine,
      cell: (worker) => (
        <>
          {worker.engine}
          {worker.version && <span className="text-xs text-soft"> {worker.version}</span>}
        </>
      ),
    },
  ];
  if (withHost)
    columns.splice(2, 0, {
      id: "host",
      header: "Host",
      minor: true,
      className: "max-w-48",
      sort: (worker) => hostOf(worker),
      cell: (worker) => <span className="block truncate">{hostOf(worker) || dash}</span>,
    });
  return columns;
}
