// SPDX-License-Identifier: AGPL-3.0-or-later

import { useQuery } from "@tanstack/react-query";
import { api, path } from "../api/client";
import { useLive } from "../api/live";
import type { AgentHealthSnapshot, AgentWorkerPublic } from "../api/schema";
import type { Agent } from "../api/types";
import { formatExact, formatRough } from "../insight/format";
import { Absolute, Age } from "../ui/clock";
import { CopyButton, ErrorNote, Notice, SkeletonRows } from "../ui/controls";
import { type Fact, Facts } from "../ui/facts";
import { SidePanel } from "../ui/panel";
import { PresenceBadge } from "../ui/state";
import { capabilities } from "./access";
import { troubles } from "./eyes";

/** AgentPanel shows one agent: what keeps it from seeing everything, its processes, what it can do. */
export function AgentPanel({ slug, agent, onClose }: { slug: string; agent: Agent; onClose: () => void }) {
  const refetchInterval = useLive(["agent.changed"], [["p", slug, "agentdetail"]], 5000);
  const processes = useQuery({
    queryKey: ["p", slug, "agentdetail", "processes"],
    queryFn: ({ signal }) =>
      api.get<AgentWorkerPublic[]>(path`/projects/${slug}/agent-workers`, { limit: 500 }, signal),
    refetchInterval,
  });
  const health = useQuery({
    queryKey: ["p", slug, "agentdetail", "health", agent.id],
    queryFn: ({ signal }) =>
      api.get<AgentHealthSnapshot[]>(path`/projects/${slug}/agents/${agent.id}/health`, undefined, signal),
    refetchInterval,
  });
  const found = troubles(agent);
  const facts: Fact[] = [
    ["Version", agent.agent_version ?? "not told"],
    [
      "Protocol",
      agent.protocol_version === "0" ? "long polling, or never connected" : agent.protocol_version,
    ],
    ["Host", agent.host_name ?? "not told"],
    ["Framework", agent.framework_adapter === "unknown" ? "not told" : agent.framework_adapter],
    ["Last seen", <Age key="s" at={agent.last_seen_at} suffix=" ago" />],
    ["Connected since", <Absolute key="c" at={agent.last_connect_at} />],
    ["Last event", <Age key="e" at={agent.last_event_at} suffix=" ago" />],
    [
      "In its buffers",
      agent.buffered === null
        ? "not reported"
        : `${formatExact(agent.buffered)}${agent.lag_seconds === null ? "" : `, the oldest ${formatRough(agent.lag_seconds)} old`}`,
    ],
    ["Reported", <Age key="r" at={agent.reported_at} suffix=" ago" />],
  ];
  return (
    <SidePanel title={agent.name} subtitle={<PresenceBadge state={agent.state} />} onClose={onClose}>
      <div className="space-y-5">
        {found.map((trouble) => (
          <Notice key={trouble.text} tone={trouble.bad ? "bad" : "warn"} title={trouble.text}>
            <p>{trouble.remedy}</p>
          </Notice>
        ))}
        {found.length === 0 && agent.state === "online" && (
          <p>It sees everything: nothing lost, nothing late, version current.</p>
        )}
        <Facts facts={facts} />
        <section>
          <h3 className="mb-1 font-semibold">Its processes</h3>
          {processes.error && !processes.data ? (
            <ErrorNote error={processes.error} what="The processes could not be loaded" />
          ) : !processes.data ? (
            <SkeletonRows rows={2} label="Loading the processes" />
          ) : (
            <Processes list={processes.data.filter((each) => each.agent_id === agent.id)} />
          )}
        </section>
        <section>
          <h3 className="mb-1 font-semibold">What it can do</h3>
          {agent.engine_adapters.length === 0 ? (
            <p className="text-soft">It has not told yet.</p>
          ) : (
            <ul className="space-y-1">
              {agent.engine_adapters.map((engine) => (
                <li key={engine}>
                  <span className="font-medium">{engine}: </span>
                  <span className="text-soft">
                    {capabilities(agent, engine)
                      .map((each) => each.replaceAll("_", " "))
                      .join(", ") || "watch only"}
                  </span>
                </li>
              ))}
            </ul>
          )}
        </section>
        <section>
          <h3 className="mb-1 font-semibold">What it had to drop</h3>
          {health.error && !health.data ? (
            <ErrorNote error={health.error} what="Its reports could not be loaded" />
          ) : !health.data ? (
            <SkeletonRows rows={2} label="Loading its reports" />
          ) : (
            <Losses list={health.data} />
          )}
        </section>
        <p className="flex flex-wrap items-center gap-1 text-xs text-soft">
          Agent <code className="break-all">{agent.id}</code>
          <CopyButton text={agent.id} label="Copy the id" compact />
        </p>
      </div>
    </SidePanel>
  );
}

function Processes({ list }: { list: AgentWorkerPublic[] }) {
  if (list.length === 0) return <p className="text-soft">None has connected yet.</p>;
  return (
    <ul className="divide-y divide-line rounded-md border border-line">
      {list.map((each) => (
        <li key={each.id} className="flex flex-wrap items-baseline gap-x-3 gap-y-0.5 px-2.5 py-1.5">
          <PresenceBadge state={each.state} />
          <code className="text-xs break-all">{each.worker_id ?? "unnamed"}</code>
          {each.role && <span>{each.role}</span>}
          <span className="ml-auto text-xs text-soft">
            seen <Age at={each.last_seen_at} suffix=" ago" />
          </span>
        </li>
      ))}
    </ul>
  );
}

function Losses({ list }: { list: AgentHealthSnapshot[] }) {
  const loss = list.find((each) => each.telemetry_loss)?.telemetry_loss;
  if (list.length === 0) return <p className="text-soft">It has not reported yet.</p>;
  const rows: [string, number][] = loss
    ? [
        ["Events", loss.event_records],
        ["Results of commands", loss.command_results],
        ["Other frames", loss.other_frames],
        ["Frames of unknown kind", loss.unclassified_frames],
        ...Object.entries(loss.adapter_events).map(([engine, n]): [string, number] => [
          `Events in the ${engine} adapter`,
          n,
        ]),
      ]
    : [];
  const lost = rows.filter(([, n]) => n > 0);
  if (lost.length === 0) return <p className="text-soft">Nothing.</p>;
  return (
    <dl className="grid grid-cols-[max-content_1fr] gap-x-6 gap-y-1">
      {lost.map(([name, n]) => (
        <div key={name} className="contents">
          <dt className="text-soft">{name}</dt>
          <dd>{formatExact(n)}</dd>
        </div>
      ))}
    </dl>
  );
}
