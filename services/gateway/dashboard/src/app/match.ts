// SPDX-License-Identifier: AGPL-3.0-or-later

/**
 * score tells how well a text answers what was typed: every word has to occur; at the start beats at the start of a
 * word beats anywhere. 0 means no match. Letters merely in the right order count too, weakest of all.
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
    else if (at > 0) sum += /[^\p{L}\p{N}]/u.test(have[at - 1] ?? "") ? 30 : 15;
    else if (word.length > 1 && inOrder(word, have)) sum += 4;
    else return 0;
  }
  // Of two equal matches the shorter text is the likelier one.
  return sum / words.length - Math.min(3, have.length / 60);
}

function inOrder(word: string, text: string): boolean {
  let at = 0;
  for (const letter of word) {
    at = text.indexOf(letter, at) + 1;
    if (at === 0) return false;
  }
  return true;
}

/** best keeps what matches, the best first, at most `most`. */
export function best<T>(items: readonly T[], typed: string, textOf: (item: T) => string, most: number): T[] {
  return items
    .map((item) => ({ item, points: score(typed, textOf(item)) }))
    .filter(({ points }) => points > 0)
    .toSorted((a, b) => b.points - a.points)
    .slice(0, most)
    .map(({ item }) => item);
}
