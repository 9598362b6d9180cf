// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import vectors from "../../../../../pkg/taskquery/testdata/vectors.json";
import {
  add,
  choose,
  chosen,
  near,
  parse,
  parseInstant,
  parseSpan,
  quote,
  spell,
  toggle,
  without,
} from "./query";

const now = Date.parse("2026-05-01T12:00:00Z");
const brief = (text: string) =>
  parse(text, now).tokens.map(
    (t) => `${t.negated ? "-" : ""}${t.key ?? ""}=${t.values.map((v) => v.text).join("|")}`,
  );

describe("parse", () => {
  it("reads keys, lists, negation and plain words", () => {
    expect(brief('state:failure,retry queue:mail since:2h -task:foo "time out" -noise')).toEqual([
      "state=failure|retry",
      "queue=mail",
      "since=2h",
      "-task=foo",
      "=time out",
      "-=noise",
    ]);
  });
  it("unfolds quotes and escapes inside values", () => {
    expect(brief('queue:"a b","c,d",e worker:"say \\"hi\\""')).toEqual([
      "queue=a b|c,d|e",
      'worker=say "hi"',
    ]);
  });
  it("knows the spans of tokens and values", () => {
    const { tokens } = parse("  -queue:a,bb x", now);
    expect(tokens[0]).toMatchObject({
      from: 2,
      to: 13,
      values: [
        { from: 9, to: 10 },
        { from: 11, to: 13 },
      ],
    });
    expect(tokens[1]).toMatchObject({ from: 14, to: 15 });
  });
  it("takes aliases for the key itself", () => {
    expect(brief("name:a FINGERPRINT:b")).toEqual(["task=a", "issue=b"]);
  });
  it("leaves a lone minus and other signs to the search", () => {
    expect(brief("a - b ?x")).toEqual(["=a", "=-", "=b", "=?x"]);
  });
});

describe("the API reads the same", () => {
  it.each(vectors.good)("$text", ({ text, terms, spelling }) => {
    const parsed = parse(text, now);
    expect(parsed.problems).toEqual([]);
    expect(
      parsed.tokens.map((t) => ({
        key: t.key ?? "",
        values: t.values.map((v) => (t.key === "state" ? v.text.toLowerCase() : v.text)),
        negated: t.negated,
      })),
    ).toEqual(terms.map((term) => ({ negated: false, ...term })));
    const spelled = parsed.tokens.map(spell).join(" ");
    expect(parse(spelled, now).tokens.map(spell).join(" ")).toBe(spelled);
    expect(spelled.toLowerCase()).toBe((spelling ?? text).toLowerCase());
  });
  it.each(vectors.bad)("$text", ({ text, problems }) => {
    const found = parse(text, now).problems;
    expect(found.map(({ from, to }) => ({ from, to }))).toEqual(
      problems.map(({ from, to }) => ({ from, to })),
    );
    problems.forEach((problem, i) => {
      expect(found[i]?.message).toContain(problem.says);
    });
  });
});

describe("problems name the place and the way out", () => {
  const first = (text: string) => parse(text, now).problems[0];
  it.each([
    ["stat:failure", 0, 4, "did you mean state?"],
    ["queue:a foo:b", 8, 11, '"quotes"'],
    ["state:failed", 6, 12, "did you mean failure?"],
    ["since:yesterday", 6, 15, "2h or 7d"],
    ["-since:2h", 0, 1, "minus"],
    ["since:1h,2h", 9, 11, "one value"],
    ["queue:", 0, 6, "needs a value"],
    ["queue:a,", 0, 8, "needs a value"],
    ['"open', 0, 5, "not closed"],
  ])("%s", (text, from, to, says) => {
    expect(first(text)).toMatchObject({ from, to });
    expect(first(text)?.message).toContain(says);
  });
  it("finds none in a good text", () => {
    expect(parse("state:FAILURE since:2026-05-01 runtime:1.5s", now).problems).toHaveLength(1);
    expect(parse("state:FAILURE since:2026-05-01T10:00+02:00 runtime:1500ms", now).problems).toEqual([]);
  });
});

it("reads spans and instants", () => {
  expect(parseSpan("90s")).toBe(90_000);
  expect(parseSpan("2w")).toBe(1_209_600_000);
  expect(parseSpan("h")).toBeNull();
  expect(parseInstant("1h", now)).toBe(now - 3_600_000);
  expect(parseInstant("2026-05-01", now)).toBe(Date.parse("2026-05-01T00:00:00Z"));
  expect(parseInstant("2026-05-01T08:00", now)).toBe(Date.parse("2026-05-01T08:00:00Z"));
  expect(parseInstant("2026-13-01", now)).toBeNull();
});

it("writes values so that they are read back", () => {
  for (const value of ["a", "a b", "a,b", 'say "x"', "back\\slash", "c:d", "-e"]) {
    expect(brief(`queue:${quote(value)}`)).toEqual([`queue=${value}`]);
    expect(brief(quote(value, true))).toEqual([`=${value}`]);
  }
  expect(parse('-queue:"a b",c').tokens.map(spell)).toEqual(['-queue:"a b",c']);
});

it("edits the text", () => {
  const text = 'state:failure  mail -queue:"a b"';
  const tokens = parse(text).tokens;
  expect(tokens.map((token) => without(text, token))).toEqual([
    'mail -queue:"a b"',
    'state:failure -queue:"a b"',
    "state:failure  mail",
  ]);
  expect(add("", " x ")).toBe("x");
  expect(toggle("mail", "state", "failure")).toBe("mail state:failure");
  expect(toggle("state:failure mail", "state", "retry")).toBe("state:failure,retry mail");
  expect(toggle("state:failure,retry mail", "state", "failure")).toBe("state:retry mail");
  expect(toggle("state:failure mail", "state", "failure")).toBe("mail");
  expect(choose("queue:a x queue:b -queue:c", "queue", ["d"])).toBe("queue:d x -queue:c");
  expect(chosen(parse("queue:a queue:b,c -queue:d"), "queue")).toEqual(["a", "b", "c"]);
});

it("guesses what was meant", () => {
  expect(near("quue", ["queue", "state"])).toBe("queue");
  expect(near("banana", ["queue", "state"])).toBeNull();
});
