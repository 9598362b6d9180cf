// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { SkewBanner } from "../agents/skew";
import { ApiError } from "../api/client";
import { queries } from "../api/queries";
import { grouped } from "../api/time";
import type { Task } from "../api/types";
import { useMedia } from "../app/media";
import { useRange } from "../app/range";
import { rememberList } from "../task/neighbours";
import { Button, Empty, ErrorNote } from "../ui/controls";
import { Later } from "../ui/later";
import { Popover } from "../ui/popover";
import { useTitle } from "../ui/title";
import { FilterBar } from "./bar";
import type { BulkAction } from "./bulk";
import { BulkBar } from "./bulkbar";
import { writeColumns } from "./columns";
import { FacetColumn, StateChips, useFacets, vocabularyOf } from "./facets";
import {
  ownWindow,
  readPreference,
  type Shown,
  shown as shownBy,
  type TaskSearch,
  toQuery,
  writePreference,
} from "./filters";
import { FirstSteps } from "./firststeps";
import { Grid } from "./grid";
import { SilentWorkerHint } from "./hint";
import { FacetsIcon } from "./icons";
import type { LiveList } from "./live";
import { Peek } from "./peek";
import { parse } from "./query";
import {
  allOf,
  isEmpty,
  matching,
  nothing,
  removed,
  type Selection,
  stretched,
  toggled,
  updated,
} from "./selection";
import { Exporting, Showing } from "./showing";
import { useLiveTasks } from "./uselive";
import { useWidth } from "./usewidth";
import { Views } from "./viewsmenu";

/** How long the pointer has to rest before rows may move under it. */
const restAfter = 2000;
/** The API counts no further than this. */
const counted = 10_000;
const facetsKey = "z4j-tasks-facets";

