// SPDX-License-Identifier: AGPL-3.0-or-later

/** What the address of the commands page holds beside the window: filters, and the command whose panel is open. */
export interface CommandSearch {
  status?: string;
  action?: string;
  /** As the API names a command's target: engine:task_id, a queue, a worker. */
  target?: string;
  id?: string;
}

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : typeof value === "number" ? String(value) : undefined;

export const parseCommandSearch = (search: Record<string, unknown>): CommandSearch => ({
  status: text(search.status),
  action: text(search.action),
  target: text(search.target),
  id: text(search.id),
});
