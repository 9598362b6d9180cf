// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { apiSort, parseTrends } from "./search";

it("keeps the page's state in the address and drops what makes no sense", () => {
  expect(parseTrends({ name: "mail.send", by: "queue", sort: "-p95", queue: 7 })).toEqual({
    name: "mail.send",
    by: "queue",
    sort: "-p95",
  });
  expect(parseTrends({ by: "planet", name: " " })).toEqual({});
});

it("asks the API for the rows that matter under a sort", () => {
  expect(apiSort({ id: "rate", desc: true })).toBe("rate");
  expect(apiSort({ id: "wait", desc: true })).toBe("p95_wait");
  expect(apiSort({ id: "rate", desc: false })).toBe("ended");
  expect(apiSort({ id: "key", desc: false })).toBe("ended");
});
