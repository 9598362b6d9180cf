// SPDX-License-Identifier: AGPL-3.0-or-later

import { useQuery } from "@tanstack/react-query";
import { Link, linkOptions, useParams } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { allowed, roleIn } from "../agents/access";
import { IsAgentThere } from "../agents/options";
import { useLive } from "../api/live";
import { queries } from "../api/queries";
import type { QueuePublic } from "../api/schema";
import { formatDuration } from "../api/time";
import { type Range, useRange } from "../app/range";
import { CommandOutcome } from "../commands/outcome";
import { formatExact, formatRate, formatRough } from "../insight/format";
import { taskSearch, windowSearch } from "../insight/links";
import { Button, buttonClass, CodeBlock, Empty, ErrorNote, Notice } from "../ui/controls";
import { Page } from "../ui/page";
import { Sparkline } from "../ui/spark";
import { type DataColumn, DataTable, useUrlSort } from "../ui/table";
import { answer, backlog, backlogText, drainText, severity } from "./answer";
import { Purge } from "./purge";
import { queueList } from "./queries";
import { TrendBadge } from "./trend";

type CanPurge = (queue: QueuePublic) => { agentId: string | null; reason: string | null };

export function QueuesPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/queues" });
  const range = useRange();
  const refetchInterval = useLive(["agent.changed", "task.changed"], [["p", slug, "queues", "list"]], 2000);
  const queues = useQuery({ ...queueList(slug, range), refetchInterval });
  const agents = useQuery(queries.agents(slug));
  const me = useQuery(queries.me());
  const role = roleIn(me.data, slug);
  const [sort, onSort] = useUrlSort({ id: "state", desc: true });
  const [purging, setPurging] = useState<QueuePublic | null>(null);
  const [issued, setIssued] = useState<string[]>([]);
  const canPurge = useMemo<CanPurge>(
    () => (queue) => {
      const can = allowed(agents.data, queue.engine, "purge_queue", role, "admin");
      return { agentId: can.agents[0]?.id ?? null, reason: can.reason };
    },
    [agents.data, role],
  );
  const columns = useMemo(() => columnsOf(slug, range, canPurge, setPurging), [slug, range, canPurge]);

  return (
    <Page
      title="Queues"
      slug={slug}
      answer={queues.data ? answer(queues.data) : undefined}
      actions={
        <Link to="/projects/$slug/dead-letters" params={{ slug }} className={buttonClass("plain")}>
          Dead letters
        </Link>
      }
    >
      {issued.map((id) => (
        <Notice key={id} tone="info">
          <CommandOutcome slug={slug} id={id} />
        </Notice>
      ))}
      {queues.error && !queues.data ? (
        <ErrorNote
          error={queues.error}
          what="The queues could not be loaded"
          onRetry={() => void queues.refetch()}
        />
      ) : (
        <DataTable
          label="Queues"
          columns={columns}
          rows={queues.data}
          rowKey={(queue) => queue.id}
          rowHref={(queue) =>
            linkOptions({
              to: "/projects/$slug/queues/$engine/$name",
              params: { slug, engine: queue.engine, name: queue.name },
              search: windowSearch(range) as never,
            })
          }
          sort={sort}
          onSort={onSort}
          empty={<NoQueues slug={slug} />}
        />
      )}
      {purging && (
        <Purge
          slug={slug}
          queue={purging}
          {...canPurge(purging)}
          onClose={() => setPurging(null)}
          onIssued={(id) => {
            setIssued((all) => [id, ...all]);
            setPurging(null);
          }}
        />
      )}
    </Page>
  );
}

function NoQueues({ slug }: { slug: string }) {
  return (
    <Empty title="No queue has been seen yet">
      <p>
        A queue appears with the first task that passes through it, or when an agent reports its depth. Send a
        task from an application whose worker runs an agent:
      </p>
      <CodeBlock text="celery -A shop call shop.tasks.ping" label="command that sends a task" />
      <IsAgentThere slug={slug} />
    </Empty>
  );
}

/** None stands where nothing is reported, with the reason on hover. */
const None = ({ why }: { why: string }) => (
  <span className="text-soft" title={why}>
    –
  </span>
);

