// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ReactNode } from "react";
import { useTitle } from "./title";

/** Page is the frame of a plain page: title, the one-line answer to its question, actions, content. */
export function Page({
  title,
  slug,
  answer,
  actions,
  children,
}: {
  title: string;
  slug?: string;
  answer?: string;
  actions?: ReactNode;
  children: ReactNode;
}) {
  useTitle(title, slug);
  return (
    <div className="mx-auto max-w-[1600px] space-y-4 p-3 md:p-4">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <h1 className="text-lg font-semibold">{title}</h1>
        {answer && <p className="text-soft">{answer}</p>}
        <div className="ml-auto flex gap-2">{actions}</div>
      </div>
      {children}
    </div>
  );
}

export interface Row {
  key: string;
  cells: ReactNode[];
  /** More about the row, shown below it. */
  detail?: ReactNode;
}

/** A column; a minor one is left out on a phone, an actions column has no visible name. */
export interface Column {
  name: string;
  minor?: boolean;
  align?: "right";
}

/** Table becomes a list of cards on a phone, each with the columns that matter. */
export function Table({ label, head, rows }: { label: string; head: Column[]; rows: Row[] }) {
  return (
    <div
      className="overflow-x-auto rounded-md border border-line bg-panel"
      tabIndex={0}
      role="region"
      aria-label={label}
    >
      <table className="w-full border-collapse text-left max-md:block">
        <thead className="max-md:hidden">
          <tr className="bg-raised text-xs text-soft">
            {head.map((column) => (
              <th
                key={column.name}
                scope="col"
                className={`h-8 px-3 font-semibold whitespace-nowrap ${column.align === "right" ? "text-right" : ""}`}
              >
                {column.name === "Actions" ? <span className="sr-only">Actions</span> : column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="max-md:block">
          {rows.map((row) => (
            <TableRow key={row.key} head={head} row={row} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function TableRow({ head, row }: { head: Column[]; row: Row }) {
  return (
    <>
      <tr className="border-line border-t max-md:block max-md:px-3 max-md:py-2 max-md:first:border-t-0">
        {head.map((column, i) => (
          <td
            key={column.name}
            className={`h-10 px-3 align-middle max-md:h-auto max-md:min-h-7 max-md:items-center max-md:gap-3 max-md:px-0 max-md:py-0.5 ${column.minor ? "max-md:hidden" : "max-md:flex"} ${column.align === "right" ? "md:text-right" : ""}`}
          >
            {column.name !== "Actions" && (
              <span className="w-24 shrink-0 text-xs text-soft md:hidden">{column.name}</span>
            )}
            <div className={column.name === "Actions" ? "-mx-3" : "min-w-0"}>{row.cells[i]}</div>
          </td>
        ))}
      </tr>
      {row.detail && (
        <tr className="max-md:block">
          <td colSpan={head.length} className="px-3 pb-3 max-md:block">
            {row.detail}
          </td>
        </tr>
      )}
    </>
  );
}
