// SPDX-License-Identifier: AGPL-3.0-or-later
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { linkOptions, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { api, path } from "../api/client";
import { useLive } from "../api/live";
import { queries } from "../api/queries";
import { formatDuration } from "../api/time";
import type { Page as ApiPage, Command } from "../api/types";
import { useRange } from "../app/range";
import { Age } from "../ui/clock";
import { Button, Empty, ErrorNote, inputClass } from "../ui/controls";
import { CloseIcon } from "../ui/icons";
import { Page } from "../ui/page";
import { CommandBadge } from "../ui/state";
import { type DataColumn, DataTable } from "../ui/table";
import { actionLabel, actionNames, outcomeText } from "./outcome";
import { CommandPanel } from "./panel";
import type { CommandSearch } from "./search";
import { answer } from "./steps";
import { TargetText } from "./target";

const statuses = ["pending", "dispatched", "completed", "failed", "timeout", "cancelled"];
const pageSize = 100;

export function CommandsPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/commands" });
  const search = useSearch({ from: "/app/projects/$slug/commands" });
  const { id } = search;
  const status = statuses.includes(search.status ?? "") ? search.status : undefined;
  const range = useRange();
  const navigate = useNavigate();
  const refetchInterval = useLive(["command.changed"], [["p", slug, "commands"]]);
  const list = useInfiniteQuery({
    queryKey: [
      "p",
      slug,
      "commands",
      "list",
      status ?? "",
      search.action ?? "",
      search.target ?? "",
      range.key,
    ],
    queryFn: ({ pageParam, signal }) =>
      api.get<ApiPage<Command>>(
        path`/projects/${slug}/commands`,
        {
          status,
          action: search.action,
          target_id: search.target,
          ...range.query,
          cursor: pageParam,
          limit: pageSize,
        },
        signal,
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next_cursor,
    placeholderData: keepPreviousData,
    refetchInterval,
  });
  // A command that a link points to may lie outside the window.
  const linked = useQuery({ ...queries.command(slug, id ?? ""), enabled: id !== undefined, refetchInterval });
  const items = useMemo(() => list.data?.pages.flatMap((page) => page.items), [list.data]);
  const filtered = Boolean(status || search.action || search.target);
  const set = (next: Partial<CommandSearch>) =>
    void navigate({ to: ".", search: ((old: Record<string, unknown>) => ({ ...old, ...next })) as never });
  const columns = useMemo(() => columnsOf(), []);

  return (
    <Page
      title="Commands"
      slug={slug}
      answer={items ? answer(items, list.hasNextPage) : undefined}
      actions={
        <>
          <select
            aria-label="Action"
            className={`${inputClass} max-w-44`}
            value={search.action ?? ""}
            onChange={(event) => set({ action: event.target.value || undefined })}
          >
            <option value="">Every action</option>
            {actionNames.map((each) => (
              <option key={each} value={each}>
                {actionLabel(each)}
              </option>
            ))}
          </select>
          <select
            aria-label="Status"
            className={`${inputClass} max-w-36`}
            value={status ?? ""}
            onChange={(event) => set({ status: event.target.value || undefined })}
          >
            <option value="">Every status</option>
            {statuses.map((each) => (
              <option key={each} value={each}>
                {each === "timeout" ? "no answer" : each}
              </option>
            ))}
          </select>
        </>
      }
    >
      {search.target && (
        <p className="flex flex-wrap items-center gap-2">
          <span className="text-soft">Only those for</span>
          <code className="break-all">{search.target}</code>
          <Button
            kind="quiet"
            onClick={() => set({ target: undefined })}
            aria-label="Commands for every target"
          >
            <CloseIcon /> All targets
          </Button>
        </p>
      )}
      {list.error && !items ? (
        <ErrorNote
          error={list.error}
          what="The commands could not be loaded"
          onRetry={() => void list.refetch()}
        />
      ) : (
        <DataTable
          label="Commands, newest first"
          columns={columns}
          rows={items}
          rowKey={(command) => command.id}
          rowHref={(command) =>
            linkOptions({
              to: "/projects/$slug/commands",
              params: { slug },
              search: ((old: Record<string, unknown>) => ({ ...old, id: command.id })) as never,
            })
          }
          activeKey={id}
          empty={
            filtered ? (
              <Empty title="No command fits these filters in this window">
                <p>
                  <Button onClick={() => set({ status: undefined, action: undefined, target: undefined })}>
                    Show all commands
                  </Button>
                </p>
              </Empty>
            ) : (
              <Empty title="Nothing was asked of the agents in this window">
                <p>
                  Retry or cancel a task, purge a queue or restart a worker on its page: it is listed here
                  with who asked, what came of it and how long it took.
                </p>
              </Empty>
            )
          }
        />
      )}
      {list.hasNextPage && (
        <Button busy={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
          Show older ones
        </Button>
      )}
      {id && (
        <CommandPanel
          slug={slug}
          id={id}
          command={linked.data ?? items?.find((each) => each.id === id)}
          error={linked.error}
          onClose={() => set({ id: undefined })}
        />
      )}
    </Page>
  );
}

function columnsOf(): DataColumn<Command>[] {
  return [
    {
      id: "action",
      header: "Action",
      cell: (command) => <span className="font-medium">{actionLabel(command.action)}</span>,
    },
    {
      id: "status",
      header: "Status",
      cell: (command) => (
        <span title={outcomeText(command)}>
          <CommandBadge status={command.status} />
        </span>
      ),
    },
    {
      id: "target",
      header: "On",
      className: "max-w-64",
      cell: (command) => (
        <span className="block truncate">
          <TargetText command={command} />
        </span>
      ),
    },
    {
      id: "issuer",
      header: "By",
      className: "max-w-44",
      cell: (command) => <Issuer command={command} />,
    },
    {
      id: "agent",
      header: "Agent",
      minor: true,
      className: "max-w-40",
      cell: (command) => <span className="block truncate">{command.agent_name ?? "–"}</span>,
    },
    {
      id: "outcome",
      header: "What came of it",
      minor: true,
      className: "max-w-80",
      cell: (command) => (
        <span
          className={`block truncate ${command.error ? "text-bad" : "text-soft"}`}
          title={outcomeText(command)}
        >
          {outcomeText(command)}
        </span>
      ),
    },
    {
      id: "took",
      header: "Took",
      align: "right",
      minor: true,
      title: "From issue to outcome",
      cell: (command) => formatDuration(command.duration_ms),
    },
    {
      id: "issued",
      header: "Issued",
      align: "right",
      cell: (command) => <Age at={command.issued_at} suffix=" ago" />,
    },
  ];
}

export function Issuer({ command }: { command: Command }) {
  if (command.issuer)
    return (
      <span className="block truncate" title={command.issuer.email ?? undefined}>
        {command.issuer.name}
      </span>
    );
  return (
    <span
      className="text-soft"
      title="The brain itself, or your role may not see who: operators and administrators may"
    >
      {command.action === "reconcile_task" ? "z4j itself" : "not shown"}
    </span>
  );
}
