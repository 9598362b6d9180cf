// SPDX-License-Identifier: AGPL-3.0-or-later
import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { allowed, roleIn } from "../agents/access";
import { api, path } from "../api/client";
import { queries } from "../api/queries";
import type { DeadLetterEntry, DeadLetterPage } from "../api/schema";
import type { Command } from "../api/types";
import { CommandOutcome } from "../commands/outcome";
import { plural } from "../insight/format";
import { Age } from "../ui/clock";
import { ConfirmDialog } from "../ui/confirm";
import { Button, Empty, ErrorNote, Notice, SkeletonRows } from "../ui/controls";
import { Page } from "../ui/page";
import { type DataColumn, DataTable } from "../ui/table";
import { enginesOf } from "./search";

const pageSize = 100;

/**
 * Dead letters live in the engine, not here: each look asks an agent, which asks the broker. So the list is asked for
 * when the page opens, on demand and after a requeue, and not with every push.
 */
export function DeadLettersPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/dead-letters" });
  const search = useSearch({ from: "/app/projects/$slug/dead-letters" });
  const navigate = useNavigate();
  const agents = useQuery(queries.agents(slug));
  const engines = useMemo(() => enginesOf(agents.data ?? []), [agents.data]);
  const chosen = engines.find((each) => each.engine === search.engine) ?? engines[0];
  const engine = chosen?.engine ?? "";
  const list = useInfiniteQuery({
    queryKey: ["p", slug, "deadletters", engine, search.queue ?? ""],
    queryFn: ({ pageParam, signal }) =>
      api.get<DeadLetterPage>(
        path`/projects/${slug}/dead-letters`,
        { engine, queue: search.queue, limit: pageSize, cursor: pageParam },
        signal,
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next_cursor,
    enabled: Boolean(chosen && !chosen.reason),
    staleTime: 30_000,
    refetchOnWindowFocus: false,
    retry: false,
  });
  const entries = useMemo(() => list.data?.pages.flatMap((page) => page.entries), [list.data]);
  const total = list.data?.pages[0]?.total ?? null;
  const client = useQueryClient();
  const me = useQuery(queries.me());
  const can = allowed(agents.data, engine, "requeue_dead_letter", roleIn(me.data, slug), "operator");
  const agentId = can.agents[0]?.id ?? null;
  const reason = can.reason;
  const [asked, setAsked] = useState<DeadLetterEntry | null>(null);
  const [issued, setIssued] = useState<string[]>([]);
  const columns = useMemo(() => columnsOf(slug, engine, reason, setAsked), [slug, engine, reason]);

  return (
    <Page
      title="Dead letters"
      slug={slug}
      answer={
        entries
          ? entries.length === 0
            ? `${engine} has none`
            : `${plural(total ?? entries.length, "task")} of ${engine} failed for good${total === null && list.hasNextPage ? ", and more" : ""}`
          : undefined
      }
      actions={
        chosen &&
        !chosen.reason && (
          <Button busy={list.isFetching} onClick={() => void list.refetch()}>
            Ask again
          </Button>
        )
      }
    >
      {engines.length > 1 && (
        <div role="group" aria-label="Engine" className="flex flex-wrap gap-1.5">
          {engines.map((each) => (
            <button
              key={each.engine}
              type="button"
              aria-pressed={each.engine === engine}
              onClick={() =>
                void navigate({
                  to: ".",
                  search: ((old: Record<string, unknown>) => ({ ...old, engine: each.engine })) as never,
                })
              }
              className="h-8 rounded-md border border-line px-2.5 hover:bg-raised aria-pressed:border-accent aria-pressed:bg-accent-wash aria-pressed:font-semibold max-sm:h-10"
            >
              {each.engine}
            </button>
          ))}
        </div>
      )}
      {issued.map((id) => (
        <Notice key={id} tone="info">
          <CommandOutcome
            slug={slug}
            id={id}
            engine={engine}
            onDone={() => void client.invalidateQueries({ queryKey: ["p", slug, "deadletters"] })}
          />
        </Notice>
      ))}
      {agents.error && !agents.data ? (
        <ErrorNote
          error={agents.error}
          what="The agents, which tell of dead letters, could not be loaded"
          onRetry={() => void agents.refetch()}
        />
      ) : !agents.data ? (
        <SkeletonRows label="Loading" />
      ) : !chosen ? (
        <Empty title="There is no engine to ask">
          <p>
            Dead letters are kept by the engine. An agent asks it, and none has connected yet.{" "}
            <Link to="/projects/$slug/agents" params={{ slug }} className="text-accent underline">
              See the agents
            </Link>
          </p>
        </Empty>
      ) : chosen.reason ? (
        <Empty title={`No dead letters of ${engine} to show`}>
          <p>{chosen.reason}.</p>
          <p>
            <Link
              to="/projects/$slug/tasks"
              params={{ slug }}
              search={{ state: "failure", engine } as never}
              className="text-accent underline"
            >
              Its failed tasks
            </Link>
          </p>
        </Empty>
      ) : list.error && !entries ? (
        <ErrorNote
          error={list.error}
          what={`${engine} could not be asked for its dead letters`}
          onRetry={() => void list.refetch()}
        />
      ) : (
        <DataTable
          label={`Dead letters of ${engine}`}
          columns={columns}
          rows={entries}
          rowKey={(entry) => `${entry.queue}:${entry.task_id}`}
          empty={
            <Empty title={`${engine} has no dead letters`}>
              <p>
                A task comes here when it failed and will not be tried again. Until then it is among the{" "}
                <Link
                  to="/projects/$slug/tasks"
                  params={{ slug }}
                  search={{ state: "retry" } as never}
                  className="text-accent underline"
                >
                  tasks being retried
                </Link>
                .
              </p>
            </Empty>
          }
        />
      )}
      {list.hasNextPage && (
        <Button busy={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
          Show more
        </Button>
      )}
      {asked && (
        <ConfirmDialog
          title="Put it back into its queue?"
          action="Put it back"
          reason={reason}
          sample={[`${asked.task_name || "task"} ${asked.task_id}`]}
          onConfirm={async () => {
            const command = await api.post<Command>(path`/projects/${slug}/commands/requeue-dead-letter`, {
              agent_id: agentId,
              engine,
              task_id: asked.task_id,
            });
            setIssued((all) => [command.id, ...all].slice(0, 5));
            void client.invalidateQueries({ queryKey: ["p", slug, "commands"] });
          }}
          onClose={() => setAsked(null)}
        >
          <p>
            It leaves the dead letters and waits in {asked.queue} again, with the arguments it had. It fails
            again if what broke it is still broken.
          </p>
        </ConfirmDialog>
      )}
    </Page>
  );
}

function columnsOf(
  slug: string,
  engine: string,
  reason: string | null,
  requeue: (entry: DeadLetterEntry) => void,
): DataColumn<DeadLetterEntry>[] {
  return [
    {
      id: "task",
      header: "Task",
      className: "max-w-72",
      cell: (entry) => (
        <Link
          to="/projects/$slug/tasks/$engine/$taskId"
          params={{ slug, engine, taskId: entry.task_id }}
          className="block truncate font-medium hover:underline"
          title={`${entry.task_name} ${entry.task_id}`}
        >
          {entry.task_name || entry.task_id}
        </Link>
      ),
    },
    { id: "queue", header: "Queue", className: "max-w-48", cell: (entry) => entry.queue },
    {
      id: "error",
      header: "Error",
      className: "max-w-96",
      cell: (entry) =>
        entry.error_excerpt.trim() ? (
          <span className="block truncate text-bad" title={entry.error_excerpt}>
            {lastLine(entry.error_excerpt)}
          </span>
        ) : (
          <span className="text-soft" title={`${engine} does not tell it with the dead letter`}>
            see the task
          </span>
        ),
    },
    {
      id: "attempts",
      header: "Attempts",
      align: "right",
      minor: true,
      cell: (entry) => entry.attempts ?? "–",
    },
    {
      id: "failed",
      header: "Failed",
      align: "right",
      cell: (entry) => <Age at={entry.failed_at} suffix=" ago" />,
    },
    {
      id: "actions",
      header: "Actions",
      hideHeader: true,
      align: "right",
      cell: (entry) => (
        <Button
          reason={reason}
          aria-label={`Put ${entry.task_name || "the task"} ${entry.task_id} back into its queue`}
          onClick={() => requeue(entry)}
        >
          Put back
        </Button>
      ),
    },
  ];
}

/** The last line of a traceback is the one that says what happened. */
function lastLine(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim());
  return lines[lines.length - 1]?.trim() ?? "";
}
