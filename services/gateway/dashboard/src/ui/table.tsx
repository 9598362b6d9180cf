// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import {
  type ColumnDef,
  createSortedRowModel,
  rowSortingFeature,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { type ReactNode, useCallback, useMemo } from "react";
import { Skeleton } from "./controls";
import type { Goto } from "./goto";
import { SortIcon } from "./icons";
import { compareValues, parseSort, type Sort, sortText } from "./sort";
import { Checkbox } from "./toggle";

export type { Sort } from "./sort";

export interface DataColumn<T> {
  id: string;
  header: string;
  cell: (row: T) => ReactNode;
  /** What to sort by; absent means that the column can't be sorted. Nulls always come last. */
  sort?: (row: T) => string | number | boolean | null | undefined;
  /** The first click sorts downwards: for numbers and times. */
  descFirst?: boolean;
  /** Left out of the card on a phone, where only the columns that matter are shown. */
  minor?: boolean;
  align?: "right";
  /** Tailwind classes for the cells, for example a width: "w-24" or "max-w-64 truncate". */
  className?: string;
  /** More about the column, on hover of its name. */
  title?: string;
  /** The name is for screen readers only (columns of buttons). */
  hideHeader?: boolean;
}

interface Props<T> {
  /** Names the table for screen readers: "Queues of the project". */
  label: string;
  /** Keep the array stable (module level or useMemo). */
  columns: DataColumn<T>[];
  /** undefined while loading: the table shows its own skeleton. */
  rows: T[] | undefined;
  rowKey: (row: T) => string;
  /** Makes the whole row a link, carried by its first cell. */
  rowHref?: (row: T) => Goto;
  sort?: Sort | null;
  onSort?: (sort: Sort) => void;
  /** The rows come sorted from the API; the table only shows the arrow. */
  serverSort?: boolean;
  /** What to say instead of no rows: an <Empty> that teaches the next step. */
  empty?: ReactNode;
  /** A second line below a row, over its whole width. */
  detail?: (row: T) => ReactNode;
  /** Chosen rows: adds a first column of boxes (key x). */
  selected?: ReadonlySet<string>;
  onSelect?: (keys: Set<string>) => void;
  /** The row whose side panel is open. */
  activeKey?: string | null;
  skeletonRows?: number;
}

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: {},
});

/**
 * DataTable: dense, sortable, whole rows are links, j/k/x/enter walk it (app/shortcuts.tsx), cards on a phone.
 * Sort state: `const [sort, onSort] = useUrlSort({ id: "failed", desc: true })` keeps it in the address.
 */
