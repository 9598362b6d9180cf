// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import { complete, type Vocabulary } from "./complete";

const vocabulary: Vocabulary = {
  queue: [
    { value: "mail", count: 90 },
    { value: "email out", count: 40 },
    { value: "low", count: 2 },
  ],
  state: [{ value: "failure", count: 7 }],
};
const at = (marked: string) => complete(marked.replace("|", ""), marked.indexOf("|"), vocabulary);
const labels = (marked: string) => at(marked).map((each) => each.label);

describe("keys", () => {
  it("offers all of them on an empty word, those that fit otherwise", () => {
    expect(labels("|")).toContain("since:");
    expect(labels("queue:a st|")).toEqual(["state:"]);
    expect(labels("na|")).toEqual(["task:"]);
  });
  it("offers only what can be turned around after a minus", () => {
    expect(labels("-|")).not.toContain("-since:");
    expect(labels("-q|")).toEqual(["-queue:"]);
  });
  it("stays silent inside quoted words and unknown keys", () => {
    expect(labels('"sta|')).toEqual([]);
    expect(labels("foo:b|")).toEqual([]);
  });
});

describe("values", () => {
  it("come from the facets, beginnings first, then from the language", () => {
    expect(labels("queue:ma|")).toEqual(["mail", "email out"]);
    expect(labels("state:|")[0]).toBe("failure");
    expect(labels("state:run|")).toEqual(["started"]);
  });
  it("leave out what is written already", () => {
    expect(labels("queue:mail,|")).toEqual(["email out", "low"]);
  });
  it("replace the word at the caret and quote where needed", () => {
    expect(at("x -queue:em| y").at(0)).toMatchObject({
      text: 'x -queue:"email out" y',
      caret: 20,
      done: true,
    });
    expect(at("queue:mail,l|").at(0)).toMatchObject({ text: "queue:mail,low" });
  });
  it("write over the rest of the word", () => {
    expect(at("queue:m|aol z").at(0)).toMatchObject({ text: "queue:mail z", caret: 10 });
  });
});
