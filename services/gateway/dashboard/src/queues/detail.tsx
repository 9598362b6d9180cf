// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, linkOptions, useParams } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { ApiError } from "../api/client";
import { useLive } from "../api/live";
import type { QueueDetailPublic, QueueNamePublic, QueueWorkerPublic } from "../api/schema";
import { formatDuration } from "../api/time";
import { type Range, useRange } from "../app/range";
import { CommandOutcome } from "../commands/outcome";
import { PercentileChart, ThroughputChart } from "../insight/charts";
import { formatExact, formatRate } from "../insight/format";
import { taskSearch } from "../insight/links";
import { insight } from "../insight/queries";
import { offerOf } from "../offer/offer";
import { TimeChart } from "../ui/chart";
import { Age } from "../ui/clock";
import { Button, buttonClass, Empty, ErrorNote, Notice, Panel, Skeleton } from "../ui/controls";
import { formatPercent } from "../ui/delta";
import { Page } from "../ui/page";
import { Stat, Stats } from "../ui/stat";
import { PresenceBadge } from "../ui/state";
import { type DataColumn, DataTable } from "../ui/table";
import { backlogText, drainText, verdict } from "./answer";
import { fillDepths } from "./depths";
import { Purge } from "./purge";
import { queueDetail } from "./queries";
import { TrendBadge } from "./trend";

export function QueuePage() {
  const { slug, engine, name } = useParams({ from: "/app/projects/$slug/queues/$engine/$name" });
  const range = useRange();
  const refetchInterval = useLive(["agent.changed", "task.changed"], [["p", slug, "queues", "one"]], 2000);
  const queue = useQuery({ ...queueDetail(slug, engine, name, range), refetchInterval });
  const seriesPoll = useLive(["task.changed"], [["p", slug, "series"]], 2000);
  const scope = { queue: name };
  const series = useQuery({ ...insight.series(slug, range, scope), refetchInterval: seriesPoll });
  const [purging, setPurging] = useState(false);
  const [issued, setIssued] = useState<string[]>([]);
  const data = queue.data;
  const purge = offerOf(data?.allowed_actions, "purge_queue");

  if (queue.error && !data) {
    const gone = queue.error instanceof ApiError && queue.error.status === 404;
    return (
      <Page title={name} slug={slug}>
        {gone ? (
          <Empty title="This queue is not known">
            <p>
              No {engine} queue named <code>{name}</code> was seen in this project, or it was forgotten after
              a long silence. It comes back with its next task.
            </p>
            <p>
              <Link to="/projects/$slug/queues" params={{ slug }} className="text-accent underline">
                All queues
              </Link>
            </p>
          </Empty>
        ) : (
          <ErrorNote
            error={queue.error}
            what="The queue could not be loaded"
            onRetry={() => void queue.refetch()}
          />
        )}
      </Page>
    );
  }

  return (
    <Page
      title={name}
      slug={slug}
      answer={data ? verdict(data) : undefined}
      actions={
        <>
          <Link
            to="/projects/$slug/tasks"
            params={{ slug }}
            search={taskSearch({ queue: name }, range) as never}
            className={buttonClass("plain")}
          >
            Its tasks
          </Link>
          <Button kind="danger" reason={purge.reason} onClick={() => setPurging(true)}>
            Purge
          </Button>
        </>
      }
    >
      {issued.map((id) => (
        <Notice key={id} tone="info">
          <CommandOutcome slug={slug} id={id} />
        </Notice>
      ))}
      {data ? <Numbers slug={slug} queue={data} range={range} /> : <NumbersSkeleton />}
      <Depth queue={data} range={range} />
      {!series.error && (
        <div className="grid gap-4 xl:grid-cols-2">
          <ThroughputChart
            slug={slug}
            range={range}
            query={series}
            scope={scope}
            title="What left it"
            height={160}
          />
          <PercentileChart slug={slug} range={range} query={series} scope={scope} kind="wait" height={160} />
        </div>
      )}
      <div className="grid gap-4 xl:grid-cols-2">
        <Panel title={`Tasks in this queue, ${range.label.toLowerCase()}`} pad={false}>
          <Names slug={slug} queue={data} name={name} range={range} />
        </Panel>
        <Panel title="Workers that consume it" pad={false}>
          <Workers slug={slug} queue={data} />
        </Panel>
      </div>
      {purging && data && (
        <Purge
          slug={slug}
          queue={data}
          {...purge}
          onClose={() => setPurging(false)}
          onIssued={(id) => {
            setIssued((all) => [id, ...all]);
            setPurging(false);
          }}
        />
      )}
    </Page>
  );
}

function NumbersSkeleton() {
  return (
    <Stats>
      {["a", "b", "c", "d", "e", "f"].map((each) => (
        <Skeleton key={each} className="h-21" />
      ))}
    </Stats>
  );
}

