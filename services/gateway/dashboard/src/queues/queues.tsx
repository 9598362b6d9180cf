// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { type Allowed, allowed, roleIn } from "../agents/access";
import { api, path } from "../api/client";
import { useLink } from "../api/live";
import { pollInterval, queries } from "../api/queries";
import { formatCount } from "../api/time";
import type { Command, Queue } from "../api/types";
import { CommandOutcome } from "../commands/outcome";
import { Age } from "../ui/clock";
import { Button, Empty, ErrorNote, Notice, SkeletonRows } from "../ui/controls";
import { Confirm } from "../ui/dialog";
import { Page, Table } from "../ui/page";

export function QueuesPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/queues" });
  const refetchInterval = pollInterval(useLink());
  const queues = useQuery({ ...queries.queues(slug), refetchInterval });
  const stats = useQuery({ ...queries.stats(slug), refetchInterval });
  const workers = useQuery({ ...queries.workers(slug), refetchInterval });
  const agents = useQuery(queries.agents(slug));
  const me = useQuery(queries.me());
  const role = roleIn(me.data, slug);
  const [purging, setPurging] = useState<{ queue: Queue; depth: number | null; can: Allowed } | null>(null);
  const [issued, setIssued] = useState<string[]>([]);

  const depthOf = (queue: Queue): number | null =>
    stats.data?.queue_depths.find((each) => each.name === queue.name && each.engine === queue.engine)
      ?.pending_count ?? null;
  const total = (queues.data ?? []).reduce((sum, queue) => sum + (depthOf(queue) ?? 0), 0);

  return (
    <Page
      title="Queues"
      slug={slug}
      answer={
        queues.data && stats.data
          ? `${formatCount(total)} ${total === 1 ? "message" : "messages"} waiting as last reported`
          : undefined
      }
    >
      {issued.map((id) => (
        <Notice key={id} tone="info">
          <CommandOutcome slug={slug} id={id} />
        </Notice>
      ))}
      {queues.error && !queues.data ? (
        <ErrorNote
          error={queues.error}
          what="The queues could not be loaded"
          onRetry={() => void queues.refetch()}
        />
      ) : !queues.data ? (
        <SkeletonRows label="Loading queues" />
      ) : queues.data.length === 0 ? (
        <Empty title="No queue has been seen yet">
          <p>
            Queues appear with the first task that passes through them, or with an agent's report of their
            depth.
          </p>
        </Empty>
      ) : (
        <Table
          label="Queues"
          head={[
            { name: "Queue" },
            { name: "Engine", minor: true },
            { name: "Waiting", align: "right" },
            { name: "Consumers", align: "right" },
            { name: "Broker", minor: true },
            { name: "Last seen", minor: true },
            { name: "Actions", align: "right" },
          ]}
          rows={queues.data.map((queue) => {
            const depth = depthOf(queue);
            const can = allowed(agents.data, queue.engine, "purge_queue", role, "admin");
            const consumers = (workers.data ?? []).filter(
              (worker) =>
                worker.engine === queue.engine &&
                worker.state === "online" &&
                worker.queues.includes(queue.name),
            ).length;
            return {
              key: queue.id,
              cells: [
                <Link
                  key="n"
                  to="/projects/$slug/tasks"
                  params={{ slug }}
                  search={{ queue: queue.name }}
                  className="font-medium hover:underline"
                >
                  {queue.name}
                </Link>,
                queue.engine,
                depth === null ? (
                  <span
                    key="d"
                    className="text-soft"
                    title="The agent does not report a depth for this queue"
                  >
                    not reported
                  </span>
                ) : (
                  <span key="d" className="font-semibold" title={String(depth)}>
                    {formatCount(depth)}
                  </span>
                ),
                consumers > 0 ? (
                  String(consumers)
                ) : (
                  <span
                    key="c"
                    className="text-soft"
                    title="No online worker reports that it consumes this queue"
                  >
                    none reported
                  </span>
                ),
                queue.broker_type ?? "–",
                <Age key="a" at={queue.last_seen_at} suffix=" ago" />,
                <Button
                  key="p"
                  kind="quiet"
                  reason={can.reason}
                  aria-label={`Purge ${queue.name}`}
                  onClick={() => setPurging({ queue, depth, can })}
                >
                  Purge
                </Button>,
              ],
            };
          })}
        />
      )}
      {purging && (
        <Purge
          slug={slug}
          {...purging}
          onClose={() => setPurging(null)}
          onIssued={(id) => {
            setIssued((all) => [id, ...all]);
            setPurging(null);
          }}
        />
      )}
    </Page>
  );
}

function Purge({
  slug,
  queue,
  depth,
  can,
  onClose,
  onIssued,
}: {
  slug: string;
  queue: Queue;
  depth: number | null;
  can: Allowed;
  onClose: () => void;
  onIssued: (id: string) => void;
}) {
  const client = useQueryClient();
  const agent = can.agents[0];
  // Celery on Redis reports no depth, which reads as 0; then there is nothing to compare with.
  const known = depth !== null && depth > 0;
  const [anyway, setAnyway] = useState(false);
  const purge = useMutation({
    // The depth goes along: the agent refuses when the queue has changed since it was looked at.
    mutationFn: () =>
      api.post<Command>(path`/projects/${slug}/commands/purge-queue`, {
        agent_id: agent?.id,
        queue: queue.name,
        ...(known && !anyway ? { observed_depth: depth } : { force: true }),
      }),
    onSuccess: (command) => {
      void client.invalidateQueries({ queryKey: ["p", slug, "commands"] });
      onIssued(command.id);
    },
  });
  return (
    <Confirm
      title={`Purge ${queue.name}?`}
      action={
        known && !anyway
          ? `Remove ${depth} waiting ${depth === 1 ? "message" : "messages"}`
          : "Remove all waiting messages"
      }
      danger
      typed={queue.name}
      busy={purge.isPending}
      onConfirm={() => purge.mutate()}
      onClose={onClose}
    >
      <p>
        {known
          ? `About ${depth} ${depth === 1 ? "message" : "messages"} waiting in this queue are deleted at the broker.`
          : "Every message that waits in this queue is deleted at the broker; how many is not known."}{" "}
        Those tasks will never run, and this can't be undone. Tasks that already run are not touched.
      </p>
      {known && (
        <label className="flex items-start gap-2">
          <input
            type="checkbox"
            checked={anyway}
            onChange={(event) => setAnyway(event.target.checked)}
            className="mt-1 accent-accent"
          />
          <span>
            Also if the number has changed meanwhile or is above the agent's limit (1000 unless configured).
            Otherwise the agent refuses and deletes nothing.
          </span>
        </label>
      )}
      <p className="text-soft">
        Engine {queue.engine}, carried out by agent {agent?.name}.
      </p>
      {purge.error && <ErrorNote error={purge.error} what="The queue was not purged" />}
    </Confirm>
  );
}
