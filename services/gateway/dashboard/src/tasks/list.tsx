// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useRef, useSyncExternalStore } from "react";
import { SkewBanner } from "../agents/skew";
import { ApiError } from "../api/client";
import { queries } from "../api/queries";
import { formatCount, formatDuration } from "../api/time";
import type { Task } from "../api/types";
import { typing } from "../app/shortcuts";
import { displayName, failureText, runtime, waitTime } from "../task/verdict";
import { Age } from "../ui/clock";
import { Button, Empty, ErrorNote, SkeletonRows } from "../ui/controls";
import { StateShape, TaskBadge, taskLook } from "../ui/state";
import { useTitle } from "../ui/title";
import { FilterBar, StateFacets } from "./bar";
import { isFiltered } from "./filters";
import { FirstSteps } from "./firststeps";
import { SilentWorkerHint } from "./hint";
import { freshLabel } from "./live";
import { argsPreview } from "./preview";
import { useLiveTasks } from "./uselive";

const wide = "(min-width: 768px)";
const wideQuery = typeof window === "undefined" ? null : window.matchMedia(wide);

function useWide(): boolean {
  return useSyncExternalStore(
    (listener) => {
      wideQuery?.addEventListener("change", listener);
      return () => wideQuery?.removeEventListener("change", listener);
    },
    () => wideQuery?.matches ?? true,
  );
}

const columns =
  "md:grid md:grid-cols-[6.5rem_minmax(12rem,3fr)_minmax(5rem,1fr)_5.5rem_5.5rem_4rem_4rem] lg:grid-cols-[6.5rem_minmax(14rem,3fr)_minmax(6rem,0.8fr)_minmax(8rem,1.2fr)_5.5rem_5.5rem_4rem_4.5rem]";

/** How long the pointer has to rest before rows may move under it. */
const restAfter = 2000;

