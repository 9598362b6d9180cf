// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { ApiError } from "../api/client";
import { useLastError } from "../api/lasterror";
import { useLink } from "../api/live";
import { pollInterval, queries } from "../api/queries";
import type { Task, TaskEvent } from "../api/types";
import { useCrumb } from "../app/crumbs";
import { SilentWorkerHint } from "../tasks/hint";
import { useNow } from "../ui/clock";
import { CopyButton, ErrorNote, Panel, Skeleton } from "../ui/controls";
import { TaskBadge } from "../ui/state";
import { useTitle } from "../ui/title";
import { TaskActions } from "./actions";
import { buildHistory, retriesOf } from "./attempts";
import { Facts } from "./facts";
import { Canvas } from "./flowview";
import { Gantt } from "./gantt";
import { CalledWith, Result } from "./payload";
import { RawEvents } from "./rawevents";
import { Sent } from "./sent";
import { Similar } from "./similar";
import { Steps } from "./steps";
import { useSurroundings } from "./surroundings";
import { Traceback } from "./tracebackview";
import { lookFor, Unknown } from "./unknown";
import { displayName, isTerminal, judge, shortName } from "./verdict";
import { VerdictLine } from "./verdictline";
import { Walk } from "./walk";

/** The question of this page: why did it end like this? */
export function TaskPage() {
  const params = useParams({ from: "/app/projects/$slug/tasks/$engine/$taskId" });
  // Another task is another page: nothing of the one before (open parts, commands sent) may stay.
  return <TaskOf key={`${params.slug}/${params.engine}/${params.taskId}`} {...params} />;
}

function TaskOf({ slug, engine, taskId }: { slug: string; engine: string; taskId: string }) {
  const refetchInterval = pollInterval(useLink());
  const [opened] = useState(Date.now);
  const task = useQuery({
    ...queries.task(slug, engine, taskId),
    // A task that a retry has just started is not known before its first event.
    refetchInterval: (query) => {
      if (!query.state.error) return refetchInterval;
      return Date.now() - opened < lookFor ? 1500 : 15_000;
    },
  });
  const events = useQuery({ ...queries.events(slug, engine, taskId), refetchInterval });
  useCrumb(task.data ? `${shortName(displayName(task.data.name))} ${taskId.slice(0, 8)}` : null);
  useTitle(task.data ? shortName(displayName(task.data.name)) : "Task", slug);

  const error = useLastError(task);
  if (!task.data) {
    if (error instanceof ApiError && error.status === 404)
      return <Unknown slug={slug} engine={engine} taskId={taskId} />;
    if (error) {
      return (
        <div className="space-y-3 p-4">
          <h1 className="truncate text-lg font-semibold">Task {taskId}</h1>
          <ErrorNote error={error} what="The task could not be loaded" onRetry={() => void task.refetch()} />
        </div>
      );
    }
    return <Loading />;
  }
  return (
    <Loaded
      slug={slug}
      task={task.data}
      events={events.data?.items ?? null}
      eventsError={events.error}
      onRetry={() => void events.refetch()}
    />
  );
}

const none: TaskEvent[] = [];

function Loaded({
  slug,
  task,
  events,
  eventsError,
  onRetry,
}: {
  slug: string;
  task: Task;
  events: TaskEvent[] | null;
  eventsError: unknown;
  onRetry: () => void;
}) {
  const now = useNow();
  const live = !isTerminal(task.state);
  const around = useSurroundings(slug, task);
  const list = events ?? none;
  const history = useMemo(() => buildHistory(list, task), [list, task]);
  const retries = retriesOf(task, history.attempts);
  const found = judge(task, list, now, around);
  const failed = task.state === "failure" || task.state === "retry";
  const trace = task.traceback ?? (task.exception?.includes("\n") ? task.exception : null);

  return (
    <div className="mx-auto max-w-[1600px] space-y-4 p-3 md:p-4">
      <header className="space-y-2">
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <h1 className="min-w-0 text-lg font-semibold">{displayName(task.name)}</h1>
          <TaskBadge state={task.state} />
          <Walk slug={slug} place={task} />
        </div>
        <VerdictLine verdict={found} />
        <TaskActions slug={slug} task={task} events={list} />
      </header>

      {live && task.state !== "started" && <SilentWorkerHint slug={slug} />}

      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,2fr)_minmax(18rem,1fr)]">
        <div className="min-w-0 space-y-4">
          <Panel title="What happened">
            {eventsError && !events ? (
              <ErrorNote error={eventsError} what="The events could not be loaded" onRetry={onRetry} />
            ) : !events ? (
              <LoadingBars />
            ) : history.attempts.length === 0 ? (
              <p className="text-soft">
                No event is stored for this task; its events may have passed their retention.
              </p>
            ) : (
              <div className="space-y-3">
                <Gantt attempts={history.attempts} now={now} live={live} lost={found.lost === true} />
                {history.steps.length > 0 && (
                  <details open={history.attempts.length === 1 || undefined}>
                    <summary className="text-soft">
                      {history.steps.length} {history.steps.length === 1 ? "event" : "events"} in order
                    </summary>
                    <div className="pt-2">
                      <Steps steps={history.steps} attempts={history.attempts.length} />
                    </div>
                  </details>
                )}
              </div>
            )}
          </Panel>
          {trace ? <Traceback source={trace} /> : task.exception && <Exception text={task.exception} />}
          <div className="grid items-start gap-4 xl:grid-cols-2 xl:*:only:col-span-2">
            <CalledWith task={task} />
            <Result task={task} />
          </div>
          <Canvas slug={slug} task={task} />
          <RawEvents events={list} agents={around.agents} />
        </div>
        <div className="min-w-0 space-y-4">
          <Facts task={task} slug={slug} retries={retries} />
          <Sent slug={slug} engine={task.engine} commands={around.commands ?? []} />
          {failed && <Similar slug={slug} task={task} />}
        </div>
      </div>
    </div>
  );
}

function LoadingBars() {
  return (
    <div role="status" className="space-y-2">
      <span className="sr-only">Loading the events</span>
      <Skeleton className="h-6" />
      <Skeleton className="h-20" />
    </div>
  );
}

function Loading() {
  return (
    <div role="status" className="mx-auto max-w-[1600px] space-y-4 p-3 md:p-4">
      <span className="sr-only">Loading the task</span>
      <Skeleton className="h-7 w-72" />
      <Skeleton className="h-6 w-96 max-w-full" />
      <Skeleton className="h-8 w-64" />
      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,2fr)_minmax(18rem,1fr)]">
        <div className="space-y-4">
          <Skeleton className="h-52" />
          <Skeleton className="h-40" />
          <Skeleton className="h-32" />
        </div>
        <Skeleton className="h-72" />
      </div>
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