/** The Tasks page: find these runs, look at one, act on many. All of its state is in the address. */
export function TasksPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/tasks" });
  const search = useSearch({ from: "/app/projects/$slug/tasks" });
  const navigate = useNavigate({ from: "/projects/$slug/tasks" });
  useTitle("Tasks", slug);
  const range = useRange();
  const isWide = useMedia("(min-width: 768px)");
  const [page, setPage] = useState<HTMLDivElement | null>(null);
  const width = useWidth(page);
  const isRoomy = useMedia("(min-width: 1024px)");
  const stats = useQuery(queries.stats(slug));
  const queues = useQuery(queries.queues(slug));

  const q = search.q ?? "";
  const parsed = useMemo(() => parse(q), [q]);
  const query = useMemo(() => ({ ...toQuery(q, range), sort: sortOf(search) }), [q, range, search]);
  const key = JSON.stringify([slug, q, range.key, search.sort]);

  const change = useCallback(
    (next: Partial<TaskSearch>, replace = false) =>
      void navigate({ search: (old) => ({ ...old, ...next }), replace }),
    [navigate],
  );
  const setQ = useCallback(
    (next: string, replace = false) => change({ q: next || undefined }, replace),
    [change],
  );

  const scroller = useRef<HTMLDivElement>(null);
  const lastMove = useRef(0);
  const firstRow = useRef(0);
  const isIdleAtTop = useCallback(() => {
    const element = scroller.current;
    if (!element) return true;
    if (element.scrollTop > 4) return false;
    if (element.contains(document.activeElement) && document.activeElement !== element) return false;
    return Date.now() - lastMove.current > restAfter;
  }, []);
  const firstVisible = useCallback(() => firstRow.current, []);
  const { list, stale, error, loadingOlder, reload, loadOlder, showFresh } = useLiveTasks(
    slug,
    key,
    query,
    isIdleAtTop,
    firstVisible,
  );
  const { sort: _, ...counting } = query;
  const facets = useFacets(slug, counting, JSON.stringify([q, range.key]));

  const rows = useMemo(() => list?.rows ?? [], [list]);
  const more = list?.cursor ?? null;
  const older = useCallback(() => {
    if (more && !stale && !loadingOlder && error === null) void loadOlder();
  }, [more, stale, loadingOlder, error, loadOlder]);

  const [preference, setPreference] = useState(readPreference);
  const shown = shownBy(search, preference);
  const setShown = (next: Shown) => {
    setPreference(next);
    writePreference(next);
    change({ cols: writeColumns(next.columns), density: next.density }, true);
  };

  // A selection belongs to one filter: another one starts without.
  const [kept, setKept] = useState<{ key: string; selection: Selection }>({ key, selection: nothing });
  const selection = useMemo(
    () => (kept.key === key ? updated(kept.selection, rows) : nothing),
    [kept, key, rows],
  );
  const select = useCallback(
    (next: (old: Selection) => Selection) =>
      setKept((old) => ({ key, selection: next(old.key === key ? old.selection : nothing) })),
    [key],
  );
  const [asked, setAsked] = useState<BulkAction | null>(null);
  const [picking, setPicking] = useState(false);
  const loaded = useRef(rows);
  loaded.current = rows;
  // The page of a task leads to the one before and after it in this list.
  useEffect(() => rememberList(slug, window.location.search, rows), [slug, rows]);
  const onSelect = useCallback(
    (task: Task, stretch: boolean) =>
      select((old) => (stretch ? stretched : toggled)(old, task, loaded.current)),
    [select],
  );
  const clear = useCallback(() => {
    select(() => nothing);
    setPicking(false);
  }, [select]);

  const openId = search.open ?? null;
  const onOpen = useCallback(
    (task: Task | null) =>
      change({ open: task ? `${task.engine}/${task.task_id}` : undefined }, openId !== null),
    [change, openId],
  );
  // The cursor goes back to the row that was looked at, so that the keys go on from there.
  const closePanel = useCallback(() => {
    onOpen(null);
    const row = loaded.current.find((each) => `${each.engine}/${each.task_id}` === openId);
    requestAnimationFrame(() =>
      scroller.current
        ?.querySelector<HTMLElement>(`[data-id="${row?.id}"] a.row-link`)
        ?.focus({ preventScroll: true }),
    );
  }, [onOpen, openId]);
  const onPage = useCallback(
    (task: Task) =>
      void navigate({
        to: "/projects/$slug/tasks/$engine/$taskId",
        params: { slug, engine: task.engine, taskId: task.task_id },
        search: {},
      }),
    [navigate, slug],
  );
  const onRetry = useCallback(
    (task: Task | null) => {
      if (task) select(() => ({ ...nothing, tasks: new Map([[task.id, task]]) }));
      setAsked("retry");
    },
    [select],
  );

  const [column, setColumn] = useState(() => localStorage.getItem(facetsKey) !== "closed");
  const toggleColumn = () => {
    localStorage.setItem(facetsKey, column ? "closed" : "open");
    setColumn(!column);
  };

  const filtered = q !== "";
  const neverAny = list !== null && rows.length === 0 && !filtered && (stats.data?.tasks_total ?? 0) === 0;
  const total = list === null || stale ? null : totalText(list, rows.length);
  const showsBulk = !isEmpty(selection);
  const facetProps = { facets: facets.data, parsed, q, onChange: setQ };
  const open = openId ? splitOpen(openId) : null;

  const room = open && isWide ? panelRoom(width) : 0;
  return (
    <div ref={setPage} className="h-full">
      <div className="flex h-full flex-col" style={room > 0 ? { marginRight: room } : undefined}>
        <h1 className="sr-only">Tasks of {slug}</h1>
        <div className="shrink-0 space-y-2 border-line border-b bg-panel px-3 py-2 md:px-4">
          <div className="flex flex-wrap items-start gap-2">
            {isRoomy ? (
              <Button
                onClick={toggleColumn}
                aria-pressed={column}
                aria-label="Counts by queue, task and worker"
                title={column ? "Hide the counts" : "Show counts by queue, task and worker"}
                className="!px-2 aria-pressed:bg-accent-wash"
              >
                <FacetsIcon />
              </Button>
            ) : (
              <Popover
                label="Counts by queue, task and worker"
                trigger={
                  <Button aria-label="Counts by queue, task and worker" className="!px-2 max-sm:order-1">
                    <FacetsIcon />
                  </Button>
                }
              >
                <div className="w-72">
                  <FacetColumn {...facetProps} />
                </div>
              </Popover>
            )}
            <FilterBar
              q={q}
              onChange={setQ}
              vocabulary={vocabularyOf(
                facets.data,
                (queues.data ?? []).map((each) => each.name),
              )}
            />
            <div className="flex gap-2 max-sm:order-2">
              <Views slug={slug} search={search} onApply={(next) => void navigate({ search: next })} />
              <Showing shown={shown} onChange={setShown} />
              <Exporting
                slug={slug}
                query={query}
                shown={shown.columns}
                total={total ?? "Everything that matches"}
              />
              {!isWide && (
                <Button onClick={() => (picking ? clear() : setPicking(true))} aria-pressed={picking}>
                  {picking ? "Done" : "Select"}
                </Button>
              )}
            </div>
          </div>
          <StateChips {...facetProps} />
        </div>
        {error !== null && list === null ? (
          <div className="p-4">
            <ErrorNote error={error} what="The tasks could not be loaded" onRetry={reload} />
          </div>
        ) : neverAny ? (
          <div className="min-h-0 flex-1 overflow-y-auto">
            <FirstSteps slug={slug} />
          </div>
        ) : (
          <div className="flex min-h-0 flex-1">
            {isRoomy && column && !open && (
              <aside
                aria-label="Counts"
                className="w-52 shrink-0 overflow-y-auto border-line border-r bg-panel xl:w-60"
              >
                <Later>
                  <FacetColumn {...facetProps} />
                </Later>
              </aside>
            )}
            <Grid
              slug={slug}
              kept={range.range ? `?range=${range.range}` : `?from=${range.query.from}&to=${range.query.to}`}
              list={list}
              stale={stale}
              card={!isWide}
              shown={shown}
              order={search.sort ?? "received"}
              onOrder={(order) => change({ sort: order === "started" ? "started" : undefined }, true)}
              selection={selection}
              selecting={picking || showsBulk}
              onSelect={onSelect}
              onAll={() => select((old) => allOf(old, rows))}
              onClear={clear}
              onRetry={onRetry}
              openId={openId}
              onOpen={onOpen}
              onPage={onPage}
              scroller={scroller}
              firstRow={firstRow}
              onPointerMove={() => {
                lastMove.current = Date.now();
              }}
              onNearEnd={older}
              onShowFresh={showFresh}
              empty={
                <NoMatch
                  filtered={filtered}
                  window={ownWindow(q) ? "the filter's own time range" : range.label}
                  onClear={() => setQ("")}
                  onLonger={range.range === "7d" || ownWindow(q) ? null : () => range.setRange("7d")}
                />
              }
              footer={
                showsBulk ? (
                  <BulkBar
                    slug={slug}
                    selection={selection}
                    query={query}
                    total={total ?? "the matching tasks"}
                    more={more !== null}
                    allLoaded={rows.length > 0 && rows.every((row) => selection.tasks.has(row.id))}
                    onEverything={() => select(matching)}
                    onClear={clear}
                    onGone={(ids) => {
                      select((old) => (old.everything ? nothing : removed(old, ids)));
                      reload();
                    }}
                    asked={asked}
                    onAsked={() => setAsked(null)}
                  />
                ) : (
                  <Foot
                    total={total}
                    window={ownWindow(q) ? "by the filter" : lower(range.label)}
                    loading={loadingOlder}
                  />
                )
              }
            />
          </div>
        )}
        {/* Below the rows: what is learned later must not push them away. */}
        <div className="max-h-[45%] shrink-0 space-y-2 overflow-y-auto px-3 empty:hidden md:px-4 [&>*]:my-2">
          <SkewBanner slug={slug} linked />
          <SilentWorkerHint slug={slug} />
          {error !== null && list !== null && !(error instanceof ApiError && error.offline) && (
            <ErrorNote
              error={error}
              what="The list could not be refreshed; it shows the last known state"
              onRetry={reload}
            />
          )}
        </div>
      </div>
      {open && (
        <Peek
          key={openId}
          slug={slug}
          engine={open.engine}
          taskId={open.taskId}
          row={rows.find((row) => row.engine === open.engine && row.task_id === open.taskId)}
          onClose={closePanel}
        />
      )}
    </div>
  );
}

