// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { useLink } from "../api/live";
import { pollInterval, queries } from "../api/queries";
import type { Task } from "../api/types";
import { taskQueries } from "./queries";
import { isTerminal, type Surroundings } from "./verdict";

/** useSurroundings asks for what explains a task beyond its own record: workers, agents, commands sent for it. */
export function useSurroundings(slug: string, task: Task): Surroundings {
  const poll = pollInterval(useLink());
  const live = !isTerminal(task.state);
  const workers = useQuery({
    ...queries.workers(slug),
    enabled: live,
    refetchInterval: live ? 10_000 : false,
  });
  const agents = useQuery({ ...queries.agents(slug), refetchInterval: 15_000 });
  const sent = useQuery({ ...taskQueries.sent(slug, task.engine, task.task_id), refetchInterval: poll });
  return { workers: workers.data, agents: agents.data, commands: sent.data?.items };
}
