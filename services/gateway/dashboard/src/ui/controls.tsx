// SPDX-License-Identifier: AGPL-3.0-or-later
import {
  type ButtonHTMLAttributes,
  type InputHTMLAttributes,
  type ReactNode,
  useEffect,
  useId,
  useRef,
  useState,
} from "react";
import { ApiError } from "../api/client";
import { CheckIcon, CopyIcon, InfoIcon, WarnIcon } from "./icons";

type Kind = "primary" | "plain" | "danger" | "quiet";

const kinds: Record<Kind, string> = {
  primary: "bg-accent text-accent-ink border-accent hover:opacity-90",
  plain: "bg-panel border-edge hover:bg-raised",
  danger: "bg-panel text-bad border-bad hover:bg-bad-wash",
  quiet: "border-transparent text-soft hover:text-ink hover:bg-raised",
};

const buttonBase =
  "inline-flex h-8 max-sm:h-10 items-center justify-center gap-1.5 whitespace-nowrap rounded-md border px-3 font-medium";

export function buttonClass(kind: Kind = "plain", extra = ""): string {
  return `${buttonBase} ${kinds[kind]} ${extra}`;
}

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: Kind;
  /** Why the button can't be used now; it stays focusable so that everybody can read the reason. */
  reason?: string | null;
  busy?: boolean;
}

export function Button({
  kind = "plain",
  reason,
  busy,
  className = "",
  onClick,
  children,
  ...rest
}: ButtonProps) {
  const off = Boolean(reason) || busy;
  return (
    <button
      type="button"
      {...rest}
      aria-disabled={off || undefined}
      aria-busy={busy || undefined}
      title={reason ?? rest.title}
      onClick={(event) => {
        if (off) event.preventDefault();
        else onClick?.(event);
      }}
      className={`${buttonClass(kind)} aria-disabled:cursor-not-allowed aria-disabled:border-line aria-disabled:bg-raised aria-disabled:text-soft ${className}`}
    >
      {children}
    </button>
  );
}

export const inputClass =
  "h-8 max-sm:h-10 w-full min-w-0 rounded-md border border-edge bg-panel px-2.5 text-ink aria-invalid:border-bad";

interface FieldProps extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
  hint?: ReactNode;
  error?: string | null;
}

