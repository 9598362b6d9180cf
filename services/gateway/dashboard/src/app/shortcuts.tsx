// SPDX-License-Identifier: AGPL-3.0-or-later
import { useNavigate } from "@tanstack/react-router";
import { Fragment, useEffect, useRef } from "react";
import { Button, Kbd } from "../ui/controls";
import { Dialog } from "../ui/dialog";
import { chordWithin, type KeyAction, type KeyEntry, keyTable, matchKey } from "./keys";
import { pageLink, usePages } from "./usepages";

/** typing tells whether a key press belongs to a field or a menu and not to the page. */
export function typing(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  return inField(event.target);
}

/** inField tells whether keys pressed there are somebody's text or a menu's business. */
export function inField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return (
    target.isContentEditable ||
    (/^(?:INPUT|TEXTAREA|SELECT)$/.test(target.tagName) &&
      !/^(?:checkbox|radio|button)$/.test((target as HTMLInputElement).type)) ||
    target.closest('[role="dialog"],[role="menu"],[role="listbox"]') !== null
  );
}

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const modKey = isMac ? "⌘" : "Ctrl";
export const paletteKeys = isMac ? "⌘ K" : "Ctrl K";

/** Shortcuts obeys the table of keys (keys.ts). Rows of any DataTable are walked here; the task list does its own. */
export function Shortcuts({
  slug,
  paused,
  onHelp,
  onPalette,
}: {
  slug: string | null;
  /** While the palette or the help opens, no key goes to the page behind. */
  paused: boolean;
  onHelp: () => void;
  onPalette: () => void;
}) {
  const navigate = useNavigate();
  const available = usePages(slug);
  const armedAt = useRef(0);
  const todo = useRef<(action: KeyAction) => boolean>(() => false);
  todo.current = (action) => {
    if (paused) return false;
    switch (action.do) {
      case "go": {
        const page = available.find((each) => each.id === action.page);
        if (page) void navigate(pageLink(page, slug) as { to: string });
        return Boolean(page);
      }
      case "palette":
        onPalette();
        return true;
      case "help":
        onHelp();
        return true;
      case "search": {
        const field = document.querySelector<HTMLInputElement>("main [data-search]");
        if (!field) onPalette();
        field?.focus();
        field?.select();
        return true;
      }
      case "row":
        return walkRows(action.step);
      case "select":
        return pressBox();
      case "page":
        return false;
    }
  };
  useEffect(() => {
    const obey = (event: KeyboardEvent, action: KeyAction) => {
      if (todo.current(action)) event.preventDefault();
    };
    // The second key of a chord is taken before any page sees it: g r goes to the trends and retries nothing.
    const early = (event: KeyboardEvent) => {
      const mod = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
      if (mod) {
        const match = matchKey({ key: event.key, mod: true }, false);
        if (match && match !== "armed") obey(event, match.action);
        return;
      }
      if (typing(event) || event.key === "Shift") return;
      const armed = Date.now() - armedAt.current < chordWithin;
      armedAt.current = 0;
      const match = matchKey({ key: event.key, mod: false }, armed);
      if (match === "armed") armedAt.current = Date.now();
      else if (match?.action.do === "go") obey(event, match.action);
    };
    const late = (event: KeyboardEvent) => {
      if (typing(event)) return;
      const match = matchKey({ key: event.key, mod: false }, false);
      if (!match || match === "armed") return;
      const { action } = match;
      if (action.do !== "row" && action.do !== "select") obey(event, action);
      // A page that walks its rows itself comes first.
      else window.setTimeout(() => !event.defaultPrevented && todo.current(action));
    };
    window.addEventListener("keydown", early, true);
    window.addEventListener("keydown", late);
    return () => {
      window.removeEventListener("keydown", early, true);
      window.removeEventListener("keydown", late);
    };
  }, []);
  return null;
}

const focusedRow = () => document.activeElement?.closest<HTMLElement>("[data-rows] [data-row]") ?? null;

function walkRows(step: 1 | -1): boolean {
  const current = focusedRow();
  const table = current?.closest("[data-rows]") ?? document.querySelector("main [data-rows]");
  const rows = [...(table?.querySelectorAll<HTMLElement>("[data-row]") ?? [])];
  if (rows.length === 0) return false;
  const at = current ? rows.indexOf(current) + step : step > 0 ? 0 : rows.length - 1;
  const row = rows[Math.max(0, Math.min(rows.length - 1, at))];
  const target = row?.querySelector<HTMLElement>("a") ?? row?.querySelector<HTMLElement>("button") ?? row;
  target?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: "nearest" });
  return true;
}

function pressBox(): boolean {
  const box = focusedRow()?.querySelector<HTMLElement>("[data-select]");
  box?.click();
  return Boolean(box);
}

const helpGroups: KeyEntry["group"][] = ["Go to", "Anywhere", "Lists", "Tasks"];

/** KeyboardHelp shows the table of keys. */
export function KeyboardHelp({ slug, onClose }: { slug: string | null; onClose: () => void }) {
  const available = usePages(slug);
  const shown = keyTable.filter(
    ({ action }) => action.do !== "go" || available.some((page) => page.id === action.page),
  );
  return (
    <Dialog title="Keyboard" onClose={onClose} wide>
      <div className="grid gap-x-8 gap-y-4 sm:grid-cols-2">
        {helpGroups.map((group) => (
          <section key={group}>
            <h3 className="mb-1 font-semibold">{group}</h3>
            <dl className="grid grid-cols-[5rem_1fr] items-center gap-y-1">
              {shown
                .filter((entry) => entry.group === group)
                .map(({ keys, what }) => (
                  <Fragment key={keys.join(" ")}>
                    <dt className="flex gap-1">
                      {keys.map((key) => (
                        <Kbd key={key}>{key === "mod" ? modKey : key}</Kbd>
                      ))}
                    </dt>
                    <dd>{what}</dd>
                  </Fragment>
                ))}
            </dl>
          </section>
        ))}
      </div>
      <div className="flex justify-end">
        <Button onClick={onClose}>Close</Button>
      </div>
    </Dialog>
  );
}
