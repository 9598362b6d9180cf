// SPDX-License-Identifier: AGPL-3.0-or-later
import { useState } from "react";
import type { Json } from "../api/types";
import { ChevronIcon } from "./icons";

/** JsonTree shows a value as a tree; long lists and deep parts stay folded until asked for. */
export function JsonTree({ value, depth = 0 }: { value: Json; depth?: number }) {
  if (value === null) return <span className="text-soft">null</span>;
  if (typeof value === "string")
    return <span className="whitespace-pre-wrap text-good">{JSON.stringify(value)}</span>;
  if (typeof value !== "object") return <span className="text-run">{String(value)}</span>;
  const entries: [string, Json][] = Array.isArray(value)
    ? value.map((v, i) => [String(i), v])
    : Object.entries(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (entries.length === 0) return <span className="text-soft">{open + close}</span>;
  return <Branch entries={entries} open={open} close={close} depth={depth} />;
}

const firstRows = 50;

function Branch({
  entries,
  open,
  close,
  depth,
}: {
  entries: [string, Json][];
  open: string;
  close: string;
  depth: number;
}) {
  const [shown, setShown] = useState(depth < 2 && entries.length <= 30);
  const [all, setAll] = useState(false);
  const visible = all ? entries : entries.slice(0, firstRows);
  return (
    <span>
      <button
        type="button"
        aria-expanded={shown}
        onClick={() => setShown(!shown)}
        className="inline-flex items-center gap-0.5 rounded-md text-soft hover:text-ink"
      >
        <ChevronIcon className={`size-3 transition-transform ${shown ? "rotate-90" : ""}`} />
        {shown ? open : `${open} ${entries.length} ${entries.length === 1 ? "item" : "items"} ${close}`}
      </button>
      {shown && (
        <>
          <ul className="ml-1.5 border-line border-l pl-3.5">
            {visible.map(([key, item]) => (
              <li key={key}>
                <span className="text-accent">{key}</span>
                <span className="text-soft">: </span>
                <JsonTree value={item} depth={depth + 1} />
              </li>
            ))}
            {!all && entries.length > firstRows && (
              <li>
                <button type="button" className="text-accent underline" onClick={() => setAll(true)}>
                  {entries.length - firstRows} more
                </button>
              </li>
            )}
          </ul>
          <span className="text-soft">{close}</span>
        </>
      )}
    </span>
  );
}

export function JsonBlock({ value }: { value: Json }) {
  return (
    <div
      className="max-h-96 overflow-auto font-mono text-xs leading-5"
      tabIndex={0}
      role="group"
      aria-label="Value"
    >
      <JsonTree value={value} />
    </div>
  );
}
