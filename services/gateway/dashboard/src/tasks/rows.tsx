// SPDX-License-Identifier: AGPL-3.0-or-later
import { memo, type ReactNode } from "react";
import { path } from "../api/client";
import { formatDuration } from "../api/time";
import type { Task } from "../api/types";
import { displayName, failureText, runtime, waitTime } from "../task/verdict";
import { Age } from "../ui/clock";
import { CopyButton } from "../ui/controls";
import { SortIcon } from "../ui/icons";
import { StateShape, TaskBadge, taskLook } from "../ui/state";
import { Checkbox } from "../ui/toggle";
import { type ColumnId, columnOf, tracks } from "./columns";
import { callPreview } from "./preview";

const rowGrid = "grid items-center gap-3 px-3 md:px-4";

export interface RowProps {
  slug: string;
  /** The part of the address that goes along to a task's page: the time range. */
  kept: string;
  task: Task;
  index: number;
  start: number;
  height: number;
  columns: readonly ColumnId[];
  /** Cards instead of columns. */
  card: boolean;
  selected: boolean;
  /** Boxes are shown on cards only while something is being selected. */
  selecting: boolean;
  open: boolean;
  fresh: boolean;
  onSelect: (task: Task, stretch: boolean) => void;
  onOpen: (task: Task) => void;
  onPage: (task: Task) => void;
}

/** One row. It is drawn again only when something of its own changes: that keeps scrolling at full speed. */
export const Row = memo(function Row(props: RowProps) {
  const { task, columns, card, selected, open } = props;
  return (
    <div
      role="row"
      data-row={props.index}
      data-id={task.id}
      aria-rowindex={props.index + 2}
      aria-selected={selected}
      className={`absolute inset-x-0 [contain:strict] border-line border-b ${card ? "flex items-center gap-3 px-3" : rowGrid} ${selected || open ? "bg-accent-wash" : "hover:bg-raised"} ${props.fresh ? "arrive" : ""}`}
      style={{
        height: props.height,
        transform: `translateY(${props.start}px)`,
        ...(card ? {} : { gridTemplateColumns: tracks(columns) }),
      }}
    >
      {(!card || props.selecting) && (
        <span role="cell" className="flex">
          <Box {...props} />
        </span>
      )}
      {card ? (
        <Card {...props} />
      ) : (
        columns.map((id) => (
          <span key={id} role="cell" className={`min-w-0 truncate ${columnOf(id).right ? "text-right" : ""}`}>
            {cell(id, props)}
          </span>
        ))
      )}
    </div>
  );
});

/** A plain box, not the design system's: hundreds of them are drawn within a second of scrolling. */
function Box({ task, selected, onSelect }: RowProps) {
  return (
    <label className="relative z-10 -m-1.5 flex p-1.5">
      <input
        type="checkbox"
        aria-label={`Select ${displayName(task.name)}`}
        checked={selected}
        onChange={(event) => onSelect(task, (event.nativeEvent as MouseEvent).shiftKey)}
        className="size-4.5 accent-accent max-sm:size-6"
      />
    </label>
  );
}

/** A plain link for the same reason: the router's own computes an address for every row. */
function TaskLink(props: RowProps & { className?: string }) {
  const { slug, task, open, onOpen, onPage, className } = props;
  return (
    <a
      href={path`/projects/${slug}/tasks/${task.engine}/${task.task_id}` + props.kept}
      title={`${task.name} ${task.task_id}`}
      aria-expanded={open}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        // A click opens the panel, Enter the page.
        if (event.detail === 0) onPage(task);
        else onOpen(task);
      }}
      className={`row-link block truncate outline-none focus-visible:after:outline-2 focus-visible:after:outline-accent focus-visible:after:-outline-offset-2 ${className ?? ""}`}
    >
      {displayName(task.name)}
    </a>
  );
}

const Nothing = () => <span className="text-soft">–</span>;

export function errorOf(task: Task): string | null {
  return task.state === "failure" || task.state === "retry" ? failureText(task) : null;
}

function detailOf(task: Task): ReactNode {
  const error = errorOf(task);
  const text = error ?? callPreview(task);
  return (
    <span className={`font-mono text-xs ${error ? "text-bad" : "text-soft"}`} title={error ?? undefined}>
      {text}
    </span>
  );
}

