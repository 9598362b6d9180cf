// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { atLeast, capabilities, roleIn } from "../agents/access";
import { AgentOptions } from "../agents/options";
import type { Query } from "../api/client";
import { queries } from "../api/queries";
import { grouped } from "../api/time";
import type { Task } from "../api/types";
import { newTaskId } from "../commands/outcome";
import { displayName } from "../task/verdict";
import { ConfirmDialog, type ItemResult } from "../ui/confirm";
import { Button, ErrorNote, inputClass } from "../ui/controls";
import { Dialog } from "../ui/dialog";
import { CloseIcon, RetryIcon, StopIcon } from "../ui/icons";
import { StateShape, taskLook } from "../ui/state";
import { useToast } from "../ui/toast";
import {
  type BulkAction,
  commandTasks,
  deleteTasks,
  type Gathered,
  gather,
  mostTasks,
  type Outcome,
  type Plan,
  plan,
} from "./bulk";
import { cancelMany, durableFrom, retryMany } from "./bulkmany";
import { TrashIcon } from "./icons";
import type { Selection } from "./selection";

const sampleSize = 5;

interface Props {
  slug: string;
  selection: Selection;
  /** What the list is asked with, for everything that matches. */
  query: Query;
  /** How many match, in words. */
  total: string;
  /** There are matching tasks that are not loaded. */
  more: boolean;
  /** All loaded rows are selected. */
  allLoaded: boolean;
  onEverything: () => void;
  onClear: () => void;
  /** Tasks that are gone now. */
  onGone: (ids: string[]) => void;
  /** Something else asks for an action: the key r. */
  asked: BulkAction | null;
  onAsked: () => void;
}

type ActingProps = Pick<Props, "slug" | "selection" | "query" | "onGone"> & {
  action: BulkAction;
  onClose: () => void;
};

/** BulkBar acts on the selection: it says what will happen, to how many, and what came of each. */
export function BulkBar(props: Props) {
  const { slug, selection, onAsked } = props;
  const me = useQuery(queries.me());
  const role = roleIn(me.data, slug);
  const [action, setAction] = useState<BulkAction | null>(null);
  const { asked } = props;
  useEffect(() => {
    if (!asked) return;
    setAction(asked);
    onAsked();
  }, [asked, onAsked]);
  const needs = (need: "operator" | "admin") =>
    atLeast(role, need) ? null : `Your role here is ${role}; this needs ${need}`;
  const count = selection.tasks.size;
  const small = "!h-7 max-sm:!h-10 max-sm:!px-2";
  return (
    <div
      className="flex min-w-0 flex-1 items-center gap-2 text-sm"
      data-testid="bulk-bar"
      role="group"
      aria-label="Selected tasks"
    >
      <span className="truncate font-semibold" aria-live="polite">
        {selection.everything ? `Everything that matches: ${props.total}` : `${count} selected`}
      </span>
      {!selection.everything && props.allLoaded && props.more && (
        <button type="button" className="truncate text-accent underline" onClick={props.onEverything}>
          <span className="max-sm:sr-only">Select everything that matches ({props.total})</span>
          <span aria-hidden="true" className="sm:hidden">
            all {props.total}
          </span>
        </button>
      )}
      <div className="ml-auto flex shrink-0 items-center gap-1.5">
        <Button className={small} reason={needs("operator")} onClick={() => setAction("retry")}>
          <RetryIcon /> <span className="max-sm:sr-only">Retry</span>
        </Button>
        <Button className={small} reason={needs("operator")} onClick={() => setAction("cancel")}>
          <StopIcon /> <span className="max-sm:sr-only">Cancel</span>
        </Button>
        <Button className={small} kind="danger" reason={needs("admin")} onClick={() => setAction("delete")}>
          <TrashIcon /> <span className="max-sm:sr-only">Delete</span>
        </Button>
        <Button
          className={small}
          kind="quiet"
          onClick={props.onClear}
          aria-label="Clear the selection"
          title="Clear the selection (Esc)"
        >
          <CloseIcon />
        </Button>
      </div>
      {action && <Acting {...props} action={action} onClose={() => setAction(null)} />}
    </div>
  );
}

