// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Task } from "../api/types";
import { isLeaf, readValue, type Value } from "./value";

/** pythonText writes a value as a Python literal. */
export function pythonText(value: Value): string {
  if (isLeaf(value)) {
    if (value.kind === "null") return "None";
    if (value.kind === "bool") return value.text.toLowerCase() === "true" ? "True" : "False";
    if (value.kind === "string") return quoted(value.text);
    return value.kind === "cut" ? "..." : value.text;
  }
  if (value.kind === "dict")
    return `{${value.entries.map((each) => `${quoted(each.key)}: ${pythonText(each.value)}`).join(", ")}}`;
  const items = value.items.map(pythonText).join(", ");
  if (value.kind === "tuple") return value.items.length === 1 ? `(${items},)` : `(${items})`;
  if (value.kind === "set") return value.items.length === 0 ? "set()" : `{${items}}`;
  return `[${items}]`;
}

// JSON's escapes are also Python's, but for the surrogate pairs, which JSON.stringify leaves as they are.
const quoted = (text: string): string => JSON.stringify(text);

const identifier = /^[A-Za-z_]\w*$/;

interface Call {
  args: Value[];
  kwargs: { key: string; value: Value }[];
}

function callOf(task: Task): Call {
  const args = task.args === null ? null : readValue(task.args).value;
  const kwargs = task.kwargs === null ? null : readValue(task.kwargs).value;
  return {
    args: args && "items" in args ? args.items : [],
    kwargs: kwargs?.kind === "dict" ? kwargs.entries : [],
  };
}

/** called writes arguments the way a call does: 1, "two", size=3. */
function called({ args, kwargs }: Call): string {
  const parts = args.map(pythonText);
  const odd = kwargs.filter((each) => !identifier.test(each.key));
  parts.push(
    ...kwargs
      .filter((each) => identifier.test(each.key))
      .map((each) => `${each.key}=${pythonText(each.value)}`),
  );
  if (odd.length > 0) parts.push(`**${pythonText({ kind: "dict", entries: odd })}`);
  return parts.join(", ");
}

/** snippet is the code that sends the same task again, for the shell of the application. */
export function snippet(task: Task): string {
  const call = callOf(task);
  const lines: string[] = [];
  const whole = JSON.stringify([task.args, task.kwargs]);
  if (whole.includes("[REDACTED]"))
    lines.push("# Values that were removed before they were stored have to be put back.");
  if (/more bytes truncated\]/.test(whole)) lines.push("# Some values were cut before they were stored.");
  const name = quoted(task.name);
  const list = pythonText({ kind: "list", items: call.args });
  const dict = pythonText({ kind: "dict", entries: call.kwargs });
  const given = called(call);
  const and = given ? `, ${given}` : "";
  switch (task.engine) {
    case "celery": {
      const parts = [name];
      if (call.args.length > 0) parts.push(`args=${list}`);
      if (call.kwargs.length > 0) parts.push(`kwargs=${dict}`);
      if (task.queue) parts.push(`queue=${quoted(task.queue)}`);
      lines.push(`app.send_task(${parts.join(", ")})`);
      break;
    }
    case "rq":
      lines.push(`Queue(${quoted(task.queue ?? "default")}, connection=redis).enqueue(${name}${and})`);
      break;
    case "dramatiq":
      lines.push(`broker.get_actor(${name}).send(${given})`);
      break;
    case "arq":
      lines.push(`await redis.enqueue_job(${name}${and})`);
      break;
    case "taskiq":
      lines.push(`await broker.find_task(${name}).kiq(${given})`);
      break;
    default:
      lines.push(`${task.name}(${given})`);
  }
  return lines.join("\n");
}