export function Field({ label, hint, error, className = "", ...rest }: FieldProps) {
  const id = useId();
  return (
    <div className={`space-y-1 ${className}`}>
      <label htmlFor={id} className="block font-medium">
        {label}
      </label>
      <input
        {...rest}
        id={id}
        className={inputClass}
        aria-invalid={Boolean(error) || undefined}
        aria-describedby={hint || error ? `${id}-note` : undefined}
      />
      {(hint || error) && (
        <p id={`${id}-note`} className={`text-xs ${error ? "text-bad" : "text-soft"}`}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}

export function CopyButton({
  text,
  label = "Copy",
  compact = false,
}: {
  text: string;
  label?: string;
  compact?: boolean;
}) {
  const [copied, setCopied] = useState<"" | "done" | "refused">("");
  const timer = useRef(0);
  useEffect(() => () => window.clearTimeout(timer.current), []);
  const copy = async () => {
    setCopied((await copyText(text)) ? "done" : "refused");
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setCopied(""), 1800);
  };
  const said = copied === "done" ? "Copied" : copied === "refused" ? "Select and copy by hand" : label;
  return (
    <button
      type="button"
      onClick={() => void copy()}
      title={said}
      aria-label={compact ? said : undefined}
      className={
        compact
          ? "relative z-10 inline-grid size-6 place-items-center rounded-md text-soft hover:bg-raised hover:text-ink"
          : buttonClass("plain")
      }
    >
      {copied === "done" ? <CheckIcon className="size-4 text-good" /> : <CopyIcon />}
      {!compact && <span aria-live="polite">{said}</span>}
    </button>
  );
}

/** copyText puts text on the clipboard and tells whether that worked. The clipboard API exists on https and localhost only; a LAN address served over http needs the old way. */
export async function copyText(text: string): Promise<boolean> {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch {
    // Fall through to the selection-based copy.
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.setAttribute("readonly", "");
  area.className = "sr-only";
  (document.querySelector('[role="dialog"]') ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

export function CodeBlock({ text, label }: { text: string; label: string }) {
  return (
    <div className="relative rounded-md border border-line bg-raised">
      <pre tabIndex={0} role="group" aria-label={label} className="overflow-x-auto p-3 pr-12 whitespace-pre">
        {text}
      </pre>
      <div className="absolute top-2 right-2">
        <CopyButton text={text} label={`Copy ${label}`} compact />
      </div>
    </div>
  );
}

export function Notice({
  tone,
  title,
  children,
}: {
  tone: "info" | "warn" | "bad";
  title?: string;
  children: ReactNode;
}) {
  const look = {
    info: "border-line bg-accent-wash",
    warn: "border-warn bg-warn-wash",
    bad: "border-bad bg-bad-wash",
  }[tone];
  return (
    <div
      role={tone === "bad" ? "alert" : "note"}
      className={`flex gap-2.5 rounded-md border px-3 py-2 ${look}`}
    >
      {tone === "info" ? (
        <InfoIcon className="mt-0.5 size-4 text-accent" />
      ) : (
        <WarnIcon className={`mt-0.5 size-4 ${tone === "bad" ? "text-bad" : "text-warn"}`} />
      )}
      <div className="min-w-0 flex-1 space-y-1">
        {title && <p className="font-semibold">{title}</p>}
        <div className="space-y-1.5">{children}</div>
      </div>
    </div>
  );
}

/** ErrorNote says what went wrong, what to try, and the request id to look up in the brain's log. */
export function ErrorNote({ error, what, onRetry }: { error: unknown; what: string; onRetry?: () => void }) {
  const api = error instanceof ApiError ? error : null;
  return (
    <Notice tone="bad" title={what}>
      <p>{error instanceof Error ? error.message : "Something unexpected happened."}</p>
      {api?.retryAfter != null && <p>Try again in {api.retryAfter} seconds.</p>}
      {api?.requestId && (
        <p className="text-xs text-soft">
          Request <code>{api.requestId}</code>: the brain's log has this id.
        </p>
      )}
      {onRetry && (
        <Button onClick={onRetry} className="mt-1">
          Try again
        </Button>
      )}
    </Notice>
  );
}

export function Skeleton({ className = "" }: { className?: string }) {
  return <div aria-hidden="true" className={`skeleton ${className}`} />;
}

/** Rows of the shape that is about to appear. */
export function SkeletonRows({ rows = 8, label }: { rows?: number; label: string }) {
  return (
    <div role="status" className="space-y-2 p-3">
      <span className="sr-only">{label}</span>
      {Array.from({ length: rows }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: placeholders have no identity
        <Skeleton key={i} className="h-6" />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="mx-auto max-w-2xl px-4 py-10">
      <h2 className="text-base font-semibold">{title}</h2>
      <div className="mt-2 space-y-3 text-soft">{children}</div>
    </div>
  );
}

export function Panel({
  title,
  actions,
  children,
  pad = true,
}: {
  title?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  pad?: boolean;
}) {
  return (
    <section className="min-w-0 rounded-md border border-line bg-panel">
      {title && (
        <header className="flex min-h-10 flex-wrap items-center gap-2 border-line border-b px-3 py-1">
          <h2 className="font-semibold">{title}</h2>
          <div className="ml-auto flex items-center gap-1.5">{actions}</div>
        </header>
      )}
      <div className={pad ? "p-3" : ""}>{children}</div>
    </section>
  );
}

export function Kbd({ children }: { children: ReactNode }) {
  return <kbd className="rounded-md border border-edge bg-raised px-1.5 text-xs">{children}</kbd>;
}
