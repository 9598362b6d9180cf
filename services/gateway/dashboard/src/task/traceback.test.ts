// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import {
  chainOf,
  cutNote,
  errorLine,
  explain,
  isLibrary,
  ownFrame,
  packageOf,
  parseTraceback,
} from "./traceback";

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

const chained = `Traceback (most recent call last):
  File "/srv/app/pay.py", line 11, in call
    json.loads("{")
  File "/usr/lib/python3.12/json/decoder.py", line 353, in raw_decode
    obj, end = self.scan_once(s, idx)
json.decoder.JSONDecodeError: Expecting value

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/venv/lib/python3.12/site-packages/celery/app/trace.py", line 564, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/srv/app/pay.py", line 20, in charge
    raise self.retry(exc=e)
  File "/srv/venv/lib/python3.12/site-packages/celery/app/task.py", line 942, in retry
    raise_with_context(exc)
shop.Gone: for good`;

describe("explain", () => {
  it("finds own code under a chain", () => {
    expect(chainOf(chained).map((each) => each.error)).toEqual([
      "json.decoder.JSONDecodeError: Expecting value",
      "shop.Gone: for good",
    ]);
    expect(explain(chained)).toBe(
      "Raised in your code: charge, pay.py:20. It began as JSONDecodeError in call, pay.py:11.",
    );
    expect(ownFrame(chained)).toMatchObject({ line: 20, where: "charge" });
  });
  it("names the library that raised", () => {
    const first = chained.split("\n\nThe above")[0] ?? "";
    expect(explain(first)).toBe(
      "Raised inside json (decoder.py:353), called by your code in call, pay.py:11.",
    );
    expect(explain('Traceback\n  File "/x/site-packages/rq/job.py", line 1, in run\nE: x')).toContain(
      "libraries alone",
    );
    expect(explain("just text")).toBeNull();
  });
  it("knows packages and cut texts", () => {
    expect(packageOf("/x/lib/python3.12/site-packages/kombu/a/b.py")).toBe("kombu");
    expect(packageOf("/usr/lib/python3.12/socket.py")).toBe("socket");
    expect(packageOf("<frozen importlib._bootstrap>")).toBe("importlib");
    expect(cutNote("abc[...120 more bytes truncated]")).toContain("120 more bytes");
    expect(cutNote("[...]\nabc")).toContain("beginning");
    expect(cutNote("abc")).toBeNull();
  });
});
