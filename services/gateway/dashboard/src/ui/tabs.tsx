// SPDX-License-Identifier: AGPL-3.0-or-later
import { Tabs as T } from "radix-ui";
import type { ReactNode } from "react";

export interface Tab {
  id: string;
  label: ReactNode;
  content: ReactNode;
}

/** Tabs switch between views of one object. Keep the chosen one in the address (value and onChange). */
export function Tabs({
  label,
  tabs,
  value,
  onChange,
}: {
  label: string;
  tabs: Tab[];
  value: string;
  onChange: (id: string) => void;
}) {
  return (
    <T.Root value={value} onValueChange={onChange} className="min-w-0">
      <T.List aria-label={label} className="flex gap-1 overflow-x-auto border-line border-b">
        {tabs.map((tab) => (
          <T.Trigger
            key={tab.id}
            value={tab.id}
            className="-mb-px h-9 border-transparent border-b-2 px-3 whitespace-nowrap text-soft hover:text-ink data-[state=active]:border-accent data-[state=active]:font-semibold data-[state=active]:text-ink max-sm:h-11"
          >
            {tab.label}
          </T.Trigger>
        ))}
      </T.List>
      {tabs.map((tab) => (
        <T.Content key={tab.id} value={tab.id} className="pt-3">
          {tab.content}
        </T.Content>
      ))}
    </T.Root>
  );
}
