// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { applied, matchingView, type SavedView, textOf } from "./views";

const view = (filters: SavedView["filters"]): SavedView => ({ id: "v", name: "Mine", filters });

it("reads views of earlier releases as text of the filter language", () => {
  expect(textOf({ state: "failure", priority: ["high", "low"], search: "time out" })).toBe(
    'state:failure priority:high,low "time out"',
  );
  expect(textOf({ query: "queue:mail", state: null, priority: [], search: "" })).toBe("queue:mail");
});

it("applies a view to the address and knows it again there", () => {
  const now = { q: "old", cols: "state,name", open: "celery/1" };
  const next = applied(view({ query: "state:failure" }), now);
  expect(next).toMatchObject({ q: "state:failure", cols: "state,name" });
  expect(next.open).toBeUndefined();
  expect(matchingView([view({ query: "state:failure" })], next)?.name).toBe("Mine");
  expect(matchingView([view({ query: "state:failure" })], now)).toBeNull();
});
