// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Page, Task } from "../api/types";

/**
 * LiveList is the task list while new work arrives. Rows on screen never move under the reader: known rows are
 * updated in place, new ones wait in `fresh` until the reader is at the top or asks for them.
 */
export interface LiveList {
  rows: Task[];
  /** Newer than the first row, newest first, not shown yet. */
  fresh: Task[];
  /** The newest page had no row in common with the list: there may be more news than `fresh` holds. */
  gap: boolean;
  /** Where the page after the last row starts; null at the end of history. */
  cursor: string | null;
  /** The cursor that belongs to a list started from the newest page, used when `fresh` replaces everything. */
  headCursor: string | null;
  total: number | null;
  /** How far back was searched, when the rows found so far do not say so themselves. */
  searchedTo: string | null;
  /** Rows that came in with the last change, for a short highlight. */
  arrived: ReadonlySet<string>;
}

export function start(page: Page<Task>): LiveList {
  return {
    rows: page.items,
    fresh: [],
    gap: false,
    cursor: page.next_cursor,
    headCursor: page.next_cursor,
    total: page.total_count ?? null,
    searchedTo: page.searched_to ?? null,
    arrived: new Set(),
  };
}

/** append adds the next older page; rows that are already there stay where they are. */
export function append(list: LiveList, page: Page<Task>): LiveList {
  const known = new Set(list.rows.map((row) => row.id));
  return {
    ...list,
    rows: [...list.rows, ...page.items.filter((row) => !known.has(row.id))],
    cursor: page.next_cursor,
    searchedTo: page.searched_to ?? null,
    arrived: new Set(),
  };
}

/** refresh takes the newest page again. */
export function refresh(list: LiveList, page: Page<Task>, atTop: boolean): LiveList {
  const updates = new Map(page.items.map((row) => [row.id, row]));
  const known = new Set(list.rows.map((row) => row.id));
  const overlaps = page.items.some((row) => known.has(row.id));
  const total = page.total_count ?? list.total;

  if (atTop) {
    if (!overlaps || page.next_cursor === null) {
      const arrived =
        list.rows.length > 0 ? page.items.filter((row) => !known.has(row.id)).map((row) => row.id) : [];
      return { ...start(page), total, arrived: new Set(arrived) };
    }
    // The page speaks for the newest stretch (a row missing from it no longer matches); older rows stay.
    const lastShared = list.rows.findLastIndex((row) => updates.has(row.id));
    const older = list.rows.slice(lastShared + 1);
    return {
      ...list,
      rows: [...page.items, ...older],
      fresh: [],
      gap: false,
      cursor: older.length > 0 ? list.cursor : page.next_cursor,
      headCursor: page.next_cursor,
      total,
      arrived: new Set(page.items.filter((row) => !known.has(row.id)).map((row) => row.id)),
    };
  }

  const fresh: Task[] = [];
  for (const row of page.items) {
    if (known.has(row.id)) break;
    fresh.push(row);
  }
  return {
    ...list,
    rows: list.rows.map((row) => updates.get(row.id) ?? row),
    fresh,
    gap: !overlaps && page.items.length > 0 && list.rows.length > 0,
    headCursor: page.next_cursor,
    total,
    arrived: new Set(),
  };
}

/** update replaces rows in place, from a page that was fetched again further down. */
export function update(list: LiveList, tasks: Task[]): LiveList {
  const updates = new Map(tasks.map((row) => [row.id, row]));
  return { ...list, rows: list.rows.map((row) => updates.get(row.id) ?? row), arrived: new Set() };
}

/** reveal shows what waited behind the pill. */
export function reveal(list: LiveList): LiveList {
  const arrived = new Set(list.fresh.map((row) => row.id));
  if (list.gap) return { ...list, rows: list.fresh, fresh: [], gap: false, cursor: list.headCursor, arrived };
  return { ...list, rows: [...list.fresh, ...list.rows], fresh: [], arrived };
}

export function freshLabel(list: LiveList): string | null {
  if (list.fresh.length === 0) return null;
  return `${list.fresh.length}${list.gap ? "+" : ""} new`;
}
