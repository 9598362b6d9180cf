// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ComponentType } from "react";
import {
  AgentsIcon,
  CommandsIcon,
  DeadIcon,
  HomeIcon,
  IssuesIcon,
  OverviewIcon,
  QueuesIcon,
  SystemPageIcon,
  TasksIcon,
  TrendsIcon,
  UserIcon,
  WorkersIcon,
} from "../ui/icons";

export interface PageEntry {
  id: string;
  label: string;
  /** The route's path; a page without its route is not offered anywhere. */
  to: string;
  group: "Start" | "Monitor" | "Control" | "Settings";
  /** The key after g. */
  chord?: string;
  Icon: ComponentType<{ className?: string }>;
  /** One of the four on a phone's bottom bar; the others are behind "More". */
  phone?: boolean;
  /** Only for administrators of the installation. */
  admin?: boolean;
  /** Its numbers obey the time range: "all" with the pages below it, "list" without. */
  range?: "all" | "list";
  /** Only itself is current, not what is below its address. */
  exact?: boolean;
}

/** Every page of the dashboard, once: rail, bottom bar, palette, breadcrumb and keyboard map are made from it. */
export const pages: PageEntry[] = [
  { id: "home", label: "Home", to: "/home", group: "Start", chord: "h", Icon: HomeIcon, range: "all" },
  {
    id: "overview",
    range: "all",
    label: "Overview",
    to: "/projects/$slug",
    group: "Monitor",
    chord: "o",
    Icon: OverviewIcon,
    phone: true,
    exact: true,
  },
  {
    id: "tasks",
    range: "list",
    label: "Tasks",
    to: "/projects/$slug/tasks",
    group: "Monitor",
    chord: "t",
    Icon: TasksIcon,
    phone: true,
  },
  {
    id: "issues",
    range: "all",
    label: "Issues",
    to: "/projects/$slug/issues",
    group: "Monitor",
    chord: "i",
    Icon: IssuesIcon,
    phone: true,
  },
  {
    id: "trends",
    range: "all",
    label: "Trends",
    to: "/projects/$slug/trends",
    group: "Monitor",
    chord: "r",
    Icon: TrendsIcon,
  },
  {
    id: "queues",
    range: "all",
    label: "Queues",
    to: "/projects/$slug/queues",
    group: "Monitor",
    chord: "q",
    Icon: QueuesIcon,
    phone: true,
  },
  {
    id: "workers",
    range: "all",
    label: "Workers",
    to: "/projects/$slug/workers",
    group: "Monitor",
    chord: "w",
    Icon: WorkersIcon,
  },
  {
    id: "agents",
    label: "Agents",
    to: "/projects/$slug/agents",
    group: "Monitor",
    chord: "a",
    Icon: AgentsIcon,
  },
  {
    id: "commands",
    range: "list",
    label: "Commands",
    to: "/projects/$slug/commands",
    group: "Control",
    chord: "c",
    Icon: CommandsIcon,
  },
  {
    id: "dead-letters",
    label: "Dead letters",
    to: "/projects/$slug/dead-letters",
    group: "Control",
    chord: "d",
    Icon: DeadIcon,
  },
  { id: "account", label: "Profile", to: "/account", group: "Settings", Icon: UserIcon },
  { id: "system", label: "System", to: "/system", group: "Settings", Icon: SystemPageIcon, admin: true },
];

export const groups = ["Start", "Monitor", "Control", "Settings"] as const;

const inProject = (page: PageEntry) => page.to.includes("$slug");
export const needsProject = inProject;

/** addressOf fills in the project; null when the page needs one and there is none. */
export function addressOf(page: PageEntry, slug: string | null): string | null {
  if (!inProject(page)) return page.to;
  return slug === null ? null : page.to.replace("$slug", encodeURIComponent(slug));
}

/** pageAt finds the page an address belongs to: the longest one it starts with. */
export function pageAt(pathname: string, slug: string | null): PageEntry | null {
  let best: PageEntry | null = null;
  let length = 0;
  const path = pathname.replace(/\/+$/, "");
  for (const page of pages) {
    const address = addressOf(page, slug);
    if (!address || address.length <= length) continue;
    if (path === address || (!page.exact && path.startsWith(`${address}/`))) {
      best = page;
      length = address.length;
    }
  }
  return best;
}

/** obeysRange tells whether the time range belongs into the top bar of a page. */
export function obeysRange(pathname: string, slug: string | null): boolean {
  const page = pageAt(pathname, slug);
  if (!page?.range) return false;
  return page.range === "all" || pathname.replace(/\/+$/, "") === addressOf(page, slug);
}
