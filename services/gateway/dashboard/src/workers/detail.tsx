// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, linkOptions, useParams } from "@tanstack/react-router";
import { type ReactNode, useMemo } from "react";
import { ApiError } from "../api/client";
import { useLive } from "../api/live";
import type { LintFindingPublic, WorkerDetailPublic, WorkerTaskPublic } from "../api/schema";
import { parseTime } from "../api/time";
import type { JsonObject } from "../api/types";
import { useCrumb } from "../app/crumbs";
import { useRange } from "../app/range";
import { formatExact, formatRate, formatRough } from "../insight/format";
import { taskSearch } from "../insight/links";
import { Age, useNow } from "../ui/clock";
import { buttonClass, Empty, ErrorNote, Notice, Panel, Skeleton } from "../ui/controls";
import { JsonBlock } from "../ui/json";
import { Page } from "../ui/page";
import { Stat, Stats } from "../ui/stat";
import { StateShape, type Tone } from "../ui/state";
import { type DataColumn, DataTable } from "../ui/table";
import { Controls } from "./controls";
import { advice, hostOf } from "./fleet";
import { workerDetail } from "./queries";
import { WorkerState } from "./workers";

export function WorkerPage() {
  const { slug, workerId } = useParams({ from: "/app/projects/$slug/workers/$workerId" });
  const range = useRange();
  const refetchInterval = useLive(
    ["agent.changed", "task.changed", "command.changed"],
    [["p", slug, "workers", "one", workerId]],
    1000,
  );
  const query = useQuery({ ...workerDetail(slug, workerId), refetchInterval });
  const worker = query.data;
  useCrumb(worker?.name);

  if (query.error && !worker) {
    const gone = query.error instanceof ApiError && [404, 422].includes(query.error.status);
    return (
      <Page title="Worker" slug={slug}>
        {gone ? (
          <Empty title="This worker is not known">
            <p>It was never seen in this project, or it was forgotten after a long silence.</p>
            <p>
              <Link to="/projects/$slug/workers" params={{ slug }} className="text-accent underline">
                All workers
              </Link>
            </p>
          </Empty>
        ) : (
          <ErrorNote
            error={query.error}
            what="The worker could not be loaded"
            onRetry={() => void query.refetch()}
          />
        )}
      </Page>
    );
  }
  if (!worker) {
    return (
      <Page title="Worker" slug={slug}>
        <Stats>
          {["a", "b", "c", "d", "e", "f"].map((each) => (
            <Skeleton key={each} className="h-21" />
          ))}
        </Stats>
        <Skeleton className="h-40" />
        <Skeleton className="h-40" />
      </Page>
    );
  }
  const tasks = (state?: string) =>
    linkOptions({
      to: "/projects/$slug/tasks",
      params: { slug },
      search: taskSearch({ worker: worker.name, state }, range) as never,
    });
  return (
    <Page
      title={worker.name}
      slug={slug}
      answer={verdict(worker)}
      actions={
        <Link {...tasks()} className={buttonClass("plain")}>
          Its tasks
        </Link>
      }
    >
      {worker.idle_suspect && (
        <Notice tone="warn" title="Alive, but it seems not to consume">
          <p>{worker.idle_reason}.</p>
          <p>What usually helps, the mildest first:</p>
          <ol className="list-decimal space-y-0.5 pl-5">
            {advice(worker).map((each) => (
              <li key={each}>{each}</li>
            ))}
          </ol>
        </Notice>
      )}
      <Stats>
        <Stat
          label="State"
          value={<WorkerState worker={worker} />}
          note={
            <>
              heartbeat <Age at={worker.last_heartbeat} suffix=" ago" />
            </>
          }
        />
        <Stat
          label="Active now"
          value={worker.concurrency ? `${worker.active_tasks} of ${worker.concurrency}` : worker.active_tasks}
          note={worker.concurrency ? "slots of its pool" : "tasks"}
          to={tasks("started")}
        />
        <Stat
          label="Last event"
          value={<Age at={worker.last_event_at} suffix=" ago" />}
          note={worker.last_event_at ? "of a task on it" : "never seen with a task"}
        />
        <Stat
          label="Ended a minute"
          value={formatRate(worker.rate_per_minute)}
          note={`over the last ${formatRough(worker.rate_seconds)}`}
        />
        <Stat
          label="Succeeded"
          value={formatExact(worker.succeeded)}
          note="since it was first seen"
          to={tasks("success")}
        />
        <Stat
          label="Failed"
          value={formatExact(worker.failed)}
          tone={worker.failed > 0 ? "bad" : undefined}
          note={`${formatExact(worker.retried)} retried`}
          to={tasks("failure")}
        />
      </Stats>
      <Controls slug={slug} worker={worker} />
      <Panel title="Running now" pad={false}>
        <Running slug={slug} worker={worker} />
      </Panel>
      <Panel title="Its configuration">
        <Findings worker={worker} />
      </Panel>
      <Panel title="About it">
        <About slug={slug} worker={worker} />
      </Panel>
    </Page>
  );
}

