// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { ApiError } from "../api/client";
import { queries } from "../api/queries";
import { useNow } from "../ui/clock";
import { CopyButton, Empty } from "../ui/controls";

/** How long a missing task is looked for: one that a retry has just started has not been reported yet. */
export const lookFor = 30_000;

/** Unknown explains why a task is not here, looks for it a while, and looks in the reader's other projects. */
export function Unknown({ slug, engine, taskId }: { slug: string; engine: string; taskId: string }) {
  const now = useNow();
  const [since] = useState(Date.now);
  const left = Math.max(0, Math.ceil((since + lookFor - now) / 1000));
  return (
    <>
      <h1 className="sr-only">Task {taskId}</h1>
      <Empty title="This task is not known here">
        <p className="flex flex-wrap items-center gap-1">
          <code>{taskId}</code>
          <CopyButton text={taskId} label="Copy the task id" compact />
          <span>
            on engine <code>{engine}</code>, project <code>{slug}</code>
          </span>
        </p>
        <p role="status" data-testid="looking">
          {left > 0
            ? "Looking for it: a task that was just started is known with its first event, and this page then fills by itself."
            : "It has not turned up. This page still looks now and then."}
        </p>
        <p>Why a task may be missing:</p>
        <ul className="list-disc space-y-1 pl-5">
          <li>It has not been taken by a worker yet: most agents report a task only from then on.</li>
          <li>It is older than what this brain keeps, or somebody deleted it.</li>
          <li>
            It ran before the agent was installed, or in an environment that reports to another project.
          </li>
          <li>Its message is still in the broker: look at the queue's depth on the queues page.</li>
        </ul>
        <Elsewhere slug={slug} engine={engine} taskId={taskId} />
        <p className="flex flex-wrap gap-x-4">
          <Link to="/projects/$slug/tasks" params={{ slug }} className="text-accent underline">
            Back to the tasks
          </Link>
          <Link to="/projects/$slug/queues" params={{ slug }} className="text-accent underline">
            Queues
          </Link>
          <Link to="/projects/$slug/agents" params={{ slug }} className="text-accent underline">
            Agents
          </Link>
        </p>
      </Empty>
    </>
  );
}

const mostProjects = 20;

/** Elsewhere asks the reader's other projects for the same id, which is where a pasted id often belongs. */
function Elsewhere({ slug, engine, taskId }: { slug: string; engine: string; taskId: string }) {
  const projects = useQuery(queries.projects());
  const [wait, setWait] = useState(true);
  useEffect(() => {
    // Not at once: a task that a retry just started is here in a moment.
    const timer = window.setTimeout(() => setWait(false), 4000);
    return () => window.clearTimeout(timer);
  }, []);
  const others = (projects.data ?? []).filter((each) => each.slug !== slug).slice(0, mostProjects);
  const found = useQuery({
    queryKey: ["elsewhere", engine, taskId, others.map((each) => each.slug)],
    enabled: !wait && others.length > 0,
    staleTime: 60_000,
    queryFn: async ({ client }) => {
      const hits: { slug: string; name: string }[] = [];
      for (const other of others) {
        try {
          await client.fetchQuery(queries.task(other.slug, engine, taskId));
          hits.push({ slug: other.slug, name: other.name });
        } catch (error) {
          if (!(error instanceof ApiError) || error.offline) throw error;
        }
      }
      return hits;
    },
  });
  if (!found.data || found.data.length === 0) return null;
  return (
    <p className="text-ink">
      Found in another project:{" "}
      {found.data.map((hit) => (
        <Link
          key={hit.slug}
          to="/projects/$slug/tasks/$engine/$taskId"
          params={{ slug: hit.slug, engine, taskId }}
          className="text-accent underline"
        >
          {hit.name}
        </Link>
      ))}
    </p>
  );
}