/** Acting first finds out what everything is, then asks. */
export function Acting(props: ActingProps) {
  const { slug, selection, query, onClose } = props;
  // What is asked about must not change while the question stands.
  const [fixed] = useState({ selection, query });
  const [found, setFound] = useState<Gathered | null>(
    fixed.selection.everything ? null : { tasks: [...fixed.selection.tasks.values()], capped: false },
  );
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt asks again
  useEffect(() => {
    if (!fixed.selection.everything) return;
    const control = new AbortController();
    gather(slug, fixed.query, control.signal).then(setFound, (failure) => {
      if (!control.signal.aborted) setError(failure);
    });
    return () => control.abort();
  }, [slug, fixed, attempt]);
  if (!found)
    return (
      <Dialog title="Counting the tasks" onClose={onClose}>
        {error === null ? (
          <p className="text-soft">Collecting everything that matches the filter now.</p>
        ) : (
          <ErrorNote
            error={error}
            what="The matching tasks could not be collected; nothing was changed"
            onRetry={() => {
              setError(null);
              setAttempt(attempt + 1);
            }}
          />
        )}
      </Dialog>
    );
  return <Ask {...props} found={found} />;
}

const words: Record<BulkAction, { verb: string; done: string; danger: boolean }> = {
  retry: { verb: "Retry", done: "retried", danger: false },
  cancel: { verb: "Cancel", done: "cancelled", danger: true },
  delete: { verb: "Delete", done: "deleted", danger: true },
};

const tasksText = (n: number) => `${n} ${n === 1 ? "task" : "tasks"}`;

function Ask({ slug, action, found, onClose, onGone }: ActingProps & { found: Gathered }) {
  const client = useQueryClient();
  const toast = useToast();
  const me = useQuery(queries.me());
  const agents = useQuery(queries.agents(slug));
  const { tasks } = found;
  const made = useMemo(
    () => plan(action, tasks, agents.data, roleIn(me.data, slug)),
    [action, tasks, agents.data, me.data, slug],
  );
  const [picked, setPicked] = useState<Record<string, string>>({});
  const counts = useRef({ ok: 0, failed: 0 });
  const gone = useRef<string[]>([]);
  // Only when the result was read: without a selection there is no bar, and this dialog is its child.
  const close = () => {
    onClose();
    if (gone.current.length > 0) onGone(gone.current);
  };
  const { verb, done, danger } = words[action];
  const n = made.tasks.length;
  const many = n >= durableFrom;

  const run = async (report: (result: ItemResult) => void, signal: AbortSignal) => {
    counts.current = { ok: 0, failed: 0 };
    const tell = (outcome: Outcome) => {
      if (outcome.ok) counts.current.ok++;
      else counts.current.failed++;
      if (outcome.ok && action === "delete") gone.current.push(outcome.task.id);
      report(itemOf(slug, outcome));
    };
    const by = Object.fromEntries(
      made.parts.map((part) => [part.engine, picked[part.engine] ?? part.agents[0]?.id ?? ""]),
    );
    try {
      if (action === "delete") await deleteTasks(slug, made.tasks, tell, signal);
      else if (action === "cancel" && many) await cancelMany(slug, made.tasks, tell, signal);
      else {
        const kind = action === "retry" ? "retry-task" : "cancel-task";
        for (const part of made.parts) {
          const agent = part.agents.find((each) => each.id === by[part.engine]);
          if (action === "retry" && many && agent && capabilities(agent, part.engine).includes("bulk_retry"))
            await retryMany(slug, part.engine, part.tasks, agent.id, tell, signal);
          else await commandTasks(slug, kind, part.tasks, by, tell, signal);
        }
      }
    } finally {
      void client.invalidateQueries({ queryKey: ["p", slug] });
      const { ok, failed } = counts.current;
      if (ok + failed > 0)
        toast(
          failed > 0 ? "bad" : "good",
          <span>
            {tasksText(ok)} {done}
            {failed > 0 ? `, ${failed} not` : ""}.{" "}
            {action !== "delete" && (
              <Link to="/projects/$slug/commands" params={{ slug }} className="text-accent underline">
                Show the commands
              </Link>
            )}
          </span>,
        );
    }
  };

  return (
    <ConfirmDialog
      title={`${verb} ${tasksText(n)}?`}
      action={action === "cancel" ? "Cancel them" : `${verb} ${n === 1 ? "it" : "them"}`}
      danger={danger}
      count={n > 1 ? n : undefined}
      sample={made.tasks.slice(0, sampleSize).map((task) => <Sample key={task.id} task={task} />)}
      reason={made.reason ?? (n === 0 ? "Nothing is left to do" : null)}
      irreversible={consequence(action, made)}
      onConfirm={run}
      onClose={close}
    >
      {made.reason && <p>{made.reason}.</p>}
      {!made.reason &&
        made.skipped.map(({ count, why }) => (
          <p key={why} className="text-soft">
            {tasksText(count)} {count === 1 ? "is" : "are"} left alone: {why}.
          </p>
        ))}
      {found.capped && (
        <p className="font-semibold">
          More than {grouped(mostTasks)} tasks match; these are the newest of them. Repeat it for the rest.
        </p>
      )}
      {made.parts.map((part) =>
        part.agents.length > 1 && !(many && action === "cancel") ? (
          <label key={part.engine} className="block space-y-1">
            <span className="block font-medium">Agent for {part.engine}</span>
            <select
              className={inputClass}
              value={picked[part.engine] ?? part.agents[0]?.id}
              onChange={(event) => setPicked({ ...picked, [part.engine]: event.target.value })}
            >
              <AgentOptions agents={part.agents} />
            </select>
          </label>
        ) : null,
      )}
      {action !== "delete" && n > sampleSize && (
        <p className="text-soft">
          {many
            ? "The brain does it by itself: closing this window does not stop it."
            : "They are sent one after the other; closing this window stops what has not been sent yet."}
        </p>
      )}
    </ConfirmDialog>
  );
}

