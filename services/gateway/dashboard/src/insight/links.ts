// SPDX-License-Identifier: AGPL-3.0-or-later

/** What a page shows now: a window that ends now, or a fixed one. */
export interface Shown {
  range: string | null;
  from: Date;
  to: Date;
}

/** windowSearch keeps a moving window moving and a frozen one frozen in the address of the next page. */
export function windowSearch(shown: Shown): Record<string, string> {
  if (shown.range) return { range: shown.range };
  return { from: shown.from.toISOString(), to: shown.to.toISOString() };
}

export interface TaskPick {
  state?: string;
  name?: string;
  queue?: string;
  worker?: string;
  fingerprint?: string;
}

/** taskSearch is the address of the rows behind a number: the same filters, the same window. */
export function taskSearch(pick: TaskPick, shown: Shown): Record<string, string> {
  const search: Record<string, string> = windowSearch(shown);
  for (const [key, value] of Object.entries(pick)) if (value) search[key] = value;
  return search;
}
