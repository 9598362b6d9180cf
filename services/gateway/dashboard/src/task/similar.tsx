// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Task } from "../api/types";
import { Age } from "../ui/clock";
import { Panel, SkeletonRows } from "../ui/controls";
import { StateShape, taskLook } from "../ui/state";
import { taskQueries } from "./queries";
import { displayName, failureText, shortName } from "./verdict";

const shown = 8;

/** Similar shows whether this failure is alone: other runs of the same name that failed, newest first. */
export function Similar({ slug, task }: { slug: string; task: Task }) {
  const found = useQuery(taskQueries.sameName(slug, task.name));
  const others = (found.data?.items ?? []).filter(
    (each) => each.task_id !== task.task_id && each.name === task.name,
  );
  const mine = failureText(task);
  const type = (text: string | null) => text?.split(":")[0] ?? null;
  const alike = others.filter((each) => type(failureText(each)) === type(mine));
  const rows = (alike.length > 0 ? alike : others).slice(0, shown);
  return (
    <Panel title="Similar failures" pad={false}>
      {!found.data ? (
        <SkeletonRows rows={3} label="Looking for similar failures" />
      ) : rows.length === 0 ? (
        <p className="p-3 text-soft">
          No other run of {shortName(displayName(task.name))} that is stored has failed.
        </p>
      ) : (
        <>
          <p className="px-3 pt-2 text-xs text-soft">
            {alike.length > 0
              ? `Runs that failed with ${type(mine)} as well`
              : "Runs that failed in other ways"}
          </p>
          <ul className="divide-y divide-line" data-testid="similar">
            {rows.map((each) => (
              <li key={each.id} className="relative flex items-start gap-2 px-3 py-1.5 hover:bg-raised">
                <span className="pt-1">
                  <StateShape look={taskLook(each.state)} />
                </span>
                <Link
                  to="/projects/$slug/tasks/$engine/$taskId"
                  params={{ slug, engine: each.engine, taskId: each.task_id }}
                  className="row-link line-clamp-2 min-w-0 flex-1"
                >
                  {failureText(each) ?? "failed"}
                </Link>
                <span className="shrink-0 text-xs text-soft">
                  <Age at={each.finished_at ?? each.received_at} />
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
      <p className="border-line border-t px-3 py-2">
        <Link
          to="/projects/$slug/tasks"
          params={{ slug }}
          search={{ name: task.name, state: "failure" }}
          className="text-accent underline"
        >
          All failures of {shortName(displayName(task.name))}
        </Link>
      </p>
    </Panel>
  );
}