function Sample({ task }: { task: Task }) {
  return (
    <span className="flex min-w-0 items-center gap-2">
      <StateShape look={taskLook(task.state)} />
      <span className="sr-only">{taskLook(task.state).label}</span>
      <span className="min-w-0 truncate font-medium">{displayName(task.name)}</span>
      <code className="ml-auto shrink-0 text-soft">{task.task_id.slice(0, 8)}</code>
    </span>
  );
}

function itemOf(slug: string, { task, ok, text, command, commandId }: Outcome): ItemResult {
  const next = command ? newTaskId(command) : null;
  const detail: ReactNode = next ? (
    <Link
      to="/projects/$slug/tasks/$engine/$taskId"
      params={{ slug, engine: task.engine, taskId: next }}
      target="_blank"
      className="text-accent underline"
    >
      new task
    </Link>
  ) : commandId ? (
    <Link
      to="/projects/$slug/commands"
      params={{ slug }}
      search={{ id: commandId }}
      target="_blank"
      className="text-accent underline"
    >
      {text}
    </Link>
  ) : (
    text
  );
  return {
    key: task.id,
    ok,
    label: `${displayName(task.name)} ${task.task_id.slice(0, 8)}`,
    text: detail,
  };
}

/** consequence is what can't be taken back. */
function consequence(action: BulkAction, made: Plan): string {
  const running = made.tasks.filter((task) => task.state === "started").length;
  switch (action) {
    case "retry": {
      const open = made.tasks.filter(
        (task) => !["failure", "success", "revoked", "rejected"].includes(task.state),
      );
      return open.length > 0
        ? `Each runs once more. ${tasksText(open.length)} among them ${open.length === 1 ? "has" : "have"} not ended yet, so that work may be done twice. What the first runs did is not undone.`
        : "Each runs once more. What the first runs did is not undone.";
    }
    case "cancel":
      return running > 0
        ? `${tasksText(running)} of them ${running === 1 ? "runs" : "run"} now and will be stopped; what was done so far stays as it is. This can't be undone, but tasks can be retried.`
        : "They have not started and will not run. This can't be undone, but tasks can be retried.";
    case "delete":
      return "Their history, with arguments, results and tracebacks, is removed from z4j for good. The queue system is not touched: a waiting task still runs.";
  }
}