export function TasksPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/tasks" });
  const filters = useSearch({ from: "/app/projects/$slug/tasks" });
  useTitle("Tasks", slug);
  const navigate = useNavigate();
  const isWide = useWide();
  const rowHeight = isWide ? 32 : 60;
  const scroller = useRef<HTMLDivElement>(null);
  const lastMove = useRef(0);
  const firstRow = useRef(0);

  const isIdleAtTop = useCallback(() => {
    const element = scroller.current;
    if (!element) return true;
    if (element.scrollTop > 4) return false;
    if (element.contains(document.activeElement) && document.activeElement !== element) return false;
    return Date.now() - lastMove.current > restAfter;
  }, []);
  const firstVisible = useCallback(() => firstRow.current, []);
  const { list, error, loadingOlder, reload, loadOlder, showFresh } = useLiveTasks(
    slug,
    filters,
    isIdleAtTop,
    firstVisible,
  );
  const stats = useQuery(queries.stats(slug));

  const rows = list?.rows ?? [];
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
    getItemKey: (index) => rows[index]?.id ?? index,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the row height changes with the layout
  useEffect(() => virtualizer.measure(), [rowHeight]);
  const items = virtualizer.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  firstRow.current = Math.floor((scroller.current?.scrollTop ?? 0) / rowHeight);

  const more = list?.cursor ?? null;
  useEffect(() => {
    if (more && !loadingOlder && !error && last >= rows.length - 30) void loadOlder();
  }, [more, loadingOlder, error, last, rows.length, loadOlder]);

  const showNew = useCallback(() => {
    showFresh();
    scroller.current?.scrollTo({ top: 0 });
  }, [showFresh]);

  useEffect(() => {
    const move = (step: number) => {
      const focused = document.activeElement?.closest<HTMLElement>("[data-row]");
      const at = focused ? Number(focused.dataset.row) + step : step > 0 ? firstRow.current : rows.length - 1;
      const target = Math.max(0, Math.min(rows.length - 1, at));
      virtualizer.scrollToIndex(target);
      // The row exists after the scroll has been drawn.
      requestAnimationFrame(() =>
        requestAnimationFrame(() =>
          scroller.current
            ?.querySelector<HTMLElement>(`[data-row="${target}"] a`)
            ?.focus({ preventScroll: true }),
        ),
      );
    };
    const onKey = (event: KeyboardEvent) => {
      if (typing(event) || rows.length === 0) return;
      if (event.key === "j") move(1);
      else if (event.key === "k") move(-1);
      else if (event.key === "n") showNew();
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [rows.length, virtualizer, showNew]);

  const pill = list ? freshLabel(list) : null;
  const filtered = isFiltered(filters);
  const neverAny = list !== null && rows.length === 0 && !filtered && (stats.data?.tasks_total ?? 0) === 0;

  return (
    <div className="flex h-full flex-col">
      <h1 className="sr-only">Tasks of {slug}</h1>
      <div className="shrink-0 border-line border-b bg-panel">
        <FilterBar slug={slug} filters={filters} />
        <StateFacets slug={slug} filters={filters} />
      </div>
      <div className="max-h-[45%] shrink-0 space-y-2 overflow-y-auto px-3 empty:hidden md:px-4 [&>*]:my-2">
        <SkewBanner slug={slug} linked />
        <SilentWorkerHint slug={slug} />
        {error !== null && list !== null && !(error instanceof ApiError && error.offline) && (
          <ErrorNote
            error={error}
            what="The list could not be refreshed; it shows the last known state"
            onRetry={reload}
          />
        )}
      </div>

      {error !== null && list === null ? (
        <div className="p-4">
          <ErrorNote error={error} what="The tasks could not be loaded" onRetry={reload} />
        </div>
      ) : neverAny ? (
        <div className="min-h-0 flex-1 overflow-y-auto">
          <FirstSteps slug={slug} />
        </div>
      ) : (
        <div className="relative flex min-h-0 flex-1 flex-col">
          {pill && (
            <div className="pointer-events-none absolute inset-x-0 top-10 z-20 flex justify-center">
              <button
                type="button"
                onClick={showNew}
                className="pointer-events-auto rounded-full border border-accent bg-accent px-3.5 py-1 font-semibold text-accent-ink"
              >
                {pill}
              </button>
            </div>
          )}
          <div
            ref={scroller}
            {...(rows.length > 0
              ? { role: "table", "aria-label": "Tasks, newest first", "aria-rowcount": list?.total ?? -1 }
              : { role: "region", "aria-label": "Tasks" })}
            tabIndex={0}
            onPointerMove={() => {
              lastMove.current = Date.now();
            }}
            className="min-h-0 flex-1 overflow-y-auto bg-panel"
          >
            {rows.length > 0 && <Head />}
            {list === null ? (
              <SkeletonRows rows={16} label="Loading tasks" />
            ) : rows.length === 0 ? (
              <Empty title="No task matches">
                <p>
                  {filtered
                    ? "Nothing fits these filters. Search looks at task name, queue, worker and id; a time range counts from when a task was received."
                    : "The tasks of this project were deleted or have passed their retention."}
                </p>
                {filtered && (
                  <Button
                    onClick={() =>
                      void navigate({ to: "/projects/$slug/tasks", params: { slug }, search: {} })
                    }
                  >
                    Clear the filters
                  </Button>
                )}
              </Empty>
            ) : (
              <div role="rowgroup" className="relative" style={{ height: virtualizer.getTotalSize() }}>
                {items.map((item) => {
                  const task = rows[item.index];
                  if (!task) return null;
                  return (
                    <div
                      key={item.key}
                      role="row"
                      data-row={item.index}
                      aria-rowindex={item.index + 1}
                      className={`${columns} absolute inset-x-0 items-center gap-3 border-line border-b px-3 hover:bg-raised md:px-4 ${list.arrived.has(task.id) ? "arrive" : ""}`}
                      style={{ height: rowHeight, transform: `translateY(${item.start}px)` }}
                    >
                      {isWide ? (
                        <WideCells slug={slug} task={task} />
                      ) : (
                        <PhoneCells slug={slug} task={task} />
                      )}
                    </div>
                  );
                })}
              </div>
            )}
          </div>
          <p
            className="flex h-8 shrink-0 items-center gap-3 border-line border-t bg-panel px-3 text-xs text-soft md:px-4"
            aria-live="off"
          >
            {list !== null && (
              <span title={list.total !== null ? String(list.total) : undefined}>
                {list.total !== null
                  ? `${formatCount(list.total)} ${list.total === 1 ? "task" : "tasks"}`
                  : `${rows.length} loaded`}
                {filters.range ? ` in the last ${filters.range}` : ""}
              </span>
            )}
            {loadingOlder && <span>Loading older tasks</span>}
            <span className="ml-auto max-md:hidden">
              <kbd>j</kbd> <kbd>k</kbd> move, <kbd>enter</kbd> open, <kbd>/</kbd> search, <kbd>?</kbd> all
              keys
            </span>
          </p>
        </div>
      )}
    </div>
  );
}

function Head() {
  return (
    <div role="rowgroup" className="sticky top-0 z-10 max-md:hidden">
      <div
        role="row"
        className={`${columns} h-8 items-center gap-3 border-line border-b bg-raised px-4 text-xs font-semibold text-soft`}
      >
        <span role="columnheader">State</span>
        <span role="columnheader">Task</span>
        <span role="columnheader">Queue</span>
        <span role="columnheader" className="max-lg:hidden">
          Worker
        </span>
        <span role="columnheader" className="text-right">
          Waited
        </span>
        <span role="columnheader" className="text-right">
          Ran
        </span>
        <span role="columnheader" className="text-right">
          Retries
        </span>
        <span role="columnheader" className="text-right">
          Age
        </span>
      </div>
    </div>
  );
}

function TaskLink({ slug, task, className }: { slug: string; task: Task; className?: string }) {
  return (
    <Link
      to="/projects/$slug/tasks/$engine/$taskId"
      params={{ slug, engine: task.engine, taskId: task.task_id }}
      preload={false}
      title={`${task.name} ${task.task_id}`}
      className={`row-link truncate outline-none focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent ${className}`}
    >
      {displayName(task.name)}
    </Link>
  );
}

function detailOf(task: Task): { text: string; bad: boolean } {
  if (task.state === "failure" || task.state === "retry") {
    const text = failureText(task);
    if (text) return { text, bad: true };
  }
  return { text: argsPreview(task.args, task.kwargs), bad: false };
}

function WideCells({ slug, task }: { slug: string; task: Task }) {
  const detail = detailOf(task);
  return (
    <>
      <span role="cell">
        <TaskBadge state={task.state} />
      </span>
      <span role="cell" className="flex min-w-0 items-baseline gap-2">
        <TaskLink slug={slug} task={task} className="shrink-0 max-w-[70%] font-medium" />
        <span className={`truncate font-mono text-xs ${detail.bad ? "text-bad" : "text-soft"}`}>
          {detail.text}
        </span>
      </span>
      <span role="cell" className="truncate" title={task.queue ?? undefined}>
        {task.queue ?? <Nothing />}
      </span>
      <span role="cell" className="truncate max-lg:hidden" title={task.worker_name ?? undefined}>
        {task.worker_name ?? <Nothing />}
      </span>
      <span role="cell" className="text-right">
        {formatDuration(waitTime(task))}
      </span>
      <span role="cell" className="text-right">
        {formatDuration(runtime(task))}
      </span>
      <span role="cell" className="text-right">
        {task.retry_count || <Nothing />}
      </span>
      <span role="cell" className="text-right text-soft">
        <Age at={task.received_at ?? task.started_at ?? task.created_at} />
      </span>
    </>
  );
}

function PhoneCells({ slug, task }: { slug: string; task: Task }) {
  const detail = detailOf(task);
  return (
    <div className="flex h-full min-w-0 flex-col justify-center">
      <span role="cell" className="flex min-w-0 items-center gap-2">
        <StateShape look={taskLook(task.state)} />
        <span className="sr-only">{taskLook(task.state).label}</span>
        <TaskLink slug={slug} task={task} className="min-w-0 flex-1 font-medium" />
        <span className="shrink-0 text-xs text-soft">
          <Age at={task.received_at ?? task.started_at ?? task.created_at} />
        </span>
      </span>
      <span role="cell" className="flex min-w-0 gap-2 pl-5 text-xs">
        <span className={`min-w-0 flex-1 truncate ${detail.bad ? "text-bad" : "text-soft"}`}>
          {detail.text || task.queue || task.engine}
        </span>
        <span className="shrink-0 text-soft">{formatDuration(runtime(task))}</span>
      </span>
    </div>
  );
}

const Nothing = () => <span className="text-soft">–</span>;
