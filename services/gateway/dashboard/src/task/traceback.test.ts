// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { errorLine, isLibrary, parseTraceback } from "./traceback";

const sample = `Traceback (most recent call last):
  File "/srv/venv/lib/python3.11/site-packages/celery/app/trace.py", line 564, in trace_task
    R = retval = fun(*args, **kwargs)
                 ^^^^^^^^^^^^^^^^^^^^
  File "/srv/app/shop.py", line 16, in charge
    raise ValueError("no: funds")
ValueError: no: funds
`;

describe("parseTraceback", () => {
  it("tells own frames from library frames", () => {
    const parts = parseTraceback(sample);
    expect(parts.map((part) => part.kind)).toEqual(["text", "frame", "frame", "text"]);
    const frames = parts.flatMap((part) => (part.kind === "frame" ? [part.frame] : []));
    expect(frames.map((frame) => frame.library)).toEqual([true, false]);
    expect(frames[0]?.code).toHaveLength(2);
    expect(frames[1]).toMatchObject({ file: "/srv/app/shop.py", line: 16, where: "charge" });
  });
  it("loses no line of something that is no traceback", () => {
    expect(parseTraceback("plain\ntext")).toEqual([{ kind: "text", text: "plain\ntext" }]);
  });
});

it("finds the line that names the error", () => {
  expect(errorLine(sample)).toBe("ValueError: no: funds");
  expect(errorLine('Traceback (most recent call last):\n  File "x", line 1, in y\nKeyboardInterrupt')).toBe(
    "KeyboardInterrupt",
  );
  expect(errorLine("  cut in the middle")).toBeNull();
});

it("knows library paths", () => {
  expect(isLibrary("C:\\Python\\Lib\\site-packages\\rq\\job.py")).toBe(true);
  expect(isLibrary("/usr/lib/python3.12/json/decoder.py")).toBe(true);
  expect(isLibrary("<frozen importlib._bootstrap>")).toBe(true);
  expect(isLibrary("/srv/app/library/tasks.py")).toBe(false);
});
