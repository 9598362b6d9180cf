// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { atLeast, roleIn } from "../agents/access";
import { api } from "../api/client";
import { queries } from "../api/queries";
import { setZone, useZone } from "../ui/clock";
import type { Goto } from "../ui/goto";
import { applyTheme } from "../ui/theme";
import { useToast } from "../ui/toast";

export interface Command {
  id: string;
  label: string;
  note?: string;
  /** Other words people may type for it. */
  words?: string;
  goto?: Goto;
  run?: () => void;
}

/** useLogout ends the session; it says so when that did not work. */
export function useLogout(): () => Promise<void> {
  const navigate = useNavigate();
  const client = useQueryClient();
  const toast = useToast();
  return useCallback(async () => {
    try {
      await api.post("/auth/logout");
      // First leave, then forget: pages still on screen would ask again for what is cleared.
      await navigate({ to: "/login", search: {} });
      client.clear();
    } catch (error) {
      toast(
        "bad",
        `You are still logged in: ${error instanceof Error ? error.message : "the request failed"}`,
      );
    }
  }, [navigate, client, toast]);
}

/** useCommands are the things the palette can do besides going somewhere. */
export function useCommands(slug: string | null, onHelp: () => void): Command[] {
  const me = useQuery(queries.me());
  const zone = useZone();
  const toast = useToast();
  const logout = useLogout();
  const role = slug ? roleIn(me.data, slug) : "viewer";
  return useMemo(() => {
    const commands: Command[] = [];
    if (slug && atLeast(role, "admin")) {
      commands.push({
        id: "agent",
        label: "Create an agent",
        words: "mint token connect install",
        goto: { to: "/projects/$slug/agents/new", params: { slug } } as Goto,
      });
    }
    for (const theme of ["light", "dark", "system"] as const) {
      commands.push({
        id: `theme-${theme}`,
        label: theme === "system" ? "Theme: follow the system" : `Theme: ${theme}`,
        words: "switch appearance mode colour",
        run: () => applyTheme(theme),
      });
    }
    commands.push(
      {
        id: "zone",
        label: zone === "utc" ? "Show times in local time" : "Show times in UTC",
        words: "timezone clock zone",
        run: () => setZone(zone === "utc" ? "local" : "utc"),
      },
      {
        id: "copy",
        label: "Copy the address of this view",
        words: "share link url",
        run: () =>
          void (navigator.clipboard?.writeText(window.location.href) ?? Promise.reject()).then(
            () => toast("good", "The address is copied"),
            () => toast("warn", "The browser did not allow copying; copy it from the address bar"),
          ),
      },
      { id: "help", label: "Keyboard help", note: "?", words: "shortcuts keys", run: onHelp },
      { id: "logout", label: "Log out", words: "sign out leave", run: () => void logout() },
    );
    return commands;
  }, [slug, role, zone, onHelp, logout, toast]);
}
