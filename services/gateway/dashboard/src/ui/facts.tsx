// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ReactNode } from "react";

/** Fact is a name and what it is; an empty value leaves the row out. */
export type Fact = readonly [name: string, value: ReactNode];

/** FactRows are the rows of a `<dl>` whose grid has two columns; `stacked` puts names above values on a phone. */
export function FactRows({ facts, stacked = false }: { facts: readonly Fact[]; stacked?: boolean }) {
  return facts
    .filter(([, value]) => value)
    .map(([name, value]) => (
      <div key={name} className={stacked ? "contents max-sm:block" : "contents"}>
        <dt className="text-soft">{name}</dt>
        <dd className="min-w-0">{value}</dd>
      </div>
    ));
}

/** Facts is the list of facts in a side panel. */
export function Facts({ facts }: { facts: readonly Fact[] }) {
  return (
    <dl className="grid gap-x-6 gap-y-1.5 sm:grid-cols-[max-content_1fr]">
      <FactRows facts={facts} stacked />
    </dl>
  );
}
