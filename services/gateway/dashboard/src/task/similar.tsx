// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Task } from "../api/types";
import { Age } from "../ui/clock";
import { ErrorNote, Panel, SkeletonRows } from "../ui/controls";
import { StateShape, taskLook } from "../ui/state";
import { taskQueries } from "./queries";
import { displayName, failureText, shortName } from "./verdict";

const shown = 8;

/** Similar shows whether this failure is alone: other runs of the same name that failed, newest first. */
export function Similar({ slug, task }: { slug: string; task: Task }) {
  const found = useQuery(taskQueries.similar(slug, task.engine, task.task_id));
  const rows = (found.data?.items ?? []).slice(0, shown);
  const name = shortName(displayName(task.name));
  const issue = found.data?.by === "fingerprint" ? found.data.fingerprint : null;
  if (found.error && !found.data) {
    return (
      <Panel title="Similar failures">
        <ErrorNote
          error={found.error}
          what="Similar failures could not be looked up"
          onRetry={() => void found.refetch()}
        />
      </Panel>
    );
  }
  return (
    <Panel title="Similar failures" pad={false}>
      {!found.data ? (
        <SkeletonRows rows={3} label="Looking for similar failures" />
      ) : rows.length === 0 ? (
        <p className="p-3 text-soft">
          {issue
            ? "Nothing else that is stored failed like this."
            : `No other run of ${name} that is stored has failed.`}
        </p>
      ) : (
        <>
          <p className="px-3 pt-2 pb-1 text-xs text-soft">
            {issue ? "The same error at the same place" : `Other failures of ${name}`}
          </p>
          <ul className="divide-y divide-line" data-testid="similar">
            {rows.map((each) => (
              <li key={each.id} className="relative flex items-center gap-2 px-3 py-1.5 hover:bg-raised">
                <StateShape look={taskLook(each.state)} />
                <Link
                  to="/projects/$slug/tasks/$engine/$taskId"
                  params={{ slug, engine: each.engine, taskId: each.task_id }}
                  className="row-link line-clamp-2 min-w-0 flex-1"
                >
                  {each.name === task.name ? (
                    <code>{each.task_id.slice(0, 8)}</code>
                  ) : (
                    shortName(displayName(each.name))
                  )}{" "}
                  <span className="text-soft">
                    {[!issue && failureText(each), each.worker_name].filter(Boolean).join(", ")}
                  </span>
                </Link>
                <span className="shrink-0 text-xs text-soft">
                  <Age at={each.finished_at ?? each.received_at} suffix=" ago" />
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
      <p className="flex flex-wrap gap-x-4 border-line border-t px-3 py-2">
        <Link
          to="/projects/$slug/tasks"
          params={{ slug }}
          search={{ name: task.name, state: "failure" }}
          className="text-accent underline"
        >
          All failures of {name}
        </Link>
        {issue && rows.length > 0 && (
          <Link
            to="/projects/$slug/tasks"
            params={{ slug }}
            search={{ fingerprint: issue }}
            className="text-accent underline"
          >
            All like this
          </Link>
        )}
      </p>
    </Panel>
  );
}
