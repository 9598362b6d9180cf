// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { type Allowed, allowed, roleIn } from "../agents/access";
import { api, path } from "../api/client";
import { queries } from "../api/queries";
import type { Agent, Command, Json, Task, TaskEvent } from "../api/types";
import { typing } from "../app/shortcuts";
import { CommandOutcome } from "../commands/outcome";
import { argsPreview } from "../tasks/preview";
import { Button, ErrorNote, Field, inputClass } from "../ui/controls";
import { Confirm } from "../ui/dialog";
import { RetryIcon, StopIcon } from "../ui/icons";
import { parseJsonField } from "./overrides";
import { displayName, isTerminal } from "./verdict";

/** Engines whose agents can start the same call again from its id alone. */
const byReference = new Set(["celery", "rq"]);

/** Retry and cancel, each with what it will do, then what it did. */
export function TaskActions({ slug, task, events }: { slug: string; task: Task; events: TaskEvent[] }) {
  const me = useQuery(queries.me());
  const agents = useQuery({ ...queries.agents(slug), refetchInterval: 15_000 });
  const role = roleIn(me.data, slug);
  const reporters = [...new Set(events.map((event) => event.agent_id))];
  const [dialog, setDialog] = useState<"retry" | "cancel" | null>(null);
  const [issued, setIssued] = useState<string[]>([]);

  const retry = allowed(agents.data, task.engine, "retry_task", role, "operator", reporters);
  const cancel = allowed(agents.data, task.engine, "cancel_task", role, "operator", reporters);
  const retryReason = retry.reason;
  const cancelReason =
    cancel.reason ?? (isTerminal(task.state) ? "This task has ended; there is nothing to cancel" : null);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (typing(event) || event.key !== "r" || retryReason) return;
      event.preventDefault();
      setDialog("retry");
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [retryReason]);

  const done = (command: Command) => {
    setIssued((all) => [command.id, ...all]);
    setDialog(null);
  };
  const reason = retryReason && retryReason === cancelReason ? retryReason : null;
  return (
    <div className="space-y-2">
      <div className="flex flex-wrap items-center gap-2">
        <Button reason={retryReason} onClick={() => setDialog("retry")} data-testid="retry">
          <RetryIcon /> Retry
        </Button>
        <Button reason={cancelReason} onClick={() => setDialog("cancel")} data-testid="cancel">
          <StopIcon /> Cancel
        </Button>
        {reason ? (
          <span className="text-soft">{reason}.</span>
        ) : (
          retryReason && <span className="text-soft">Retry: {retryReason}.</span>
        )}
      </div>
      {issued.length > 0 && (
        <ul className="space-y-1" aria-label="Commands sent from this page">
          {issued.map((id) => (
            <li key={id}>
              <CommandOutcome slug={slug} id={id} engine={task.engine} />
            </li>
          ))}
        </ul>
      )}
      {dialog === "retry" && (
        <Retry slug={slug} task={task} can={retry} onClose={() => setDialog(null)} onIssued={done} />
      )}
      {dialog === "cancel" && (
        <Cancel slug={slug} task={task} can={cancel} onClose={() => setDialog(null)} onIssued={done} />
      )}
    </div>
  );
}

interface DialogProps {
  slug: string;
  task: Task;
  can: Allowed;
  onClose: () => void;
  onIssued: (command: Command) => void;
}

function useCommand(slug: string, kind: string, onIssued: (command: Command) => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Record<string, Json | undefined>) =>
      api.post<Command>(path`/projects/${slug}/commands/${kind}`, body),
    onSuccess: (command) => {
      client.setQueryData(queries.command(slug, command.id).queryKey, command);
      void client.invalidateQueries({ queryKey: ["p", slug, "commands"] });
      onIssued(command);
    },
  });
}

function AgentPick({
  agents,
  value,
  onChange,
}: {
  agents: Agent[];
  value: string;
  onChange: (id: string) => void;
}) {
  if (agents.length <= 1) return <p className="text-soft">Carried out by agent {agents[0]?.name}.</p>;
  return (
    <label className="block space-y-1">
      <span className="block font-medium">Agent</span>
      <select className={inputClass} value={value} onChange={(event) => onChange(event.target.value)}>
        {agents.map((agent) => (
          <option key={agent.id} value={agent.id}>
            {agent.name}
            {agent.host_name ? ` on ${agent.host_name}` : ""}
          </option>
        ))}
      </select>
    </label>
  );
}

