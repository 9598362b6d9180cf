// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import { useLink } from "../api/live";
import { pollInterval, queries } from "../api/queries";
import { formatDuration } from "../api/time";
import type { Json, Task } from "../api/types";
import { SilentWorkerHint } from "../tasks/hint";
import { Absolute, Age, useNow } from "../ui/clock";
import { CopyButton, Empty, ErrorNote, Panel, Skeleton } from "../ui/controls";
import { JsonBlock } from "../ui/json";
import { TaskBadge } from "../ui/state";
import { useTitle } from "../ui/title";
import { TaskActions } from "./actions";
import { RawEvents, Timeline } from "./timelineview";
import { Traceback } from "./tracebackview";
import { displayName, isTerminal, runtime, shortName, verdict, waitTime } from "./verdict";

/** The question of this page: why did it end like this? */
export function TaskPage() {
  const { slug, engine, taskId } = useParams({ from: "/app/projects/$slug/tasks/$engine/$taskId" });
  const refetchInterval = pollInterval(useLink());
  const task = useQuery({
    ...queries.task(slug, engine, taskId),
    // A task that a retry has just started is not known before its first event.
    refetchInterval: (query) => (query.state.error ? 3000 : refetchInterval),
  });
  const events = useQuery({ ...queries.events(slug, engine, taskId), refetchInterval });
  const now = useNow();
  useTitle(task.data ? shortName(displayName(task.data.name)) : "Task", slug);

  if (!task.data) {
    if (task.error instanceof ApiError && task.error.status === 404)
      return <Unknown slug={slug} taskId={taskId} />;
    if (task.error) {
      return (
        <div className="p-4">
          <ErrorNote
            error={task.error}
            what="The task could not be loaded"
            onRetry={() => void task.refetch()}
          />
        </div>
      );
    }
    return <Loading />;
  }
  const data = task.data;
  const list = events.data?.items ?? [];
  const trace = data.traceback ?? (data.exception?.includes("\n") ? data.exception : null);

  return (
    <div className="mx-auto max-w-[1600px] space-y-4 p-3 md:p-4">
      <header className="space-y-2">
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <h1 className="min-w-0 text-lg font-semibold">{displayName(data.name)}</h1>
          <TaskBadge state={data.state} />
        </div>
        <p className="text-base" data-testid="verdict">
          {verdict(data, list, now)}
        </p>
        <TaskActions slug={slug} task={data} events={list} />
      </header>

      {!isTerminal(data.state) && data.state !== "started" && <SilentWorkerHint slug={slug} />}

      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,2fr)_minmax(18rem,1fr)]">
        <div className="min-w-0 space-y-4">
          <Panel title="What happened">
            {events.error && !events.data ? (
              <ErrorNote
                error={events.error}
                what="The events could not be loaded"
                onRetry={() => void events.refetch()}
              />
            ) : (
              <Timeline events={list} loading={!events.data} open={!isTerminal(data.state)} />
            )}
          </Panel>
          {trace ? <Traceback source={trace} /> : data.exception && <Exception text={data.exception} />}
          <Panel title="Called with">
            <Call task={data} />
          </Panel>
          {data.result !== null && data.result !== undefined && (
            <Panel
              title="Result"
              actions={<CopyButton text={plain(data.result)} label="Copy the result" compact />}
            >
              <Value value={data.result} />
            </Panel>
          )}
          <RawEvents events={list} />
        </div>
        <Facts task={data} slug={slug} />
      </div>
    </div>
  );
}

function Unknown({ slug, taskId }: { slug: string; taskId: string }) {
  return (
    <Empty title="This task is not known here">
      <p>
        No event about <code>{taskId}</code> has arrived. A task that was just started shows up with its first
        event, and this page then fills by itself; an old one may have passed its retention or was deleted.
      </p>
      <p>
        <Link to="/projects/$slug/tasks" params={{ slug }} className="text-accent underline">
          Back to the tasks
        </Link>
      </p>
    </Empty>
  );
}

function Loading() {
  return (
    <div role="status" className="space-y-4 p-4">
      <span className="sr-only">Loading the task</span>
      <Skeleton className="h-7 w-72" />
      <Skeleton className="h-5 w-96 max-w-full" />
      <div className="grid gap-4 lg:grid-cols-[minmax(0,2fr)_minmax(18rem,1fr)]">
        <Skeleton className="h-64" />
        <Skeleton className="h-64" />
      </div>
    </div>
  );
}

