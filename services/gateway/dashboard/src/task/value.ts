// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Json } from "../api/types";

/** A value as the tree shows it: JSON, or what could be read from the Python text that some agents send. */
export type Value =
  | { kind: "null" | "bool" | "number" | "object" | "cut"; text: string }
  | { kind: "string"; text: string }
  | { kind: "list" | "tuple" | "set"; items: Value[] }
  | { kind: "dict"; entries: { key: string; value: Value }[] };

export type Leaf = Exclude<Value, { items: Value[] } | { entries: unknown }>;

export const isLeaf = (value: Value): value is Leaf => "text" in value;

export function fromJson(json: Json): Value {
  if (json === null) return { kind: "null", text: "null" };
  if (typeof json === "string") return { kind: "string", text: json };
  if (typeof json === "boolean") return { kind: "bool", text: String(json) };
  if (typeof json === "number") return { kind: "number", text: String(json) };
  if (Array.isArray(json)) return { kind: "list", items: json.map(fromJson) };
  return {
    kind: "dict",
    entries: Object.entries(json).map(([key, value]) => ({ key, value: fromJson(value) })),
  };
}

const maxDepth = 60;

/** Reader reads the text that Python's repr() writes. It gives up (throws) at anything it does not know. */
class Reader {
  private at = 0;
  constructor(private readonly text: string) {}

  read(): Value {
    const value = this.value(0);
    this.space();
    if (this.at < this.text.length) throw new SyntaxError("more text follows");
    return value;
  }

  private space() {
    while (/\s/.test(this.text[this.at] ?? "")) this.at++;
  }

  private peek(): string {
    this.space();
    return this.text[this.at] ?? "";
  }

  private take(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (!match || match.index !== this.at) return null;
    this.at += match[0].length;
    return match[0];
  }

