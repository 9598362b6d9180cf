// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { linkOptions } from "@tanstack/react-router";
import { ApiError } from "../api/client";
import { queries } from "../api/queries";
import type { Task } from "../api/types";
import { TaskActions } from "../task/actions";
import { TaskSummary } from "../task/summary";
import { displayName } from "../task/verdict";
import { CopyButton, ErrorNote, Skeleton } from "../ui/controls";
import { SidePanel } from "../ui/panel";

/** Peek shows a task next to the list: why it ended like this, and what can be done. */
export function Peek({
  slug,
  engine,
  taskId,
  row,
  onClose,
}: {
  slug: string;
  engine: string;
  taskId: string;
  /** The task as the list knows it, until the whole of it is here. */
  row: Task | undefined;
  onClose: () => void;
}) {
  const detail = useQuery(queries.task(slug, engine, taskId));
  const events = useQuery(queries.events(slug, engine, taskId));
  const task = detail.data ?? row;
  return (
    <SidePanel
      title={task ? displayName(task.name) : "Task"}
      subtitle={
        <span className="flex items-center gap-1">
          <code className="truncate">{taskId}</code>
          <CopyButton text={taskId} label="Copy the task id" compact />
        </span>
      }
      page={linkOptions({ to: "/projects/$slug/tasks/$engine/$taskId", params: { slug, engine, taskId } })}
      onClose={onClose}
    >
      {task ? (
        <div className="space-y-4">
          <TaskActions slug={slug} task={task} events={events.data?.items ?? []} />
          <TaskSummary slug={slug} task={task} />
        </div>
      ) : detail.error ? (
        <ErrorNote
          error={detail.error}
          what={
            detail.error instanceof ApiError && detail.error.status === 404
              ? "This task is not here: it was deleted, has passed its retention, or was not reported yet"
              : "The task could not be loaded"
          }
          onRetry={() => void detail.refetch()}
        />
      ) : (
        <div role="status" className="space-y-3">
          <span className="sr-only">Loading the task</span>
          <Skeleton className="h-8 w-48" />
          <Skeleton className="h-6" />
          <Skeleton className="h-40" />
        </div>
      )}
    </SidePanel>
  );
}
