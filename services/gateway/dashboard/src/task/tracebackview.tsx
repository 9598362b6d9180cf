// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ReactNode, useMemo, useState } from "react";
import { Button, CopyButton, Panel } from "../ui/controls";
import { ChevronIcon } from "../ui/icons";
import {
  chainOf,
  cutNote,
  explain,
  type Frame,
  type Part,
  packageOf,
  placeOf,
  type Raised,
} from "./traceback";

type Piece =
  | { kind: "own"; frame: Frame }
  | { kind: "library"; frames: Frame[] }
  | { kind: "text"; text: string };

/** pieces puts neighbouring library frames together, so that they fold as one line. */
function pieces(parts: Part[], error: string | null): Piece[] {
  const out: Piece[] = [];
  for (const part of parts) {
    if (part.kind === "text") {
      const text = part.text
        .split("\n")
        .filter((line) => line !== error && line !== "Traceback (most recent call last):")
        .join("\n");
      if (text.trim()) out.push({ kind: "text", text });
    } else if (!part.frame.library) out.push({ kind: "own", frame: part.frame });
    else {
      const last = out.at(-1);
      if (last?.kind === "library") last.frames.push(part.frame);
      else out.push({ kind: "library", frames: [part.frame] });
    }
  }
  return out;
}

/** The traceback: own frames in full, library frames folded where they are, the error's name on top. */
export function Traceback({ source, head = false }: { source: string; head?: boolean }) {
  const chain = useMemo(() => chainOf(source), [source]);
  const said = useMemo(() => explain(source), [source]);
  const [all, setAll] = useState<boolean | null>(null);
  const frames = chain.flatMap((each) =>
    each.parts.flatMap((part) => (part.kind === "frame" ? [part.frame] : [])),
  );
  const library = frames.filter((frame) => frame.library).length;
  // Nothing to fold when the failure is in library code alone.
  const foldable = library > 0 && library < frames.length;
  const last = chain.at(-1);
  const cut = cutNote(source);
  const shown = head && last ? [last] : chain;
  return (
    <Panel
      title="Traceback"
      actions={
        <>
          {foldable && !head && (
            <Button kind="quiet" onClick={() => setAll(all !== true)} aria-pressed={all === true}>
              {all ? "Only your code" : `Show ${library} library ${library === 1 ? "frame" : "frames"}`}
            </Button>
          )}
          <CopyButton text={source} label="Copy the traceback" compact />
        </>
      }
    >
      <div className="space-y-3">
        {last?.error && <p className="font-mono text-xs font-semibold text-bad">{last.error}</p>}
        {said && <p>{said}</p>}
        {cut && <p className="text-warn">{cut}</p>}
        <div
          className="space-y-3 overflow-x-auto"
          tabIndex={0}
          role="group"
          aria-label="Frames, outermost first"
        >
          {shown.map((each, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a traceback is fixed text
            <div key={i}>
              <Chained raised={each} chained={shown.length > 1} fold={foldable} all={all} />
              {each.leads && <p className="pt-3 text-soft">{each.leads}</p>}
            </div>
          ))}
        </div>
      </div>
    </Panel>
  );
}

function Chained({
  raised,
  chained,
  fold,
  all,
}: {
  raised: Raised;
  chained: boolean;
  fold: boolean;
  all: boolean | null;
}) {
  const list = useMemo(() => pieces(raised.parts, raised.error), [raised]);
  return (
    <>
      {list.map((piece, i) => {
        // biome-ignore lint/suspicious/noArrayIndexKey: a traceback is fixed text
        if (piece.kind === "own") return <FrameView key={i} frame={piece.frame} />;
        if (piece.kind === "library")
          // biome-ignore lint/suspicious/noArrayIndexKey: a traceback is fixed text
          return <Library key={`${i}-${all}`} frames={piece.frames} start={!fold || all === true} />;
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: a traceback is fixed text
          <pre key={i} className="py-1 whitespace-pre-wrap text-soft">
            {piece.text}
          </pre>
        );
      })}
      {chained && raised.error && <p className="pt-1 font-mono text-xs text-bad">{raised.error}</p>}
    </>
  );
}

/** Several library frames in a row are one line that opens. */
function Library({ frames, start }: { frames: Frame[]; start: boolean }) {
  const [open, setOpen] = useState(start);
  const packages = [...new Set(frames.map((frame) => packageOf(frame.file)).filter(Boolean))];
  let body: ReactNode = null;
  if (open) {
    body = frames.map((frame, i) => (
      // biome-ignore lint/suspicious/noArrayIndexKey: a traceback is fixed text
      <FrameView key={i} frame={frame} />
    ));
  }
  return (
    <>
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="flex min-h-6 items-center gap-1 rounded-md border-line border-l-2 pl-2 text-xs text-soft hover:text-ink max-sm:min-h-9"
      >
        <ChevronIcon className={`size-3 transition-transform ${open ? "rotate-90" : ""}`} />
        {frames.length} library {frames.length === 1 ? "frame" : "frames"}
        {packages.length > 0 && ` in ${packages.slice(0, 4).join(", ")}`}
      </button>
      {body}
    </>
  );
}

function FrameView({ frame }: { frame: Frame }) {
  const indent = Math.min(...frame.code.filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return (
    <div className={`border-l-2 py-1 pl-3 ${frame.library ? "border-line" : "border-accent bg-accent-wash"}`}>
      <p className="font-mono text-xs">
        {!frame.library && <span className="sr-only">Your code: </span>}
        <span className={frame.library ? "text-soft" : "font-semibold"} title={placeOf(frame)}>
          {frame.file}
        </span>
        <span className="text-soft">:{frame.line}</span>
        {frame.where && <span className="text-soft"> in {frame.where}</span>}
      </p>
      {frame.code.length > 0 && (
        <pre className={frame.library ? "text-soft" : ""}>
          {frame.code.map((line) => line.slice(Number.isFinite(indent) ? indent : 0)).join("\n")}
        </pre>
      )}
    </div>
  );
}
