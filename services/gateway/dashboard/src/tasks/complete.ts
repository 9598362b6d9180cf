// SPDX-License-Identifier: AGPL-3.0-or-later
import { bareOf, exactly, keyOf, keys, parse, quote } from "./query";

/** Suggestion is one line of the completion: what it says and what the text becomes. */
export interface Suggestion {
  label: string;
  about?: string;
  count?: number;
  /** The whole text after choosing it, and where the caret goes. */
  text: string;
  caret: number;
  /** The filter is finished with it, so it can be applied at once. */
  done: boolean;
}

export interface Known {
  value: string;
  count?: number;
}

/** What the facets know of each key's values. */
export type Vocabulary = Partial<Record<string, readonly Known[]>>;

const most = 12;

/** stateLabels lets the words of the screen find the words of the language. */
const said: Record<string, string> = { received: "waiting", started: "running" };

/**
 * complete suggests what can stand at the caret: keys first, then the values of the key that is being written.
 * A value that holds the typed letters anywhere is offered, those that begin with them first.
 */
export function complete(text: string, caret: number, vocabulary: Vocabulary): Suggestion[] {
  const begin = wordStart(text, caret);
  const word = text.slice(begin, caret);
  const minus = word.startsWith("-") ? "-" : "";
  const body = word.slice(minus.length);
  const colon = body.indexOf(":");
  const tail = text.slice(wordEnd(text, caret));
  const put = (word: string, done: boolean): Pick<Suggestion, "text" | "caret" | "done"> => {
    const head = text.slice(0, begin) + word;
    return { text: head + tail, caret: head.length, done };
  };

  if (colon < 0) {
    if (body.startsWith('"')) return [];
    const typed = body.toLowerCase();
    return keys
      .filter((key) => !minus || key.negatable)
      .filter((key) => [key.name, ...(key.aliases ?? [])].some((name) => name.startsWith(typed)))
      .map((key) => ({
        label: `${minus}${key.name}:`,
        about: key.about,
        ...put(`${minus}${key.name}:`, false),
      }));
  }

  const key = keyOf(body.slice(0, colon));
  if (!key) return [];
  const written = body.slice(colon + 1);
  const { tokens } = parse(`${key.name}:${written}`);
  const values = tokens[0]?.values ?? [];
  const typed = bareOf(values.at(-1)?.text ?? "").toLowerCase();
  const before = key.many ? values.slice(0, -1).map((value) => value.text) : [];
  const known: Known[] = [...(vocabulary[key.name] ?? [])];
  for (const word of [...(key.words ?? []), ...(key.examples ?? [])]) {
    if (!known.some((each) => each.value === word)) known.push({ value: word });
  }
  const hits = known
    .filter(({ value }) => !before.map(bareOf).includes(value))
    .map((each) => ({ each, at: place(each.value, typed) }))
    .filter(({ at }) => at >= 0);
  // A stable sort: what begins with the letters, then the order of the facets, the most frequent first.
  hits.sort((a, b) => Math.sign(a.at) - Math.sign(b.at));
  return hits.slice(0, most).map(({ each }) => ({
    label: each.value,
    about: said[each.value],
    count: each.count,
    ...put(
      `${minus}${key.name}:${[...before, exactly(key.name, each.value)].map((value) => quote(value)).join(",")}`,
      true,
    ),
  }));
}

function place(value: string, typed: string): number {
  const at = value.toLowerCase().indexOf(typed);
  return at >= 0 ? at : said[value]?.startsWith(typed) && typed !== "" ? 1 : -1;
}

/** wordStart is where the word at the caret begins; blanks inside quotation marks do not end a word. */
function wordStart(text: string, caret: number): number {
  let begin = 0;
  let open = false;
  for (let i = 0; i < caret; i++) {
    const c = text[i];
    if (c === "\\" && open) i++;
    else if (c === '"') open = !open;
    else if (!open && /\s/.test(c ?? "")) begin = i + 1;
  }
  return begin;
}

function wordEnd(text: string, caret: number): number {
  let at = caret;
  while (at < text.length && !/\s/.test(text[at] ?? "")) at++;
  return at;
}
