// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Button, ErrorNote } from "./controls";
import { Dialog, TypedField } from "./dialog";
import { StateShape } from "./state";

export interface ItemResult {
  key: string;
  label: ReactNode;
  ok: boolean;
  /** Why not, or what came of it. */
  text?: ReactNode;
}

/** Above this many items the number itself has to be typed. */
export const typedAbove = 100;
const shownResults = 200;

interface Props {
  /** "Retry 12 tasks" */
  title: string;
  /** The name of the button: "Retry them" */
  action: string;
  danger?: boolean;
  /** How many things change; omit it for a single thing. */
  count?: number;
  /** The count is a lower bound ("at least 1000"). */
  atLeast?: boolean;
  /** A few of them by name, so that nobody acts on the wrong ones. */
  sample?: ReactNode[];
  /** What can't be undone, in one sentence. */
  irreversible?: ReactNode;
  /** A word to type whatever the count is, such as the name of a queue. */
  typed?: string;
  /** Why it can't be done now. */
  reason?: string | null;
  /**
   * Does the work. `report` each item as it ends to show progress and what failed; without reports the dialog
   * closes when the promise fulfils. A rejection is shown and can be tried again.
   */
  onConfirm: (report: (result: ItemResult) => void, signal: AbortSignal) => Promise<unknown>;
  onClose: () => void;
  /** More about what will happen, above the sample. */
  children?: ReactNode;
}

/** ConfirmDialog says what an action will do, asks, and then says what it did, item by item. */
export function ConfirmDialog(props: Props) {
  const { title, action, danger, count, atLeast, sample, irreversible, reason, onConfirm, onClose } = props;
  const typed = props.typed ?? (count !== undefined && count > typedAbove ? String(count) : undefined);
  const [text, setText] = useState("");
  const [phase, setPhase] = useState<"ask" | "work" | "done">("ask");
  const [results, setResults] = useState<ItemResult[]>([]);
  const [error, setError] = useState<unknown>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const blocked = reason ?? (typed !== undefined && text !== typed ? `Type ${typed} to go on` : null);

  const run = async () => {
    setPhase("work");
    setError(null);
    setResults([]);
    const control = new AbortController();
    abort.current = control;
    let reported = false;
    try {
      await onConfirm((result) => {
        reported = true;
        if (!control.signal.aborted) setResults((all) => [...all, result]);
      }, control.signal);
      if (control.signal.aborted) return;
      if (reported) setPhase("done");
      else onClose();
    } catch (failure) {
      if (control.signal.aborted) return;
      setError(failure);
      setPhase(reported ? "done" : "ask");
    }
  };

  const failed = results.filter((each) => !each.ok);
  const rest = count !== undefined && sample ? count - sample.length : 0;
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (!blocked && phase === "ask") void run();
        }}
      >
        {phase === "ask" && (
          <>
            {props.children && <div className="space-y-2">{props.children}</div>}
            {sample && sample.length > 0 && (
              <div>
                <p className="text-xs text-soft">
                  {count === undefined
                    ? "This concerns"
                    : `${atLeast ? "At least " : ""}${count} in all, for example`}
                </p>
                <ul
                  className="mt-1 max-h-40 overflow-y-auto rounded-md border border-line"
                  tabIndex={0}
                  aria-label="Some of them"
                >
                  {sample.map((each, i) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: a fixed list that is only read
                    <li key={i} className="truncate border-line border-t px-2 py-1 first:border-t-0">
                      {each}
                    </li>
                  ))}
                  {rest > 0 && <li className="border-line border-t px-2 py-1 text-soft">and {rest} more</li>}
                </ul>
              </div>
            )}
            {irreversible && (
              <p className="rounded-md border border-warn bg-warn-wash px-3 py-2">{irreversible}</p>
            )}
            {error !== null && <ErrorNote error={error} what="Nothing was changed by this attempt" />}
            {typed !== undefined && <TypedField typed={typed} value={text} onChange={setText} />}
          </>
        )}
        {phase !== "ask" && (
          <div className="space-y-3" data-testid="progress">
            <Progress
              done={results.length}
              total={count ?? null}
              working={phase === "work"}
              failed={failed.length}
            />
            {error !== null && <ErrorNote error={error} what="The work stopped before its end" />}
            {results.length > 0 && (
              <ul
                className="max-h-60 overflow-y-auto rounded-md border border-line"
                tabIndex={0}
                aria-label="Result of each item"
              >
                {[...failed, ...results.filter((each) => each.ok)].slice(0, shownResults).map((each) => (
                  <li
                    key={each.key}
                    className="flex items-center gap-2 border-line border-t px-2 py-1 first:border-t-0"
                  >
                    <StateShape
                      look={
                        each.ok
                          ? { label: "Done", shape: "disc", tone: "good" }
                          : { label: "Failed", shape: "triangle", tone: "bad" }
                      }
                    />
                    <span className="sr-only">{each.ok ? "Done" : "Failed"}</span>
                    <span className="min-w-0 flex-1 truncate">{each.label}</span>
                    {each.text && <span className="min-w-0 truncate text-xs text-soft">{each.text}</span>}
                  </li>
                ))}
              </ul>
            )}
          </div>
        )}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>
            {phase === "ask" ? "Keep as it is" : phase === "work" ? "Stop watching" : "Close"}
          </Button>
          {phase !== "done" && (
            <Button
              kind={danger ? "danger" : "primary"}
              type="submit"
              reason={blocked}
              busy={phase === "work"}
            >
              {action}
            </Button>
          )}
        </div>
      </form>
    </Dialog>
  );
}

/** Progress of work on many things. */
export function Progress({
  done,
  total,
  failed = 0,
  working,
}: {
  done: number;
  total: number | null;
  failed?: number;
  working: boolean;
}) {
  const share = total ? Math.min(1, done / total) : working ? 0 : 1;
  return (
    <div className="space-y-1">
      <p aria-live="polite">
        {working ? `${done}${total ? ` of ${total}` : ""} done` : `${done - failed} done`}
        {failed > 0 && <span className="text-bad">, {failed} failed</span>}
      </p>
      <div
        role="progressbar"
        aria-label="Progress"
        aria-valuemin={0}
        aria-valuemax={total ?? undefined}
        aria-valuenow={total ? done : undefined}
        className="h-1.5 overflow-hidden rounded-full bg-raised"
      >
        <div
          className={`h-full ${failed > 0 ? "bg-warn" : "bg-accent"}`}
          style={{ width: `${share * 100}%` }}
        />
      </div>
    </div>
  );
}