/** The side panel covers the right of the page; the list uses the rest, if that is enough to read. */
function panelRoom(width: number): number {
  const panel = Math.min(44 * 16, window.innerWidth * 0.62);
  return width - panel >= 360 ? panel : 0;
}

const sortOf = (search: TaskSearch): string => (search.sort === "started" ? "-started_at" : "-received_at");

/** An id may hold slashes of its own; an engine's name never does. */
function splitOpen(open: string): { engine: string; taskId: string } {
  const at = open.indexOf("/");
  return { engine: open.slice(0, at), taskId: open.slice(at + 1) };
}

const lower = (text: string) => (text.startsWith("Last ") ? `in the last ${text.slice(5)}` : text);

function totalText({ total, cursor, searchedTo }: LiveList, loaded: number): string {
  const tasks = (n: number) => `${n} ${n === 1 ? "task" : "tasks"}`;
  if (cursor === null) return tasks(loaded);
  if (total !== null) return tasks(total);
  // A search that is still going back in time has an end that nobody knows yet.
  if (searchedTo !== null || loaded === 0) return `${loaded} found so far`;
  return `more than ${grouped(Math.max(counted, loaded))} tasks`;
}

function Foot({ total, window, loading }: { total: string | null; window: string; loading: boolean }) {
  return (
    <>
      <span className="truncate">
        {total ?? "Loading"} <span className="max-sm:hidden">{window}</span>
      </span>
      {loading && <span>Loading older tasks</span>}
      <span className="ml-auto @max-3xl:hidden">
        <kbd>j</kbd> <kbd>k</kbd> move, <kbd>space</kbd> look, <kbd>enter</kbd> open, <kbd>x</kbd> select,{" "}
        <kbd>/</kbd> filter, <kbd>?</kbd> all keys
      </span>
    </>
  );
}

function NoMatch({
  filtered,
  window,
  onClear,
  onLonger,
}: {
  filtered: boolean;
  window: string;
  onClear: () => void;
  onLonger: (() => void) | null;
}) {
  return (
    <Empty title={filtered ? "No task matches" : "No task in this time range"}>
      <p>
        {filtered
          ? "Nothing fits this filter. Plain words are looked for in the task's name, queue, worker, id, exception, arguments and result; several values of one key mean any of them, different keys have to fit together."
          : "Tasks were reported, but at other times."}{" "}
        Time range: {window}.
      </p>
      <div className="flex flex-wrap gap-2">
        {filtered && <Button onClick={onClear}>Clear the filter</Button>}
        {onLonger && <Button onClick={onLonger}>Look at the last 7 days</Button>}
      </div>
    </Empty>
  );
}
