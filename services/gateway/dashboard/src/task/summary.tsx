// SPDX-License-Identifier: AGPL-3.0-or-later

import { useQuery } from "@tanstack/react-query";
import { queries } from "../api/queries";
import { formatDuration } from "../api/time";
import type { Task } from "../api/types";
import { argsPreview } from "../tasks/preview";
import { Absolute, useNow } from "../ui/clock";
import { CopyButton } from "../ui/controls";
import { type Fact, FactRows } from "../ui/facts";
import { TaskBadge } from "../ui/state";
import { useSurroundings } from "./surroundings";
import { Traceback } from "./tracebackview";
import { displayName, judge, runtime, waitTime } from "./verdict";
import { VerdictLine } from "./verdictline";

/** TaskSummary answers the task page's question in a side panel: verdict, key facts, head of the traceback. */
export function TaskSummary({ slug, task }: { slug: string; task: Task }) {
  const events = useQuery(queries.events(slug, task.engine, task.task_id));
  const now = useNow();
  const around = useSurroundings(slug, task);
  const waited = waitTime(task);
  const ran = runtime(task);
  const call = argsPreview(task.args, task.kwargs);
  const facts: Fact[] = [
    ["Queue", task.queue],
    ["Worker", task.worker_name],
    ["Waited", waited !== null ? formatDuration(waited) : null],
    ["Ran", ran !== null ? formatDuration(ran) : null],
    ["Retries", task.retry_count > 0 ? String(task.retry_count) : null],
  ];
  return (
    <div className="space-y-3" data-testid="task-summary">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <span className="min-w-0 font-semibold">{displayName(task.name)}</span>
        <TaskBadge state={task.state} />
      </div>
      <VerdictLine verdict={judge(task, events.data?.items ?? [], now, around)} />
      <dl className="grid grid-cols-[5rem_minmax(0,1fr)] gap-x-3 gap-y-1">
        <FactRows facts={facts} />
        {task.received_at && (
          <div className="contents">
            <dt className="text-soft">Received</dt>
            <dd>
              <Absolute at={task.received_at} millis />
            </dd>
          </div>
        )}
        <div className="contents">
          <dt className="text-soft">Id</dt>
          <dd className="flex min-w-0 items-start gap-1">
            <code className="min-w-0">{task.task_id}</code>
            <CopyButton text={task.task_id} label="Copy the task id" compact />
          </dd>
        </div>
      </dl>
      {call && <code className="block">{call}</code>}
      {task.traceback && <Traceback source={task.traceback} head />}
    </div>
  );
}
