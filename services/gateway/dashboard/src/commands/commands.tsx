// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useLink } from "../api/live";
import { pollInterval, queries } from "../api/queries";
import { between, formatDuration } from "../api/time";
import type { Command } from "../api/types";
import { Age } from "../ui/clock";
import { Button, Empty, ErrorNote, inputClass, SkeletonRows } from "../ui/controls";
import { JsonBlock } from "../ui/json";
import { Page, Table } from "../ui/page";
import { CommandBadge } from "../ui/state";
import { actionLabel } from "./outcome";

const statuses = ["pending", "dispatched", "completed", "failed", "timeout", "cancelled"];

export function CommandsPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/commands" });
  const { status, id } = useSearch({ from: "/app/projects/$slug/commands" });
  const navigate = useNavigate({ from: "/projects/$slug/commands" });
  const link = useLink();
  const wanted = statuses.includes(status ?? "") ? status : undefined;
  const commands = useQuery({ ...queries.commands(slug, wanted), refetchInterval: pollInterval(link) });
  const agents = useQuery(queries.agents(slug));
  // A command that a link points to may be older than the first page.
  const linked = useQuery({ ...queries.command(slug, id ?? ""), enabled: id !== undefined });
  const items = commands.data?.items ?? [];
  const shown = id && linked.data && !items.some((each) => each.id === id) ? [linked.data, ...items] : items;
  const agentName = (command: Command) =>
    agents.data?.find((agent) => agent.id === command.agent_id)?.name ?? "–";

  return (
    <Page
      title="Commands"
      slug={slug}
      answer="What was asked of the agents, and what came of it"
      actions={
        <select
          aria-label="Status"
          className={inputClass}
          value={wanted ?? ""}
          onChange={(event) => void navigate({ search: { status: event.target.value || undefined } })}
        >
          <option value="">All</option>
          {statuses.map((each) => (
            <option key={each} value={each}>
              {each === "timeout" ? "no answer" : each}
            </option>
          ))}
        </select>
      }
    >
      {commands.error && !commands.data ? (
        <ErrorNote
          error={commands.error}
          what="The commands could not be loaded"
          onRetry={() => void commands.refetch()}
        />
      ) : !commands.data ? (
        <SkeletonRows label="Loading commands" />
      ) : shown.length === 0 ? (
        <Empty title={wanted ? "No command has this status" : "Nothing was asked of the agents yet"}>
          <p>Retry or cancel a task on its page, or purge a queue, and it is listed here with its outcome.</p>
        </Empty>
      ) : (
        <Table
          label="Commands"
          head={[
            { name: "Status" },
            { name: "Action" },
            { name: "Target" },
            { name: "Agent", minor: true },
            { name: "Took", minor: true, align: "right" },
            { name: "Issued" },
            { name: "Actions", align: "right" },
          ]}
          rows={shown.map((command) => ({
            key: command.id,
            cells: [
              <CommandBadge key="s" status={command.status} />,
              <span key="a" className="font-medium">
                {actionLabel(command.action)}
              </span>,
              <Target key="t" slug={slug} command={command} />,
              agentName(command),
              formatDuration(between(command.issued_at, command.completed_at)),
              <Age key="i" at={command.issued_at} suffix=" ago" />,
              <Button
                key="d"
                kind="quiet"
                aria-expanded={command.id === id}
                onClick={() =>
                  void navigate({
                    search: (old) => ({ ...old, id: command.id === id ? undefined : command.id }),
                  })
                }
              >
                {command.id === id ? "Less" : "More"}
              </Button>,
            ],
            detail: (command.error || command.id === id) && (
              <>
                {command.error && <p className="text-bad">{command.error}</p>}
                {command.id === id && <Detail command={command} />}
              </>
            ),
          }))}
        />
      )}
    </Page>
  );
}

function Target({ slug, command }: { slug: string; command: Command }) {
  const { target_type: type, target_id: target } = command;
  if (!target) return <span className="text-soft">{type}</span>;
  const colon = target.indexOf(":");
  if (type === "task" && colon > 0) {
    const taskId = target.slice(colon + 1);
    return (
      <Link
        to="/projects/$slug/tasks/$engine/$taskId"
        params={{ slug, engine: target.slice(0, colon), taskId }}
        className="font-mono text-xs text-accent underline"
        title={target}
      >
        {taskId.slice(0, 13)}
      </Link>
    );
  }
  return (
    <span>
      <span className="text-soft">{type} </span>
      {target}
    </span>
  );
}

function Detail({ command }: { command: Command }) {
  return (
    <dl className="mt-2 grid gap-x-4 gap-y-3 md:grid-cols-2">
      <div>
        <dt className="mb-1 text-xs font-semibold text-soft">Payload</dt>
        <dd>
          <JsonBlock value={command.payload} />
        </dd>
      </div>
      <div>
        <dt className="mb-1 text-xs font-semibold text-soft">Result</dt>
        <dd>
          <JsonBlock value={command.result} />
        </dd>
      </div>
      <div className="text-xs text-soft md:col-span-2">
        <dt className="sr-only">Id</dt>
        <dd>
          Command <code>{command.id}</code>
        </dd>
      </div>
    </dl>
  );
}
