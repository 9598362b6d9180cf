// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMemo, useState } from "react";
import { Button, CopyButton, Panel } from "../ui/controls";
import { errorLine, type Frame, parseTraceback } from "./traceback";

/** The traceback: own frames in full, library frames folded, the line that names the error on top. */
export function Traceback({ source }: { source: string }) {
  const parts = useMemo(() => parseTraceback(source), [source]);
  const [all, setAll] = useState(false);
  const frames = parts.flatMap((part) => (part.kind === "frame" ? [part.frame] : []));
  const library = frames.filter((frame) => frame.library).length;
  // Nothing to fold when the failure is in library code alone.
  const foldable = library > 0 && library < frames.length;
  const error = errorLine(source);
  return (
    <Panel
      title="Traceback"
      actions={
        <>
          {foldable && (
            <Button kind="quiet" onClick={() => setAll(!all)} aria-pressed={all}>
              {all ? "Only your code" : `Show ${library} library ${library === 1 ? "frame" : "frames"}`}
            </Button>
          )}
          <CopyButton text={source} label="Copy the traceback" compact />
        </>
      }
    >
      <div className="space-y-2">
        {error && <p className="font-mono text-xs font-semibold text-bad">{error}</p>}
        <div className="overflow-x-auto" tabIndex={0} role="group" aria-label="Frames, outermost first">
          {parts.map((part, i) => {
            if (part.kind === "frame") {
              if (foldable && part.frame.library && !all) return null;
              // biome-ignore lint/suspicious/noArrayIndexKey: a traceback is fixed text
              return <FrameView key={i} frame={part.frame} />;
            }
            if (part.text === error || /^Traceback \(most recent call last\):$/.test(part.text)) return null;
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: a traceback is fixed text
              <pre key={i} className="py-1 text-soft">
                {part.text}
              </pre>
            );
          })}
        </div>
      </div>
    </Panel>
  );
}

function FrameView({ frame }: { frame: Frame }) {
  const indent = Math.min(...frame.code.filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return (
    <div className={`border-l-2 py-1 pl-3 ${frame.library ? "border-line" : "border-accent"}`}>
      <p className="font-mono text-xs">
        <span className={frame.library ? "text-soft" : "font-semibold"}>{frame.file}</span>
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
