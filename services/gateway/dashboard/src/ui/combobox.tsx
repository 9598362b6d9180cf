// SPDX-License-Identifier: AGPL-3.0-or-later
import { type KeyboardEvent, type ReactNode, useEffect, useId, useMemo, useRef, useState } from "react";
import { inputClass } from "./controls";
import { best, score } from "./match";

export interface Option {
  value: string;
  label: string;
  note?: string;
}

const shownMost = 60;

/** Combobox is a field that finds one of many options by typing; only an option can be chosen. */
export function Combobox({
  label,
  value,
  options,
  onChange,
  hint,
  error,
}: {
  label: string;
  value: string;
  options: Option[];
  onChange: (value: string) => void;
  hint?: ReactNode;
  error?: string | null;
}) {
  const id = useId();
  const [typed, setTyped] = useState<string | null>(null);
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const open = typed !== null;
  const current = options.find((option) => option.value === value);
  const found = useMemo(
    () =>
      best(options, typed ?? "", (option) => score(typed ?? "", option.label), shownMost).map(
        ({ item }) => item,
      ),
    [options, typed],
  );
  const chosen = found[Math.min(at, found.length - 1)];
  const close = () => setTyped(null);
  const choose = (option: Option | undefined) => {
    if (option) onChange(option.value);
    close();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) {
        setTyped("");
        return;
      }
      const step = event.key === "ArrowDown" ? 1 : -1;
      setAt((old) =>
        found.length === 0 ? 0 : (Math.min(old, found.length - 1) + step + found.length) % found.length,
      );
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      choose(chosen);
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
  };
  const chosenValue = chosen?.value;
  // biome-ignore lint/correctness/useExhaustiveDependencies: scrolls when the chosen one changes
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [chosenValue]);
  return (
    <div className="relative space-y-1">
      <label htmlFor={id} className="block font-medium">
        {label}
      </label>
      <input
        id={id}
        role="combobox"
        aria-expanded={open}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={open && chosen ? `${id}-${found.indexOf(chosen)}` : undefined}
        aria-invalid={Boolean(error) || undefined}
        aria-describedby={hint || error ? `${id}-note` : undefined}
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
        placeholder={current?.label ?? value}
        value={typed ?? current?.label ?? value}
        onFocus={(event) => event.target.select()}
        onChange={(event) => {
          setTyped(event.target.value);
          setAt(0);
        }}
        onClick={() => {
          if (!open) {
            setTyped("");
            setAt(0);
          }
        }}
        onBlur={close}
        onKeyDown={onKey}
        className={inputClass}
      />
      <div
        ref={list}
        id={`${id}-list`}
        role="listbox"
        aria-label={label}
        hidden={!open}
        className="absolute inset-x-0 z-20 max-h-72 overflow-y-auto rounded-md border border-edge bg-panel p-1"
      >
        {open &&
          found.map((option, i) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the field above holds the focus and the keys
            <div
              key={option.value}
              id={`${id}-${i}`}
              role="option"
              aria-selected={option === chosen}
              // The field keeps the focus, so that its blur does not close the list before the click.
              onPointerDown={(event) => event.preventDefault()}
              onPointerMove={() => setAt(i)}
              onClick={() => choose(option)}
              className="flex min-h-8 cursor-pointer items-center gap-2 rounded-md px-2 aria-selected:bg-accent-wash max-sm:min-h-11"
            >
              <span className="min-w-0 flex-1 truncate">{option.label}</span>
              {option.note && <span className="text-xs text-soft">{option.note}</span>}
            </div>
          ))}
        {open && found.length === 0 && (
          <div role="option" aria-selected={false} aria-disabled="true" className="px-2 py-2 text-soft">
            Nothing is called that
          </div>
        )}
      </div>
      {(hint || error) && (
        <p id={`${id}-note`} className={`text-xs ${error ? "text-bad" : "text-soft"}`}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}
