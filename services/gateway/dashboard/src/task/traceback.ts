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
    if (/^[A-Za-z_][\w.]*(?::\s|:?$)/.test(line) && !/^Traceback/.test(line)) return line;
  }
  return null;
}
