// SPDX-License-Identifier: AGPL-3.0-or-later

/** One task as a list names it. */
export interface Place {
  engine: string;
  task_id: string;
}

interface Stored {
  slug: string;
  /** The list's address after the path, to go back to. */
  search: string;
  places: [engine: string, id: string][];
}

export interface Neighbours {
  previous: Place | null;
  next: Place | null;
  /** From 1. */
  position: number;
  count: number;
  search: string;
}

const key = "z4j-task-list";
const most = 500;

/**
 * rememberList keeps the order of the list that a task is opened from, for this tab only, so that the task's page
 * can lead to the next one without going back.
 */
export function rememberList(slug: string, search: string, rows: Place[], storage: Storage = sessionStorage) {
  const stored: Stored = {
    slug,
    search,
    places: rows.slice(0, most).map((row) => [row.engine, row.task_id]),
  };
  try {
    storage.setItem(key, JSON.stringify(stored));
  } catch {
    // A full or forbidden storage costs the two buttons, nothing else.
  }
}

/** neighboursOf finds a task in the remembered list; null when it did not come from there. */
export function neighboursOf(
  slug: string,
  place: Place,
  storage: Storage = sessionStorage,
): Neighbours | null {
  let stored: Stored;
  try {
    stored = JSON.parse(storage.getItem(key) ?? "null") as Stored;
  } catch {
    return null;
  }
  if (!stored || stored.slug !== slug || !Array.isArray(stored.places)) return null;
  const at = stored.places.findIndex(([engine, id]) => engine === place.engine && id === place.task_id);
  if (at < 0 || stored.places.length < 2) return null;
  const of = (i: number): Place | null => {
    const found = stored.places[i];
    return found ? { engine: found[0], task_id: found[1] } : null;
  };
  return {
    previous: of(at - 1),
    next: of(at + 1),
    position: at + 1,
    count: stored.places.length,
    search: stored.search,
  };
}
