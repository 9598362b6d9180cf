// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQueryClient } from "@tanstack/react-query";
import { api, path } from "../api/client";
import { queries } from "../api/queries";
import type { Agent } from "../api/types";
import { ConfirmDialog } from "../ui/confirm";
import { useToast } from "../ui/toast";

export function Revoke({ slug, agent, onClose }: { slug: string; agent: Agent; onClose: () => void }) {
  const client = useQueryClient();
  const toast = useToast();
  return (
    <ConfirmDialog
      title={`Revoke ${agent.name}?`}
      action="Revoke the agent"
      danger
      typed={agent.state === "online" ? agent.name : undefined}
      irreversible="This can't be undone; a new agent needs new secrets."
      onConfirm={async () => {
        await api.delete(path`/projects/${slug}/agents/${agent.id}`);
        toast("good", `${agent.name} is revoked and disconnected`);
        void client.invalidateQueries({ queryKey: queries.agents(slug).queryKey });
      }}
      onClose={onClose}
    >
      <p>
        Its token stops working at once and every process that uses it is disconnected
        {agent.processes > 0 && ` (${agent.processes} now)`}: their tasks are no longer seen and can't be
        controlled. Tasks keep running, and what was recorded stays.
      </p>
    </ConfirmDialog>
  );
}
