// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Action } from "../api/schema";

/** Offer is an action as a button shows it: by whom it would be carried out, or why it can't be. */
export interface Offer {
  agentId: string | null;
  /** Why not; null when it can be done. */
  reason: string | null;
}

/** offerOf reads the API's own list of allowed actions; nothing is offered that the list does not have. */
export function offerOf(actions: Action[] | undefined, action: string): Offer {
  if (!actions) return { agentId: null, reason: "Checking whether this can be done" };
  const found = actions.find((each) => each.action === action);
  if (!found) return { agentId: null, reason: "The brain does not offer this here" };
  if (!found.allowed) return { agentId: null, reason: found.reason ?? "This can't be done now" };
  return { agentId: found.agent_id, reason: null };
}
