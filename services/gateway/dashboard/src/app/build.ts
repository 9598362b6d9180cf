// SPDX-License-Identifier: AGPL-3.0-or-later

/** scriptOf finds the main script's address in the page's HTML; its name changes with every build. */
export function scriptOf(html: string): string | null {
  return /<script[^>]*\ssrc="([^"]*\/assets\/index-[^"]+\.js)"/.exec(html)?.[1] ?? null;
}

/**
 * isNewer compares two versions like 1.14.0 and 1.14.1rc2, null when one of them is not a version. A release is
 * newer than its own candidates.
 */
export function isNewer(candidate: string, than: string): boolean | null {
  const a = parse(candidate);
  const b = parse(than);
  if (!a || !b) return null;
  for (let i = 0; i < 3; i++) {
    const difference = (a.numbers[i] ?? 0) - (b.numbers[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  if (a.rest === b.rest) return false;
  if (a.rest === "") return true;
  if (b.rest === "") return false;
  return a.rest.localeCompare(b.rest, "en", { numeric: true }) > 0;
}

function parse(version: string): { numbers: number[]; rest: string } | null {
  const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?[-.]?([a-z0-9.-]*)$/i.exec(version.trim());
  if (!match) return null;
  return { numbers: [match[1], match[2], match[3] ?? "0"].map(Number), rest: match[4] ?? "" };
}
