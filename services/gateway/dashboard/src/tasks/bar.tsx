// SPDX-License-Identifier: AGPL-3.0-or-later
import { type KeyboardEvent, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "react";
import { formatCount } from "../api/time";
import { CloseIcon, SearchIcon } from "../ui/icons";
import { StateShape, taskLook } from "../ui/state";
import { complete, type Suggestion, type Vocabulary } from "./complete";
import { add, bareOf, type Parsed, type Problem, parse, type Token, without } from "./query";

/** Typing plain words counts after this rest; a filter with a key counts when it is finished. */
const settle = 250;

interface Props {
  q: string;
  onChange: (q: string, replace: boolean) => void;
  vocabulary: Vocabulary;
}

/** FilterBar shows the filter as removable tokens and lets the next one be written, with completion. */
export function FilterBar({ q, onChange, vocabulary }: Props) {
  const bar = useBar(q, onChange);
  const { base, draft } = bar;
  const list = useId();
  const input = useRef<HTMLInputElement>(null);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const [caret, setCaret] = useState(0);

  const suggestions = useMemo(
    () => (open ? complete(draft, Math.min(caret, draft.length), vocabulary) : []),
    [open, draft, caret, vocabulary],
  );
  const shownAt = Math.min(active, suggestions.length - 1);
  const parsed = useMemo(() => parse(base), [base]);
  const fault = bar.fault ?? parsed.problems[0] ?? null;

  // The caret can stand in the new text once React has set it, and has to before the next key comes.
  const caretWanted = useRef<number | null>(null);
  useLayoutEffect(() => {
    const at = caretWanted.current;
    if (at === null) return;
    caretWanted.current = null;
    input.current?.setSelectionRange(at, at);
  });

  const write = (text: string, at: number) => {
    bar.write(text);
    setCaret(at);
    setActive(-1);
    setOpen(true);
    caretWanted.current = at;
  };
  const choose = (suggestion: Suggestion) => {
    if (suggestion.done && bar.commit(suggestion.text)) {
      setActive(-1);
      return;
    }
    write(suggestion.text, suggestion.caret);
  };
  const edit = (token: Token) => {
    bar.edit(token);
    setOpen(true);
    setCaret(token.to - token.from);
    input.current?.focus();
  };

  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    const chosen = suggestions[shownAt];
    switch (event.key) {
      case "ArrowDown":
      case "ArrowUp": {
        event.preventDefault();
        if (!open) setOpen(true);
        const step = event.key === "ArrowDown" ? 1 : -1;
        const count = suggestions.length;
        if (count > 0) setActive(shownAt < 0 && step < 0 ? count - 1 : (shownAt + step + count) % count);
        return;
      }
      case "Enter": {
        event.preventDefault();
        if (chosen) choose(chosen);
        else if (!bar.commit(draft)) {
          // A word that is only begun means the first thing that it can become.
          const first = suggestions[0];
          if (first && draft.includes(":")) choose(first);
          else setOpen(false);
        } else setOpen(false);
        return;
      }
      case "Tab": {
        const first = chosen ?? suggestions[0];
        if (event.shiftKey || !first || draft === "") return;
        event.preventDefault();
        choose(first);
        return;
      }
      case " ": {
        // A finished filter becomes a token as soon as the next word begins.
        if (/^-?\w+:/.test(draft) && caret === draft.length && bar.commit(draft)) event.preventDefault();
        return;
      }
      case "Backspace": {
        const last = parsed.tokens.at(-1);
        if (draft === "" && last) {
          event.preventDefault();
          edit(last);
        }
        return;
      }
      case "Escape": {
        event.stopPropagation();
        if (open && suggestions.length > 0) setOpen(false);
        else event.currentTarget.blur();
        return;
      }
    }
  };

  return (
    <search className="relative min-w-0 flex-1 basis-80">
      <div
        onPointerDown={(event) => {
          if (event.target !== event.currentTarget) return;
          event.preventDefault();
          input.current?.focus();
        }}
        className="flex min-h-8 cursor-text flex-wrap items-center gap-1 rounded-md border border-edge bg-panel py-[3px] pr-1 pl-2 focus-within:outline-2 focus-within:outline-accent focus-within:outline-offset-1 max-sm:min-h-10"
      >
        <SearchIcon className="size-4 shrink-0 text-soft" />
        {parsed.tokens.map((token) => (
          <Chip
            key={`${token.from} ${base.slice(token.from, token.to)}`}
            token={token}
            text={base.slice(token.from, token.to)}
            bad={problemIn(parsed, token)}
            onEdit={() => edit(token)}
            onRemove={() => bar.set(without(base, token))}
          />
        ))}
        <input
          ref={input}
          type="text"
          role="combobox"
          aria-label="Filter the tasks"
          aria-autocomplete="list"
          aria-expanded={suggestions.length > 0}
          aria-controls={suggestions.length > 0 ? list : undefined}
          aria-activedescendant={shownAt >= 0 ? `${list}-${shownAt}` : undefined}
          aria-invalid={fault !== null || undefined}
          aria-describedby={fault ? `${list}-fault` : undefined}
          data-search
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          enterKeyHint="search"
          maxLength={500}
          placeholder={base ? "" : "Filter: state:failure, queue:mail, since:2h, or any word"}
          className="h-6 min-w-24 flex-1 bg-transparent px-1 outline-none max-sm:h-8"
          value={draft}
          onFocus={() => setOpen(true)}
          onBlur={() => setOpen(false)}
          onChange={(event) => {
            bar.write(event.target.value);
            setCaret(event.target.selectionStart ?? event.target.value.length);
            setActive(-1);
            setOpen(true);
          }}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? 0)}
          onKeyDown={onKeyDown}
        />
        {(base || draft) && (
          <button
            type="button"
            aria-label="Clear the filter"
            title="Clear the filter"
            onClick={() => {
              bar.set("");
              input.current?.focus();
            }}
            className="grid size-6 shrink-0 place-items-center rounded-md text-soft hover:bg-raised hover:text-ink max-sm:size-8"
          >
            <CloseIcon className="size-3.5" />
          </button>
        )}
      </div>
      {suggestions.length > 0 && (
        <div
          id={list}
          role="listbox"
          aria-label="Suggestions"
          className="absolute top-full left-0 z-40 mt-1 max-h-80 w-[min(24rem,100%)] overflow-y-auto rounded-md border border-edge bg-panel p-1"
        >
          {suggestions.map((suggestion, i) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the field's arrow keys and Enter choose
            <div
              key={suggestion.text}
              id={`${list}-${i}`}
              role="option"
              aria-selected={i === shownAt}
              onPointerDown={(event) => event.preventDefault()}
              onClick={() => choose(suggestion)}
              ref={i === shownAt ? intoView : undefined}
              className={`flex min-h-7 cursor-pointer items-center gap-2 rounded-md px-2 max-sm:min-h-10 ${i === shownAt ? "bg-accent-wash" : "hover:bg-raised"}`}
            >
              <span className="min-w-0 truncate font-medium">{suggestion.label}</span>
              {suggestion.about && <span className="min-w-0 truncate text-soft">{suggestion.about}</span>}
              {suggestion.count !== undefined && (
                <span className="ml-auto shrink-0 text-xs text-soft">{formatCount(suggestion.count)}</span>
              )}
            </div>
          ))}
        </div>
      )}
      {fault && suggestions.length === 0 && (
        <Fault id={`${list}-fault`} text={bar.fault ? draft : base} problem={fault} />
      )}
    </search>
  );
}