export function DataTable<T>(props: Props<T>) {
  const { label, columns, rows, rowKey, rowHref, sort = null, onSort, serverSort, empty } = props;
  const defs = useMemo<ColumnDef<typeof features, T & object>[]>(
    () =>
      columns.map((column) => ({
        id: column.id,
        accessorFn: (row) => column.sort?.(row) ?? undefined,
        enableSorting: Boolean(column.sort),
        sortDescFirst: column.descFirst ?? false,
        sortUndefined: "last" as const,
        sortFn: (a, b, id) => compareValues(a.getValue(id), b.getValue(id)),
      })),
    [columns],
  );
  const data = useMemo(() => (rows ?? []) as (T & object)[], [rows]);
  const sorting = useMemo(() => (sort ? [{ id: sort.id, desc: sort.desc }] : []), [sort]);
  const table = useTable({
    features,
    columns: defs,
    data,
    getRowId: (row) => rowKey(row),
    state: { sorting },
    onSortingChange: (update) => {
      const next = typeof update === "function" ? update(sorting) : update;
      if (next[0]) onSort?.({ id: next[0].id, desc: next[0].desc });
    },
    enableSortingRemoval: false,
    enableMultiSort: false,
    manualSorting: serverSort,
  });
  const shown = table.getRowModel().rows;
  if (rows?.length === 0 && empty) return <>{empty}</>;
  return (
    <div
      className="overflow-x-auto rounded-md border border-line bg-panel"
      tabIndex={0}
      role="region"
      aria-label={label}
      aria-busy={rows === undefined || undefined}
      data-rows
    >
      <table className="w-full border-collapse text-left max-md:block">
        <thead className="max-md:hidden">
          <tr className="bg-raised text-xs text-soft">
            {props.onSelect && (
              <th scope="col" className="h-8 w-10 pl-3">
                <SelectAll {...props} keys={shown.map((row) => row.id)} />
              </th>
            )}
            {columns.map((column) => {
              const col = table.getColumn(column.id);
              const dir = col?.getIsSorted() || null;
              const able = Boolean(column.sort && onSort);
              return (
                <th
                  key={column.id}
                  scope="col"
                  title={column.title}
                  aria-sort={dir ? (dir === "asc" ? "ascending" : "descending") : undefined}
                  className={`h-8 px-3 font-semibold whitespace-nowrap ${column.align === "right" ? "text-right" : ""} ${column.className ?? ""}`}
                >
                  {able ? (
                    <button
                      type="button"
                      onClick={() => col?.toggleSorting()}
                      className={`-mx-1 inline-flex items-center gap-0.5 rounded-md px-1 align-middle hover:text-ink ${dir ? "text-ink" : ""} ${column.align === "right" ? "flex-row-reverse" : ""}`}
                    >
                      {column.header}
                      <SortIcon dir={dir} className={`size-3.5 ${dir ? "" : "opacity-40"}`} />
                    </button>
                  ) : (
                    <span className={column.hideHeader ? "sr-only" : ""}>{column.header}</span>
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody className="max-md:block">
          {rows === undefined
            ? Array.from({ length: props.skeletonRows ?? 8 }, (_, i) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: placeholders have no identity
                <SkeletonRow key={i} columns={columns} boxes={Boolean(props.onSelect)} />
              ))
            : shown.map((row, i) => (
                <Row
                  key={row.id}
                  id={row.id}
                  index={i}
                  row={row.original}
                  {...props}
                  href={rowHref?.(row.original)}
                />
              ))}
        </tbody>
      </table>
    </div>
  );
}

function SelectAll<T>({ keys, selected, onSelect }: Props<T> & { keys: string[] }) {
  const count = keys.filter((key) => selected?.has(key)).length;
  return (
    <Checkbox
      name="Select all rows"
      checked={count === 0 ? false : count === keys.length ? true : "indeterminate"}
      onChange={(on) => onSelect?.(new Set(on ? keys : []))}
    />
  );
}

function Row<T>({
  id,
  index,
  row,
  href,
  columns,
  detail,
  selected,
  onSelect,
  activeKey,
}: Props<T> & { id: string; index: number; row: T; href: Goto | undefined }) {
  const below = detail?.(row);
  const picked = selected?.has(id) ?? false;
  return (
    <>
      <tr
        data-row={index}
        aria-selected={onSelect ? picked : undefined}
        className={`relative border-line border-t max-md:flex max-md:flex-wrap max-md:gap-x-5 max-md:gap-y-1 max-md:px-3 max-md:py-2 max-md:first:border-t-0 ${href ? "hover:bg-raised" : ""} ${activeKey === id || picked ? "bg-accent-wash" : ""}`}
      >
        {onSelect && (
          <td className="w-10 pl-3 align-middle max-md:absolute max-md:top-2 max-md:right-3 max-md:w-auto max-md:p-0">
            <Checkbox
              select
              name="Select this row"
              checked={picked}
              onChange={(on) => {
                const next = new Set(selected);
                if (on) next.add(id);
                else next.delete(id);
                onSelect(next);
              }}
            />
          </td>
        )}
        {columns.map((column, i) => (
          <td
            key={column.id}
            className={`h-8 px-3 py-1 align-middle max-md:h-auto max-md:max-w-full max-md:min-w-0 max-md:p-0 ${i === 0 ? `max-md:w-full ${onSelect ? "max-md:pr-8" : ""}` : "max-md:w-auto max-md:flex-col"} ${column.minor ? "max-md:hidden" : "max-md:flex"} ${column.align === "right" ? "md:text-right" : ""} ${column.className ?? ""}`}
          >
            {i > 0 && !column.hideHeader && (
              <span className="text-xs text-soft md:hidden" aria-hidden="true">
                {column.header}
              </span>
            )}
            <div className={`min-w-0 ${i === 0 ? "max-md:font-medium" : ""}`}>
              {i === 0 && href ? (
                <Link {...(href as { to: string })} className="row-link rounded-md outline-offset-0">
                  {column.cell(row)}
                </Link>
              ) : (
                column.cell(row)
              )}
            </div>
          </td>
        ))}
      </tr>
      {below && (
        <tr className="max-md:block">
          <td colSpan={columns.length + (onSelect ? 1 : 0)} className="px-3 pb-3 max-md:block">
            {below}
          </td>
        </tr>
      )}
    </>
  );
}

function SkeletonRow<T>({ columns, boxes }: { columns: DataColumn<T>[]; boxes: boolean }) {
  return (
    <tr className="border-line border-t max-md:block max-md:px-3 max-md:py-2">
      {boxes && <td className="w-10" />}
      {columns.map((column, i) => (
        <td
          key={column.id}
          className={`h-8 px-3 max-md:px-0 max-md:py-0.5 ${column.minor ? "max-md:hidden" : "max-md:block"} ${column.className ?? ""}`}
        >
          <Skeleton
            className={`h-4 ${i === 0 ? "w-3/4 min-w-24" : "w-12"} ${column.align === "right" ? "ml-auto" : ""}`}
          />
        </td>
      ))}
    </tr>
  );
}

/** useUrlSort keeps the sort of a page's table in the address as `sort=-failed`. */
export function useUrlSort(initial: Sort): [Sort, (sort: Sort) => void] {
  const search = useSearch({ strict: false }) as { sort?: unknown };
  const navigate = useNavigate();
  const text = typeof search.sort === "string" ? search.sort : "";
  const { id, desc } = initial;
  const sort = useMemo(() => parseSort(text) ?? { id, desc }, [text, id, desc]);
  const onSort = useCallback(
    (next: Sort) =>
      void navigate({
        to: ".",
        replace: true,
        search: ((old: Record<string, unknown>) => ({ ...old, sort: sortText(next) })) as never,
      }),
    [navigate],
  );
  return [sort, onSort];
}