function Retry({ slug, task, can, onClose, onIssued }: DialogProps) {
  const reference = byReference.has(task.engine);
  const [agent, setAgent] = useState(can.agents[0]?.id ?? "");
  const [own, setOwn] = useState(!reference);
  const [args, setArgs] = useState(() => JSON.stringify(task.args ?? [], null, 1));
  const [kwargs, setKwargs] = useState(() => JSON.stringify(task.kwargs ?? {}, null, 1));
  const [delay, setDelay] = useState("");
  const retry = useCommand(slug, "retry-task", onIssued);
  const parsedArgs = own ? parseJsonField(args, "list") : null;
  const parsedKwargs = own ? parseJsonField(kwargs, "object") : null;
  const problem = parsedArgs?.problem ?? parsedKwargs?.problem ?? null;
  const seconds = Number(delay);
  const badDelay = delay !== "" && (!Number.isInteger(seconds) || seconds < 0 || seconds > 86_400);

  return (
    <Confirm
      title={`Retry ${displayName(task.name)}?`}
      action="Retry"
      busy={retry.isPending}
      onConfirm={() => {
        if (problem || badDelay) return;
        retry.mutate({
          agent_id: agent,
          engine: task.engine,
          task_id: task.task_id,
          ...(own ? { override_args: parsedArgs?.value, override_kwargs: parsedKwargs?.value } : {}),
          ...(delay ? { eta_seconds: seconds } : {}),
        });
      }}
      onClose={onClose}
    >
      <p>
        {isTerminal(task.state)
          ? "The task runs once more. Whatever its first run already did is not undone."
          : "This task has not ended yet. A retry runs it in addition, so its work may be done twice."}
      </p>
      {reference && (
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
            <span>
              The same as before, taken from the queue system by the agent
              {!own && argsPreview(task.args, task.kwargs) && (
                <code className="block text-soft">{argsPreview(task.args, task.kwargs)}</code>
              )}
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
      )}
      {!reference && (
        <p className="text-soft">
          {task.engine} can't look up the original call, so the arguments are sent along.
        </p>
      )}
      {own && (
        <>
          <JsonField
            label="Arguments (JSON list)"
            value={args}
            onChange={setArgs}
            problem={parsedArgs?.problem ?? null}
          />
          <JsonField
            label="Keyword arguments (JSON object)"
            value={kwargs}
            onChange={setKwargs}
            problem={parsedKwargs?.problem ?? null}
          />
          <p className="text-soft">
            Values shown as redacted were removed before they were stored: put the real ones back.
          </p>
        </>
      )}
      <Field
        label="Delay in seconds (optional)"
        inputMode="numeric"
        value={delay}
        onChange={(event) => setDelay(event.target.value.trim())}
        error={badDelay ? "A whole number from 0 to 86400" : null}
      />
      <AgentPick agents={can.agents} value={agent} onChange={setAgent} />
      {retry.error && <ErrorNote error={retry.error} what="The retry was not sent" />}
    </Confirm>
  );
}

function JsonField({
  label,
  value,
  onChange,
  problem,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  problem: string | null;
}) {
  return (
    <label className="block space-y-1">
      <span className="block font-medium">{label}</span>
      <textarea
        rows={3}
        spellCheck={false}
        aria-invalid={problem !== null || undefined}
        className={`${inputClass} h-auto py-1.5 font-mono text-xs max-sm:h-auto`}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
      {problem && <span className="block text-xs text-bad">{problem}</span>}
    </label>
  );
}

function Cancel({ slug, task, can, onClose, onIssued }: DialogProps) {
  const [agent, setAgent] = useState(can.agents[0]?.id ?? "");
  const cancel = useCommand(slug, "cancel-task", onIssued);
  const running = task.state === "started";
  return (
    <Confirm
      title={`Cancel ${displayName(task.name)}?`}
      action={running ? "Stop it" : "Cancel the task"}
      danger
      busy={cancel.isPending}
      onConfirm={() => cancel.mutate({ agent_id: agent, engine: task.engine, task_id: task.task_id })}
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
      <AgentPick agents={can.agents} value={agent} onChange={setAgent} />
      {cancel.error && <ErrorNote error={cancel.error} what="The cancellation was not sent" />}
    </Confirm>
  );
}
