// SPDX-License-Identifier: AGPL-3.0-or-later

import { Link } from "@tanstack/react-router";
import { formatDuration } from "../api/time";
import type { Command, Json } from "../api/types";
import { Absolute, Age } from "../ui/clock";
import { CopyButton, ErrorNote, Notice, Skeleton } from "../ui/controls";
import { type Fact, Facts } from "../ui/facts";
import { JsonBlock } from "../ui/json";
import { SidePanel } from "../ui/panel";
import { CommandBadge } from "../ui/state";
import { Issuer } from "./commands";
import { actionLabel, newTaskId, outcomeText } from "./outcome";
import { steps } from "./steps";
import { TargetLink } from "./target";

/** CommandPanel shows one command: who, what, on what, how it went, what was sent and what came back. */
export function CommandPanel({
  slug,
  id,
  command,
  error,
  onClose,
}: {
  slug: string;
  id: string;
  command: Command | undefined;
  error: unknown;
  onClose: () => void;
}) {
  return (
    <SidePanel
      title={command ? actionLabel(command.action) : "Command"}
      subtitle={command && <Age at={command.issued_at} suffix=" ago" />}
      onClose={onClose}
    >
      {command ? (
        <Content slug={slug} command={command} />
      ) : error ? (
        <ErrorNote error={error} what={`Command ${id} could not be loaded`} />
      ) : (
        <div className="space-y-3">
          <Skeleton className="h-8" />
          <Skeleton className="h-24" />
          <Skeleton className="h-40" />
        </div>
      )}
    </SidePanel>
  );
}

function Content({ slug, command }: { slug: string; command: Command }) {
  const next = newTaskId(command);
  const engine = command.target?.engine;
  const facts: Fact[] = [
    ["On", <TargetLink key="t" slug={slug} command={command} />],
    ["Issued by", <Issuer key="b" command={command} />],
    ["Carried out by", command.agent_name ? `agent ${command.agent_name}` : "no agent any more"],
    ["Took", command.duration_ms === null ? "still open" : formatDuration(command.duration_ms)],
  ];
  if (command.status === "pending" || command.status === "dispatched")
    facts.push(["Given up at", <Absolute key="g" at={command.timeout_at} />]);
  if (next)
    facts.push([
      "New task",
      engine ? (
        <Link
          key="n"
          to="/projects/$slug/tasks/$engine/$taskId"
          params={{ slug, engine, taskId: next }}
          className="text-accent underline break-all"
        >
          {next}
        </Link>
      ) : (
        next
      ),
    ]);
  return (
    <div className="space-y-5" data-testid="command">
      <p className="flex flex-wrap items-center gap-x-2">
        <CommandBadge status={command.status} />
        {!command.error && <span className="text-soft">{outcomeText(command)}</span>}
      </p>
      {command.error && (
        <Notice tone="bad" title="What the agent said">
          <p className="break-words whitespace-pre-wrap">{command.error}</p>
        </Notice>
      )}
      <Facts facts={facts} />
      <section>
        <h3 className="mb-1 font-semibold">Its way</h3>
        <ol className="space-y-0.5">
          {steps(command).map((step) => (
            <li key={step.label} className="flex flex-wrap gap-x-3">
              <span className="w-40">{step.label}</span>
              <Absolute at={step.at} millis />
              {step.afterMs !== null && <span className="text-soft">+{formatDuration(step.afterMs)}</span>}
            </li>
          ))}
        </ol>
      </section>
      <Value title="Payload" value={command.payload as Json} none="Nothing, or your role may not see it." />
      <Value title="Result" value={command.result} none="Nothing came back, or your role may not see it." />
      <p className="flex flex-wrap items-center gap-1 text-xs text-soft">
        Command <code className="break-all">{command.id}</code>
        <CopyButton text={command.id} label="Copy the id" compact />
      </p>
    </div>
  );
}

function Value({ title, value, none }: { title: string; value: Json; none: string }) {
  const empty = value === null || (typeof value === "object" && Object.keys(value).length === 0);
  return (
    <section>
      <h3 className="mb-1 font-semibold">{title}</h3>
      {empty ? <p className="text-soft">{none}</p> : <JsonBlock value={value} />}
    </section>
  );
}