const plain = (value: Json): string => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** Results often are the text of a Python repr; JSON inside text is shown as a tree. */
function Value({ value }: { value: Json }) {
  if (typeof value === "string") {
    const parsed = parseStructured(value);
    if (parsed === undefined)
      return <pre className="max-h-96 overflow-auto whitespace-pre-wrap">{value}</pre>;
    return <JsonBlock value={parsed} />;
  }
  return <JsonBlock value={value} />;
}

function parseStructured(text: string): Json | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

function Call({ task }: { task: Task }) {
  const noArgs = task.args === null || (Array.isArray(task.args) && task.args.length === 0);
  const noKwargs =
    task.kwargs === null ||
    (typeof task.kwargs === "object" && !Array.isArray(task.kwargs) && Object.keys(task.kwargs).length === 0);
  if (task.args === null && task.kwargs === null) {
    return <p className="text-soft">The {task.engine} agent does not report arguments for this task.</p>;
  }
  if (noArgs && noKwargs) return <p className="text-soft">No arguments.</p>;
  return (
    <div className="grid gap-4 md:grid-cols-2">
      {!noArgs && (
        <div className="min-w-0">
          <h3 className="mb-1 text-xs font-semibold text-soft">Arguments</h3>
          <Value value={task.args} />
        </div>
      )}
      {!noKwargs && (
        <div className="min-w-0">
          <h3 className="mb-1 text-xs font-semibold text-soft">Keyword arguments</h3>
          <Value value={task.kwargs} />
        </div>
      )}
    </div>
  );
}

function Exception({ text }: { text: string }) {
  return (
    <Panel title="Exception" actions={<CopyButton text={text} label="Copy the exception" compact />}>
      <pre className="whitespace-pre-wrap text-bad">{text}</pre>
    </Panel>
  );
}

function Facts({ task, slug }: { task: Task; slug: string }) {
  const related = (id: string | null): ReactNode =>
    id && id !== task.task_id ? (
      <Link
        to="/projects/$slug/tasks/$engine/$taskId"
        params={{ slug, engine: task.engine, taskId: id }}
        className="font-mono text-xs text-accent underline"
      >
        {id}
      </Link>
    ) : null;
  const facts: [string, ReactNode][] = [
    [
      "Task id",
      <span key="id" className="flex items-start gap-1">
        <code className="min-w-0">{task.task_id}</code>
        <CopyButton text={task.task_id} label="Copy the task id" compact />
      </span>,
    ],
    ["Engine", task.engine],
    [
      "Queue",
      task.queue && (
        <Link
          to="/projects/$slug/tasks"
          params={{ slug }}
          search={{ queue: task.queue }}
          className="text-accent underline"
        >
          {task.queue}
        </Link>
      ),
    ],
    [
      "Worker",
      task.worker_name && (
        <Link
          to="/projects/$slug/tasks"
          params={{ slug }}
          search={{ worker: task.worker_name }}
          className="text-accent underline"
        >
          {task.worker_name}
        </Link>
      ),
    ],
    ["Priority", task.priority === "normal" ? null : task.priority],
    ["Retries", task.retry_count > 0 ? String(task.retry_count) : null],
    ["Due", task.eta && <Absolute at={task.eta} />],
    ["Received", task.received_at && <When at={task.received_at} />],
    ["Started", task.started_at && <When at={task.started_at} />],
    ["Ended", task.finished_at && <When at={task.finished_at} />],
    ["Waited", waitTime(task) !== null ? formatDuration(waitTime(task)) : null],
    ["Ran", runtime(task) !== null ? formatDuration(runtime(task)) : null],
    ["Started by", related(task.parent_task_id)],
    ["Workflow root", related(task.root_task_id)],
    ["Tags", task.tags.length > 0 ? task.tags.join(", ") : null],
  ];
  return (
    <Panel title="Facts">
      <dl className="grid grid-cols-[6.5rem_minmax(0,1fr)] gap-x-3 gap-y-1.5">
        {facts
          .filter(([, value]) => value)
          .map(([label, value]) => (
            <div key={label} className="contents">
              <dt className="text-soft">{label}</dt>
              <dd className="min-w-0">{value}</dd>
            </div>
          ))}
      </dl>
      <p className="mt-3">
        <Link
          to="/projects/$slug/tasks"
          params={{ slug }}
          search={{ name: task.name }}
          className="text-accent underline"
        >
          All runs of {shortName(displayName(task.name))}
        </Link>
      </p>
    </Panel>
  );
}

function When({ at }: { at: string }) {
  return (
    <>
      <Absolute at={at} millis />{" "}
      <span className="whitespace-nowrap text-soft">
        (<Age at={at} suffix=" ago" />)
      </span>
    </>
  );
}
