// SPDX-License-Identifier: AGPL-3.0-or-later
import { useState } from "react";
import { grouped } from "../api/time";
import { CopyButton } from "../ui/controls";
import { ChevronIcon } from "../ui/icons";
import { childPath, isLeaf, type Leaf, plain, redaction, sizeNote, truncation, type Value } from "./value";

const firstParts = 50;
const longText = 240;

interface Part {
  key: string | number;
  value: Value;
}

const brackets: Record<string, [string, string]> = {
  list: ["[", "]"],
  tuple: ["(", ")"],
  set: ["{", "}"],
  dict: ["{", "}"],
};

function partsOf(value: Exclude<Value, Leaf>): Part[] {
  return value.kind === "dict" ? value.entries : value.items.map((each, i) => ({ key: i, value: each }));
}

/** A large value starts folded below its first level, a small one is open. */
function weight(value: Value, limit: number): number {
  if (isLeaf(value)) return 1 + Math.floor(value.text.length / 80);
  let sum = 1;
  for (const part of partsOf(value)) {
    sum += weight(part.value, limit - sum);
    if (sum > limit) break;
  }
  return sum;
}

/** A short list of plain values is told on its line: [52.1, 4.3]. */
function inline(value: Exclude<Value, Leaf>): string | null {
  if (value.kind === "dict" || value.items.length === 0) return null;
  const parts: string[] = [];
  let length = 0;
  for (const item of value.items) {
    if (!isLeaf(item) || item.kind === "cut" || item.text.includes("[REDACTED]")) return null;
    const text = item.kind === "string" ? JSON.stringify(item.text) : item.text;
    length += text.length + 2;
    if (length > 64) return null;
    parts.push(text);
  }
  return parts.join(", ");
}

/** ValueTree shows a value with its types; each part can be folded, and its path or value copied. */
export function ValueTree({ value, path, label }: { value: Value; path: string; label: string }) {
  return (
    <div
      className="max-h-[32rem] overflow-auto font-mono text-xs leading-5"
      tabIndex={0}
      role="group"
      aria-label={label}
    >
      {isLeaf(value) ? (
        <LeafView leaf={value} name={null} />
      ) : (
        <Branch value={value} path={path} depth={0} fold={weight(value, 60) > 60} />
      )}
    </div>
  );
}

function Branch({
  value,
  path,
  depth,
  fold,
}: {
  value: Exclude<Value, Leaf>;
  path: string;
  depth: number;
  fold: boolean;
}) {
  const parts = partsOf(value);
  const short = inline(value);
  const [open, setOpen] = useState(
    short === null && parts.length <= 60 && (depth === 0 || (!fold && depth < 6)),
  );
  const [all, setAll] = useState(false);
  const [left, right] = brackets[value.kind] ?? ["", ""];
  if (parts.length === 0) return <span className="text-soft">{left + right}</span>;
  const shown = all ? parts : parts.slice(0, firstParts);
  return (
    <span>
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="inline-flex items-center gap-0.5 rounded-md text-soft hover:text-ink"
      >
        <ChevronIcon className={`size-3 transition-transform ${open ? "rotate-90" : ""}`} />
        {open ? (
          left
        ) : short !== null ? (
          <span className="text-left">
            {left}
            <span className="text-ink">{short}</span>
            {right}
          </span>
        ) : (
          `${left}…${right}`
        )}
        {(!open && short === null) || value.kind === "tuple" || value.kind === "set" ? (
          <span className="ml-1">{`${value.kind}, ${sizeNote(value)}`}</span>
        ) : null}
      </button>
      {open && (
        <>
          <ul className="ml-1.5 border-line border-l pl-3">
            {shown.map((part) => (
              <PartView
                key={part.key}
                part={part}
                path={childPath(path, part.key)}
                depth={depth + 1}
                fold={fold}
              />
            ))}
            {shown.length < parts.length && (
              <li>
                <button type="button" className="text-accent underline" onClick={() => setAll(true)}>
                  {parts.length - shown.length} more
                </button>
              </li>
            )}
          </ul>
          <span className="text-soft">{right}</span>
        </>
      )}
    </span>
  );
}

function PartView({ part, path, depth, fold }: { part: Part; path: string; depth: number; fold: boolean }) {
  const { key, value } = part;
  const gone = value.kind === "string" && redaction(value.text, String(key)) !== null;
  return (
    <li className="group relative pr-14">
      <span className={typeof key === "number" ? "text-soft" : "text-accent"}>{key}</span>
      <span className="text-soft">: </span>
      {isLeaf(value) ? (
        <LeafView leaf={value} name={String(key)} />
      ) : (
        <Branch value={value} path={path} depth={depth} fold={fold} />
      )}
      <span className="absolute top-0 right-0 flex h-5 items-center opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 [li:has(li:hover)>&]:opacity-0">
        <CopyButton text={path} label={`Copy the path ${path}`} compact />
        {!gone && <CopyButton text={valueText(value)} label={`Copy the value of ${path}`} compact />}
      </span>
    </li>
  );
}

/** A string is copied as itself, everything else as JSON. */
export const valueText = (value: Value): string => (isLeaf(value) ? value.text : plain(value));

const tones: Record<Leaf["kind"], string> = {
  null: "text-soft italic",
  bool: "text-retry",
  number: "text-run",
  object: "text-warn",
  cut: "text-warn",
  string: "text-good",
};

function LeafView({ leaf, name }: { leaf: Leaf; name: string | null }) {
  const [open, setOpen] = useState(false);
  if (leaf.kind === "cut") {
    return (
      <span className="text-warn" title="The worker left this part out when it wrote the value as text">
        … <span className="font-sans">left out by the worker</span>
      </span>
    );
  }
  if (leaf.kind !== "string") return <span className={tones[leaf.kind]}>{leaf.text}</span>;
  const why = redaction(leaf.text, name);
  if (why) {
    const whole = leaf.text === "[REDACTED]";
    return (
      <span>
        {!whole && <span className="whitespace-pre-wrap text-good">{JSON.stringify(leaf.text)} </span>}
        <span className="rounded-md border border-edge border-dashed px-1 text-warn" title={why}>
          redacted
        </span>{" "}
        <span className="font-sans text-soft">{why}</span>
      </span>
    );
  }
  const cut = truncation(leaf.text);
  const text = cut?.text ?? leaf.text;
  const long = text.length > longText;
  const lines = text.includes("\n");
  return (
    <span>
      <span className="whitespace-pre-wrap text-good">
        {lines && open ? text : JSON.stringify(long && !open ? text.slice(0, longText) : text)}
      </span>
      {(long || lines) && (
        <>
          {" "}
          <button
            type="button"
            aria-expanded={open}
            className="font-sans text-accent underline"
            onClick={() => setOpen(!open)}
          >
            {open ? "fold" : long ? `… all ${grouped(text.length)} characters` : "as lines"}
          </button>
        </>
      )}
      {cut && <span className="font-sans text-warn"> {cut.note}</span>}
    </span>
  );
}
