// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, linkOptions, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { useLive } from "../api/live";
import { queries } from "../api/queries";
import type { Agent } from "../api/types";
import { formatExact, formatRough } from "../insight/format";
import { Age } from "../ui/clock";
import { Button, buttonClass, CodeBlock, Empty, ErrorNote } from "../ui/controls";
import { Page } from "../ui/page";
import { PresenceBadge } from "../ui/state";
import { type DataColumn, DataTable, useUrlSort } from "../ui/table";
import { atLeast, roleIn } from "./access";
import { answer, isLate } from "./eyes";
import { AgentPanel } from "./panel";
import { Revoke } from "./revoke";
import { SkewBanner, versionText } from "./skew";

export function AgentsPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/agents" });
  const { id } = useSearch({ strict: false }) as { id?: string };
  const navigate = useNavigate();
  const refetchInterval = useLive(["agent.changed", "task.changed"], [queries.agents(slug).queryKey], 2000);
  const agents = useQuery({ ...queries.agents(slug), refetchInterval });
  const me = useQuery(queries.me());
  const role = roleIn(me.data, slug);
  const needAdmin = atLeast(role, "admin")
    ? null
    : `This needs the role admin in the project; yours is ${role}`;
  const [revoking, setRevoking] = useState<Agent | null>(null);
  const [sort, onSort] = useUrlSort({ id: "name", desc: false });
  const columns = useMemo(() => columnsOf(needAdmin, setRevoking), [needAdmin]);
  const open = agents.data?.find((each) => each.id === id);

  return (
    <Page
      title="Agents"
      slug={slug}
      answer={agents.data ? answer(agents.data) : undefined}
      actions={
        needAdmin ? (
          <Button reason={needAdmin}>New agent</Button>
        ) : (
          <Link to="/projects/$slug/agents/new" params={{ slug }} className={buttonClass("primary")}>
            New agent
          </Link>
        )
      }
    >
      <SkewBanner slug={slug} />
      {agents.error && !agents.data ? (
        <ErrorNote
          error={agents.error}
          what="The agents could not be loaded"
          onRetry={() => void agents.refetch()}
        />
      ) : (
        <DataTable
          label="Agents"
          columns={columns}
          rows={agents.data}
          rowKey={(agent) => agent.id}
          rowHref={(agent) =>
            linkOptions({
              to: "/projects/$slug/agents",
              params: { slug },
              search: ((old: Record<string, unknown>) => ({ ...old, id: agent.id })) as never,
            })
          }
          activeKey={id}
          sort={sort}
          onSort={onSort}
          skeletonRows={3}
          empty={<NoAgents slug={slug} needAdmin={needAdmin} />}
        />
      )}
      {open && (
        <AgentPanel
          slug={slug}
          agent={open}
          onClose={() =>
            void navigate({
              to: ".",
              search: ((old: Record<string, unknown>) => ({ ...old, id: undefined })) as never,
            })
          }
        />
      )}
      {revoking && <Revoke slug={slug} agent={revoking} onClose={() => setRevoking(null)} />}
    </Page>
  );
}

function NoAgents({ slug, needAdmin }: { slug: string; needAdmin: string | null }) {
  return (
    <Empty title="No agent yet">
      <p>
        An agent is the part of z4j that lives inside your workers: it tells what they do and carries out what
        you ask of them. For Celery it is one package:
      </p>
      <CodeBlock text="pip install z4j-celery" label="install command" />
      <p>
        {needAdmin ? (
          `To create one: ${needAdmin.toLowerCase()}.`
        ) : (
          <Link to="/projects/$slug/agents/new" params={{ slug }} className="text-accent underline">
            Create one, and copy its four environment variables to where your workers run
          </Link>
        )}
      </p>
    </Empty>
  );
}

const dash = (why: string) => (
  <span className="text-soft" title={why}>
    –
  </span>
);

