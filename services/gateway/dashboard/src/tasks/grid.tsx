// SPDX-License-Identifier: AGPL-3.0-or-later
import { elementScroll, useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, type RefObject, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Task } from "../api/types";
import { typing } from "../app/shortcuts";
import { Absolute } from "../ui/clock";
import { fitting } from "./columns";
import type { Shown } from "./filters";
import { freshLabel, type LiveList } from "./live";
import { Head, type Order, Row } from "./rows";
import { isSelected, type Selection } from "./selection";
import { useWidth } from "./usewidth";

const heights = { compact: 32, comfortable: 40, card: 60 };
/** About what is above and below the list; its real height comes with the first layout. */
const frameHeight = 190;
/** Rows left below the screen when the next page is asked for. */
const ahead = 120;

interface Props {
  slug: string;
  /** The part of the address that goes along to a task's page: the time range. */
  kept: string;
  list: LiveList | null;
  /** The rows are those of the filter before, until the new ones are here. */
  stale: boolean;
  card: boolean;
  shown: Shown;
  order: Order;
  onOrder: (order: Order) => void;
  selection: Selection;
  selecting: boolean;
  onSelect: (task: Task, stretch: boolean) => void;
  onAll: () => void;
  onClear: () => void;
  onRetry: (task: Task | null) => void;
  openId: string | null;
  onOpen: (task: Task | null) => void;
  onPage: (task: Task) => void;
  scroller: RefObject<HTMLDivElement | null>;
  firstRow: RefObject<number>;
  onPointerMove: () => void;
  onNearEnd: () => void;
  onShowFresh: () => void;
  empty: ReactNode;
  footer: ReactNode;
}

/** The list's size as the browser has it after its own layout: to ask for it at once would force one more. */
function observeElementRect(
  { scrollElement }: { scrollElement: Element | null },
  tell: (rect: { width: number; height: number }) => void,
) {
  if (!scrollElement) return;
  const observer = new ResizeObserver(([entry]) => {
    const box = entry?.borderBoxSize[0];
    if (box) tell({ width: Math.round(box.inlineSize), height: Math.round(box.blockSize) });
  });
  observer.observe(scrollElement);
  return () => observer.disconnect();
}

/** Grid is the virtual list with its keys: j k x space enter r n and Escape. */
export function Grid(props: Props) {
  const { slug, kept, list, stale, card, shown, selection, scroller, firstRow, openId, onSelect, onOpen } =
    props;
  const rows = useMemo(() => list?.rows ?? [], [list]);
  const height = card ? heights.card : heights[shown.density];
  const [frame, setFrame] = useState<HTMLDivElement | null>(null);
  const width = useWidth(frame);
  const columns = useMemo(
    () => (width > 0 ? fitting(shown.columns, width) : shown.columns),
    [shown.columns, width],
  );

  // The same function as long as the rows are: another one makes the virtualizer measure all of them again.
  const getItemKey = useCallback((index: number) => rows[index]?.id ?? index, [rows]);
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    overscan: 8,
    getItemKey,
    initialRect: { width: window.innerWidth, height: Math.max(200, window.innerHeight - frameHeight) },
    observeElementRect,
    // A new list is at its top; to put it there would force a layout before the first row is drawn.
    scrollToFn: (offset, options, instance) => {
      if (offset > 0 || instance.scrollOffset) elementScroll(offset, options, instance);
    },
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the rows are measured again when their height changes
  useEffect(() => virtualizer.measure(), [height]);
  const items = virtualizer.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  firstRow.current = Math.floor((virtualizer.scrollOffset ?? 0) / height);

  const { onNearEnd, onShowFresh } = props;
  useEffect(() => {
    if (last >= rows.length - ahead) onNearEnd();
  }, [last, rows.length, onNearEnd]);

  const showNew = useCallback(() => {
    onShowFresh();
    scroller.current?.scrollTo({ top: 0 });
  }, [onShowFresh, scroller]);

  useKeys(props, rows, virtualizer.scrollToIndex, showNew);

  const pill = list && !stale ? freshLabel(list) : null;
  const all = useMemo(() => {
    if (selection.everything) return true;
    if (selection.tasks.size === 0) return false;
    return rows.every((row) => selection.tasks.has(row.id)) || "indeterminate";
  }, [selection, rows]);
  return (
    <div ref={setFrame} className="relative flex min-h-0 min-w-0 flex-1 flex-col">
      {pill && (
        <div className="pointer-events-none absolute inset-x-0 top-10 z-20 flex justify-center">
          <button
            type="button"
            onClick={showNew}
            className="pointer-events-auto rounded-full border border-accent bg-accent px-3.5 py-1 font-semibold text-accent-ink"
          >
            {pill}
          </button>
        </div>
      )}
      <div
        ref={scroller}
        {...(rows.length > 0
          ? {
              role: "table",
              "aria-label": `Tasks, latest ${props.order} first`,
              "aria-rowcount": list?.cursor ? -1 : rows.length + 1,
            }
          : { role: "region", "aria-label": "Tasks" })}
        aria-busy={stale || list === null}
        tabIndex={0}
        onPointerMove={props.onPointerMove}
        className={`min-h-0 flex-1 overflow-x-hidden overflow-y-auto bg-panel ${stale ? "opacity-60" : ""}`}
      >
        {rows.length > 0 && !card && (
          <Head columns={columns} order={props.order} onOrder={props.onOrder} all={all} onAll={props.onAll} />
        )}
        {list === null ? (
          <Waiting height={height} />
        ) : rows.length === 0 && list.cursor ? (
          <>
            <p role="status" className="px-4 py-3 text-soft">
              No match so far
              {list.searchedTo ? (
                <>
                  {" "}
                  back to <Absolute at={list.searchedTo} />
                </>
              ) : null}
              ; searching further back.
            </p>
            <Waiting height={height} />
          </>
        ) : rows.length === 0 ? (
          !stale && props.empty
        ) : (
          <div role="rowgroup" className="relative" style={{ height: virtualizer.getTotalSize() }}>
            {items.map((item) => {
              const task = rows[item.index];
              if (!task) return null;
              return (
                <Row
                  key={item.key}
                  slug={slug}
                  kept={kept}
                  task={task}
                  index={item.index}
                  start={item.start}
                  height={height}
                  columns={columns}
                  card={card}
                  selected={isSelected(selection, task.id)}
                  selecting={props.selecting}
                  open={openId === `${task.engine}/${task.task_id}`}
                  fresh={list.arrived.has(task.id)}
                  onSelect={onSelect}
                  onOpen={onOpen}
                  onPage={props.onPage}
                />
              );
            })}
          </div>
        )}
      </div>
      <div className="@container flex h-10 shrink-0 items-center gap-3 whitespace-nowrap border-line border-t bg-panel px-3 text-soft text-xs max-sm:h-12 md:px-4">
        {props.footer}
      </div>
    </div>
  );
}