function cell(id: ColumnId, props: RowProps): ReactNode {
  const { task } = props;
  switch (id) {
    case "state":
      return <TaskBadge state={task.state} />;
    case "name":
      return <TaskLink {...props} className="font-medium" />;
    case "detail":
      return detailOf(task);
    case "exception":
      return task.exception ? (
        <span className="font-mono text-bad text-xs" title={task.exception}>
          {failureText(task)}
        </span>
      ) : (
        <Nothing />
      );
    case "args":
      return <span className="font-mono text-soft text-xs">{callPreview(task) || <Nothing />}</span>;
    case "queue":
      return <Text text={task.queue} />;
    case "worker":
      return <Text text={task.worker_name} />;
    case "engine":
      return task.engine;
    case "priority":
      return task.priority;
    case "wait":
      return formatDuration(waitTime(task));
    case "run":
      return formatDuration(runtime(task));
    case "retries":
      return task.retry_count || <Nothing />;
    case "received":
      return <Time at={task.received_at ?? task.started_at ?? task.created_at} />;
    case "started":
      return <Time at={task.started_at} />;
    case "finished":
      return <Time at={task.finished_at} />;
    case "id":
      return (
        <span className="flex min-w-0 items-center gap-1">
          <code className="min-w-0 truncate" title={task.task_id}>
            {task.task_id}
          </code>
          <CopyButton text={task.task_id} label="Copy the task id" compact />
        </span>
      );
  }
}

const Text = ({ text }: { text: string | null }) => (text ? <span title={text}>{text}</span> : <Nothing />);

/** The time answers the pointer before the row's link does, for its tooltip with the full time. */
const Time = ({ at }: { at: string | null }) => (
  <span className="relative z-[1] text-soft">
    <Age at={at} />
  </span>
);

function Card(props: RowProps) {
  const { task } = props;
  const error = errorOf(task);
  return (
    <div className="flex h-full min-w-0 flex-1 flex-col justify-center">
      <span role="cell" className="flex min-w-0 items-center gap-2">
        <StateShape look={taskLook(task.state)} />
        <span className="sr-only">{taskLook(task.state).label}</span>
        <TaskLink {...props} className="min-w-0 flex-1 font-medium" />
        <span className="shrink-0 text-soft text-xs">
          <Age at={task.received_at ?? task.started_at ?? task.created_at} />
        </span>
      </span>
      <span role="cell" className="flex min-w-0 gap-2 pl-5 text-xs">
        <span className={`min-w-0 flex-1 truncate ${error ? "text-bad" : "text-soft"}`}>
          {error || callPreview(task) || task.queue || task.engine}
        </span>
        <span className="shrink-0 text-soft">{formatDuration(runtime(task))}</span>
      </span>
    </div>
  );
}

/** What the list can be sorted by; the API keeps an index for each. */
export type Order = "received" | "started";

export function Head({
  columns,
  order,
  onOrder,
  all,
  onAll,
}: {
  columns: readonly ColumnId[];
  order: Order;
  onOrder: (order: Order) => void;
  all: boolean | "indeterminate";
  onAll: () => void;
}) {
  return (
    <div role="rowgroup" className="sticky top-0 z-20">
      <div
        role="row"
        aria-rowindex={1}
        className={`${rowGrid} h-8 border-line border-b bg-raised font-semibold text-soft text-xs`}
        style={{ gridTemplateColumns: tracks(columns) }}
      >
        <span role="columnheader" className="flex">
          <Checkbox checked={all} onChange={onAll} name="Select the loaded rows" />
        </span>
        {columns.map((id) => {
          const column = columnOf(id);
          const sorts = id === "received" || id === "started";
          return (
            <span
              key={id}
              role="columnheader"
              title={column.about}
              aria-sort={sorts && id === order ? "descending" : undefined}
              className={`min-w-0 truncate ${column.right ? "text-right" : ""}`}
            >
              {sorts ? (
                <button
                  type="button"
                  onClick={() => onOrder(id)}
                  title={`Latest ${id} first`}
                  className={`inline-flex items-center gap-0.5 hover:text-ink ${id === order ? "text-ink" : ""}`}
                >
                  {column.label}
                  <SortIcon dir={id === order ? "desc" : null} className="size-3.5" />
                </button>
              ) : (
                column.label
              )}
            </span>
          );
        })}
      </div>
    </div>
  );
}
