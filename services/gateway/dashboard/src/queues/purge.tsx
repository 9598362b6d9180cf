// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, path } from "../api/client";
import type { Command } from "../api/types";
import { ConfirmDialog } from "../ui/confirm";
import { Checkbox } from "../ui/toggle";
import { backlogText } from "./answer";

/**
 * Purge asks for the queue's name and sends the depth along that the user saw: the agent refuses when the queue has
 * changed since. Where no depth is reported there is nothing to compare with, which the dialog says.
 */
export function Purge({
  slug,
  queue,
  agentId,
  reason,
  onClose,
  onIssued,
}: {
  slug: string;
  queue: {
    name: string;
    engine: string;
    depth: number | null;
    waiting: number | null;
    waiting_capped: boolean;
  };
  agentId: string | null;
  reason: string | null;
  onClose: () => void;
  onIssued: (id: string) => void;
}) {
  const client = useQueryClient();
  const depth = queue.depth;
  const known = depth !== null && depth > 0;
  const [anyway, setAnyway] = useState(false);
  return (
    <ConfirmDialog
      title={`Purge ${queue.name}?`}
      action={
        known && !anyway
          ? `Remove ${depth} waiting ${depth === 1 ? "message" : "messages"}`
          : "Remove all waiting messages"
      }
      danger
      typed={queue.name}
      reason={reason}
      irreversible="Those tasks will never run, and this can't be undone. Tasks that already run are not touched."
      onClose={onClose}
      onConfirm={async () => {
        const command = await api.post<Command>(path`/projects/${slug}/commands/purge-queue`, {
          agent_id: agentId,
          queue: queue.name,
          ...(known && !anyway ? { observed_depth: depth } : { force: true }),
        });
        void client.invalidateQueries({ queryKey: ["p", slug, "commands"] });
        onIssued(command.id);
      }}
    >
      <p>
        {known
          ? `About ${depth} ${depth === 1 ? "message" : "messages"} in this ${queue.engine} queue are deleted at the broker.`
          : `Every message in this ${queue.engine} queue is deleted at the broker. Its depth is not reported, so nobody can say how many; ${backlogText(queue, "an unknown number of")} tasks were seen and have not started.`}
      </p>
      {known && (
        <Checkbox
          checked={anyway}
          onChange={setAnyway}
          label="Also if the number has changed meanwhile or is above the agent's limit (1000 unless configured). Otherwise the agent refuses and deletes nothing."
        />
      )}
    </ConfirmDialog>
  );
}