/** How wide the bars of the waiting rows are, in percent. */
const bars = [62, 48, 71, 55, 66, 43];

/** Waiting has the height of the rows that are about to come, and little more: it is drawn to be thrown away. */
function Waiting({ height }: { height: number }) {
  return (
    <div role="status">
      <span className="sr-only">Loading tasks</span>
      {Array.from({ length: 20 }, (_, row) => (
        <div
          // biome-ignore lint/suspicious/noArrayIndexKey: placeholders have no identity
          key={row}
          aria-hidden="true"
          className="flex items-center border-line border-b px-3 md:px-4"
          style={{ height }}
        >
          <span className="skeleton h-3.5 rounded" style={{ width: `${bars[row % bars.length]}%` }} />
        </div>
      ))}
    </div>
  );
}

/** useKeys walks the rows. The focus is the cursor, so that a screen reader reads where it stands. */
function useKeys(
  props: Props,
  rows: readonly Task[],
  scrollTo: (index: number) => void,
  showNew: () => void,
) {
  const now = useRef({ props, rows, scrollTo, showNew });
  now.current = { props, rows, scrollTo, showNew };
  const { openId, scroller } = props;
  const wasOpen = useRef(openId);
  useEffect(() => {
    const before = wasOpen.current;
    wasOpen.current = openId;
    if (!before || openId || document.activeElement !== document.body) return;
    // The row that was looked at was drawn anew meanwhile (a phone was turned): the cursor goes back to it.
    const index = now.current.rows.findIndex((row) => `${row.engine}/${row.task_id}` === before);
    scroller.current
      ?.querySelector<HTMLElement>(`[data-row="${index}"] a.row-link`)
      ?.focus({ preventScroll: true });
  }, [openId, scroller]);
  useEffect(() => {
    const focusRow = (index: number) => {
      const { props, rows, scrollTo } = now.current;
      const task = rows[index];
      if (!task) return;
      scrollTo(index);
      if (props.openId) props.onOpen(task);
      // The row exists after the scroll has been drawn.
      requestAnimationFrame(() =>
        requestAnimationFrame(() =>
          props.scroller.current
            ?.querySelector<HTMLElement>(`[data-row="${index}"] a.row-link`)
            ?.focus({ preventScroll: true }),
        ),
      );
    };
    const onKey = (event: KeyboardEvent) => {
      const { props, rows, showNew } = now.current;
      if (typing(event) || rows.length === 0) return;
      const focused = document.activeElement?.closest<HTMLElement>("[data-row]");
      const open = rows.findIndex((row) => `${row.engine}/${row.task_id}` === props.openId);
      const at = focused ? Number(focused.dataset.row) : open;
      const task = at >= 0 ? rows[at] : undefined;
      switch (event.key) {
        case "j":
        case "k": {
          const step = event.key === "j" ? 1 : -1;
          const from = at >= 0 ? at + step : step > 0 ? props.firstRow.current : rows.length - 1;
          focusRow(Math.max(0, Math.min(rows.length - 1, from)));
          break;
        }
        case "x":
        case "X":
          if (!task) return;
          props.onSelect(task, event.key === "X");
          break;
        case " ":
          // On a button the bar presses it.
          if (!task || document.activeElement?.closest("button,summary,[role=checkbox]")) return;
          props.onOpen(props.openId === `${task.engine}/${task.task_id}` ? null : task);
          break;
        case "Enter":
          if (!task || focused || document.activeElement?.closest("a,button,summary")) return;
          props.onPage(task);
          break;
        case "r":
          // With the panel open, r belongs to the task in it.
          if (props.openId || (!task && !props.selecting)) return;
          props.onRetry(props.selection.tasks.size > 0 || props.selection.everything ? null : (task ?? null));
          break;
        case "n":
          showNew();
          break;
        case "Escape":
          if (props.openId || !props.selecting) return;
          props.onClear();
          break;
        default:
          return;
      }
      event.preventDefault();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}
