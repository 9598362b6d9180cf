// SPDX-License-Identifier: AGPL-3.0-or-later

/**
 * The filter language of the task list: `state:failure,retry queue:mail since:2h -task:report "timeout"`.
 * Its grammar is written down in docs/search.md; the API reads the same text. Here it is cut into tokens so that
 * the filter bar can show chips, complete words and point at a mistake before anything is asked.
 */

/** A stretch of the text, in UTF-16 code units. */
export interface Span {
  from: number;
  to: number;
}

export interface Value extends Span {
  text: string;
}

export interface Token extends Span {
  /** The key's canonical name, or null for a plain word to search for. */
  key: string | null;
  negated: boolean;
  values: Value[];
}

export interface Problem extends Span {
  message: string;
}

export interface Parsed {
  tokens: Token[];
  problems: Problem[];
}

type Check = (value: string, now: number) => string | null;

export interface Key {
  name: string;
  aliases?: string[];
  /** What the completion says about it. */
  about: string;
  /** Takes several values, separated by commas. */
  many?: boolean;
  negatable?: boolean;
  /** Fixed words that it takes. */
  words?: readonly string[];
  /** Values offered though others are allowed. */
  examples?: readonly string[];
  check?: Check;
}

export const stateWords = [
  "pending",
  "received",
  "started",
  "retry",
  "failure",
  "success",
  "revoked",
  "rejected",
  "unknown",
] as const;

export const priorityWords = ["critical", "high", "normal", "low"] as const;

const unitMs: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** parseSpan reads 90s, 15m, 2h, 7d; null when it is none. */
export function parseSpan(text: string): number | null {
  const match = /^(\d{1,9})(ms|s|m|h|d|w)$/.exec(text);
  const unit = unitMs[match?.[2] ?? ""];
  return match && unit ? Number(match[1]) * unit : null;
}

const dated = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?$/;

/** parseInstant reads a span before now or a date; a date without a zone is UTC, as everywhere in the API. */
export function parseInstant(text: string, now: number): number | null {
  const span = parseSpan(text);
  if (span !== null) return now - span;
  if (!dated.test(text)) return null;
  const zoned = /T.*(?:Z|[+-]\d{2}:\d{2})$/.test(text)
    ? text
    : text.includes("T")
      ? `${text}Z`
      : `${text}T00:00Z`;
  const ms = Date.parse(zoned);
  return Number.isNaN(ms) ? null : ms;
}

const instant: Check = (value, now) =>
  parseInstant(value, now) === null
    ? "Give a span such as 2h or 7d, or a time such as 2026-05-01T08:00Z"
    : null;

const lasted: Check = (value) =>
  parseSpan(value.replace(/^[<>]=?/, "")) === null ? "Give a span such as >500ms, <10s or 2m" : null;

export const keys: readonly Key[] = [
  {
    name: "state",
    about: "how it ended, or where it is",
    many: true,
    negatable: true,
    words: stateWords,
  },
  { name: "queue", about: "the queue it was sent to", many: true, negatable: true },
  { name: "task", aliases: ["name"], about: "the task's name", many: true, negatable: true },
  { name: "worker", about: "the worker that took it", many: true, negatable: true },
  { name: "engine", about: "celery, rq and so on", many: true, negatable: true },
  {
    name: "priority",
    about: "critical, high, normal, low",
    many: true,
    negatable: true,
    words: priorityWords,
  },
  { name: "exception", about: "a part of the error", many: true, negatable: true },
  { name: "issue", aliases: ["fingerprint"], about: "failures of one issue", many: true, negatable: true },
  { name: "id", about: "the task's id", many: true, negatable: true },
  { name: "since", about: "received after", examples: ["15m", "1h", "6h", "24h", "7d"], check: instant },
  { name: "until", about: "received before", examples: ["1h", "24h", "7d"], check: instant },
  { name: "runtime", about: "how long it ran", examples: [">1s", ">10s", "<1m"], check: lasted },
  { name: "args", about: "an argument; args.0:42 for one by its position", many: true, negatable: true },
  { name: "kwargs", about: "an argument; kwargs.customer_id:42 by its name", many: true, negatable: true },
  { name: "result", about: "the result; result.total:42 for a part of it", many: true, negatable: true },
];

