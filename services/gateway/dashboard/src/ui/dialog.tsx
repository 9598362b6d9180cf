// SPDX-License-Identifier: AGPL-3.0-or-later
import { Dialog as D } from "radix-ui";
import { type ReactNode, useState } from "react";
import { Button, Field } from "./controls";

/**
 * Dialog is modal: focus stays inside and comes back afterwards, Escape closes, the page behind is inert. The
 * veil is our own; Radix's writes a style element, which the page's content security policy refuses.
 */
export function Dialog({
  title,
  onClose,
  children,
  wide = false,
}: {
  title: string;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
}) {
  return (
    <D.Root open onOpenChange={(open) => !open && onClose()}>
      <D.Portal>
        <div aria-hidden="true" className="fixed inset-0 z-40 bg-[oklch(0.1_0.01_240/0.55)]" />
        <D.Content
          aria-describedby={undefined}
          className={`fixed top-1/2 left-1/2 z-40 max-h-[calc(100dvh-2rem)] -translate-x-1/2 -translate-y-1/2 overflow-y-auto rounded-md border border-edge bg-panel text-ink outline-none ${wide ? "w-[min(52rem,calc(100vw-2rem))]" : "w-[min(34rem,calc(100vw-2rem))]"}`}
        >
          <div className="space-y-4 p-4">
            <D.Title className="text-base font-semibold">{title}</D.Title>
            {children}
          </div>
        </D.Content>
      </D.Portal>
    </D.Root>
  );
}

/** TypedField takes the word that has to be typed before a change that can't be undone. */
export function TypedField({
  typed,
  value,
  onChange,
}: {
  typed: string;
  value: string;
  onChange: (text: string) => void;
}) {
  return (
    <Field
      label={`Type ${typed} to confirm`}
      value={value}
      onChange={(event) => onChange(event.target.value)}
      autoComplete="off"
      autoCapitalize="off"
      spellCheck={false}
    />
  );
}

interface ConfirmProps {
  title: string;
  action: string;
  danger?: boolean;
  busy?: boolean;
  /** What has to be typed before a change that can't be undone. */
  typed?: string;
  /** Why it can't be done now, as while it is not known by whom. */
  reason?: string | null;
  onConfirm: () => void;
  onClose: () => void;
  children: ReactNode;
}

/** Confirm asks before one thing happens; ConfirmDialog (ui/confirm.tsx) is the one for many. */
export function Confirm({
  title,
  action,
  danger,
  busy,
  typed,
  reason,
  onConfirm,
  onClose,
  children,
}: ConfirmProps) {
  const [text, setText] = useState("");
  const blocked = reason ?? (typed !== undefined && text !== typed ? `Type ${typed} to go on` : null);
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (!blocked && !busy) onConfirm();
        }}
      >
        <div className="space-y-2">{children}</div>
        {typed !== undefined && <TypedField typed={typed} value={text} onChange={setText} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Keep as it is</Button>
          <Button kind={danger ? "danger" : "primary"} type="submit" reason={blocked} busy={busy}>
            {action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