function columnsOf(needAdmin: string | null, revoke: (agent: Agent) => void): DataColumn<Agent>[] {
  return [
    {
      id: "name",
      header: "Agent",
      className: "max-w-64",
      sort: (agent) => agent.name,
      cell: (agent) => (
        <span className="block truncate font-medium" title={agent.name}>
          {agent.name}
        </span>
      ),
    },
    {
      id: "state",
      header: "State",
      sort: (agent) => agent.state,
      cell: (agent) => <PresenceBadge state={agent.state} />,
    },
    {
      id: "version",
      header: "Version",
      sort: (agent) => agent.agent_version,
      cell: (agent) => <Version agent={agent} />,
    },
    {
      id: "engines",
      header: "Engines",
      minor: true,
      className: "max-w-56",
      cell: (agent) => <Engines agent={agent} />,
    },
    {
      id: "lag",
      header: "Lag",
      title: "Age of the oldest frame that waits in its buffer",
      align: "right",
      descFirst: true,
      sort: (agent) => agent.lag_seconds,
      cell: (agent) =>
        agent.lag_seconds === null ? (
          agent.buffered === null ? (
            dash("It has not reported yet")
          ) : (
            <span title="Nothing waits in its buffer">none</span>
          )
        ) : (
          <span className={isLate(agent) ? "font-semibold text-warn" : ""}>
            {formatRough(agent.lag_seconds)}
          </span>
        ),
    },
    {
      id: "buffered",
      header: "Buffered",
      title: "Frames that wait in its buffers",
      align: "right",
      descFirst: true,
      minor: true,
      sort: (agent) => agent.buffered,
      cell: (agent) =>
        agent.buffered === null ? dash("It has not reported yet") : formatExact(agent.buffered),
    },
    {
      id: "lost",
      header: "Lost",
      title: "Events it had to drop since its buffer was made",
      align: "right",
      descFirst: true,
      sort: (agent) => agent.lost,
      cell: (agent) =>
        agent.lost > 0 ? <span className="font-semibold text-bad">{formatExact(agent.lost)}</span> : "0",
    },
    {
      id: "event",
      header: "Last event",
      title: "When its last events arrived",
      align: "right",
      descFirst: true,
      minor: true,
      sort: (agent) => agent.last_event_at,
      cell: (agent) => <Age at={agent.last_event_at} suffix=" ago" />,
    },
    {
      id: "seen",
      header: "Last seen",
      align: "right",
      descFirst: true,
      sort: (agent) => agent.last_seen_at,
      cell: (agent) => <Age at={agent.last_seen_at} suffix=" ago" />,
    },
    {
      id: "processes",
      header: "Processes",
      title: "Processes that reported in the last minute",
      align: "right",
      descFirst: true,
      minor: true,
      sort: (agent) => agent.processes,
      cell: (agent) => String(agent.processes),
    },
    {
      id: "actions",
      header: "Actions",
      hideHeader: true,
      align: "right",
      cell: (agent) => (
        <Button
          kind="quiet"
          className="relative z-10 -my-1 max-md:-ml-3"
          reason={needAdmin}
          onClick={() => revoke(agent)}
          aria-label={`Revoke ${agent.name}`}
        >
          Revoke
        </Button>
      ),
    },
  ];
}

function Engines({ agent }: { agent: Agent }) {
  const all = [...agent.engine_adapters, ...agent.scheduler_adapters];
  if (all.length === 0) return dash("It has not told yet");
  const framework =
    agent.framework_adapter && !["bare", "unknown"].includes(agent.framework_adapter)
      ? agent.framework_adapter
      : null;
  return (
    <span className="block truncate" title={all.join(", ")}>
      {all.join(", ")}
      {framework && <span className="text-soft"> in {framework}</span>}
    </span>
  );
}

function Version({ agent }: { agent: Agent }) {
  if (!agent.agent_version) return dash("It has not told yet");
  const status = agent.version_status ?? (agent.is_outdated ? "outdated" : "current");
  return (
    <span>
      {agent.agent_version}
      {status !== "current" && <span className="text-warn"> {versionText[status] ?? status}</span>}
    </span>
  );
}
