// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link, useRouterState } from "@tanstack/react-router";
import { useEffect, useSyncExternalStore } from "react";
import type { Project } from "../api/types";
import { addressOf, pageAt } from "./pages";
import { pageLink } from "./usepages";

interface Crumb {
  path: string;
  text: string;
}

let current: Crumb | null = null;
const listeners = new Set<() => void>();

function set(next: Crumb | null) {
  current = next;
  for (const listener of listeners) listener();
}

/** useCrumb names the object of a page in the breadcrumb: `useCrumb(worker?.hostname)`. Until then its id stands. */
export function useCrumb(text: string | null | undefined) {
  const path = useRouterState({ select: (state) => state.location.pathname });
  useEffect(() => {
    if (!text) return;
    const mine = { path, text };
    set(mine);
    return () => {
      if (current === mine) set(null);
    };
  }, [path, text]);
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The last part of the address, for objects whose page has not named them. */
function lastPart(pathname: string, section: string): string | null {
  const rest = pathname.slice(section.length).split("/").filter(Boolean).at(-1);
  if (!rest) return null;
  let text = rest;
  try {
    text = decodeURIComponent(rest);
  } catch {
    // A hand-written address; what stands there is good enough.
  }
  return /^[0-9a-f-]{24,}$/i.test(text) ? text.slice(0, 8) : text;
}

/** Breadcrumb leads from the project over the section down to the object. */
export function Breadcrumb({ project }: { project: Project | undefined }) {
  const pathname = useRouterState({ select: (state) => state.location.pathname });
  const crumb = useSyncExternalStore(subscribe, () => current);
  const slug = project?.slug ?? null;
  const page = pageAt(pathname, slug);
  const section = page ? addressOf(page, slug) : null;
  const object = crumb?.path === pathname ? crumb.text : section ? lastPart(pathname, section) : null;
  const inProject = page !== null && project !== undefined && pathname.startsWith("/projects/");
  return (
    <nav aria-label="Breadcrumb" className="min-w-0 flex-1">
      <ol className="flex items-center gap-1.5 text-soft [&>li+li]:before:mr-1.5 [&>li+li]:before:content-['/'] max-md:[&>li:nth-child(2)]:before:hidden">
        {inProject && (
          <li className="shrink-0 truncate max-md:sr-only">
            <Link to="/projects/$slug" params={{ slug: project.slug }} className="rounded-md hover:text-ink">
              {project.slug}
            </Link>
          </li>
        )}
        {page && (
          <li className={`shrink-0 ${object ? "max-sm:sr-only" : ""}`}>
            {object ? (
              <Link {...(pageLink(page, slug) as { to: string })} className="rounded-md hover:text-ink">
                {page.label}
              </Link>
            ) : (
              <span aria-current="page" className="font-semibold text-ink">
                {page.label}
              </span>
            )}
          </li>
        )}
        {object && (
          <li className="min-w-0 truncate text-ink max-sm:before:hidden" title={crumb?.text ?? object}>
            <span aria-current="page">{object}</span>
          </li>
        )}
      </ol>
    </nav>
  );
}
