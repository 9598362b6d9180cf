// SPDX-License-Identifier: AGPL-3.0-or-later
import { Checkbox as C, ToggleGroup as G, Switch as S } from "radix-ui";
import { type ReactNode, useId } from "react";
import { CheckIcon } from "./icons";

/** Checkbox; without a visible label give `name` for screen readers. */
export function Checkbox({
  checked,
  onChange,
  label,
  name,
  disabled,
  select,
}: {
  checked: boolean | "indeterminate";
  onChange: (checked: boolean) => void;
  label?: ReactNode;
  name?: string;
  disabled?: boolean;
  /** The box that the key x presses in its row. */
  select?: boolean;
}) {
  const id = useId();
  const box = (
    <C.Root
      id={id}
      checked={checked}
      disabled={disabled}
      aria-label={label ? undefined : name}
      data-select={select || undefined}
      onCheckedChange={(next) => onChange(next === true)}
      className="relative z-10 grid size-4.5 shrink-0 place-items-center rounded-sm border border-edge bg-panel data-disabled:opacity-50 data-[state=checked]:border-accent data-[state=checked]:bg-accent data-[state=indeterminate]:border-accent data-[state=indeterminate]:bg-accent data-[state=checked]:text-accent-ink data-[state=indeterminate]:text-accent-ink max-sm:size-6"
    >
      <C.Indicator>
        {checked === "indeterminate" ? (
          <span className="block h-0.5 w-2.5 bg-current" />
        ) : (
          <CheckIcon className="size-3.5" />
        )}
      </C.Indicator>
    </C.Root>
  );
  if (!label) return box;
  return (
    <div className="flex items-center gap-2">
      {box}
      <label htmlFor={id}>{label}</label>
    </div>
  );
}

/** Switch takes effect at once; use a Checkbox in forms that are saved. */
export function Switch({
  checked,
  onChange,
  label,
  disabled,
}: {
  checked: boolean;
  onChange: (checked: boolean) => void;
  label: ReactNode;
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <div className="flex min-h-8 items-center gap-2">
      <S.Root
        id={id}
        checked={checked}
        disabled={disabled}
        onCheckedChange={onChange}
        className="h-5 w-9 shrink-0 rounded-full border border-edge bg-raised p-px data-[state=checked]:border-accent data-[state=checked]:bg-accent"
      >
        <S.Thumb className="block size-4 rounded-full bg-edge transition-transform data-[state=checked]:translate-x-4 data-[state=checked]:bg-accent-ink" />
      </S.Root>
      <label htmlFor={id}>{label}</label>
    </div>
  );
}

/** Choice is a row of buttons of which exactly one is pressed. */
export function Choice<T extends string>({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: T;
  options: { value: T; label: ReactNode }[];
  onChange: (value: T) => void;
}) {
  return (
    <G.Root
      type="single"
      aria-label={label}
      value={value}
      onValueChange={(next) => next && onChange(next as T)}
      className="inline-flex rounded-md border border-edge bg-panel p-0.5"
    >
      {options.map((option) => (
        <G.Item
          key={option.value}
          value={option.value}
          className="h-6.5 rounded-sm px-2.5 whitespace-nowrap text-soft hover:text-ink data-[state=on]:bg-accent-wash data-[state=on]:font-semibold data-[state=on]:text-ink max-sm:h-9"
        >
          {option.label}
        </G.Item>
      ))}
    </G.Root>
  );
}
