// SPDX-License-Identifier: AGPL-3.0-or-later
import { Tooltip as T } from "radix-ui";
import { type ReactElement, type ReactNode, useState } from "react";

/** Tooltip says more about the control it wraps, on hover and on focus. Nothing may be readable only here. */
export function Tooltip({
  text,
  children,
  side = "top",
}: {
  text: ReactNode;
  children: ReactElement;
  side?: "top" | "right" | "bottom" | "left";
}) {
  const [place, setPlace] = useState<HTMLElement | null>(null);
  return (
    <T.Provider delayDuration={300}>
      <T.Root onOpenChange={(open) => open && setPlace(document.getElementById("page"))}>
        <T.Trigger asChild>{children}</T.Trigger>
        <T.Portal container={place}>
          <T.Content
            side={side}
            sideOffset={4}
            collisionPadding={8}
            className="z-50 max-w-72 rounded-md border border-edge bg-panel px-2 py-1 text-xs text-ink"
          >
            {text}
          </T.Content>
        </T.Portal>
      </T.Root>
    </T.Provider>
  );
}
