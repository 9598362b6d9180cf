// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { useLink } from "../api/live";
import { fetchTasks, pollInterval, queries } from "../api/queries";
import { useNow } from "../ui/clock";
import { CodeBlock, Notice } from "../ui/controls";
import { silentCelery } from "./silent";

/** SilentWorkerHint appears when Celery tasks are received but nothing is ever reported about them again. */
export function SilentWorkerHint({ slug }: { slug: string }) {
  const link = useLink();
  const now = useNow();
  const stats = useQuery(queries.stats(slug));
  const agents = useQuery(queries.agents(slug));
  const waiting = (stats.data?.tasks_by_state.received ?? 0) > 0;
  const recent = useQuery({
    queryKey: ["p", slug, "silent"],
    queryFn: ({ signal }) => fetchTasks(slug, {}, null, 50, signal),
    enabled: waiting,
    refetchInterval: Math.max(10_000, pollInterval(link)),
  });
  if (!waiting || !recent.data || !agents.data || !silentCelery(recent.data.items, agents.data, now))
    return null;
  return (
    <Notice tone="warn" title="Celery tasks are received, but no start or end is ever reported">
      <div data-testid="silent-worker" className="space-y-1.5">
        <p>
          If your workers do run them, start the worker with <code>-E</code>.
        </p>
        <details>
          <summary className="text-accent">Why, and how</summary>
          <div className="mt-1.5 space-y-2">
            <CodeBlock text="celery -A your_app worker -E" label="command" />
            <p>
              A prefork worker tells about starts, results and failures only through Celery's task events, and
              sends those only when asked to. Without them a task stays on Waiting here, whatever became of
              it. The same in the configuration: <code>worker_send_task_events = True</code>.
            </p>
            <p>If the workers are really stuck, this notice goes away as soon as one task starts.</p>
          </div>
        </details>
      </div>
    </Notice>
  );
}
