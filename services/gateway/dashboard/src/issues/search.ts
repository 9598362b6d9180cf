// SPDX-License-Identifier: AGPL-3.0-or-later
import { parseTime } from "../api/time";
import { errorLine } from "../task/traceback";

export type IssueStatus = "ongoing" | "recovered";

/** IssuesSearch is the list's state in the address, besides the window. */
export interface IssuesSearch {
  status?: IssueStatus;
  q?: string;
  sort?: string;
}

const text = (value: unknown): string | undefined =>
  (typeof value === "string" || typeof value === "number") && String(value).trim()
    ? String(value).trim().slice(0, 200)
    : undefined;

/** parseIssues reads the address; what makes no sense is dropped. */
export function parseIssues(search: Record<string, unknown>): IssuesSearch {
  const out: IssuesSearch = {};
  if (search.status === "ongoing" || search.status === "recovered") out.status = search.status;
  const q = text(search.q);
  const sort = text(search.sort);
  if (q) out.q = q;
  if (sort) out.sort = sort;
  return out;
}

/** What of an issue can be searched for. */
export interface Searched {
  fingerprint: string;
  sample_exception: string | null;
  sample_task_name: string | null;
  tasks: string[];
  queues: string[];
}

/** matches wants every word of the search somewhere in what the list shows. */
export function matches(issue: Searched, q: string | undefined): boolean {
  if (!q) return true;
  const all = [
    issue.fingerprint,
    issue.sample_exception,
    issue.sample_task_name,
    ...issue.tasks,
    ...issue.queues,
  ]
    .join("\n")
    .toLowerCase();
  return q
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
}

/** issueTitle is the one line that names a failure: the last line of a traceback, else the exception itself. */
export function issueTitle(exception: string | null, name: string | null): string {
  const first = exception?.trim();
  if (!first) return name ? `${name} failed without a message` : "Failed without a message";
  return (first.includes("\n") ? errorLine(first) : null) ?? first.split("\n").at(-1) ?? first;
}

/** withMessage finds the line of a traceback that a bare class of error stands for: KeyError, KeyError: 'total'. */
export function withMessage(exception: string | null, traceback: string | null): string | null {
  const kind = exception?.trim();
  if (!kind || !traceback || /[\s:(]/.test(kind)) return exception;
  const line = traceback
    .split("\n")
    .findLast((each) => each.startsWith(`${kind}:`) || each.includes(`.${kind}:`) || each.trim() === kind);
  // A line of code may name the class as well; those are indented.
  return line && !/^\s/.test(line) ? line.trim() : exception;
}

/** issuesAnswer says what is broken. */
export function issuesAnswer(issues: { status: string; last_seen: string | null }[], more: boolean): string {
  if (issues.length === 0) return "Nothing failed";
  const open = issues.filter((issue) => issue.status === "ongoing").length;
  const recovered = issues.length - open;
  const atLeast = more ? "at least " : "";
  if (open === 0) return `Nothing is broken now; ${atLeast}${recovered} recovered`;
  return `${atLeast}${open} ${open === 1 ? "kind" : "kinds"} of failure still open${recovered > 0 ? `, ${recovered} recovered` : ""}`;
}

/** isNew: the first occurrence lies inside the window that is shown. */
export function isNew(firstSeen: string | null, from: Date): boolean {
  const first = parseTime(firstSeen);
  return first !== null && first >= from.getTime();
}
