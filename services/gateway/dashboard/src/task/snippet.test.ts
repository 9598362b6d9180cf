// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import type { Task } from "../api/types";
import { pythonText, snippet } from "./snippet";
import { readValue } from "./value";

const task = (part: Partial<Task>): Task =>
  ({ engine: "celery", name: "shop.charge", queue: "mail", args: [], kwargs: {}, ...part }) as Task;

it("writes the call for each engine", () => {
  const call = { args: [1, "it's", null], kwargs: { deep: { ok: true }, "odd-key": 2 } };
  expect(snippet(task(call))).toBe(
    'app.send_task("shop.charge", args=[1, "it\'s", None], kwargs={"deep": {"ok": True}, "odd-key": 2}, queue="mail")',
  );
  expect(snippet(task({ ...call, engine: "rq", queue: null }))).toBe(
    'Queue("default", connection=redis).enqueue("shop.charge", 1, "it\'s", None, deep={"ok": True}, **{"odd-key": 2})',
  );
  expect(snippet(task({ engine: "arq" }))).toBe('await redis.enqueue_job("shop.charge")');
  expect(snippet(task({ engine: "huey", args: [2] }))).toBe("shop.charge(2)");
});

it("says what has to be mended", () => {
  expect(snippet(task({ kwargs: { password: "[REDACTED]" } }))).toContain("# Values that were removed");
  expect(snippet(task({ args: ["x[...9 more bytes truncated]"] }))).toContain("# Some values were cut");
});

it("keeps Python's own kinds", () => {
  expect(pythonText(readValue("{'a': (1,), 'b': {2, 3}, 'c': Decimal('1.2')}").value)).toBe(
    '{"a": (1,), "b": {2, 3}, "c": Decimal(\'1.2\')}',
  );
});
