// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useId, useState } from "react";
import { AgentOptions } from "../agents/options";
import { api, path } from "../api/client";
import { queries } from "../api/queries";
import type { BulkDeleteResponse } from "../api/schema";
import type { Agent, Command, Json, Task } from "../api/types";
import { argsPreview } from "../tasks/preview";
import { Button, ErrorNote, Field, inputClass } from "../ui/controls";
import { Confirm } from "../ui/dialog";
import { PresenceBadge } from "../ui/state";
import { useToast } from "../ui/toast";
import { rateProblem } from "./offers";
import { parseJsonField } from "./overrides";
import { holdsCut, holdsRedacted, plain, readValue } from "./value";
import { displayName, isTerminal } from "./verdict";

interface DialogProps {
  slug: string;
  task: Task;
  /** Who can carry it out, the best first. They may come while the dialog is open. */
  agents: Agent[];
  /** Why there are none. */
  nobody: string | null;
  onClose: () => void;
  onIssued: (...commands: Command[]) => void;
}

type Body = Record<string, Json | undefined>;

function useSend(slug: string, kind: string, onIssued: (...commands: Command[]) => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (bodies: Body[]) => {
      const sent: Command[] = [];
      for (const body of bodies)
        sent.push(await api.post<Command>(path`/projects/${slug}/commands/${kind}`, body));
      return sent;
    },
    onSuccess: (commands) => {
      for (const command of commands)
        client.setQueryData(queries.command(slug, command.id).queryKey, command);
      void client.invalidateQueries({ queryKey: ["p", slug, "commands"] });
      onIssued(...commands);
    },
  });
}

/** useAgent is who is told: the one that was picked, while it can be, else the best. Null while there is nobody. */
function useAgent(agents: Agent[]): [id: string | null, pick: (id: string) => void] {
  const [picked, pick] = useState<string | null>(null);
  const agent = agents.find((each) => each.id === picked) ?? agents[0];
  return [agent?.id ?? null, pick];
}

function AgentPick({
  agents,
  nobody,
  value,
  onChange,
}: {
  agents: Agent[];
  nobody: string | null;
  value: string | null;
  onChange: (id: string) => void;
}) {
  if (!agents[0]) return <p className="text-soft">{nobody}.</p>;
  if (agents.length === 1) return <p className="text-soft">Carried out by agent {agents[0].name}.</p>;
  return (
    <label className="block space-y-1">
      <span className="block font-medium">Agent</span>
      <select className={inputClass} value={value ?? ""} onChange={(event) => onChange(event.target.value)}>
        <AgentOptions agents={agents} />
      </select>
    </label>
  );
}

/** What the arguments are as JSON, however the agent reported them. */
function editable(json: Json, empty: string): { text: string; lossy: boolean; redacted: boolean } {
  if (json === null) return { text: empty, lossy: false, redacted: false };
  const { value, from } = readValue(json);
  const shaped = value.kind === "list" || value.kind === "tuple" || value.kind === "dict";
  return {
    text: shaped ? plain(value) : empty,
    lossy: from !== "json" || holdsCut(value),
    redacted: holdsRedacted(value),
  };
}

const picked = "h-7 px-2 text-xs aria-pressed:border-accent aria-pressed:bg-accent-wash";

const delays: [seconds: string, label: string][] = [
  ["", "now"],
  ["60", "in 1 m"],
  ["600", "in 10 m"],
  ["3600", "in 1 h"],
];

