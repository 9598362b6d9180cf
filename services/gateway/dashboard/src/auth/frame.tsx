// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ReactNode } from "react";
import { LogoMark } from "../ui/icons";
import { ThemeSwitch } from "../ui/theme";

/** The page around the forms that come before the login. */
export function AuthFrame({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="flex min-h-full flex-col items-center px-4 py-[12vh]">
      <div className="w-full max-w-sm space-y-5">
        <div className="flex items-center gap-2.5">
          <LogoMark className="size-8" />
          <span className="text-lg font-bold">z4j</span>
          <span className="ml-auto">
            <ThemeSwitch />
          </span>
        </div>
        <div className="space-y-4 rounded-md border border-line bg-panel p-5">
          <h1 className="text-lg font-semibold">{title}</h1>
          {children}
        </div>
      </div>
    </main>
  );
}
