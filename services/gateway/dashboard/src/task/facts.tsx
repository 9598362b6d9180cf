// SPDX-License-Identifier: AGPL-3.0-or-later

import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { formatDuration } from "../api/time";
import type { Task } from "../api/types";
import { Absolute, Age } from "../ui/clock";
import { CopyButton, Panel } from "../ui/controls";
import { type Fact, FactRows } from "../ui/facts";
import { displayName, runtime, shortName, waitTime } from "./verdict";

const link = "text-accent underline";

/** Facts are what the engine knows about the task, each with the way to others of its kind. */
export function Facts({ task, slug, retries }: { task: Task; slug: string; retries: number }) {
  const related = (id: string | null): ReactNode =>
    id && id !== task.task_id ? (
      <Link
        to="/projects/$slug/tasks/$engine/$taskId"
        params={{ slug, engine: task.engine, taskId: id }}
        className={`font-mono text-xs ${link}`}
      >
        {id}
      </Link>
    ) : null;
  const listed = (search: { queue?: string; worker?: string }, text: string) => (
    <Link to="/projects/$slug/tasks" params={{ slug }} search={search} className={link}>
      {text}
    </Link>
  );
  const waited = waitTime(task);
  const ran = runtime(task);
  const facts: Fact[] = [
    [
      "Task id",
      <span key="id" className="flex items-start gap-1">
        <code className="min-w-0">{task.task_id}</code>
        <CopyButton text={task.task_id} label="Copy the task id" compact />
      </span>,
    ],
    ["Name", <code key="name">{displayName(task.name)}</code>],
    ["Engine", task.engine],
    ["Queue", task.queue && listed({ queue: task.queue }, task.queue)],
    ["Worker", task.worker_name && listed({ worker: task.worker_name }, task.worker_name)],
    ["Priority", task.priority === "normal" ? null : task.priority],
    ["Retries", retries > 0 ? String(retries) : null],
    ["Due", task.eta && <Absolute at={task.eta} />],
    [retries > 0 ? "Last received" : "Received", task.received_at && <When at={task.received_at} />],
    [retries > 0 ? "Last started" : "Started", task.started_at && <When at={task.started_at} />],
    ["Ended", task.finished_at && <When at={task.finished_at} />],
    [retries > 0 ? "Waited last" : "Waited", waited !== null ? formatDuration(waited) : null],
    ["Ran", ran !== null ? formatDuration(ran) : null],
    ["Started by", related(task.parent_task_id)],
    ["Workflow root", related(task.root_task_id)],
    ["Tags", task.tags.length > 0 ? task.tags.join(", ") : null],
  ];
  return (
    <Panel title="Facts">
      <dl className="grid grid-cols-[6.5rem_minmax(0,1fr)] gap-x-3 gap-y-1.5">
        <FactRows facts={facts} />
      </dl>
      <p className="mt-3">
        <Link to="/projects/$slug/tasks" params={{ slug }} search={{ name: task.name }} className={link}>
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
