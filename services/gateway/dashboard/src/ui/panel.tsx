// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link } from "@tanstack/react-router";
import { type ReactNode, useEffect, useId, useRef } from "react";
import type { Goto } from "./goto";
import { CloseIcon } from "./icons";

/**
 * SidePanel shows the object of a row next to its list. It is not modal: the list stays alive and j/k go on to
 * move through it. Escape closes. On a phone it covers the page. Keep what is open in the address.
 */
export function SidePanel({
  title,
  subtitle,
  page,
  actions,
  onClose,
  children,
}: {
  title: ReactNode;
  subtitle?: ReactNode;
  /** The object's own page: "Open full page". */
  page?: Goto;
  actions?: ReactNode;
  onClose: () => void;
  children: ReactNode;
}) {
  const id = useId();
  const close = useRef(onClose);
  close.current = onClose;
  const self = useRef<HTMLElement>(null);
  useEffect(() => {
    const opener = document.activeElement as HTMLElement | null;
    const panel = self.current;
    return () => {
      const at = document.activeElement;
      if (at === null || at === document.body || panel?.contains(at))
        opener?.focus?.({ preventScroll: true });
    };
  }, []);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      const target = event.target as HTMLElement;
      if (target.closest?.('[role="dialog"],[role="menu"],[role="listbox"]')) return;
      event.preventDefault();
      close.current();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
  return (
    <aside
      ref={self}
      aria-labelledby={id}
      data-testid="side-panel"
      className="fixed inset-y-0 right-0 z-30 flex w-full flex-col border-line border-l bg-panel md:top-12 md:w-[min(44rem,62vw)]"
    >
      <header className="flex min-h-12 shrink-0 items-center gap-2 border-line border-b px-3 py-1.5">
        <div className="min-w-0 flex-1">
          <h2 id={id} className="truncate font-semibold">
            {title}
          </h2>
          {subtitle && <div className="truncate text-xs text-soft">{subtitle}</div>}
        </div>
        {actions}
        {page && (
          <Link {...(page as { to: string })} className="whitespace-nowrap text-accent underline">
            Full page
          </Link>
        )}
        <button
          type="button"
          aria-label="Close the panel"
          title="Close (Esc)"
          onClick={onClose}
          className="grid size-8 shrink-0 place-items-center rounded-md text-soft hover:bg-raised hover:text-ink max-sm:size-11"
        >
          <CloseIcon />
        </button>
      </header>
      <div className="min-h-0 flex-1 overflow-y-auto p-3" tabIndex={0} role="group" aria-labelledby={id}>
        {children}
      </div>
    </aside>
  );
}
