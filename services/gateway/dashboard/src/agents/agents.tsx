// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, path } from "../api/client";
import { useLink } from "../api/live";
import { pollInterval, queries } from "../api/queries";
import type { Agent } from "../api/types";
import { Age } from "../ui/clock";
import { Button, buttonClass, Empty, ErrorNote, SkeletonRows } from "../ui/controls";
import { Confirm } from "../ui/dialog";
import { Page, Table } from "../ui/page";
import { PresenceBadge } from "../ui/state";
import { useToast } from "../ui/toast";
import { atLeast, roleIn } from "./access";
import { SkewBanner, versionText } from "./skew";

export function AgentsPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/agents" });
  const link = useLink();
  const agents = useQuery({ ...queries.agents(slug), refetchInterval: pollInterval(link) });
  const me = useQuery(queries.me());
  const role = roleIn(me.data, slug);
  const needAdmin = atLeast(role, "admin") ? null : `Your role here is ${role}; this needs admin`;
  const [revoking, setRevoking] = useState<Agent | null>(null);

  return (
    <Page
      title="Agents"
      slug={slug}
      answer={agents.data ? summary(agents.data) : undefined}
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
      ) : !agents.data ? (
        <SkeletonRows label="Loading agents" />
      ) : agents.data.length === 0 ? (
        <Empty title="No agent yet">
          <p>
            An agent is the part of z4j that lives inside your workers. Create one, copy its four environment
            variables to where your workers run, and start them.
          </p>
        </Empty>
      ) : (
        <Table
          label="Agents"
          head={[
            { name: "State" },
            { name: "Name" },
            { name: "Engines", minor: true },
            { name: "Version" },
            { name: "Host", minor: true },
            { name: "Last seen" },
            { name: "Actions", align: "right" },
          ]}
          rows={agents.data.map((agent) => ({
            key: agent.id,
            cells: [
              <PresenceBadge key="s" state={agent.state} />,
              <span key="n" className="font-medium">
                {agent.name}
              </span>,
              <Engines key="e" agent={agent} />,
              <Version key="v" agent={agent} />,
              agent.host_name ?? "–",
              <Age key="a" at={agent.last_seen_at} suffix=" ago" />,
              <Button
                key="r"
                kind="quiet"
                reason={needAdmin}
                onClick={() => setRevoking(agent)}
                aria-label={`Revoke ${agent.name}`}
              >
                Revoke
              </Button>,
            ],
          }))}
        />
      )}
      {revoking && <Revoke slug={slug} agent={revoking} onClose={() => setRevoking(null)} />}
    </Page>
  );
}

function summary(agents: Agent[]): string {
  const online = agents.filter((agent) => agent.state === "online").length;
  const offline = agents.filter((agent) => agent.state === "offline").length;
  if (agents.length === 0) return "Nothing is watched yet";
  if (online === agents.length) return online === 1 ? "Online" : `All ${online} online`;
  return `${online} of ${agents.length} online${offline > 0 ? `, ${offline} went offline` : ""}`;
}

function Engines({ agent }: { agent: Agent }) {
  const all = [...agent.engine_adapters, ...agent.scheduler_adapters];
  if (all.length === 0) return <span className="text-soft">–</span>;
  const framework =
    agent.framework_adapter && !["bare", "unknown"].includes(agent.framework_adapter)
      ? agent.framework_adapter
      : null;
  return (
    <span>
      {all.join(", ")}
      {framework && <span className="text-soft"> in {framework}</span>}
    </span>
  );
}

function Version({ agent }: { agent: Agent }) {
  if (!agent.agent_version) return <span className="text-soft">–</span>;
  const status = agent.version_status ?? (agent.is_outdated ? "outdated" : "current");
  return (
    <span>
      {agent.agent_version}
      {status !== "current" && <span className="text-warn"> {versionText[status] ?? status}</span>}
    </span>
  );
}

function Revoke({ slug, agent, onClose }: { slug: string; agent: Agent; onClose: () => void }) {
  const client = useQueryClient();
  const toast = useToast();
  const revoke = useMutation({
    mutationFn: () => api.delete(path`/projects/${slug}/agents/${agent.id}`),
    onSuccess: () => {
      toast("good", `${agent.name} is revoked and disconnected`);
      void client.invalidateQueries({ queryKey: queries.agents(slug).queryKey });
      onClose();
    },
  });
  return (
    <Confirm
      title={`Revoke ${agent.name}?`}
      action="Revoke the agent"
      danger
      typed={agent.state === "online" ? agent.name : undefined}
      busy={revoke.isPending}
      onConfirm={() => revoke.mutate()}
      onClose={onClose}
    >
      <p>
        Its token stops working at once and every process that uses it is disconnected: their tasks are no
        longer seen and can't be controlled. Tasks keep running, and what was recorded stays. This can't be
        undone; a new agent needs new secrets.
      </p>
      {revoke.error && <ErrorNote error={revoke.error} what="The agent was not revoked" />}
    </Confirm>
  );
}
