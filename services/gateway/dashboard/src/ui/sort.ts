// SPDX-License-Identifier: AGPL-3.0-or-later

export interface Sort {
  id: string;
  desc: boolean;
}

/** parseSort reads `failed` or `-failed` (downwards) from the address. */
export function parseSort(text: string | undefined): Sort | null {
  const match = /^(-?)([a-z][a-z0-9_]*)$/i.exec(text ?? "");
  return match?.[2] ? { id: match[2], desc: match[1] === "-" } : null;
}

export const sortText = ({ id, desc }: Sort): string => (desc ? `-${id}` : id);

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** compareValues orders numbers as numbers and text as people do (task2 before task10). */
export function compareValues(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "boolean" && typeof b === "boolean") return Number(a) - Number(b);
  return collator.compare(String(a), String(b));
}
