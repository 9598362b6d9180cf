// SPDX-License-Identifier: AGPL-3.0-or-later
import { DropdownMenu as M } from "radix-ui";
import { type ReactElement, type ReactNode, useState } from "react";
import { floating } from "./popover";

const item =
  "flex min-h-8 w-full cursor-pointer items-center gap-2 rounded-md px-2 py-1 text-left outline-none select-none data-highlighted:bg-raised aria-[current=page]:bg-accent-wash data-disabled:cursor-not-allowed data-disabled:text-soft max-sm:min-h-11";

/**
 * Menu opens a list of choices under its button: arrow keys, first letters and Escape work. It is
 * drawn inside <main>, so that screen readers find it within a landmark.
 */
export function Menu({
  trigger,
  label,
  children,
  align = "start",
  side,
}: {
  trigger: ReactElement;
  label: string;
  children: ReactNode;
  align?: "start" | "end";
  side?: "top" | "bottom" | "right";
}) {
  const [open, setOpen] = useState(false);
  // Found when it opens: a place that changes under an open menu would close it.
  const [place, setPlace] = useState<HTMLElement | null>(null);
  return (
    <M.Root
      modal={false}
      open={open}
      onOpenChange={(next) => {
        if (next) setPlace(document.getElementById("page"));
        setOpen(next);
      }}
    >
      <M.Trigger asChild aria-label={label}>
        {trigger}
      </M.Trigger>
      <M.Portal container={place}>
        <M.Content
          align={align}
          side={side}
          sideOffset={4}
          collisionPadding={8}
          className={`${floating} min-w-52`}
        >
          {children}
        </M.Content>
      </M.Portal>
    </M.Root>
  );
}

/** MenuItem does something; with a reason it is shown but can't be chosen, and says why. */
export function MenuItem({
  children,
  onSelect,
  reason,
  danger,
}: {
  children: ReactNode;
  onSelect: () => void;
  reason?: string | null;
  danger?: boolean;
}) {
  return (
    <M.Item
      disabled={Boolean(reason)}
      title={reason ?? undefined}
      onSelect={onSelect}
      className={`${item} ${danger && !reason ? "text-bad" : ""}`}
    >
      {children}
    </M.Item>
  );
}

/** MenuLink wraps a router Link (its only child), so that middle-click opens a tab. */
export function MenuLink({ children }: { children: ReactElement }) {
  return (
    <M.Item asChild className={item}>
      {children}
    </M.Item>
  );
}

export function MenuLabel({ children }: { children: ReactNode }) {
  return <M.Label className="truncate px-2 py-1.5 text-xs text-soft">{children}</M.Label>;
}

export const MenuLine = () => <M.Separator className="my-1 border-line border-t" />;
