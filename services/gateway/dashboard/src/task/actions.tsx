// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { roleIn } from "../agents/access";
import { queries } from "../api/queries";
import type { Command, Task, TaskDetail, TaskEvent } from "../api/types";
import { typing } from "../app/shortcuts";
import { CommandOutcome } from "../commands/outcome";
import { Button, copyText } from "../ui/controls";
import { MoreIcon, RetryIcon, StopIcon } from "../ui/icons";
import { Menu, MenuItem, MenuLine } from "../ui/menu";
import { useToast } from "../ui/toast";
import { Cancel, Delete, RateLimit, Retry } from "./dialogs";
import { type Offer, offer, type TaskAction } from "./offers";
import { snippet } from "./snippet";

/** What can be done to the task: each action says what it will do, then what it did, or why it can't be done. */
export function TaskActions({
  slug,
  task,
  events,
}: {
  slug: string;
  /** Its row of a list will do until the whole of it is here: the offers are then judged by the page itself. */
  task: Task | TaskDetail;
  events: TaskEvent[];
}) {
  const me = useQuery(queries.me());
  const agents = useQuery({ ...queries.agents(slug), refetchInterval: 15_000 });
  const role = roleIn(me.data, slug);
  const reporters = [...new Set(events.map((event) => event.agent_id))];
  const [dialog, setDialog] = useState<TaskAction | null>(null);
  const [issued, setIssued] = useState<string[]>([]);
  const toast = useToast();

  const told = "allowed_actions" in task ? task.allowed_actions : undefined;
  const of = (action: TaskAction): Offer => offer(action, told, task, agents.data, role, reporters);
  const retry = of("retry");
  const asIs = of("retry_as_is").reason;
  const cancel = of("cancel");
  const rate = of("rate_limit");
  const remove = of("delete");

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (typing(event) || event.key !== "r" || retry.reason) return;
      event.preventDefault();
      setDialog("retry");
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [retry.reason]);

  const done = (...commands: Command[]) => {
    setIssued((all) => [...commands.map((each) => each.id), ...all]);
    setDialog(null);
  };
  const copy = async (text: string, what: string) => {
    const copied = await copyText(text);
    toast(copied ? "good" : "bad", copied ? `${what} copied.` : `${what} could not be copied: ${text}`);
  };
  const same = retry.reason !== null && retry.reason === cancel.reason;
  const sentence = (reason: string) => reason.replace(/\.?$/, ".");
  const props = { slug, task, onClose: () => setDialog(null) };
  return (
    <div className="space-y-2">
      <div className="flex flex-wrap items-center gap-2">
        <Button reason={retry.reason} onClick={() => setDialog("retry")} data-testid="retry">
          <RetryIcon /> Retry
        </Button>
        <Button reason={cancel.reason} onClick={() => setDialog("cancel")} data-testid="cancel">
          <StopIcon /> Cancel
        </Button>
        <Menu
          label="More actions"
          trigger={
            <Button data-testid="more">
              <MoreIcon /> More
            </Button>
          }
        >
          <MenuItem onSelect={() => void copy(task.task_id, "Task id")}>Copy the id</MenuItem>
          <MenuItem onSelect={() => void copy(snippet(task), "Code")}>
            Copy as code that sends it again
          </MenuItem>
          <MenuItem onSelect={() => void copy(window.location.href, "Address")}>
            Copy the address of this page
          </MenuItem>
          <MenuLine />
          <MenuItem reason={rate.reason} onSelect={() => setDialog("rate_limit")}>
            <Labelled label="Limit its rate" reason={rate.reason} />
          </MenuItem>
          <MenuItem danger reason={remove.reason} onSelect={() => setDialog("delete")}>
            <Labelled label="Delete from z4j" reason={remove.reason} />
          </MenuItem>
        </Menu>
        {same && retry.reason ? (
          <span className="text-soft">{sentence(retry.reason)}</span>
        ) : (
          retry.reason && <span className="text-soft">Retry: {sentence(retry.reason)}</span>
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
        <Retry {...props} agents={retry.agents} nobody={retry.nobody} asIs={asIs} onIssued={done} />
      )}
      {dialog === "cancel" && (
        <Cancel {...props} agents={cancel.agents} nobody={cancel.nobody} onIssued={done} />
      )}
      {dialog === "rate_limit" && (
        <RateLimit {...props} agents={rate.agents} nobody={rate.nobody} onIssued={done} />
      )}
      {dialog === "delete" && <Delete {...props} />}
    </div>
  );
}

function Labelled({ label, reason }: { label: string; reason: string | null }) {
  return (
    <span className="block">
      {label}
      {reason && <span className="block max-w-72 text-xs text-soft">{reason}</span>}
    </span>
  );
}