const intoView = (element: HTMLElement | null) => element?.scrollIntoView({ block: "nearest" });

const problemIn = ({ problems }: Parsed, token: Token): string | null =>
  problems.find((each) => each.from >= token.from && each.to <= token.to)?.message ?? null;

/** useBar keeps what is finished apart from what is still being written. */
function useBar(q: string, onChange: Props["onChange"]) {
  const [state, setState] = useState({ base: q, draft: "", fault: null as Problem | null });
  const sent = useRef(q);
  const timer = useRef(0);
  useEffect(() => {
    // The address changed by other means: a link, a facet, the way back.
    if (q === sent.current) return;
    sent.current = q;
    window.clearTimeout(timer.current);
    setState({ base: q, draft: "", fault: null });
  }, [q]);
  useEffect(() => () => window.clearTimeout(timer.current), []);

  const send = (next: string, replace: boolean) => {
    window.clearTimeout(timer.current);
    if (next === sent.current) return;
    sent.current = next;
    onChange(next, replace);
  };
  return {
    ...state,
    set: (next: string) => {
      setState({ base: next, draft: "", fault: null });
      send(next, false);
    },
    write: (draft: string) => {
      setState((old) => ({ ...old, draft, fault: null }));
      window.clearTimeout(timer.current);
      const { tokens, problems } = parse(draft);
      if (problems.length > 0 || tokens.some((token) => token.key !== null || token.negated)) return;
      timer.current = window.setTimeout(() => send(add(state.base, draft), true), settle);
    },
    edit: (token: Token) => {
      const text = state.base.slice(token.from, token.to);
      setState({ base: add(without(state.base, token), state.draft), draft: text, fault: null });
    },
    /** commit makes the draft part of the filter; false when it can't be read. */
    commit: (draft: string): boolean => {
      const problem = parse(draft).problems[0];
      if (problem) {
        setState((old) => ({ ...old, draft, fault: problem }));
        return false;
      }
      const next = add(state.base, draft);
      setState({ base: next, draft: "", fault: null });
      send(next, false);
      return true;
    },
  };
}