function Numbers({ slug, queue, range }: { slug: string; queue: QueueDetailPublic; range: Range }) {
  const tasks = (state: string) =>
    linkOptions({
      to: "/projects/$slug/tasks",
      params: { slug },
      search: taskSearch({ queue: queue.name, state }, range) as never,
    });
  return (
    <Stats>
      <Stat
        label="Where it is going"
        value={<TrendBadge trend={queue.trend} drain={queue.drain_seconds} />}
        note={drainText(queue)}
      />
      <Stat
        label="Depth at the broker"
        value={queue.depth === null ? "–" : formatExact(queue.depth)}
        note={
          queue.depth === null ? (
            "not reported by this engine"
          ) : (
            <>
              reported <Age at={queue.depth_at} suffix=" ago" />
            </>
          )
        }
      />
      <Stat
        label="Waiting"
        value={backlogText({ ...queue, depth: null }, "–")}
        note={
          queue.oldest_wait_seconds === null
            ? "received and not started"
            : `the oldest for ${formatDuration(queue.oldest_wait_seconds * 1000)}`
        }
        to={tasks("received")}
      />
      <Stat
        label="In and out a minute"
        value={`${queue.in_per_minute === null ? "?" : formatRate(queue.in_per_minute)} / ${formatRate(queue.out_per_minute)}`}
        note={queue.in_per_minute === null ? "this engine does not tell what comes in" : range.label}
      />
      <Stat
        label="p95 wait"
        value={queue.p95_wait_ms === null ? "–" : formatDuration(queue.p95_wait_ms)}
        note={range.label}
      />
      <Stat
        label="Failed"
        value={formatExact(queue.failed)}
        tone={queue.failed > 0 ? "bad" : undefined}
        note={`of ${formatExact(queue.ended)} ended`}
        to={tasks("failure")}
      />
    </Stats>
  );
}

function Depth({ queue, range }: { queue: QueueDetailPublic | undefined; range: Range }) {
  if (!queue) return <Skeleton className="h-60" />;
  if (queue.depth_series.length === 0) {
    return (
      <Panel title="Depth over time">
        <p className="text-soft">
          {queue.depth === null
            ? `No depth of this queue is reported. Celery on Redis tells none; RabbitMQ, RQ and Dramatiq do. What waits is counted from the tasks instead.`
            : "No depth was reported in this window."}
        </p>
      </Panel>
    );
  }
  const { times, depth, peak } = fillDepths(
    queue.depth_series,
    queue.bucket_seconds,
    Date.parse(queue.window.from),
    Date.parse(queue.window.to),
  );
  return (
    <Panel>
      <TimeChart
        caption={`Depth by the ${queue.bucket_seconds === 60 ? "minute" : "hour"}`}
        times={times}
        bucketSeconds={queue.bucket_seconds}
        series={[
          { label: "Highest", values: peak, tone: "run", kind: "band", low: depth },
          { label: "At the end", values: depth, tone: "ink", kind: "line" },
        ]}
        unit="rate"
        onBrush={range.setWindow}
      />
    </Panel>
  );
}

function Names({
  slug,
  queue,
  name,
  range,
}: {
  slug: string;
  queue: QueueDetailPublic | undefined;
  name: string;
  range: Range;
}) {
  const columns = useMemo<DataColumn<QueueNamePublic>[]>(
    () => [
      {
        id: "name",
        header: "Task",
        className: "max-w-72",
        cell: (row) => (
          <span className="block truncate" title={row.name}>
            {row.name}
          </span>
        ),
      },
      { id: "ended", header: "Ended", align: "right", cell: (row) => formatExact(row.ended) },
      {
        id: "failed",
        header: "Failed",
        align: "right",
        cell: (row) => (row.failed > 0 ? <span className="text-bad">{formatExact(row.failed)}</span> : "0"),
      },
      {
        id: "rate",
        header: "Failure rate",
        align: "right",
        minor: true,
        cell: (row) => formatPercent(row.failure_rate),
      },
    ],
    [],
  );
  return (
    <DataTable
      label="Tasks by name"
      columns={columns}
      rows={queue?.top_names}
      rowKey={(row) => row.name}
      rowHref={(row) =>
        linkOptions({
          to: "/projects/$slug/tasks",
          params: { slug },
          search: taskSearch({ queue: name, name: row.name }, range) as never,
        })
      }
      skeletonRows={4}
      empty={<p className="p-3 text-soft">Nothing happened in this queue in this window.</p>}
    />
  );
}

function Workers({ slug, queue }: { slug: string; queue: QueueDetailPublic | undefined }) {
  const columns = useMemo<DataColumn<QueueWorkerPublic>[]>(
    () => [
      {
        id: "name",
        header: "Worker",
        className: "max-w-64",
        cell: (row) => (
          <span className="block truncate" title={row.name}>
            {row.name}
          </span>
        ),
      },
      {
        id: "state",
        header: "State",
        cell: (row) =>
          row.idle_suspect ? (
            <span className="text-warn">Alive, but idle</span>
          ) : (
            <PresenceBadge state={row.state} />
          ),
      },
      {
        id: "active",
        header: "Active",
        align: "right",
        cell: (row) =>
          row.concurrency ? `${row.active_tasks} of ${row.concurrency}` : String(row.active_tasks),
      },
      {
        id: "event",
        header: "Last event",
        align: "right",
        minor: true,
        cell: (row) => <Age at={row.last_event_at} suffix=" ago" />,
      },
    ],
    [],
  );
  return (
    <DataTable
      label="Workers of the queue"
      columns={columns}
      rows={queue?.workers}
      rowKey={(row) => row.id}
      rowHref={(row) =>
        linkOptions({ to: "/projects/$slug/workers/$workerId", params: { slug, workerId: row.id } })
      }
      skeletonRows={4}
      empty={
        <div className="space-y-2 p-3 text-soft">
          <p>
            {queue?.consumers === null
              ? `No online ${queue.engine} worker tells which queues it consumes, so this can't be said.`
              : "No worker says that it consumes this queue."}
          </p>
          {queue?.consumers === 0 && (
            <p>
              Have a running worker consume it on the worker's page, or start one with it
              {queue.engine === "celery" ? (
                <>
                  : <code>celery -A shop worker -Q {queue.name}</code>
                </>
              ) : (
                "."
              )}
            </p>
          )}
          <p>
            <Link to="/projects/$slug/workers" params={{ slug }} className="text-accent underline">
              All workers
            </Link>
          </p>
        </div>
      }
    />
  );
}
