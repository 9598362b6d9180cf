// SPDX-License-Identifier: AGPL-3.0-or-later
import { Popover as P } from "radix-ui";
import type { ReactElement, ReactNode } from "react";

interface Props {
  /** A button; it gets the right attributes by itself. */
  trigger: ReactElement;
  /** What the box is for, read out when it opens. */
  label: string;
  children: ReactNode;
  open?: boolean;
  onOpenChange?: (open: boolean) => void;
  align?: "start" | "center" | "end";
  side?: "top" | "right" | "bottom" | "left";
}

export const floating =
  "z-50 max-h-[var(--radix-popper-available-height)] max-w-[calc(100vw-1rem)] overflow-y-auto rounded-md border border-edge bg-panel p-1 text-ink outline-none";

/** Popover is a small box with controls next to its button. Not modal: that part of Radix writes a style element,
 * which the page's content security policy refuses. */
export function Popover({ trigger, label, children, open, onOpenChange, align = "start", side }: Props) {
  return (
    <P.Root open={open} onOpenChange={onOpenChange}>
      <P.Trigger asChild>{trigger}</P.Trigger>
      <P.Portal>
        <P.Content
          aria-label={label}
          align={align}
          side={side}
          sideOffset={4}
          collisionPadding={8}
          className={floating}
        >
          {children}
        </P.Content>
      </P.Portal>
    </P.Root>
  );
}