/** Keys of content, which take a path to a member behind a dot. */
const content = /^(args|kwargs|result)\.([\w.-]*)$/i;

const byName = new Map(keys.flatMap((key) => [key.name, ...(key.aliases ?? [])].map((name) => [name, key])));

/** keyOf is the key of a name; a path to a member is a key of its own. */
export function keyOf(name: string): Key | undefined {
  const [, column, path] = content.exec(name) ?? [];
  const base = byName.get((column ?? name).toLowerCase());
  return base && column ? { ...base, name: `${base.name}.${path}` } : base;
}

const blank = /\s/;
const keyName = /^[A-Za-z_][\w-]*$/;

/** near is the known word that a mistyped one was probably meant to be. */
export function near(word: string, known: readonly string[]): string | null {
  const wanted = word.toLowerCase();
  let best: string | null = null;
  let least = 3;
  for (const each of known) {
    const shared = wanted.length >= 4 && each.startsWith(wanted.slice(0, 4));
    const steps = Math.min(shared ? 2 : 3, distance(wanted, each));
    if (steps < least) {
      least = steps;
      best = each;
    }
  }
  return best;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, change));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

class Reader {
  at = 0;
  readonly problems: Problem[] = [];
  constructor(readonly text: string) {}

  problem(from: number, to: number, message: string) {
    this.problems.push({ from, to, message });
  }

  skipBlank() {
    while (this.at < this.text.length && blank.test(this.text[this.at] ?? "")) this.at++;
  }

  /** quoted reads from one quotation mark to the next; a backslash keeps the character after it. */
  quoted(): Value {
    const from = this.at++;
    let out = "";
    while (this.at < this.text.length) {
      const c = this.text[this.at++];
      if (c === '"') {
        if (!/[\s,]/.test(this.text[this.at] ?? " "))
          this.problem(from, this.at, "Put a space behind the closing quotation mark");
        return { text: out, from, to: this.at };
      }
      if (c === "\\" && this.at < this.text.length) out += this.text[this.at++];
      else out += c;
    }
    this.problem(from, this.at, 'The quotation mark is not closed: add a " at the end');
    return { text: out, from, to: this.at };
  }

  bare(stop: RegExp): Value {
    const from = this.at;
    while (this.at < this.text.length && !stop.test(this.text[this.at] ?? "")) this.at++;
    return { text: this.text.slice(from, this.at), from, to: this.at };
  }

