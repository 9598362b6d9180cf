// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link } from "@tanstack/react-router";
import type { Command } from "../api/types";
import { actionLabel, newTaskId, outcomeText } from "../commands/outcome";
import { Age } from "../ui/clock";
import { Panel } from "../ui/controls";
import { CommandBadge } from "../ui/state";

/** Sent lists what agents were told about this task, by whom, and what came of it. */
export function Sent({ slug, engine, commands }: { slug: string; engine: string; commands: Command[] }) {
  if (commands.length === 0) return null;
  return (
    <Panel title="Commands sent" pad={false}>
      <ul className="divide-y divide-line" data-testid="sent">
        {commands.map((command) => {
          const next = newTaskId(command);
          return (
            <li key={command.id} className="space-y-0.5 px-3 py-2">
              <p className="flex flex-wrap items-center gap-x-2">
                <Link
                  to="/projects/$slug/commands"
                  params={{ slug }}
                  search={{ id: command.id }}
                  className="font-medium text-accent underline"
                >
                  {actionLabel(command.action)}
                </Link>
                <CommandBadge status={command.status} />
                <span className="ml-auto text-xs text-soft">
                  <Age at={command.issued_at} suffix=" ago" />
                </span>
              </p>
              <p className="text-xs text-soft">
                {command.issuer ? `${command.issuer.name || command.issuer.email}: ` : "z4j itself: "}
                {outcomeText(command)}
              </p>
              {next && (
                <p className="text-xs">
                  started{" "}
                  <Link
                    to="/projects/$slug/tasks/$engine/$taskId"
                    params={{ slug, engine, taskId: next }}
                    className="font-mono text-accent underline"
                  >
                    {next}
                  </Link>
                </p>
              )}
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}
