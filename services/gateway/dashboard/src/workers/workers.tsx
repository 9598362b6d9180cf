// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useLink } from "../api/live";
import { pollInterval, queries } from "../api/queries";
import { formatCount } from "../api/time";
import type { Worker } from "../api/types";
import { Age } from "../ui/clock";
import { Empty, ErrorNote, SkeletonRows } from "../ui/controls";
import { Page, Table } from "../ui/page";
import { PresenceBadge } from "../ui/state";

export function WorkersPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/workers" });
  const workers = useQuery({ ...queries.workers(slug), refetchInterval: pollInterval(useLink()) });
  return (
    <Page title="Workers" slug={slug} answer={workers.data ? summary(workers.data) : undefined}>
      {workers.error && !workers.data ? (
        <ErrorNote
          error={workers.error}
          what="The workers could not be loaded"
          onRetry={() => void workers.refetch()}
        />
      ) : !workers.data ? (
        <SkeletonRows label="Loading workers" />
      ) : workers.data.length === 0 ? (
        <Empty title="No worker has been seen yet">
          <p>Workers appear when an agent inside them connects, or with the first task they work on.</p>
        </Empty>
      ) : (
        <Table
          label="Workers"
          head={[
            { name: "State" },
            { name: "Worker" },
            { name: "Engine", minor: true },
            { name: "Active" },
            { name: "Succeeded", minor: true, align: "right" },
            { name: "Failed", align: "right" },
            { name: "Retried", minor: true, align: "right" },
            { name: "Queues", minor: true },
            { name: "Load", minor: true, align: "right" },
            { name: "Heartbeat" },
          ]}
          rows={workers.data.map((worker) => ({
            key: worker.id,
            cells: [
              <PresenceBadge key="s" state={worker.state} />,
              <Link
                key="n"
                to="/projects/$slug/tasks"
                params={{ slug }}
                search={{ worker: worker.name }}
                className="font-medium hover:underline"
                title="Show its tasks"
              >
                {worker.name}
              </Link>,
              worker.engine,
              worker.concurrency
                ? `${worker.active_tasks} of ${worker.concurrency}`
                : String(worker.active_tasks),
              formatCount(worker.succeeded),
              worker.failed > 0 ? (
                <span key="f" className="text-bad">
                  {formatCount(worker.failed)}
                </span>
              ) : (
                "0"
              ),
              formatCount(worker.retried),
              worker.queues.join(", ") || <span className="text-soft">–</span>,
              worker.load_average?.[0]?.toFixed(2) ?? <span className="text-soft">–</span>,
              <Age key="h" at={worker.last_heartbeat} suffix=" ago" />,
            ],
          }))}
        />
      )}
    </Page>
  );
}

function summary(workers: Worker[]): string {
  if (workers.length === 0) return "";
  const online = workers.filter((worker) => worker.state === "online");
  const active = online.reduce((sum, worker) => sum + worker.active_tasks, 0);
  const slots = online.reduce((sum, worker) => sum + (worker.concurrency ?? 0), 0);
  const busy =
    slots > 0
      ? `, ${active} of ${slots} slots busy`
      : `, ${active} ${active === 1 ? "task" : "tasks"} running`;
  return `${online.length} of ${workers.length} online${online.length > 0 ? busy : ""}`;
}
