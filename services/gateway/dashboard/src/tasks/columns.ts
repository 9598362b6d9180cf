// SPDX-License-Identifier: AGPL-3.0-or-later

/** A column of the task list. The name is always shown: it is the row's link. */
export interface Column {
  id: string;
  label: string;
  /** Its track in the row's grid. */
  track: string;
  right?: boolean;
  /** More than the label says, for the chooser. */
  about?: string;
}

export const columns = [
  { id: "state", label: "State", track: "5.75rem" },
  { id: "name", label: "Task", track: "minmax(11rem,2fr)" },
  {
    id: "detail",
    label: "Error or arguments",
    track: "minmax(10rem,3fr)",
    about: "whichever says more",
  },
  { id: "exception", label: "Exception", track: "minmax(10rem,2fr)" },
  { id: "args", label: "Arguments", track: "minmax(8rem,2fr)" },
  { id: "queue", label: "Queue", track: "minmax(5rem,1fr)" },
  { id: "worker", label: "Worker", track: "minmax(7rem,1.2fr)" },
  { id: "engine", label: "Engine", track: "5rem" },
  { id: "priority", label: "Priority", track: "4.5rem" },
  { id: "wait", label: "Waited", track: "4.75rem", right: true, about: "from received to started" },
  { id: "run", label: "Ran", track: "4.75rem", right: true, about: "from started to its end" },
  { id: "retries", label: "Retries", track: "3.5rem", right: true },
  { id: "received", label: "Received", track: "5.25rem", right: true },
  { id: "started", label: "Started", track: "4.75rem", right: true },
  { id: "finished", label: "Finished", track: "4.5rem", right: true },
  { id: "id", label: "Id", track: "minmax(6rem,1fr)" },
] as const satisfies readonly Column[];

export type ColumnId = (typeof columns)[number]["id"];

export const usualColumns: readonly ColumnId[] = [
  "state",
  "name",
  "detail",
  "queue",
  "worker",
  "wait",
  "run",
  "retries",
  "received",
];

const known = new Map<string, (typeof columns)[number]>(columns.map((column) => [column.id, column]));

/** readColumns reads "state,name,queue"; null when it names no column at all. The order is always the table's own. */
export function readColumns(text: unknown): ColumnId[] | null {
  if (typeof text !== "string") return null;
  const asked = new Set(text.split(","));
  if (![...asked].some((id) => known.has(id))) return null;
  return columns.filter(({ id }) => id === "name" || asked.has(id)).map(({ id }) => id);
}

export const writeColumns = (ids: readonly ColumnId[]): string =>
  columns
    .filter(({ id }) => ids.includes(id))
    .map(({ id }) => id)
    .join(",");

export function columnOf(id: ColumnId): Column {
  return known.get(id) ?? columns[1];
}

/** tracks is the grid of a row: the box to select it, then the columns. */
export const tracks = (ids: readonly ColumnId[]): string =>
  ["1.5rem", ...ids.map((id) => columnOf(id).track)].join(" ");

const gap = 12;
/** What a row needs besides its columns: the box, the padding, the scroll bar. */
const edges = 24 + 32 + 16;

/** fitting leaves out columns, the least important first, when the list is too narrow for all of them. */
export function fitting(ids: readonly ColumnId[], width: number): ColumnId[] {
  const out = [...ids];
  const need = () => out.reduce((sum, id) => sum + least(id) + gap, edges);
  for (const id of leastImportant) {
    if (need() <= width) break;
    const at = out.indexOf(id);
    if (at >= 0) out.splice(at, 1);
  }
  return out;
}

const leastImportant: readonly ColumnId[] = [
  "id",
  "engine",
  "priority",
  "worker",
  "started",
  "finished",
  "retries",
  "args",
  "exception",
  "wait",
  "queue",
  "detail",
  "run",
];

function least(id: ColumnId): number {
  const match = /([\d.]+)rem/.exec(columnOf(id).track);
  return Number(match?.[1] ?? 5) * 16;
}
