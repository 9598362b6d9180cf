// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link } from "@tanstack/react-router";
import type { Command } from "../api/types";

/** TargetText names what a command acts on in one line, without a link: the row is one already. */
export function TargetText({ command }: { command: Command }) {
  const { target } = command;
  if (!target) return <span className="text-soft">{command.target_id ?? command.target_type}</span>;
  if (target.task_id)
    return (
      <span title={`${target.engine} ${target.task_id}`}>
        <span className="text-soft">task </span>
        <code className="text-xs">{target.task_id.slice(0, 13)}</code>
      </span>
    );
  if (target.kind === "queue" && !target.queue)
    return <span className="text-soft">every queue of {target.engine}</span>;
  const name = target.queue ?? target.worker ?? target.name ?? command.target_id;
  return (
    <span title={name ?? undefined}>
      <span className="text-soft">{target.kind === "name" ? "task" : target.kind} </span>
      {name}
    </span>
  );
}

const link = "text-accent underline break-all";

/** TargetLink leads to the page of what a command acts on. */
export function TargetLink({ slug, command }: { slug: string; command: Command }) {
  const { target } = command;
  if (target?.task_id && target.engine)
    return (
      <Link
        to="/projects/$slug/tasks/$engine/$taskId"
        params={{ slug, engine: target.engine, taskId: target.task_id }}
        className={link}
      >
        task {target.task_id}
      </Link>
    );
  if (target?.queue && target.engine)
    return (
      <Link
        to="/projects/$slug/queues/$engine/$name"
        params={{ slug, engine: target.engine, name: target.queue }}
        className={link}
      >
        queue {target.queue}
      </Link>
    );
  if (target?.queue)
    return (
      <Link to="/projects/$slug/queues" params={{ slug }} className={link}>
        queue {target.queue}
      </Link>
    );
  if (target?.worker_id)
    return (
      <Link
        to="/projects/$slug/workers/$workerId"
        params={{ slug, workerId: target.worker_id }}
        className={link}
      >
        worker {target.worker}
      </Link>
    );
  if (target?.name)
    return (
      <Link
        to="/projects/$slug/tasks"
        params={{ slug }}
        search={{ name: target.name } as never}
        className={link}
      >
        {target.name}
      </Link>
    );
  if (target?.kind === "queue") return <span>every queue of {target.engine}</span>;
  return <span>{command.target_id ?? command.target_type}</span>;
}
