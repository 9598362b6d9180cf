// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { type AnyRouter, useRouter } from "@tanstack/react-router";
import { useMemo } from "react";
import { queries } from "../api/queries";
import type { Goto } from "../ui/goto";
import { needsProject, type PageEntry, pages } from "./pages";

/** hasRoute tells whether an address pattern leads to a page of this build. */
export function hasRoute(router: AnyRouter, to: string): boolean {
  const known = router.routesByPath as Record<string, unknown>;
  return to in known || `${to}/` in known;
}

/** usePages lists what the visitor can open: the pages that exist, fit the role, and have the project they need. */
export function usePages(slug: string | null): PageEntry[] {
  const router = useRouter();
  const me = useQuery(queries.me());
  const admin = me.data?.is_admin ?? false;
  return useMemo(
    () =>
      pages.filter(
        (page) =>
          hasRoute(router, page.to) && (admin || !page.admin) && (slug !== null || !needsProject(page)),
      ),
    [router, admin, slug],
  );
}

/** pageLink is what a Link or navigate needs. A page of the table exists, so its path is a known one. */
export function pageLink(page: PageEntry, slug: string | null): Goto {
  return (needsProject(page) ? { to: page.to, params: { slug: slug ?? "" } } : { to: page.to }) as Goto;
}