function Chip({
  token,
  text,
  bad,
  onEdit,
  onRemove,
}: {
  token: Token;
  text: string;
  bad: string | null;
  onEdit: () => void;
  onRemove: () => void;
}) {
  const values = token.values.map((value) => value.text);
  const look = bad
    ? "border-bad bg-bad-wash"
    : token.key
      ? "border-line bg-accent-wash"
      : "border-line bg-raised";
  return (
    <span
      data-token={text}
      title={bad ?? undefined}
      className={`inline-flex h-6 max-w-full items-center rounded-md border max-sm:h-8 ${look}`}
    >
      <button
        type="button"
        aria-label={`Edit the filter ${text}`}
        onClick={onEdit}
        className="flex h-full min-w-0 items-center gap-1 rounded-l-md pl-1.5"
      >
        {token.negated && <span className="font-semibold text-bad">not</span>}
        {token.key && <span className="text-soft">{token.key}</span>}
        {values.map((value, i) => (
          <span key={value} className="flex min-w-0 items-center gap-1">
            {i > 0 && <span className="text-soft">or</span>}
            {token.key === "state" && <StateShape look={taskLook(value)} />}
            <span className="min-w-0 truncate font-medium">
              {token.key ? bareOf(value) : text.startsWith('"') ? `“${value}”` : value}
            </span>
          </span>
        ))}
      </button>
      <button
        type="button"
        aria-label={`Remove the filter ${text}`}
        onClick={onRemove}
        className="grid h-full w-6 shrink-0 place-items-center rounded-r-md text-soft hover:text-ink max-sm:w-8"
      >
        <CloseIcon className="size-3" />
      </button>
    </span>
  );
}

/** Fault shows the text with the part that can't be read marked, and what to do. */
function Fault({ id, text, problem }: { id: string; text: string; problem: Problem }) {
  return (
    <p id={id} role="alert" className="pt-1 text-xs text-bad">
      <code className="mr-2">
        {text.slice(0, problem.from)}
        <mark className="bg-bad-wash text-bad underline decoration-wavy">
          {text.slice(problem.from, problem.to)}
        </mark>
        {text.slice(problem.to)}
      </code>
      {problem.message}
    </p>
  );
}
