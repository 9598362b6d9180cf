// SPDX-License-Identifier: AGPL-3.0-or-later
import { useSyncExternalStore } from "react";
import { MoonIcon, SunIcon, SystemIcon } from "./icons";

export type Theme = "system" | "light" | "dark";
const key = "z4j-theme";
const order: Theme[] = ["system", "light", "dark"];
const listeners = new Set<() => void>();

export function savedTheme(): Theme {
  const saved = localStorage.getItem(key);
  return saved === "light" || saved === "dark" ? saved : "system";
}

export function applyTheme(theme: Theme) {
  if (theme === "system") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(key);
  } else {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(key, theme);
  }
  for (const listener of listeners) listener();
}

export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, savedTheme);
}

export function ThemeSwitch({ className = "" }: { className?: string }) {
  const theme = useTheme();
  const next = order[(order.indexOf(theme) + 1) % order.length] ?? "system";
  const Icon = { system: SystemIcon, light: SunIcon, dark: MoonIcon }[theme];
  return (
    <button
      type="button"
      title={`Theme: ${theme}. Switch to ${next}`}
      aria-label={`Theme: ${theme}. Switch to ${next}`}
      className={`grid size-8 place-items-center rounded-md text-soft hover:bg-raised hover:text-ink max-sm:size-10 ${className}`}
      onClick={() => applyTheme(next)}
    >
      <Icon />
    </button>
  );
}
