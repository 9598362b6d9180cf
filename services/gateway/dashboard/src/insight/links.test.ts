// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { sinceThen, taskSearch } from "./links";

const from = new Date("2026-01-01T00:00:00Z");
const to = new Date("2026-01-01T01:00:00Z");

it("leads to the rows behind a number: same filters, same window", () => {
  expect(taskSearch({ state: "failure", name: "mail.send" }, { range: "1h", from, to })).toEqual({
    range: "1h",
    state: "failure",
    name: "mail.send",
  });
  expect(taskSearch({ queue: undefined }, { range: null, from, to })).toEqual({
    from: "2026-01-01T00:00:00.000Z",
    to: "2026-01-01T01:00:00.000Z",
  });
});

it("shows what is so now from its beginning, also when the page's window is shorter", () => {
  const now = to.getTime();
  expect(sinceThen(now - 3_600_000, now).range).toBe("7d");
  expect(sinceThen(null, now).range).toBe("7d");
  expect(sinceThen(now - 30 * 86_400_000, now)).toMatchObject({ range: null, to: new Date(now + 60_000) });
});