  private value(depth: number): Value {
    if (depth > maxDepth) throw new SyntaxError("too deep");
    const c = this.peek();
    if (c === "[") return { kind: "list", items: this.items("]", depth).items };
    if (c === "(") return this.tuple(depth);
    if (c === "{") return this.braces(depth);
    if (c === "<") return this.angle();
    if (this.take(/\.\.\./y)) return { kind: "cut", text: "…" };
    const string = this.string();
    if (string !== null) return { kind: "string", text: string };
    const number = this.take(/[+-]?(?:\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?j?|inf|nan)(?![\w(])/y);
    if (number) return { kind: "number", text: number };
    const name = this.take(/[A-Za-z_][\w.]*/y);
    if (name === null) throw new SyntaxError("not a value");
    if (name === "None") return { kind: "null", text: "None" };
    if (name === "True" || name === "False") return { kind: "bool", text: name };
    if (this.text[this.at] === "(") return { kind: "object", text: name + this.call() };
    return { kind: "object", text: name };
  }

  private tuple(depth: number): Value {
    const { items, comma } = this.items(")", depth);
    const only = items[0];
    return items.length === 1 && only && !comma ? only : { kind: "tuple", items };
  }

  private items(close: string, depth: number): { items: Value[]; comma: boolean } {
    this.at++;
    const items: Value[] = [];
    let comma = false;
    while (this.peek() !== close) {
      items.push(this.value(depth + 1));
      comma = this.peek() === ",";
      if (comma) this.at++;
      else if (this.peek() !== close) throw new SyntaxError("no comma");
    }
    this.at++;
    return { items, comma };
  }

  private braces(depth: number): Value {
    this.at++;
    const entries: { key: string; value: Value }[] = [];
    const items: Value[] = [];
    while (this.peek() !== "}") {
      const first = this.value(depth + 1);
      if (this.peek() === ":") {
        this.at++;
        entries.push({ key: isLeaf(first) ? first.text : plain(first), value: this.value(depth + 1) });
      } else items.push(first);
      if (this.peek() === ",") this.at++;
      else if (this.peek() !== "}") throw new SyntaxError("no comma");
    }
    this.at++;
    const only = items[0];
    if (only?.kind === "cut" && items.length === 1 && entries.length === 0) return only;
    if (items.length > 0 && entries.length === 0) return { kind: "set", items };
    // A dictionary that the worker cut short ends in an ellipsis without a value.
    return { kind: "dict", entries: [...entries, ...items.map((value) => ({ key: "…", value }))] };
  }

  private string(): string | null {
    const prefix = this.take(/[bBuUrR]{0,2}(?=['"])/y);
    if (prefix === null) return null;
    const quote = this.text[this.at] ?? "";
    let out = "";
    for (let i = this.at + 1; i < this.text.length; i++) {
      const c = this.text[i];
      if (c === quote) {
        this.at = i + 1;
        return out;
      }
      if (c !== "\\") {
        out += c;
        continue;
      }
      i++;
      const mark = this.text[i] ?? "";
      const length = { x: 2, u: 4, U: 8 }[mark];
      if (length) {
        const code = Number.parseInt(this.text.slice(i + 1, i + 1 + length), 16);
        if (Number.isNaN(code) || code > 0x10ffff) throw new SyntaxError("bad escape");
        // The bytes of b'...' are shown as they were written.
        out += prefix.toLowerCase().includes("b")
          ? `\\x${this.text.slice(i + 1, i + 3)}`
          : String.fromCodePoint(code);
        i += length;
      } else out += { n: "\n", t: "\t", r: "\r", "0": "\0" }[mark] ?? mark;
    }
    throw new SyntaxError("the text ends inside a string");
  }

  /** The rest of Decimal('1.2') or datetime.datetime(2024, 5, 1), kept as it is. */
  private call(): string {
    const from = this.at;
    let depth = 0;
    while (this.at < this.text.length) {
      const c = this.text[this.at];
      if (c === "'" || c === '"') {
        this.string();
        continue;
      }
      this.at++;
      if (c === "(" || c === "[" || c === "{") depth++;
      else if ((c === ")" || c === "]" || c === "}") && --depth === 0) return this.text.slice(from, this.at);
    }
    throw new SyntaxError("the text ends inside a call");
  }

  private angle(): Value {
    const from = this.at;
    let depth = 0;
    while (this.at < this.text.length) {
      const c = this.text[this.at++];
      if (c === "<") depth++;
      else if (c === ">" && --depth === 0) return { kind: "object", text: this.text.slice(from, this.at) };
    }
    throw new SyntaxError("the text ends inside an object");
  }
}

/** fromPython reads the text of a Python value; null when it is no such text. */
export function fromPython(text: string): Value | null {
  try {
    return new Reader(text).read();
  } catch {
    return null;
  }
}

/** What a value was sent as: JSON itself, or a text that could be read. */
export interface Read {
  value: Value;
  from: "json" | "json text" | "python text" | "text";
}

/** readValue reads a stored argument or result. Text is read as JSON, then as Python, when it holds a structure. */
export function readValue(json: Json): Read {
  if (typeof json !== "string") return { value: fromJson(json), from: "json" };
  const text = json.trim();
  if (/^[[{]/.test(text)) {
    try {
      return { value: fromJson(JSON.parse(text) as Json), from: "json text" };
    } catch {
      // Python writes these brackets as well.
    }
  }
  const value = /^(?:[[({<'"]|[bBuUrR]{1,2}['"]|[+-]?\d|None$|True$|False$|[A-Za-z_][\w.]*\()/.test(text)
    ? fromPython(text)
    : null;
  return value ? { value, from: "python text" } : { value: { kind: "string", text: json }, from: "text" };
}

/** plain writes a value as JSON that can be pasted; what JSON does not have stays text. */
export function plain(value: Value): string {
  return JSON.stringify(toJson(value), null, 2);
}

export function toJson(value: Value): Json {
  switch (value.kind) {
    case "null":
      return null;
    case "bool":
      return value.text.toLowerCase() === "true";
    case "number": {
      const n = Number(value.text.replaceAll("_", ""));
      return Number.isFinite(n) && !(Number.isInteger(n) && !Number.isSafeInteger(n)) ? n : value.text;
    }
    case "string":
    case "object":
    case "cut":
      return value.text;
    case "dict":
      return Object.fromEntries(value.entries.map((each) => [each.key, toJson(each.value)]));
    default:
      return value.items.map(toJson);
  }
}

/** childPath is the path of a part, as one writes it in Python: kwargs["customer"]["tags"][0]. */
export const childPath = (path: string, key: string | number): string =>
  `${path}[${typeof key === "number" ? key : JSON.stringify(key)}]`;

const marker = "[REDACTED]";
const secretName =
  /^(?:(?:old_|new_)?password(?:_confirmation|_hash)?|passwd|pwd|secrets?|(?:client|webhook|hmac)_?secret|(?:(?:access|refresh|id|api|bearer|session)_?)?token|x[-_]api[-_]key|api_?key|authorization|auth|credentials|(?:set[-_])?cookie|ssn|social_security(?:_number)?|credit_card(?:_number)?|card_number|cvv|cvc)$/i;

/** redaction says why a value was removed before it was stored; null when it was not. */
export function redaction(text: string, key: string | null): string | null {
  if (!text.includes(marker)) return null;
  if (key !== null && secretName.test(key))
    return `Removed before it was stored, because it is called ${key}`;
  return "Removed before it was stored, because it looked like a secret or personal data (token, key, card, e-mail, address with a password)";
}

/** truncation splits the note about a cut off from the text. */
export function truncation(text: string): { text: string; note: string } | null {
  const brain = /^([\s\S]*)\[\.\.\.(\d+) more bytes truncated\]$/.exec(text);
  if (brain) return { text: brain[1] ?? "", note: `cut: ${brain[2]} more bytes were not stored` };
  const worker = /^([\s\S]{40,}?)\.\.\.$/.exec(text);
  return worker && text.length >= 1000 ? { text: worker[1] ?? "", note: "probably cut by the worker" } : null;
}

/** sizeNote says how many parts a folded value has. */
export function sizeNote(value: Value): string {
  if (value.kind === "dict") return `${value.entries.length} ${value.entries.length === 1 ? "key" : "keys"}`;
  if ("items" in value) return `${value.items.length} ${value.items.length === 1 ? "item" : "items"}`;
  return "";
}

/** holdsCut tells whether a part of the value is missing. */
export function holdsCut(value: Value): boolean {
  if (value.kind === "cut") return true;
  if (value.kind === "string") return truncation(value.text) !== null;
  if (value.kind === "dict") return value.entries.some((each) => holdsCut(each.value));
  return "items" in value && value.items.some(holdsCut);
}

/** holdsRedacted tells whether a part of the value was removed. */
export function holdsRedacted(value: Value): boolean {
  if (isLeaf(value)) return value.kind === "string" && value.text.includes(marker);
  if (value.kind === "dict") return value.entries.some((each) => holdsRedacted(each.value));
  return value.items.some(holdsRedacted);
}