function columnsOf(
  slug: string,
  range: Range,
  canPurge: CanPurge,
  purge: (queue: QueuePublic) => void,
): DataColumn<QueuePublic>[] {
  const tasks = (queue: QueuePublic, state: string, text: string, tone = "") => (
    <Link
      to="/projects/$slug/tasks"
      params={{ slug }}
      search={taskSearch({ queue: queue.name, state }, range) as never}
      className={`relative z-10 hover:underline ${tone}`}
    >
      {text}
    </Link>
  );
  return [
    {
      id: "name",
      header: "Queue",
      sort: (queue) => queue.name,
      className: "max-w-64",
      cell: (queue) => (
        <span className="block truncate font-medium" title={`${queue.name} (${queue.engine})`}>
          {queue.name} <span className="text-xs font-normal text-soft">{queue.engine}</span>
        </span>
      ),
    },
    {
      id: "state",
      header: "Drains?",
      title: "Judged over the last 10 minutes",
      sort: (queue) => severity[queue.trend] * 1e9 + (backlog(queue)?.n ?? 0),
      descFirst: true,
      cell: (queue) => (
        <span className="flex items-baseline gap-x-1.5 whitespace-nowrap">
          <TrendBadge trend={queue.trend} drain={queue.drain_seconds} />
          {queue.trend === "draining" && queue.drain_seconds !== null && queue.drain_seconds >= 60 && (
            <span className="text-xs text-soft">{formatRough(queue.drain_seconds)}</span>
          )}
          <span className="sr-only">{drainText(queue)}</span>
        </span>
      ),
    },
    {
      id: "depth",
      header: "Depth",
      title: "Messages at the broker, as last reported",
      align: "right",
      descFirst: true,
      minor: true,
      sort: (queue) => queue.depth,
      cell: (queue) =>
        queue.depth === null ? (
          <None why="The engine does not report a depth of this queue" />
        ) : (
          <span className={queue.depth > 0 ? "font-semibold" : ""}>{formatExact(queue.depth)}</span>
        ),
    },
    {
      id: "waiting",
      header: "Waiting",
      title: "Tasks that were seen and have not started",
      align: "right",
      descFirst: true,
      sort: (queue) => queue.waiting,
      cell: (queue) =>
        queue.waiting === null ? (
          <None why="Not counted in projects with very many queues" />
        ) : queue.waiting > 0 ? (
          tasks(queue, "received", backlogText({ ...queue, depth: null }), "font-semibold")
        ) : (
          "0"
        ),
    },
    {
      id: "oldest",
      header: "Oldest wait",
      align: "right",
      descFirst: true,
      sort: (queue) => queue.oldest_wait_seconds,
      cell: (queue) =>
        queue.oldest_wait_seconds === null ? (
          <None why="Nothing is known to wait" />
        ) : (
          formatDuration(queue.oldest_wait_seconds * 1000)
        ),
    },
    {
      id: "spark",
      header: "Over time",
      title: `Highest depth, ${range.label}`,
      minor: true,
      cell: (queue) =>
        queue.depth_spark.some((each) => each !== null) ? (
          <Sparkline
            values={queue.depth_spark}
            label={`Depth of ${queue.name}, ${range.label}`}
            tone="run"
            width={72}
          />
        ) : (
          <None why="No depth was reported in this window" />
        ),
    },
    {
      id: "rates",
      header: "In / out a min",
      title: `Tasks received and ended a minute, ${range.label}`,
      align: "right",
      descFirst: true,
      minor: true,
      sort: (queue) => queue.out_per_minute,
      cell: (queue) => (
        <>
          {queue.in_per_minute === null ? (
            <None why={`${queue.engine} does not tell when tasks are received`} />
          ) : (
            formatRate(queue.in_per_minute)
          )}
          <span className="text-soft"> / </span>
          {formatRate(queue.out_per_minute)}
        </>
      ),
    },
    {
      id: "wait",
      header: "p95 wait",
      title: `95 of 100 tasks waited no longer than this before they started, ${range.label}`,
      align: "right",
      descFirst: true,
      minor: true,
      sort: (queue) => queue.p95_wait_ms,
      cell: (queue) =>
        queue.p95_wait_ms === null ? (
          <None why="No wait was measured in this window" />
        ) : (
          formatDuration(queue.p95_wait_ms)
        ),
    },
    {
      id: "failed",
      header: "Failed",
      title: range.label,
      align: "right",
      descFirst: true,
      minor: true,
      sort: (queue) => queue.failed,
      cell: (queue) =>
        queue.failed > 0 ? tasks(queue, "failure", formatExact(queue.failed), "text-bad") : "0",
    },
    {
      id: "consumers",
      header: "Consumers",
      title: "Online workers that say they consume the queue",
      align: "right",
      sort: (queue) => queue.consumers,
      cell: (queue) =>
        queue.consumers === null ? (
          <None why={`No online ${queue.engine} worker tells which queues it consumes`} />
        ) : queue.consumers === 0 ? (
          <span className="font-semibold text-bad">none</span>
        ) : (
          String(queue.consumers)
        ),
    },
    {
      id: "actions",
      header: "Actions",
      hideHeader: true,
      align: "right",
      minor: true,
      cell: (queue) => (
        <Button
          kind="quiet"
          className="relative z-10 -my-1"
          reason={canPurge(queue).reason}
          aria-label={`Purge ${queue.name}`}
          onClick={() => purge(queue)}
        >
          Purge
        </Button>
      ),
    },
  ];
}
