// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Json } from "../api/types";

function short(value: Json, limit: number): string {
  const text = typeof value === "string" ? JSON.stringify(value) : (JSON.stringify(value) ?? "");
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

/** argsPreview is a call's arguments on one line: 42, "eu", amount=12.5 */
export function argsPreview(args: Json, kwargs: Json, limit = 160): string {
  const parts: string[] = [];
  if (Array.isArray(args)) parts.push(...args.slice(0, 8).map((each) => short(each, 60)));
  else if (args !== null && args !== undefined) parts.push(short(args, 60));
  if (kwargs && typeof kwargs === "object" && !Array.isArray(kwargs)) {
    for (const [key, value] of Object.entries(kwargs).slice(0, 8)) parts.push(`${key}=${short(value, 60)}`);
  }
  const text = parts.join(", ");
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

/** Previewed is a task whose arguments may be cut: lists carry the head of their JSON text only. */
export interface Previewed {
  args: Json;
  kwargs: Json;
  args_preview?: string | null;
  kwargs_preview?: string | null;
}

/** previews keeps what was worked out: a row that scrolls back in is drawn at once. */
const previews = new WeakMap<Previewed, string>();

/** callPreview is a call on one line, from whatever the row has. */
export function callPreview(task: Previewed): string {
  let text = previews.get(task);
  if (text === undefined) {
    text = preview(task);
    previews.set(task, text);
  }
  return text;
}

function preview(task: Previewed): string {
  if (task.args_preview == null && task.kwargs_preview == null) return argsPreview(task.args, task.kwargs);
  const args = whole(task.args_preview);
  const kwargs = whole(task.kwargs_preview);
  if (args !== undefined && kwargs !== undefined) return argsPreview(args, kwargs);
  return [task.args_preview, task.kwargs_preview].map(bare).filter(Boolean).join(", ");
}

function whole(text: string | null | undefined): Json | undefined {
  if (text == null) return null;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

/** bare shows the head of a JSON text without the brackets around it. */
function bare(text: string | null | undefined): string {
  const inner = (text ?? "").replace(/^[[{]/, "");
  return whole(text) === undefined ? `${inner}…` : inner.replace(/[\]}]$/, "");
}
