// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { isNew, issuesAnswer, issueTitle, matches, parseIssues, withMessage } from "./search";

it("keeps the list's state in the address and drops what makes no sense", () => {
  expect(parseIssues({ status: "ongoing", q: " timeout ", sort: "-last", more: 1 })).toEqual({
    status: "ongoing",
    q: "timeout",
    sort: "-last",
  });
  expect(parseIssues({ status: "lost", q: "" })).toEqual({});
});

it("searches in everything the list shows, word by word", () => {
  const issue = {
    fingerprint: "ab12",
    sample_exception: "TimeoutError: card gateway",
    sample_task_name: "shop.charge",
    tasks: ["shop.charge"],
    queues: ["mail"],
  };
  expect(
    ["timeout mail", "CHARGE", "ab12", undefined, "timeout rabbit"].map((q) => matches(issue, q)),
  ).toEqual([true, true, true, true, false]);
});

it("names a failure by the line that says what happened", () => {
  expect(issueTitle("ValueError: no stock", "x")).toBe("ValueError: no stock");
  expect(
    issueTitle(
      'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nKeyError: 1\n',
      "x",
    ),
  ).toBe("KeyError: 1");
  expect(issueTitle(null, "shop.charge")).toBe("shop.charge failed without a message");
  expect(issueTitle(" ", null)).toBe("Failed without a message");
});

it("answers what is broken", () => {
  const open = { status: "ongoing", last_seen: null };
  const done = { status: "recovered", last_seen: null };
  expect(issuesAnswer([], false)).toBe("Nothing failed");
  expect(issuesAnswer([open], false)).toBe("1 kind of failure still open");
  expect(issuesAnswer([open, open, done], true)).toBe("at least 2 kinds of failure still open, 1 recovered");
  expect(issuesAnswer([done], false)).toBe("Nothing is broken now; 1 recovered");
});

it("calls an issue new when it began inside the window", () => {
  const from = new Date("2026-01-01T00:00:00Z");
  expect(isNew("2026-01-01T00:00:01Z", from)).toBe(true);
  expect(isNew("2025-12-31T00:00:01Z", from)).toBe(false);
  expect(isNew(null, from)).toBe(false);
});

it("finds the message that a bare class of error stands for", () => {
  const traceback = [
    "Traceback (most recent call last):",
    '  File "a.py", line 1, in f',
    "    raise DeadlockDetected: no",
    "psycopg.errors.DeadlockDetected: deadlock detected",
    "DETAIL:  Process 1 waits",
  ].join("\n");
  expect(withMessage("DeadlockDetected", traceback)).toBe(
    "psycopg.errors.DeadlockDetected: deadlock detected",
  );
  expect(withMessage("KeyError", traceback)).toBe("KeyError");
  expect(withMessage("KeyError: 'a'", traceback)).toBe("KeyError: 'a'");
  expect(withMessage(null, traceback)).toBeNull();
});
