// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useCallback, useState } from "react";
import { roleIn } from "../agents/access";
import { queries } from "../api/queries";
import type { Project } from "../api/types";
import { CheckIcon, CollapseIcon, LogoMark, MoreIcon, SelectIcon } from "../ui/icons";
import { Menu, MenuLabel, MenuLine, MenuLink } from "../ui/menu";
import { useMedia } from "./media";
import { groups, type PageEntry } from "./pages";
import { pageLink, usePages } from "./usepages";

const railKey = "z4j-rail";

/** useRail remembers whether the rail shows names or icons only; undecided, the width of the window decides. */
export function useRail(): [wide: boolean, toggle: () => void] {
  const roomy = useMedia("(min-width: 1280px)");
  const [chosen, setChosen] = useState(() => localStorage.getItem(railKey));
  const wide = chosen === null ? roomy : chosen === "wide";
  const toggle = useCallback(() => {
    const next = wide ? "narrow" : "wide";
    localStorage.setItem(railKey, next);
    setChosen(next);
  }, [wide]);
  return [wide, toggle];
}

interface RailProps {
  project: Project | undefined;
  projects: Project[];
  wide: boolean;
  onToggle: () => void;
}

/** Rail: projects, pages, settings; on phones the bottom bar takes its place. */
export function Rail({ project, projects, wide, onToggle }: RailProps) {
  const available = usePages(project?.slug ?? null);
  return (
    <aside
      aria-label="Navigation"
      data-rail={wide ? "wide" : "narrow"}
      className={`hidden shrink-0 flex-col border-line border-r bg-panel md:flex ${wide ? "w-52" : "w-14"}`}
    >
      <div
        className={`flex h-12 shrink-0 items-center gap-2 border-line border-b ${wide ? "px-3.5" : "justify-center"}`}
      >
        <Link to="/" aria-label="z4j, start page" className="flex items-center gap-2 rounded-md">
          <LogoMark />
          {wide && <span className="text-base font-bold">z4j</span>}
        </Link>
      </div>
      <div className="shrink-0 p-2">
        <ProjectSwitcher project={project} projects={projects} wide={wide} />
      </div>
      <nav aria-label="Pages" className="min-h-0 flex-1 space-y-3 overflow-y-auto px-2 pb-2">
        {groups.map((group) => {
          const shown = available.filter((page) => page.group === group);
          if (shown.length === 0) return null;
          return (
            <div key={group} className="space-y-0.5">
              {group !== "Start" &&
                (wide ? (
                  <h2 className="px-2.5 pb-0.5 text-xs font-semibold text-soft">{group}</h2>
                ) : (
                  <>
                    <h2 className="sr-only">{group}</h2>
                    <hr className="mx-2 mb-1.5 border-line" />
                  </>
                ))}
              {shown.map((page) => (
                <Link
                  key={page.id}
                  {...(pageLink(page, project?.slug ?? null) as { to: string })}
                  activeOptions={{ exact: page.exact ?? false, includeSearch: false }}
                  title={page.chord ? `${page.label} (g ${page.chord})` : page.label}
                  className={`flex h-8 items-center gap-2.5 rounded-md px-2.5 text-soft hover:bg-raised hover:text-ink aria-[current=page]:bg-accent-wash aria-[current=page]:font-semibold aria-[current=page]:text-ink ${wide ? "" : "justify-center"}`}
                >
                  <page.Icon className="size-4.5" />
                  <span className={wide ? "" : "sr-only"}>{page.label}</span>
                </Link>
              ))}
            </div>
          );
        })}
      </nav>
      <div className="shrink-0 border-line border-t p-2">
        <button
          type="button"
          onClick={onToggle}
          aria-expanded={wide}
          aria-label={wide ? "Show icons only" : "Show the names of the pages"}
          title={wide ? "Show icons only" : "Show the names of the pages"}
          className={`flex h-8 w-full items-center gap-2.5 rounded-md px-2.5 text-soft hover:bg-raised hover:text-ink ${wide ? "" : "justify-center"}`}
        >
          <CollapseIcon className={`size-4.5 ${wide ? "" : "rotate-180"}`} />
          {wide && <span>Icons only</span>}
        </button>
      </div>
    </aside>
  );
}