function verdict(worker: WorkerDetailPublic): string {
  if (worker.idle_suspect) return "Alive, but it seems not to consume.";
  switch (worker.state) {
    case "offline":
      return "Offline: nothing was heard of it, and its agent would tell.";
    case "draining":
      return "It ends what it runs and takes nothing new.";
    case "unknown":
      return "Not known whether it runs: it is only heard of when it works on a task.";
  }
  if (worker.active_tasks > 0 || worker.current_tasks.length > 0)
    return `Consuming: ${Math.max(worker.active_tasks, worker.current_tasks.length)} running.`;
  return "Ready: nothing waits for it.";
}

function Running({ slug, worker }: { slug: string; worker: WorkerDetailPublic }) {
  const columns = useMemo<DataColumn<WorkerTaskPublic>[]>(
    () => [
      {
        id: "name",
        header: "Task",
        className: "max-w-72",
        cell: (task) => (
          <span className="block truncate font-medium" title={task.name}>
            {task.name}
          </span>
        ),
      },
      {
        id: "id",
        header: "Id",
        minor: true,
        cell: (task) => <code className="text-xs">{task.task_id.slice(0, 8)}</code>,
      },
      { id: "queue", header: "Queue", minor: true, cell: (task) => task.queue ?? "–" },
      { id: "since", header: "Running for", align: "right", cell: (task) => <Since at={task.started_at} /> },
    ],
    [],
  );
  return (
    <DataTable
      label="Tasks running on this worker"
      columns={columns}
      rows={worker.current_tasks}
      rowKey={(task) => `${task.engine}:${task.task_id}`}
      rowHref={(task) =>
        linkOptions({
          to: "/projects/$slug/tasks/$engine/$taskId",
          params: { slug, engine: task.engine, taskId: task.task_id },
        })
      }
      empty={
        <p className="p-3 text-soft">
          {worker.active_tasks > 0
            ? `It reported ${worker.active_tasks} active, up to a minute ago; none is known to run any more.`
            : "Nothing."}
        </p>
      }
    />
  );
}

function Since({ at }: { at: string | null }) {
  const now = useNow();
  const ms = parseTime(at);
  return <span>{ms === null ? "–" : formatRough(Math.max(0, now - ms) / 1000)}</span>;
}

const tones: Record<string, { tone: Tone; shape: "triangle" | "half" | "ring"; word: string }> = {
  high: { tone: "bad", shape: "triangle", word: "Dangerous" },
  medium: { tone: "warn", shape: "half", word: "Risky" },
  low: { tone: "wait", shape: "ring", word: "Could be better" },
};

function Findings({ worker }: { worker: WorkerDetailPublic }) {
  if (!worker.evaluated) {
    return (
      <p className="text-soft">
        {worker.engine === "celery"
          ? "The worker has not told its configuration yet; Celery workers do within a minute of their agent's start."
          : `${worker.engine} workers do not report their configuration, so there is nothing to judge.`}
      </p>
    );
  }
  if (worker.findings.length === 0) return <p>Nothing to improve in what it reports.</p>;
  return (
    <ul className="space-y-4" data-testid="findings">
      {worker.findings.map((finding) => (
        <Finding key={finding.rule_id} finding={finding} />
      ))}
    </ul>
  );
}

function Finding({ finding }: { finding: LintFindingPublic }) {
  const look = tones[finding.severity] ?? {
    tone: "wait" as Tone,
    shape: "ring" as const,
    word: finding.severity,
  };
  return (
    <li className="flex gap-2.5">
      <span className="mt-1">
        <StateShape look={{ label: look.word, shape: look.shape, tone: look.tone }} />
      </span>
      <div className="min-w-0 space-y-0.5">
        <p className="font-medium">
          {finding.title} <span className="text-xs font-normal text-soft">{look.word.toLowerCase()}</span>
        </p>
        <p className="text-soft">{finding.detail}</p>
        <p>
          <span className="font-medium">Do this: </span>
          {finding.remedy} <code className="text-xs text-soft">{finding.setting}</code>
        </p>
      </div>
    </li>
  );
}

function About({ slug, worker }: { slug: string; worker: WorkerDetailPublic }) {
  const meta = worker.metadata as JsonObject | null;
  const facts: [string, ReactNode][] = [
    ["Host", hostOf(worker) || "not told"],
    ["Process", worker.pid ?? "not told"],
    ["Engine", `${worker.engine}${worker.version ? ` ${worker.version}` : ""}`],
    [
      "Load of the host",
      worker.load_average ? worker.load_average.map((each) => each.toFixed(2)).join("  ") : "not told",
    ],
    [
      "Told of by",
      worker.agent_id ? (
        <Link
          key="a"
          to="/projects/$slug/agents"
          params={{ slug }}
          search={{ id: worker.agent_id } as never}
          className="text-accent underline"
        >
          its agent
        </Link>
      ) : (
        "no agent any more"
      ),
    ],
    ["First seen", <Age key="c" at={worker.created_at} suffix=" ago" />],
  ];
  return (
    <div className="space-y-4">
      <dl className="grid gap-x-6 gap-y-1.5 sm:grid-cols-[max-content_1fr]">
        {facts.map(([name, value]) => (
          <div key={name} className="contents max-sm:block">
            <dt className="text-soft">{name}</dt>
            <dd className="min-w-0 break-all">{value}</dd>
          </div>
        ))}
      </dl>
      {meta && Object.keys(meta).length > 0 && (
        <div>
          <h3 className="font-semibold">What the engine reports</h3>
          <JsonBlock value={meta} />
        </div>
      )}
    </div>
  );
}
