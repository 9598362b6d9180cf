// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ReactNode, useMemo } from "react";
import type { Json, Task } from "../api/types";
import { CopyButton, Panel } from "../ui/controls";
import { holdsCut, holdsRedacted, type Read, readValue } from "./value";
import { ValueTree, valueText } from "./valuetree";

const emptyList = (json: Json) => json === null || (Array.isArray(json) && json.length === 0);
const emptyDict = (json: Json) =>
  json === null || (typeof json === "object" && !Array.isArray(json) && Object.keys(json).length === 0);

/** What the task was called with. */
export function CalledWith({ task }: { task: Task }) {
  const args = emptyList(task.args);
  const kwargs = emptyDict(task.kwargs);
  let body: ReactNode;
  if (task.args === null && task.kwargs === null) {
    body = <p className="text-soft">The {task.engine} agent has not reported arguments for this task.</p>;
  } else if (args && kwargs) {
    body = <p className="text-soft">No arguments.</p>;
  } else {
    body = (
      <div className="space-y-4">
        {!args && <Shown title="Arguments" json={task.args} path="args" />}
        {!kwargs && <Shown title="Keyword arguments" json={task.kwargs} path="kwargs" />}
      </div>
    );
  }
  return <Panel title="Called with">{body}</Panel>;
}

/** What the task returned. */
export function Result({ task }: { task: Task }) {
  const read = useMemo(() => readValue(task.result), [task.result]);
  if (task.result === null || task.result === undefined) {
    if (task.state !== "success") return null;
    return (
      <Panel title="Result">
        <p className="text-soft">Nothing was returned, or the agent did not report it.</p>
      </Panel>
    );
  }
  return (
    <Panel
      title="Result"
      actions={<CopyButton text={valueText(read.value)} label="Copy the result" compact />}
    >
      <Value read={read} path="result" label="Result" />
    </Panel>
  );
}

function Shown({ title, json, path }: { title: string; json: Json; path: string }) {
  const read = useMemo(() => readValue(json), [json]);
  return (
    <div className="min-w-0">
      <h3 className="mb-1 flex items-center gap-1 text-xs font-semibold text-soft">
        {title}
        <CopyButton text={valueText(read.value)} label={`Copy the ${title.toLowerCase()}`} compact />
      </h3>
      <Value read={read} path={path} label={title} />
    </div>
  );
}

function Value({ read, path, label }: { read: Read; path: string; label: string }) {
  const redacted = holdsRedacted(read.value);
  const cut = holdsCut(read.value);
  const notes = [
    read.from === "python text" && "Read from the Python text that the worker reported.",
    redacted && "Secrets and personal data were removed before they were stored; nobody can see them here.",
    cut && "Parts are missing: too long values are cut before they are stored.",
  ].filter((note): note is string => typeof note === "string");
  return (
    <>
      <ValueTree value={read.value} path={path} label={label} />
      {notes.length > 0 && <p className="mt-1.5 text-xs text-soft">{notes.join(" ")}</p>}
    </>
  );
}