  values(): Value[] {
    const values: Value[] = [];
    for (;;) {
      const value = this.text[this.at] === '"' ? this.quoted() : this.bare(/[\s,"]/);
      if (value.text !== "" && this.text[this.at] === '"' && this.text[this.at - 1] !== '"')
        this.problem(value.from, value.to, "Put the quotation mark in front of the whole value");
      values.push(value);
      if (this.text[this.at] !== ",") return values;
      this.at++;
    }
  }

  token(): Token {
    const from = this.at;
    const negated = this.text[this.at] === "-" && !blank.test(this.text[this.at + 1] ?? " ");
    if (negated) this.at++;
    if (this.text[this.at] === '"') {
      const value = this.quoted();
      if (value.text === "" && value.to === value.from + 2)
        this.problem(from, value.to, "There is nothing between the quotation marks");
      if (this.text[this.at] === ",")
        this.problem(from, this.at, "Put a space behind the closing quotation mark");
      return { key: null, negated, values: [value], from, to: this.at };
    }
    const start = this.at;
    const word = this.bare(/[\s:]/);
    if (this.text[this.at] === ":" && (keyName.test(word.text) || content.test(word.text))) {
      this.at++;
      const key = keyOf(word.text)?.name;
      if (key?.split(".").includes(""))
        this.problem(
          start,
          word.to,
          "Name a member behind each dot, as in kwargs.customer_id:42 or args.0:42",
        );
      const values = this.values();
      if (key) return { key, negated, values, from, to: this.at };
      const meant = near(word.text, [...byName.keys()]);
      this.problem(
        start,
        word.to,
        `There is no filter called ${word.text}${meant ? `; did you mean ${meant}?` : '. To search for a text with a colon, put it in "quotes"'}`,
      );
      return { key: word.text, negated, values, from, to: this.at };
    }
    this.at = start;
    const value = this.bare(blank);
    return { key: null, negated, values: [value], from, to: this.at };
  }
}

/** parse never fails: what it can't read is in `problems`, with its place. */
export function parse(text: string, now = Date.now()): Parsed {
  const reader = new Reader(text);
  const tokens: Token[] = [];
  for (reader.skipBlank(); reader.at < text.length; reader.skipBlank()) {
    const token = reader.token();
    tokens.push(token);
    checkToken(reader, token, now);
  }
  return { tokens, problems: reader.problems.sort((a, b) => a.from - b.from) };
}

function checkToken(reader: Reader, token: Token, now: number) {
  const key = token.key === null ? undefined : keyOf(token.key);
  if (!key) return;
  const last = token.values.at(-1);
  if (token.negated && !key.negatable)
    reader.problem(token.from, token.from + 1, `${key.name} can't be turned around with a minus`);
  if (token.values.length > 1 && !key.many && last)
    reader.problem(token.values[1]?.from ?? token.from, last.to, `${key.name} takes one value`);
  for (const value of token.values) {
    if (value.text === "" || value.text === "=") {
      reader.problem(token.from, value.to, `${key.name}: needs a value`);
    } else if (key.words && !key.words.includes(value.text.toLowerCase())) {
      const meant = near(value.text, key.words);
      reader.problem(
        value.from,
        value.to,
        `${value.text} is no ${key.name}${meant ? `; did you mean ${meant}?` : `. Use ${key.words.join(", ")}`}`,
      );
    } else {
      const fault = key.check?.(value.text, now);
      if (fault) reader.problem(value.from, value.to, fault);
    }
  }
}

/** quote writes a value so that it is read back as it is. */
export function quote(value: string, free = false): string {
  const plain = free ? /^[^\s":\\-][^\s":\\]*$/ : /^[^\s,"\\]+$/;
  return plain.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;
}

/** write is a token in its usual spelling. */
export function write(token: { key: string | null; negated?: boolean; values: string[] }): string {
  const minus = token.negated ? "-" : "";
  if (token.key === null) return minus + token.values.map((value) => quote(value, true)).join(" ");
  return `${minus}${token.key}:${token.values.map((value) => quote(value)).join(",")}`;
}

/** spell writes a parsed token again. */
export const spell = (token: Token): string =>
  write({ ...token, values: token.values.map((value) => value.text) });

/** without takes one token out of the text. */
export function without(text: string, token: Span): string {
  return `${text.slice(0, token.from).trimEnd()} ${text.slice(token.to).trimStart()}`.trim();
}

/** add appends filters to the text. */
export const add = (text: string, more: string): string =>
  [text.trim(), more.trim()].filter(Boolean).join(" ");

/** chosen are the values that the text asks for, or excludes, under one key. */
export function chosen(parsed: Parsed, key: string, negated = false): string[] {
  return parsed.tokens
    .filter((token) => token.key === key && token.negated === negated)
    .flatMap((token) => token.values.map((value) => value.text));
}

/** choose sets the values of one key; all tokens of that key, in this direction, become one. */
export function choose(text: string, key: string, values: string[], negated = false): string {
  const { tokens } = parse(text);
  const out: string[] = [];
  let placed = values.length === 0;
  for (const token of tokens) {
    if (token.key !== key || token.negated !== negated) out.push(text.slice(token.from, token.to));
    else if (!placed) {
      out.push(write({ key, negated, values }));
      placed = true;
    }
  }
  if (!placed) out.push(write({ key, negated, values }));
  return out.join(" ");
}

/** toggle puts a value in or takes it out; several values of one key mean any of them. */
export function toggle(text: string, key: string, value: string, negated = false): string {
  const now = chosen(parse(text), key, negated);
  return choose(
    text,
    key,
    now.includes(value) ? now.filter((each) => each !== value) : [...now, value],
    negated,
  );
}

/** exactly writes a known value so that it stands for itself alone: names match in part, stars match anything. */
export const exactly = (key: string, value: string): string =>
  key === "task" || key === "exception" || value.includes("*") || value.startsWith("=") ? `=${value}` : value;

/** bareOf is a value without the sign that asks for the whole of it. */
export const bareOf = (value: string): string =>
  value.length > 1 && value.startsWith("=") ? value.slice(1) : value;