/** Retry runs the same call once more, as it was or with other arguments, now or later. */
export function Retry({
  slug,
  task,
  agents,
  nobody,
  asIs,
  onClose,
  onIssued,
}: DialogProps & {
  /** Why it can't be run again by its id alone; null when it can. */
  asIs: string | null;
}) {
  const reference = asIs === null;
  const before = { args: editable(task.args, "[]"), kwargs: editable(task.kwargs, "{}") };
  const [agent, setAgent] = useAgent(agents);
  const [asked, setOwn] = useState<boolean | null>(null);
  const own = asked ?? !reference;
  const [args, setArgs] = useState(before.args.text);
  const [kwargs, setKwargs] = useState(before.kwargs.text);
  const [delay, setDelay] = useState("");
  const send = useSend(slug, "retry-task", onIssued);
  const parsedArgs = own ? parseJsonField(args, "list") : null;
  const parsedKwargs = own ? parseJsonField(kwargs, "object") : null;
  const problem = parsedArgs?.problem ?? parsedKwargs?.problem ?? null;
  const seconds = Number(delay);
  const badDelay = delay !== "" && (!Number.isInteger(seconds) || seconds < 0 || seconds > 86_400);
  const left = own && (args + kwargs).includes("[REDACTED]");
  const preview = argsPreview(task.args, task.kwargs);

  return (
    <Confirm
      title={`Retry ${displayName(task.name)}?`}
      action={delay && !badDelay && seconds > 0 ? "Retry later" : "Retry"}
      busy={send.isPending}
      reason={agent ? null : nobody}
      onConfirm={() => {
        if (!agent || problem || badDelay) return;
        send.mutate([
          {
            agent_id: agent,
            engine: task.engine,
            task_id: task.task_id,
            ...(own ? { override_args: parsedArgs?.value, override_kwargs: parsedKwargs?.value } : {}),
            ...(delay ? { eta_seconds: seconds } : {}),
          },
        ]);
      }}
      onClose={onClose}
    >
      <p>
        {isTerminal(task.state)
          ? "The task runs once more. Whatever its first run already did is not undone."
          : "This task has not ended yet. A retry runs it in addition, so its work may be done twice."}
      </p>
      {reference ? (
        <fieldset className="space-y-1.5">
          <legend className="font-medium">Arguments</legend>
          <label className="flex items-start gap-2">
            <input
              type="radio"
              name="args"
              checked={!own}
              onChange={() => setOwn(false)}
              className="mt-1 accent-accent"
            />
            <span className="min-w-0">
              The same as before, taken from the queue system by the agent
              {!own && preview && <code className="block text-soft">{preview}</code>}
            </span>
          </label>
          <label className="flex items-start gap-2">
            <input
              type="radio"
              name="args"
              checked={own}
              onChange={() => setOwn(true)}
              className="mt-1 accent-accent"
            />
            These instead
          </label>
        </fieldset>
      ) : (
        <p className="text-soft">The arguments are sent along: {asIs?.replace(/\.?$/, ".")}</p>
      )}
      {own && (
        <>
          <JsonField
            label="Arguments (JSON list)"
            value={args}
            onChange={setArgs}
            problem={parsedArgs?.problem ?? null}
            original={before.args.text}
          />
          <JsonField
            label="Keyword arguments (JSON object)"
            value={kwargs}
            onChange={setKwargs}
            problem={parsedKwargs?.problem ?? null}
            original={before.kwargs.text}
          />
          {left ? (
            <p role="alert" className="text-warn">
              [REDACTED] stands where a secret was removed before it was stored. Sent like this, the task gets
              that word: put the real values back.
            </p>
          ) : (
            (before.args.redacted || before.kwargs.redacted) && (
              <p className="text-soft">All removed values have been replaced.</p>
            )
          )}
          {(before.args.lossy || before.kwargs.lossy) && (
            <p className="text-warn">
              The agent reported these arguments as text or shortened them: check them before you send them.
            </p>
          )}
        </>
      )}
      <div className="space-y-1.5">
        <Field
          label="Delay in seconds (optional)"
          inputMode="numeric"
          value={delay}
          onChange={(event) => setDelay(event.target.value.trim())}
          error={badDelay ? "A whole number from 0 to 86400" : null}
        />
        <div className="flex flex-wrap gap-1.5">
          {delays.map(([value, label]) => (
            <Button
              key={label}
              aria-pressed={delay === value}
              className={picked}
              onClick={() => setDelay(value)}
            >
              {label}
            </Button>
          ))}
        </div>
      </div>
      <AgentPick agents={agents} nobody={nobody} value={agent} onChange={setAgent} />
      {send.error && <ErrorNote error={send.error} what="The retry was not sent" />}
    </Confirm>
  );
}

function JsonField({
  label,
  value,
  onChange,
  problem,
  original,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  problem: string | null;
  original: string;
}) {
  const id = useId();
  const rows = Math.min(14, Math.max(3, value.split("\n").length));
  return (
    <div className="space-y-1">
      <label htmlFor={id} className="block font-medium">
        {label}
      </label>
      <textarea
        id={id}
        rows={rows}
        spellCheck={false}
        autoCapitalize="off"
        aria-invalid={problem !== null || undefined}
        aria-describedby={problem ? `${id}-problem` : undefined}
        className={`${inputClass} h-auto py-1.5 font-mono text-xs max-sm:h-auto`}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
      {problem && (
        <p id={`${id}-problem`} className="text-xs text-bad">
          {problem}
        </p>
      )}
      {value !== original && (
        <button
          type="button"
          className="text-xs text-accent underline max-sm:min-h-9"
          onClick={() => onChange(original)}
        >
          Changed; put the original back
        </button>
      )}
    </div>
  );
}

/** Cancel tells the engine not to run the task, or to stop it. */
export function Cancel({ slug, task, agents, nobody, onClose, onIssued }: DialogProps) {
  const [agent, setAgent] = useAgent(agents);
  const send = useSend(slug, "cancel-task", onIssued);
  const running = task.state === "started";
  return (
    <Confirm
      title={`Cancel ${displayName(task.name)}?`}
      action={running ? "Stop it" : "Cancel the task"}
      danger
      busy={send.isPending}
      reason={agent ? null : nobody}
      onConfirm={() => {
        if (agent) send.mutate([{ agent_id: agent, engine: task.engine, task_id: task.task_id }]);
      }}
      onClose={onClose}
    >
      <p>
        {running
          ? task.engine === "celery"
            ? "It is running: the process that works on it is terminated, and what it did so far stays as it is."
            : "It is running: the engine is asked to stop it; what it did so far stays as it is."
          : "It has not started: the engine is told not to run it. If it starts in the meantime it is stopped."}{" "}
        This can't be undone, but the task can be retried.
      </p>
      <AgentPick agents={agents} nobody={nobody} value={agent} onChange={setAgent} />
      {send.error && <ErrorNote error={send.error} what="The cancellation was not sent" />}
    </Confirm>
  );
}

