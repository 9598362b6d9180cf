// SPDX-License-Identifier: AGPL-3.0-or-later
import { pages } from "./pages";

export type KeyAction =
  | { do: "go"; page: string }
  | { do: "palette" }
  | { do: "help" }
  | { do: "search" }
  | { do: "row"; step: 1 | -1 }
  | { do: "select" }
  /** The browser or the page on screen does it; here only for the help. */
  | { do: "page" };

export interface KeyEntry {
  /** Pressed one after the other; "mod" is Ctrl, on a Mac Cmd, held with the next. */
  keys: string[];
  what: string;
  group: "Go to" | "Anywhere" | "Lists" | "Tasks";
  action: KeyAction;
}

/** Every key of the dashboard. The help dialog shows this table and the handler obeys it. */
export const keyTable: KeyEntry[] = [
  ...pages.flatMap((page): KeyEntry[] =>
    page.chord
      ? [{ keys: ["g", page.chord], what: page.label, group: "Go to", action: { do: "go", page: page.id } }]
      : [],
  ),
  {
    keys: ["mod", "k"],
    what: "Find tasks, queues, workers, pages and actions",
    group: "Anywhere",
    action: { do: "palette" },
  },
  { keys: ["/"], what: "Filter this page, or search", group: "Anywhere", action: { do: "search" } },
  { keys: ["?"], what: "This help", group: "Anywhere", action: { do: "help" } },
  { keys: ["esc"], what: "Close what is open", group: "Anywhere", action: { do: "page" } },
  {
    keys: ["j"],
    what: "Next row; on a task, the next task of the list",
    group: "Lists",
    action: { do: "row", step: 1 },
  },
  { keys: ["k"], what: "Previous row, or task", group: "Lists", action: { do: "row", step: -1 } },
  { keys: ["enter"], what: "Open the row", group: "Lists", action: { do: "page" } },
  { keys: ["space"], what: "Look at the task beside the list", group: "Tasks", action: { do: "page" } },
  { keys: ["X"], what: "Select up to here", group: "Tasks", action: { do: "page" } },
  { keys: ["x"], what: "Select the row", group: "Lists", action: { do: "select" } },
  { keys: ["n"], what: "Show new rows", group: "Lists", action: { do: "page" } },
  { keys: ["r"], what: "Retry the task, or the selected ones", group: "Tasks", action: { do: "page" } },
];

/** How long a chord waits for its second key. */
export const chordWithin = 900;

export interface Press {
  key: string;
  mod: boolean;
}

export type Match = { action: KeyAction } | "armed" | null;

/** matchKey decides what a key press means. `armed` tells that g was pressed just before. */
export function matchKey(press: Press, armed: boolean): Match {
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  if (press.mod) {
    const entry = keyTable.find((each) => each.keys[0] === "mod" && each.keys[1] === key);
    return entry ? { action: entry.action } : null;
  }
  if (armed) {
    const entry = keyTable.find(
      (each) => each.keys.length === 2 && each.keys[0] === "g" && each.keys[1] === key,
    );
    if (entry) return { action: entry.action };
  }
  if (key === "g") return "armed";
  const entry = keyTable.find((each) => each.keys.length === 1 && each.keys[0] === press.key);
  return entry && entry.action.do !== "page" ? { action: entry.action } : null;
}
