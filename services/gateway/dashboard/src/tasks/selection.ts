// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Task } from "../api/types";

/**
 * Selection is either a set of tasks, kept as they looked when they were chosen, so that new rows and filters that
 * change never put another task into it; or everything that matches the filter.
 */
export interface Selection {
  tasks: ReadonlyMap<string, Task>;
  /** The row of the last choice: shift-click takes all rows from there. */
  anchor: string | null;
  everything: boolean;
}

export const nothing: Selection = { tasks: new Map(), anchor: null, everything: false };

export const isSelected = (selection: Selection, id: string): boolean =>
  selection.everything || selection.tasks.has(id);

export const isEmpty = (selection: Selection): boolean => !selection.everything && selection.tasks.size === 0;

/** toggled turns one row; out of "everything" it leaves the rows that are loaded, but this one. */
export function toggled(selection: Selection, task: Task, loaded: readonly Task[]): Selection {
  const tasks = new Map(selection.everything ? loaded.map((each) => [each.id, each]) : selection.tasks);
  if (tasks.has(task.id)) tasks.delete(task.id);
  else tasks.set(task.id, task);
  return { tasks, anchor: task.id, everything: false };
}

/** stretched takes every row between the anchor and this one. */
export function stretched(selection: Selection, task: Task, loaded: readonly Task[]): Selection {
  const from = loaded.findIndex((each) => each.id === selection.anchor);
  const to = loaded.findIndex((each) => each.id === task.id);
  if (from < 0 || to < 0) return toggled(selection, task, loaded);
  const tasks = new Map(selection.tasks);
  for (const each of loaded.slice(Math.min(from, to), Math.max(from, to) + 1)) tasks.set(each.id, each);
  return { tasks, anchor: selection.anchor, everything: false };
}

/** allOf selects the loaded rows, or nothing when all of them are selected. */
export function allOf(selection: Selection, loaded: readonly Task[]): Selection {
  if (selection.everything || (loaded.length > 0 && loaded.every((each) => selection.tasks.has(each.id))))
    return nothing;
  return { tasks: new Map(loaded.map((each) => [each.id, each])), anchor: null, everything: false };
}

export const matching = (): Selection => ({ ...nothing, everything: true });

/** updated takes over how the chosen tasks look now. */
export function updated(selection: Selection, loaded: readonly Task[]): Selection {
  if (selection.tasks.size === 0) return selection;
  let changed = false;
  const tasks = new Map(selection.tasks);
  for (const each of loaded) {
    const old = tasks.get(each.id);
    if (old && old !== each) {
      tasks.set(each.id, each);
      changed = true;
    }
  }
  return changed ? { ...selection, tasks } : selection;
}

/** removed forgets tasks that are gone. */
export function removed(selection: Selection, ids: Iterable<string>): Selection {
  const tasks = new Map(selection.tasks);
  for (const id of ids) tasks.delete(id);
  return { ...selection, tasks };
}
