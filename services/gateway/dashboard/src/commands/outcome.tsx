// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { queries } from "../api/queries";
import { between, formatDuration } from "../api/time";
import type { Command, Json } from "../api/types";
import { CommandBadge } from "../ui/state";
import { useToast } from "../ui/toast";

const actions: Record<string, string> = {
  retry_task: "Retry",
  cancel_task: "Cancel",
  purge_queue: "Purge",
  bulk_retry: "Bulk retry",
  restart_worker: "Restart worker",
  pool_grow: "Grow pool",
  pool_shrink: "Shrink pool",
  add_consumer: "Add consumer",
  cancel_consumer: "Cancel consumer",
  rate_limit: "Rate limit",
  submit_task: "Submit task",
  requeue_dead_letter: "Requeue dead letter",
  reconcile_task: "Reconcile task",
  "dlq.list": "List dead letters",
};

/** The actions that can be looked for. */
export const actionNames = Object.keys(actions);

export const actionLabel = (action: string): string => actions[action] ?? action.replaceAll("_", " ");

export const isDone = (command: Command): boolean =>
  command.status !== "pending" && command.status !== "dispatched";

function field(result: Json, key: string): Json | undefined {
  return result && typeof result === "object" && !Array.isArray(result) ? result[key] : undefined;
}

/** newTaskId is the task a retry started, when the engine gave it a new id. */
export function newTaskId(command: Command): string | null {
  const id = field(command.result, "new_task_id");
  return typeof id === "string" && id ? id : null;
}

/** outcomeText says what a command did, in words. */
export function outcomeText(command: Command): string {
  switch (command.status) {
    case "pending":
      return "waiting for the agent";
    case "dispatched":
      return "sent to the agent, waiting for its answer";
    case "failed":
      if (command.action === "purge_queue" && command.error?.includes("confirm_token"))
        return "the agent refused and removed nothing: the queue has changed since its depth was reported. Purge again, also if the number has changed";
      return command.error || "the agent could not do it and gave no reason";
    case "timeout":
      return command.error || "the agent did not answer in time; it may or may not have been done";
    case "cancelled":
      return command.error || "it was withdrawn";
    case "completed": {
      const purged = field(command.result, "purged");
      if (typeof purged === "number") return `${purged} ${purged === 1 ? "message" : "messages"} removed`;
      const done = didText(command);
      if (done) return done;
      const took = formatDuration(between(command.dispatched_at ?? command.issued_at, command.completed_at));
      return command.completed_at ? `done in ${took}` : "done";
    }
  }
}

/** didText reads back what the engine itself says it did to a worker, "" when it does not say. */
function didText(command: Command): string {
  const queue = field(command.result, "queue");
  const name = typeof queue === "string" ? queue : "";
  switch (command.action) {
    case "add_consumer":
      return name ? `it consumes ${name} now` : "";
    case "cancel_consumer":
      return name ? `it has left ${name}` : "";
    case "pool_grow":
    case "pool_shrink": {
      const by = field(command.result, "delta") ?? field(command.result, "n");
      return typeof by === "number"
        ? `${command.action === "pool_grow" ? "grown" : "shrunk"} by ${Math.abs(by)}`
        : "";
    }
    default:
      return "";
  }
}

/** CommandOutcome follows one command until it has ended, and then says so in a notification as well. */
export function CommandOutcome({
  slug,
  id,
  engine,
  onDone,
}: {
  slug: string;
  id: string;
  engine?: string;
  /** Called once when the command was carried out. */
  onDone?: () => void;
}) {
  const command = useQuery({
    ...queries.command(slug, id),
    refetchInterval: (query) => (query.state.data && isDone(query.state.data) ? false : 1000),
  });
  const toast = useToast();
  const told = useRef(false);
  const data = command.data;
  const done = useRef(onDone);
  done.current = onDone;
  useEffect(() => {
    if (!data || told.current || !isDone(data)) return;
    told.current = true;
    if (data.status === "completed") done.current?.();
    toast(
      data.status === "completed" ? "good" : "bad",
      <span>
        {actionLabel(data.action)}: {outcomeText(data)}.{" "}
        <Link
          to="/projects/$slug/commands"
          params={{ slug }}
          search={{ id: data.id }}
          className="text-accent underline"
        >
          Show the command
        </Link>
      </span>,
    );
  }, [data, toast, slug]);
  if (!data) return <span className="text-soft">Sending</span>;
  const next = newTaskId(data);
  return (
    <span
      className="flex flex-wrap items-center gap-x-2 gap-y-0.5"
      data-testid="command-outcome"
      data-status={data.status}
    >
      <span className="font-medium">{actionLabel(data.action)}</span>
      <CommandBadge status={data.status} />
      <span className="text-soft">{outcomeText(data)}</span>
      {next && engine && (
        <Link
          to="/projects/$slug/tasks/$engine/$taskId"
          params={{ slug, engine, taskId: next }}
          className="text-accent underline"
        >
          Open the new task
        </Link>
      )}
    </span>
  );
}
