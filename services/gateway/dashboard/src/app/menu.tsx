// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ReactNode, useEffect, useRef } from "react";

/** Menu is a disclosure: native <details>, closed by Escape, by a click elsewhere and by choosing something. */
export function Menu({
  label,
  trigger,
  children,
  up = false,
  align = "left",
}: {
  label: string;
  trigger: ReactNode;
  children: ReactNode;
  up?: boolean;
  align?: "left" | "right";
}) {
  const ref = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const onPointer = (event: PointerEvent) => {
      if (ref.current?.open && !ref.current.contains(event.target as Node)) ref.current.open = false;
    };
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !ref.current?.open) return;
      ref.current.open = false;
      ref.current.querySelector("summary")?.focus();
    };
    window.addEventListener("pointerdown", onPointer);
    window.addEventListener("keydown", onKey);
    return () => {
      window.removeEventListener("pointerdown", onPointer);
      window.removeEventListener("keydown", onKey);
    };
  }, []);
  return (
    <details ref={ref} className="relative">
      <summary aria-label={label} className="list-none rounded-md [&::-webkit-details-marker]:hidden">
        {trigger}
      </summary>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the click is a bubbling one from the items */}
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: items are links and buttons, Enter clicks them */}
      <div
        onClick={(event) => {
          if ((event.target as HTMLElement).closest("a,button") && ref.current) ref.current.open = false;
        }}
        className={`absolute z-40 max-h-[70vh] min-w-52 overflow-y-auto rounded-md border border-edge bg-panel p-1 ${up ? "bottom-full mb-1" : "top-full mt-1"} ${align === "right" ? "right-0" : "left-0"}`}
      >
        {children}
      </div>
    </details>
  );
}

export const menuItem =
  "flex w-full items-center gap-2 rounded-md px-2 py-1.5 text-left hover:bg-raised aria-[current=page]:bg-accent-wash max-sm:py-2.5";
