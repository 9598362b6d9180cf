// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { api, path } from "../api/client";
import type { WorkerDetailPublic } from "../api/schema";
import type { Command } from "../api/types";
import { CommandOutcome } from "../commands/outcome";
import { type Offer, offerOf } from "../offer/offer";
import { ConfirmDialog } from "../ui/confirm";
import { Button, ErrorNote, inputClass, Panel } from "../ui/controls";
import { CloseIcon } from "../ui/icons";
import { poolStep } from "./pool";

type Asked = { kind: "restart" } | { kind: "leave"; queue: string } | { kind: "pool"; delta: number };

/** Controls: the pool, the queues, a restart. Each says what it will do; the outcome stays below. */
export function Controls({ slug, worker }: { slug: string; worker: WorkerDetailPublic }) {
  const client = useQueryClient();
  const [asked, setAsked] = useState<Asked | null>(null);
  const [issued, setIssued] = useState<string[]>([]);
  const [queue, setQueue] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const offers = {
    restart: offerOf(worker.allowed_actions, "restart_worker"),
    grow: offerOf(worker.allowed_actions, "pool_grow"),
    shrink: offerOf(worker.allowed_actions, "pool_shrink"),
    add: offerOf(worker.allowed_actions, "add_consumer"),
    leave: offerOf(worker.allowed_actions, "cancel_consumer"),
  };

  const issue = async (what: string, offer: Offer, more: Record<string, unknown> = {}) => {
    const command = await api.post<Command>(`${path`/projects/${slug}/commands/`}${what}`, {
      agent_id: offer.agentId,
      engine: worker.engine,
      worker_name: worker.name,
      ...more,
    });
    setIssued((all) => [command.id, ...all].slice(0, 5));
    void client.invalidateQueries({ queryKey: ["p", slug, "commands"] });
  };
  const add = async (event: FormEvent) => {
    event.preventDefault();
    const name = queue.trim();
    if (!name || busy || offers.add.reason) return;
    setBusy(true);
    setError(null);
    try {
      await issue("add-consumer", offers.add, { queue: name });
      setQueue("");
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  // One reason for all of them reads better than five of the same on hover.
  const reasons = new Set(Object.values(offers).map((each) => each.reason));
  const common = reasons.size === 1 ? [...reasons][0] : null;

  return (
    <Panel title="Control it">
      <div className="space-y-3" data-testid="controls">
        {common && <p className="text-soft">{common}</p>}
        <div className="grid gap-x-8 gap-y-3 lg:grid-cols-[max-content_1fr_max-content]">
          <div className="space-y-1">
            <h3 className="text-xs text-soft">Pool</h3>
            <div className="flex items-center gap-1.5">
              <Button
                reason={offers.shrink.reason ?? poolStep(worker.concurrency, -1)}
                aria-label="Shrink the pool by one"
                onClick={() => setAsked({ kind: "pool", delta: -1 })}
              >
                −1
              </Button>
              <span className="min-w-12 text-center font-semibold" title="Slots of the pool">
                {worker.concurrency ?? "?"}
              </span>
              <Button
                reason={offers.grow.reason ?? poolStep(worker.concurrency, 1)}
                aria-label="Grow the pool by one"
                onClick={() => setAsked({ kind: "pool", delta: 1 })}
              >
                +1
              </Button>
            </div>
          </div>
          <div className="min-w-0 space-y-1">
            <h3 className="text-xs text-soft">Queues it consumes</h3>
            <div className="flex flex-wrap items-center gap-1.5">
              {worker.queues.map((each) => (
                <span
                  key={each}
                  className="inline-flex h-8 items-center gap-1 rounded-md border border-line pl-2.5 max-sm:h-10"
                >
                  <Link
                    to="/projects/$slug/queues/$engine/$name"
                    params={{ slug, engine: worker.engine, name: each }}
                    className="hover:underline"
                  >
                    {each}
                  </Link>
                  <button
                    type="button"
                    aria-label={`Stop consuming ${each}`}
                    aria-disabled={offers.leave.reason ? true : undefined}
                    title={offers.leave.reason ?? `Stop consuming ${each}`}
                    onClick={() => !offers.leave.reason && setAsked({ kind: "leave", queue: each })}
                    className="grid size-8 place-items-center rounded-md text-soft hover:bg-raised hover:text-ink aria-disabled:cursor-not-allowed aria-disabled:opacity-50 max-sm:size-10"
                  >
                    <CloseIcon className="size-3.5" />
                  </button>
                </span>
              ))}
              {worker.queues.length === 0 && <span className="text-soft">not told</span>}
              <form className="flex items-center gap-1.5" onSubmit={(event) => void add(event)}>
                <input
                  aria-label="Queue to consume as well"
                  placeholder="another queue"
                  value={queue}
                  maxLength={200}
                  onChange={(event) => setQueue(event.target.value)}
                  className={`${inputClass} w-36`}
                />
                <Button
                  type="submit"
                  busy={busy}
                  reason={offers.add.reason ?? (queue.trim() ? null : "Name the queue first")}
                >
                  Consume
                </Button>
              </form>
            </div>
          </div>
          <div className="space-y-1">
            <h3 className="text-xs text-soft">Whole worker</h3>
            <Button
              kind="danger"
              reason={offers.restart.reason}
              onClick={() => setAsked({ kind: "restart" })}
            >
              Restart the pool
            </Button>
          </div>
        </div>
        {error !== null && <ErrorNote error={error} what="Nothing was asked of the worker" />}
        {issued.length > 0 && (
          <ul
            className="space-y-1 border-line border-t pt-2"
            aria-label="What was asked, and what came of it"
          >
            {issued.map((id) => (
              <li key={id}>
                <CommandOutcome slug={slug} id={id} />
              </li>
            ))}
          </ul>
        )}
      </div>
      {asked?.kind === "restart" && (
        <ConfirmDialog
          title={`Restart the pool of ${worker.name}?`}
          action="Restart the pool"
          danger
          reason={offers.restart.reason}
          irreversible={
            worker.active_tasks > 0 || worker.current_tasks.length > 0
              ? `${Math.max(worker.active_tasks, worker.current_tasks.length)} running now are cut off. With late acknowledgement they run again, without it they are lost.`
              : undefined
          }
          sample={worker.current_tasks.slice(0, 5).map((task) => task.name)}
          onConfirm={() => issue("restart-worker", offers.restart)}
          onClose={() => setAsked(null)}
        >
          <p>
            Its child processes are ended and started anew; the worker's own process stays. It reads its code
            anew only if Celery was told to (worker_pool_restarts).
          </p>
        </ConfirmDialog>
      )}
      {asked?.kind === "leave" && (
        <ConfirmDialog
          title={`Stop consuming ${asked.queue}?`}
          action="Stop consuming"
          danger
          reason={offers.leave.reason}
          onConfirm={() => issue("cancel-consumer", offers.leave, { queue: asked.queue })}
          onClose={() => setAsked(null)}
        >
          <p>
            {worker.name} takes nothing more from {asked.queue}; what it already holds still runs. The next
            start of the worker brings the queue back. If no other worker consumes it, its tasks wait.
          </p>
        </ConfirmDialog>
      )}
      {asked?.kind === "pool" && (
        <ConfirmDialog
          title={asked.delta > 0 ? "Grow the pool by one?" : "Shrink the pool by one?"}
          action={asked.delta > 0 ? "Grow it" : "Shrink it"}
          reason={asked.delta > 0 ? offers.grow.reason : offers.shrink.reason}
          onConfirm={() =>
            issue("pool-resize", asked.delta > 0 ? offers.grow : offers.shrink, { delta: asked.delta })
          }
          onClose={() => setAsked(null)}
        >
          <p>
            {worker.name} goes{" "}
            {worker.concurrency
              ? `from ${worker.concurrency} to ${worker.concurrency + asked.delta} slots`
              : `by ${asked.delta} slot`}{" "}
            until its next start, which brings the configured size back. The new size shows here with the
            worker's next report, within a minute.
          </p>
        </ConfirmDialog>
      )}
    </Panel>
  );
}