const rates: [rate: string, label: string][] = [
  ["1/s", "1 a second"],
  ["10/m", "10 a minute"],
  ["0", "no limit"],
];

/**
 * RateLimit bounds how often a worker starts tasks of this name. Agents pass it on to one worker at a time, so
 * each chosen worker gets a command of its own.
 */
export function RateLimit({ slug, task, agents, nobody, onClose, onIssued }: DialogProps) {
  const workers = useQuery(queries.workers(slug));
  const online = (workers.data ?? []).filter(
    (each) => each.engine === task.engine && each.state === "online",
  );
  const [agent, setAgent] = useAgent(agents);
  const [rate, setRate] = useState("10/m");
  const [without, setWithout] = useState<ReadonlySet<string>>(new Set());
  const send = useSend(slug, "rate-limit", onIssued);
  const problem = rateProblem(rate);
  const chosen = online.filter((each) => !without.has(each.name));
  return (
    <Confirm
      title={`Limit how often ${displayName(task.name)} runs`}
      action={rate.trim() === "0" ? "Lift the limit" : "Limit"}
      busy={send.isPending}
      reason={agent ? null : nobody}
      onConfirm={() => {
        if (!agent || problem || chosen.length === 0) return;
        send.mutate(
          chosen.map((worker) => ({
            agent_id: agent,
            task_name: task.name,
            rate: rate.trim(),
            worker_name: worker.name,
          })),
        );
      }}
      onClose={onClose}
    >
      <p>
        Each chosen worker starts tasks of this name no faster than this, from now on and until it restarts.
        Nothing is lost: what comes too early waits in the worker.
      </p>
      <div className="space-y-1.5">
        <Field
          label="Rate for each worker"
          value={rate}
          onChange={(event) => setRate(event.target.value)}
          error={problem}
          hint="10/s, 10/m or 10/h; 0 lifts the limit"
          autoComplete="off"
        />
        <div className="flex flex-wrap gap-1.5">
          {rates.map(([value, label]) => (
            <Button
              key={value}
              aria-pressed={rate === value}
              className={picked}
              onClick={() => setRate(value)}
            >
              {label}
            </Button>
          ))}
        </div>
      </div>
      <fieldset className="space-y-1.5">
        <legend className="font-medium">Workers</legend>
        {online.length === 0 && (
          <p className="text-warn">
            {workers.data ? `No ${task.engine} worker is online.` : "Looking for the workers"}
          </p>
        )}
        {online.map((worker) => (
          <label key={worker.id} className="flex items-center gap-2 max-sm:min-h-9">
            <input
              type="checkbox"
              className="accent-accent"
              checked={!without.has(worker.name)}
              onChange={(event) => {
                const next = new Set(without);
                if (event.target.checked) next.delete(worker.name);
                else next.add(worker.name);
                setWithout(next);
              }}
            />
            <span className="min-w-0">{worker.name}</span>
            <PresenceBadge state={worker.state} />
          </label>
        ))}
        {online.length > 0 && chosen.length === 0 && (
          <p role="alert" className="text-bad">
            Choose at least one worker.
          </p>
        )}
      </fieldset>
      <AgentPick agents={agents} nobody={nobody} value={agent} onChange={setAgent} />
      {send.error && <ErrorNote error={send.error} what="The limit was not sent" />}
    </Confirm>
  );
}

/** Delete removes what z4j knows about the task; the engine keeps what it has. */
export function Delete({ slug, task, onClose }: { slug: string; task: Task; onClose: () => void }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const toast = useToast();
  const remove = useMutation({
    mutationFn: () =>
      api.post<BulkDeleteResponse>(path`/projects/${slug}/tasks/bulk-delete`, { task_ids: [task.id] }),
    onSuccess: async ({ deleted_count }) => {
      toast(
        deleted_count > 0 ? "good" : "warn",
        deleted_count > 0
          ? `${displayName(task.name)} and its events were deleted.`
          : "It was gone already: nothing was deleted.",
      );
      await navigate({ to: "/projects/$slug/tasks", params: { slug } });
      client.removeQueries({ queryKey: queries.task(slug, task.engine, task.task_id).queryKey });
      client.removeQueries({ queryKey: queries.events(slug, task.engine, task.task_id).queryKey });
    },
  });
  return (
    <Confirm
      title={`Delete ${displayName(task.name)}?`}
      action="Delete"
      danger
      busy={remove.isPending}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      <p>
        What z4j stored about this one task is removed: its record, its events, its traceback. This can't be
        undone, and the audit log keeps that you did it.
      </p>
      <p className="text-soft">
        The queue system is not touched
        {isTerminal(task.state)
          ? "."
          : ": the task is not cancelled, and its next event makes it appear here again."}
      </p>
      <p>
        <code>{task.task_id}</code>
      </p>
      {remove.error && <ErrorNote error={remove.error} what="The task was not deleted" />}
    </Confirm>
  );
}