/** The bottom bar of a phone: the four pages that matter most, the rest behind "More". */
export function BottomBar({ project }: { project: Project | undefined }) {
  const slug = project?.slug ?? null;
  const available = usePages(slug);
  const first = available.filter((page) => page.phone);
  const rest = available.filter((page) => !page.phone);
  if (available.length === 0) return null;
  const cell =
    "flex min-h-14 min-w-0 flex-1 flex-col items-center justify-center gap-0.5 whitespace-nowrap text-[0.75rem] text-soft aria-[current=page]:text-accent aria-[current=page]:underline";
  return (
    <nav
      aria-label="Pages"
      className="flex shrink-0 border-line border-t bg-panel pb-[env(safe-area-inset-bottom)] md:hidden"
    >
      {first.map((page) => (
        <Link
          key={page.id}
          {...(pageLink(page, slug) as { to: string })}
          activeOptions={{ exact: page.exact ?? false, includeSearch: false }}
          className={cell}
        >
          <page.Icon className="size-5" />
          {page.label}
        </Link>
      ))}
      <Menu
        label="More pages"
        align="end"
        side="top"
        trigger={
          <button type="button" className={cell}>
            <MoreIcon className="size-5" />
            More
          </button>
        }
      >
        {rest.map((page) => (
          <MenuLink key={page.id}>
            <PageLink page={page} slug={slug} />
          </MenuLink>
        ))}
      </Menu>
    </nav>
  );
}

function PageLink({ page, slug, ...rest }: { page: PageEntry; slug: string | null }) {
  return (
    <Link {...(pageLink(page, slug) as { to: string })} {...rest}>
      <page.Icon className="size-4 text-soft" />
      {page.label}
    </Link>
  );
}

/** ProjectSwitcher leads to the overview of another project; which one it is always shows. */
export function ProjectSwitcher({
  project,
  projects,
  wide,
  phone = false,
}: {
  project: Project | undefined;
  projects: Project[];
  wide: boolean;
  phone?: boolean;
}) {
  const me = useQuery(queries.me());
  const available = usePages(project?.slug ?? null);
  const home = available.find((page) => page.id === "home");
  const name = project?.name ?? "No project";
  return (
    <Menu
      label={project ? `Project ${name}. Switch project` : "Choose a project"}
      trigger={
        phone ? (
          <button
            type="button"
            className="flex h-10 max-w-32 items-center gap-1.5 rounded-md font-semibold text-ink"
          >
            <LogoMark className="size-6" />
            <span className="truncate">{project?.name ?? "z4j"}</span>
            <SelectIcon className="size-4 text-soft" />
          </button>
        ) : (
          <button
            type="button"
            title={name}
            className={`flex h-9 w-full items-center gap-2 rounded-md border border-line bg-canvas text-left hover:bg-raised ${wide ? "px-2.5" : "justify-center"}`}
          >
            {wide ? (
              <>
                <span className="min-w-0 flex-1 truncate font-medium">{name}</span>
                <SelectIcon className="size-4 text-soft" />
              </>
            ) : (
              <span className="font-semibold uppercase">{name.slice(0, 2)}</span>
            )}
          </button>
        )
      }
    >
      <MenuLabel>{projects.length === 0 ? "You are in no project yet" : "Projects"}</MenuLabel>
      {projects.map((each) => (
        <MenuLink key={each.id}>
          <Link to="/projects/$slug" params={{ slug: each.slug }}>
            <CheckIcon className={`size-4 ${each.id === project?.id ? "text-accent" : "invisible"}`} />
            <span className="min-w-0 flex-1 truncate">{each.name}</span>
            <span className="text-xs text-soft">{roleIn(me.data, each.slug)}</span>
          </Link>
        </MenuLink>
      ))}
      {home && (
        <>
          <MenuLine />
          <MenuLink>
            <PageLink page={{ ...home, label: "All projects" }} slug={null} />
          </MenuLink>
        </>
      )}
    </Menu>
  );
}
