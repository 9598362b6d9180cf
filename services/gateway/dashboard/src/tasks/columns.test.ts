// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import { fitting, readColumns, tracks, usualColumns, writeColumns } from "./columns";

it("reads and writes the columns of the address", () => {
  expect(readColumns("queue,state,nonsense")).toEqual(["state", "name", "queue"]);
  expect(readColumns("nonsense")).toBeNull();
  expect(readColumns(undefined)).toBeNull();
  expect(writeColumns(["run", "name", "state"])).toBe("state,name,run");
});

it("has a track for each column and for the box in front", () => {
  expect(tracks(["state", "name"])).toBe("1.5rem 5.75rem minmax(11rem,2fr)");
});

it("drops the least important columns of a narrow list, never the name", () => {
  expect(fitting(usualColumns, 1400)).toEqual(usualColumns);
  expect(fitting(usualColumns, 850)).not.toContain("worker");
  const narrow = fitting(usualColumns, 500);
  expect(narrow).toContain("name");
  expect(narrow).toContain("state");
  expect(narrow).toContain("received");
});
