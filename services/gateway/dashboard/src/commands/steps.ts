// SPDX-License-Identifier: AGPL-3.0-or-later
import { between } from "../api/time";
import type { Command } from "../api/types";

export interface Step {
  label: string;
  at: string;
  /** Since the step before. */
  afterMs: number | null;
}

/** steps tells a command's way in order: issued, handed to the agent, ended. */
export function steps(
  command: Pick<Command, "issued_at" | "dispatched_at" | "completed_at" | "status">,
): Step[] {
  const out: Step[] = [{ label: "Issued", at: command.issued_at, afterMs: null }];
  if (command.dispatched_at) {
    out.push({
      label: "Handed to the agent",
      at: command.dispatched_at,
      afterMs: between(command.issued_at, command.dispatched_at),
    });
  }
  if (command.completed_at) {
    out.push({
      label: ends[command.status] ?? "Ended",
      at: command.completed_at,
      afterMs: between(command.dispatched_at ?? command.issued_at, command.completed_at),
    });
  }
  return out;
}

const ends: Record<string, string> = {
  completed: "Done",
  failed: "Failed",
  timeout: "Given up waiting",
  cancelled: "Withdrawn",
};

/** answer is the first line of the page. */
export function answer(commands: Command[], more: boolean): string {
  if (commands.length === 0) return "";
  const open = commands.filter((each) => each.status === "pending" || each.status === "dispatched").length;
  const bad = commands.filter((each) => each.status === "failed" || each.status === "timeout").length;
  const parts = [`${commands.length}${more ? " newest" : ""} commands`];
  if (commands.length === 1) parts[0] = "1 command";
  parts.push(open > 0 ? `${open} open` : "none open");
  parts.push(bad > 0 ? `${bad} failed or unanswered` : "all that ended were done");
  return parts.join(", ");
}
