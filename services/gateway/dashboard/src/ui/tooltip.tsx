// SPDX-License-Identifier: AGPL-3.0-or-later
import { Tooltip as T } from "radix-ui";
import type { ReactElement, ReactNode } from "react";

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
  return (
    <T.Provider delayDuration={300}>
      <T.Root>
        <T.Trigger asChild>{children}</T.Trigger>
        <T.Portal container={document.getElementById("page")}>
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
