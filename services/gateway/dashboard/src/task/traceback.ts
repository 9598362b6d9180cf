// SPDX-License-Identifier: AGPL-3.0-or-later

export interface Frame {
  file: string;
  line: number;
  where: string;
  code: string[];
  /** Code of the interpreter or of an installed package, not of the user's application. */
  library: boolean;
}

export type Part = { kind: "frame"; frame: Frame } | { kind: "text"; text: string };

const frameLine = /^\s*File "(.+)", line (\d+)(?:, in (.*))?$/;
const libraryPath =
  /(?:^|\/|\\)(?:site-packages|dist-packages|lib\/python\d|python\d[\d.]*\/lib)(?:\/|\\|$)|^<frozen|\/lib\/python\d/i;

export function isLibrary(file: string): boolean {
  return libraryPath.test(file.replaceAll("\\", "/"));
}

/** packageOf names the package a library file belongs to: "celery" of .../site-packages/celery/app/trace.py. */
export function packageOf(file: string): string | null {
  const path = file.replaceAll("\\", "/");
  const frozen = /^<frozen ([\w.]+)>/.exec(path)?.[1];
  if (frozen) return frozen.split(".")[0] ?? null;
  const rest =
    /.*\/(?:site-packages|dist-packages)\/(.+)$/.exec(path)?.[1] ??
    /.*\/lib\/(?:python[\d.]+\/)?(.+)$/i.exec(path)?.[1];
  return rest?.split("/")[0]?.replace(/\.py$/, "") ?? null;
}

/** placeOf is a frame's place without the folders: "tasks.py:41". */
export const placeOf = (frame: Frame): string => `${frame.file.split(/[/\\]/).at(-1)}:${frame.line}`;

/** parseTraceback splits a Python traceback into frames and the text between them. It never loses a line. */
export function parseTraceback(source: string): Part[] {
  const parts: Part[] = [];
  let frame: Frame | null = null;
  for (const line of source.replace(/\s+$/, "").split("\n")) {
    const match = frameLine.exec(line);
    if (match) {
      const file = match[1] ?? "";
      frame = { file, line: Number(match[2]), where: match[3] ?? "", code: [], library: isLibrary(file) };
      parts.push({ kind: "frame", frame });
    } else if (frame && /^\s{4,}|^\s*\[Previous line repeated/.test(line)) {
      frame.code.push(line);
    } else {
      frame = null;
      const last = parts.at(-1);
      if (last?.kind === "text") last.text += `\n${line}`;
      else parts.push({ kind: "text", text: line });
    }
  }
  return parts;
}

/** errorLine is the line that names the exception: the last unindented one that looks like "Type: message". */
export function errorLine(source: string): string | null {
  const lines = source.trimEnd().split("\n");
  for (let i = lines.length - 1; i >= 0; i--) {
    const line = lines[i] ?? "";
    if (/^[A-Za-z_][\w.]*(?::\s|:?$)/.test(line) && !/^(?:Traceback|During handling|The above)/.test(line))
      return line;
  }
  return null;
}

/** One exception of a chain: its frames, and how it led to the next. */
export interface Raised {
  parts: Part[];
  error: string | null;
  /** The sentence that Python writes between two exceptions; null for the last. */
  leads: string | null;
}

const chainLine =
  /^(?:The above exception was the direct cause of the following exception|During handling of the above exception, another exception occurred):$/;

/** chainOf splits a traceback into the exceptions of its chain, the first cause first. */
export function chainOf(source: string): Raised[] {
  const out: Raised[] = [];
  let lines: string[] = [];
  const push = (leads: string | null) => {
    const text = lines.join("\n").replace(/^\n+|\n+$/g, "");
    lines = [];
    if (!text.trim() && leads === null && out.length > 0) return;
    out.push({ parts: parseTraceback(text), error: errorLine(text), leads });
  };
  for (const line of source.replace(/\s+$/, "").split("\n")) {
    if (chainLine.test(line)) push(line);
    else lines.push(line);
  }
  push(null);
  return out;
}

const framesOf = (raised: Raised): Frame[] =>
  raised.parts.flatMap((part) => (part.kind === "frame" ? [part.frame] : []));

/** ownFrame is the innermost frame of the user's own code in the exception that ended the task. */
export function ownFrame(source: string): Frame | null {
  const last = chainOf(source).at(-1);
  return last ? (framesOf(last).findLast((frame) => !frame.library) ?? null) : null;
}

const where = (frame: Frame): string =>
  `${frame.where && frame.where !== "<module>" ? `${frame.where}, ` : ""}${placeOf(frame)}`;

/** explain says in words where the error was raised, where own code starts, and how a chain began. */
export function explain(source: string): string | null {
  const chain = chainOf(source);
  const last = chain.at(-1);
  if (!last) return null;
  const frames = framesOf(last);
  const deepest = frames.at(-1);
  if (!deepest) return null;
  const own = frames.findLast((frame) => !frame.library);
  const out: string[] = [];
  // Task.retry raises the task's own exception again; the frames of the engine below say nothing.
  const again =
    own && frames.slice(frames.indexOf(own) + 1).every((frame) => packageOf(frame.file) === "celery");
  if (own && (own === deepest || again)) out.push(`Raised in your code: ${where(own)}.`);
  else if (own) {
    const name = packageOf(deepest.file);
    out.push(
      `Raised inside ${name ?? "a library"} (${placeOf(deepest)}), called by your code in ${where(own)}.`,
    );
  } else {
    out.push("No frame of your own code is in this traceback: it was raised and called in libraries alone.");
  }
  const first = chain[0];
  if (chain.length > 1 && first && first !== last) {
    const origin = framesOf(first).findLast((frame) => !frame.library) ?? framesOf(first).at(-1);
    const type = first.error?.split(":")[0]?.split(".").at(-1);
    if (type && origin) out.push(`It began as ${type} in ${where(origin)}.`);
  }
  return out.join(" ");
}

/** cutNote says so when an agent or the brain kept only a part of a text. */
export function cutNote(source: string): string | null {
  if (source.startsWith("[...]\n"))
    return "It was too long to be stored as a whole: its beginning was left out.";
  const bytes = /\[\.\.\.(\d+) more bytes truncated\]/.exec(source)?.[1];
  if (bytes) return `${bytes} more bytes were cut off before it was stored.`;
  return /(?:\.\.\.|…)\s*\[?\(?truncated\)?\]?\s*$/i.test(source)
    ? "The agent sent only a part of it."
    : null;
}
