// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { Button, Field } from "./controls";

/** Dialog is the platform's own modal: focus stays inside, Escape closes, the page behind is inert. */
export function Dialog({
  title,
  onClose,
  children,
}: {
  title: string;
  onClose: () => void;
  children: ReactNode;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) dialog.showModal();
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby={id}
      onClose={onClose}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      className="w-[min(34rem,calc(100vw-2rem))] rounded-md border border-edge bg-panel p-0 text-ink"
    >
      <div className="space-y-4 p-4">
        <h2 id={id} className="text-base font-semibold">
          {title}
        </h2>
        {children}
      </div>
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  action: string;
  danger?: boolean;
  busy?: boolean;
  /** What has to be typed before a change that can't be undone. */
  typed?: string;
  onConfirm: () => void;
  onClose: () => void;
  children: ReactNode;
}

export function Confirm({ title, action, danger, busy, typed, onConfirm, onClose, children }: ConfirmProps) {
  const [text, setText] = useState("");
  const blocked = typed !== undefined && text !== typed ? `Type ${typed} to go on` : null;
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
        {typed !== undefined && (
          <Field
            label={`Type ${typed} to confirm`}
            value={text}
            onChange={(event) => setText(event.target.value)}
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
          />
        )}
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
