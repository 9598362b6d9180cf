// SPDX-License-Identifier: AGPL-3.0-or-later

const isLetter = (char: string | undefined): boolean => char !== undefined && /[\p{L}\p{N}]/u.test(char);

/**
 * score tells how well a text answers what was typed: every word has to occur; at the start beats at the start of a
 * word beats anywhere beats initials ("dl" for "Dead letters"). 0 means no match.
 */
export function score(typed: string, text: string): number {
  const wanted = typed.trim().toLowerCase();
  const have = text.toLowerCase();
  if (wanted === "") return 1;
  if (have === wanted) return 100;
  let sum = 0;
  const words = wanted.split(/\s+/);
  for (const word of words) {
    const at = have.indexOf(word);
    if (at === 0) sum += 40;
    else if (at > 0) sum += isLetter(have[at - 1]) ? 15 : 30;
    else if (word.length > 1 && isInitials(word, have)) sum += 8;
    else return 0;
  }
  // Of two equal matches the shorter text is the likelier one.
  return sum / words.length - Math.min(3, have.length / 60);
}

/** Each letter starts a word or follows the one before it: "delet" and "dl" and "dele" all fit "dead letters". */
function isInitials(word: string, text: string): boolean {
  const from = (i: number, letter: number): boolean => {
    if (letter === word.length) return true;
    for (let at = i; at < text.length; at++) {
      const starts = at === 0 || !isLetter(text[at - 1]);
      const follows = at === i && letter > 0;
      if (text[at] === word[letter] && (starts || follows) && from(at + 1, letter + 1)) return true;
    }
    return false;
  };
  return from(0, 0);
}

export interface Scored<T> {
  item: T;
  points: number;
}

/** best keeps what matches, the best first, at most `most`. */
export function best<T>(
  items: readonly T[],
  typed: string,
  pointsOf: (item: T) => number,
  most: number,
): Scored<T>[] {
  return items
    .map((item) => ({ item, points: typed.trim() === "" ? 1 : pointsOf(item) }))
    .filter(({ points }) => points > 0)
    .toSorted((a, b) => b.points - a.points)
    .slice(0, most);
}
