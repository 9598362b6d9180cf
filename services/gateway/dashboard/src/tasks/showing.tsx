// SPDX-License-Identifier: AGPL-3.0-or-later
import { useState } from "react";
import type { Query } from "../api/client";
import { Button } from "../ui/controls";
import { Popover } from "../ui/popover";
import { Checkbox, Choice } from "../ui/toggle";
import { type ColumnId, columns, usualColumns } from "./columns";
import { exportAddress, exportColumns } from "./export";
import type { Density, Shown } from "./filters";
import { ColumnsIcon, ExportIcon } from "./icons";

/** Showing chooses columns and the height of the rows. */
export function Showing({ shown, onChange }: { shown: Shown; onChange: (shown: Shown) => void }) {
  const toggle = (id: ColumnId, on: boolean) =>
    onChange({
      ...shown,
      columns: columns
        .map((each) => each.id)
        .filter((each) => (each === id ? on : shown.columns.includes(each))),
    });
  const usual = shown.columns.join() === usualColumns.join();
  return (
    <Popover
      label="Columns and rows"
      align="end"
      trigger={
        <Button
          title="Columns and height of the rows"
          aria-label="Columns and rows"
          className="max-md:hidden"
        >
          <ColumnsIcon /> <span className="max-xl:sr-only">Columns</span>
        </Button>
      }
    >
      <div className="w-72 space-y-3 p-2">
        <div className="flex items-center justify-between gap-2">
          <span className="font-semibold">Rows</span>
          <Choice<Density>
            label="Height of the rows"
            value={shown.density}
            options={[
              { value: "compact", label: "Dense" },
              { value: "comfortable", label: "Comfortable" },
            ]}
            onChange={(density) => onChange({ ...shown, density })}
          />
        </div>
        <fieldset className="space-y-1.5">
          <legend className="flex w-full items-center pb-1 font-semibold">Columns</legend>
          {columns
            .filter(({ id }) => id !== "name")
            .map((column) => (
              <Checkbox
                key={column.id}
                checked={shown.columns.includes(column.id)}
                onChange={(on) => toggle(column.id, on)}
                label={
                  <span>
                    {column.label}
                    {"about" in column && <span className="text-soft text-xs">: {column.about}</span>}
                  </span>
                }
              />
            ))}
        </fieldset>
        <div className="flex items-center justify-between gap-2 border-line border-t pt-2">
          <span className="text-soft text-xs">Narrow windows leave out the least important ones.</span>
          <Button
            kind="quiet"
            reason={usual ? "These are the usual columns" : null}
            onClick={() => onChange({ ...shown, columns: [...usualColumns] })}
          >
            Reset
          </Button>
        </div>
      </div>
    </Popover>
  );
}

/** Exporting downloads everything that matches the filter, as a file. */
export function Exporting({
  slug,
  query,
  shown,
  total,
}: {
  slug: string;
  query: Query;
  shown: readonly ColumnId[];
  total: string;
}) {
  const [open, setOpen] = useState(false);
  const [which, setWhich] = useState<"shown" | "all">("shown");
  const fields = exportColumns(which === "all" ? null : shown);
  return (
    <Popover
      label="Export"
      align="end"
      open={open}
      onOpenChange={setOpen}
      trigger={
        <Button title="Export what matches the filter" aria-label="Export" className="max-md:hidden">
          <ExportIcon /> <span className="max-xl:sr-only">Export</span>
        </Button>
      }
    >
      <div className="w-72 space-y-3 p-2">
        <p>
          {total.replace(/^more/, "More")}, as a file.{" "}
          <span className="text-soft">
            The filter and the time range count.{which === "all" ? " Results and tracebacks are in it." : ""}
          </span>
        </p>
        <Choice
          label="Columns of the file"
          value={which}
          options={[
            { value: "shown", label: "Columns shown" },
            { value: "all", label: "All columns" },
          ]}
          onChange={setWhich}
        />
        <div className="flex gap-2">
          {(["csv", "json", "xlsx"] as const).map((format) => (
            <a
              key={format}
              href={exportAddress(slug, query, fields, format)}
              download
              onClick={() => setOpen(false)}
              className="inline-flex h-8 flex-1 items-center justify-center rounded-md border border-edge font-medium hover:bg-raised max-sm:h-10"
            >
              {format === "xlsx" ? "Excel" : format.toUpperCase()}
            </a>
          ))}
        </div>
      </div>
    </Popover>
  );
}
