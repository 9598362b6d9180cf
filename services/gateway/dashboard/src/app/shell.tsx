// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams, useRouterState } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";
import { roleIn } from "../agents/access";
import { api } from "../api/client";
import { LiveProject } from "../api/live";
import { queries } from "../api/queries";
import { zoneName } from "../api/time";
import type { Project } from "../api/types";
import { setZone, useZone } from "../ui/clock";
import { Empty, ErrorNote, SkeletonRows } from "../ui/controls";
import {
  AgentsIcon,
  CheckIcon,
  CommandsIcon,
  LogoMark,
  QueuesIcon,
  SelectIcon,
  TasksIcon,
  UserIcon,
  WorkersIcon,
} from "../ui/icons";
import { ThemeSwitch } from "../ui/theme";
import { useToast } from "../ui/toast";
import { Connection } from "./connection";
import { lastProject, rememberProject } from "./lastproject";
import { Menu, menuItem } from "./menu";
import { RangePicker } from "./range";
import { Shortcuts } from "./shortcuts";

const sections = [
  { to: "/projects/$slug/tasks", label: "Tasks", Icon: TasksIcon },
  { to: "/projects/$slug/queues", label: "Queues", Icon: QueuesIcon },
  { to: "/projects/$slug/workers", label: "Workers", Icon: WorkersIcon },
  { to: "/projects/$slug/agents", label: "Agents", Icon: AgentsIcon },
  { to: "/projects/$slug/commands", label: "Commands", Icon: CommandsIcon },
] as const;

/** The frame around every page behind the login: rail (a bottom bar on phones), top bar, push socket. */
export function Shell() {
  const { slug } = useParams({ strict: false });
  const projects = useQuery(queries.projects());
  const wanted = slug ?? lastProject();
  const project =
    projects.data?.find((each) => each.slug === wanted) ?? (slug ? undefined : projects.data?.[0]);
  useEffect(() => {
    if (slug && project) rememberProject(slug);
  }, [slug, project]);

  let page: ReactNode = <Outlet />;
  if (slug && !project) {
    if (projects.error) {
      page = (
        <div className="p-4">
          <ErrorNote
            error={projects.error}
            what="Your projects could not be loaded"
            onRetry={() => void projects.refetch()}
          />
        </div>
      );
    } else if (!projects.data) page = <SkeletonRows label="Loading the project" />;
    else page = <NoSuchProject slug={slug} />;
  }

  const frame = (
    <div className="flex h-full flex-col md:flex-row">
      <a href="#page" className="sr-only focus:not-sr-only focus:fixed focus:z-50 focus:bg-panel focus:p-2">
        Skip to the page
      </a>
      <Rail project={project} projects={projects.data ?? []} />
      <div className="flex min-h-0 min-w-0 flex-1 flex-col">
        <TopBar project={project} />
        <main id="page" tabIndex={-1} className="min-h-0 flex-1 overflow-auto outline-none">
          {page}
        </main>
      </div>
      <BottomBar project={project} />
      <Shortcuts slug={project?.slug ?? null} />
    </div>
  );
  return project ? (
    <LiveProject key={project.id} projectId={project.id} slug={project.slug}>
      {frame}
    </LiveProject>
  ) : (
    frame
  );
}

function NoSuchProject({ slug }: { slug: string }) {
  return (
    <Empty title="There is no such project for you">
      <p>
        <code>{slug}</code> does not exist, or you are not a member of it. Ask one of its administrators to
        add you.
      </p>
      <p>
        <Link to="/" className="text-accent underline">
          Go to your tasks
        </Link>
      </p>
    </Empty>
  );
}

function Rail({ project, projects }: { project: Project | undefined; projects: Project[] }) {
  return (
    <aside
      aria-label="Navigation"
      className="hidden w-14 shrink-0 flex-col border-line border-r bg-panel md:flex xl:w-52"
    >
      <div className="flex h-12 items-center gap-2 border-line border-b px-3.5 max-xl:justify-center">
        <Link to="/" aria-label="z4j, start page" className="flex items-center gap-2 rounded-md">
          <LogoMark />
          <span className="hidden text-base font-bold xl:inline">z4j</span>
        </Link>
      </div>
      <div className="p-2">
        <ProjectSwitcher project={project} projects={projects} />
      </div>
      {project && (
        <nav aria-label="Project" className="flex-1 space-y-0.5 px-2">
          {sections.map(({ to, label, Icon }) => (
            <Link
              key={to}
              to={to}
              params={{ slug: project.slug }}
              title={label}
              className="flex h-9 items-center gap-2.5 rounded-md px-2.5 text-soft hover:bg-raised hover:text-ink aria-[current=page]:bg-accent-wash aria-[current=page]:font-semibold aria-[current=page]:text-ink max-xl:justify-center"
            >
              <Icon className="size-4.5" />
              <span className="max-xl:sr-only">{label}</span>
            </Link>
          ))}
        </nav>
      )}
    </aside>
  );
}

function BottomBar({ project }: { project: Project | undefined }) {
  if (!project) return null;
  return (
    <nav
      aria-label="Project"
      className="flex shrink-0 border-line border-t bg-panel pb-[env(safe-area-inset-bottom)] md:hidden"
    >
      {sections.map(({ to, label, Icon }) => (
        <Link
          key={to}
          to={to}
          params={{ slug: project.slug }}
          className="flex min-h-14 min-w-0 flex-1 flex-col items-center justify-center gap-0.5 whitespace-nowrap text-[0.75rem] text-soft aria-[current=page]:text-accent aria-[current=page]:underline"
        >
          <Icon className="size-5" />
          {label}
        </Link>
      ))}
    </nav>
  );
}

function ProjectSwitcher({ project, projects }: { project: Project | undefined; projects: Project[] }) {
  const me = useQuery(queries.me());
  return (
    <Menu
      label={project ? `Project ${project.name}. Switch project` : "Choose a project"}
      trigger={
        <span className="flex h-9 items-center gap-2 rounded-md border border-line bg-canvas px-2.5 hover:bg-raised max-xl:justify-center max-xl:px-0">
          <span className="min-w-0 flex-1 truncate font-medium max-xl:hidden">
            {project?.name ?? "No project"}
          </span>
          <span className="font-semibold uppercase xl:hidden">{(project?.name ?? "?").slice(0, 2)}</span>
          <SelectIcon className="size-4 text-soft max-xl:hidden" />
        </span>
      }
    >
      {projects.map((each) => (
        <Link
          key={each.id}
          to="/projects/$slug/tasks"
          params={{ slug: each.slug }}
          className={menuItem}
          activeOptions={{ exact: true }}
        >
          <CheckIcon className={`size-4 ${each.id === project?.id ? "text-accent" : "invisible"}`} />
          <span className="min-w-0 flex-1 truncate">{each.name}</span>
          <span className="text-xs text-soft">{roleIn(me.data, each.slug)}</span>
        </Link>
      ))}
    </Menu>
  );
}

function TopBar({ project }: { project: Project | undefined }) {
  const zone = useZone();
  const pathname = useRouterState({ select: (state) => state.location.pathname });
  const { taskId } = useParams({ strict: false });
  const projects = useQuery(queries.projects());
  const section = sections.find(
    (each) => project && pathname.startsWith(each.to.replace("$slug", project.slug)),
  );
  return (
    <header className="flex h-12 shrink-0 items-center gap-1 border-line border-b bg-panel px-3 md:px-4">
      <div className="mr-1 md:hidden">
        <ProjectSwitcherPhone project={project} projects={projects.data ?? []} />
      </div>
      <nav aria-label="Breadcrumb" className="min-w-0 flex-1">
        <ol className="flex items-center gap-1.5 text-soft [&>li+li]:before:mr-1.5 [&>li+li]:before:content-['/'] max-md:[&>li:nth-child(2)]:before:hidden">
          {project && (
            <li className="truncate max-md:sr-only">
              <Link to="/projects/$slug/tasks" params={{ slug: project.slug }} className="hover:text-ink">
                {project.slug}
              </Link>
            </li>
          )}
          {section && project && (
            <li className="max-md:before:hidden">
              <Link
                to={section.to}
                params={{ slug: project.slug }}
                className={taskId ? "hover:text-ink" : "font-semibold text-ink"}
              >
                {section.label}
              </Link>
            </li>
          )}
          {taskId && (
            <li className="min-w-0 truncate font-mono text-xs text-ink" title={taskId}>
              {taskId.slice(0, 8)}
            </li>
          )}
          {pathname === "/account" && <li className="font-semibold text-ink">Account</li>}
        </ol>
      </nav>
      {project && pathname.startsWith("/projects/") && <RangePicker />}
      <Connection />
      <button
        type="button"
        title={`Times are shown in ${zoneName(zone)}. Switch to ${zone === "utc" ? "local time" : "UTC"}`}
        className="h-8 rounded-md px-2 text-soft hover:bg-raised hover:text-ink max-lg:hidden"
        onClick={() => setZone(zone === "utc" ? "local" : "utc")}
      >
        {zoneName(zone)}
      </button>
      <ThemeSwitch />
      <UserMenu />
    </header>
  );
}

function ProjectSwitcherPhone({ project, projects }: { project: Project | undefined; projects: Project[] }) {
  return (
    <Menu
      label={project ? `Project ${project.name}. Switch project` : "Choose a project"}
      trigger={
        <span className="flex h-10 max-w-36 items-center gap-1.5 font-semibold">
          <LogoMark className="size-6" />
          <span className="truncate">{project?.name ?? "z4j"}</span>
          <SelectIcon className="size-4 text-soft" />
        </span>
      }
    >
      {projects.map((each) => (
        <Link key={each.id} to="/projects/$slug/tasks" params={{ slug: each.slug }} className={menuItem}>
          {each.name}
        </Link>
      ))}
    </Menu>
  );
}

function UserMenu() {
  const me = useQuery(queries.me());
  const navigate = useNavigate();
  const client = useQueryClient();
  const toast = useToast();
  const logout = async () => {
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
  };
  return (
    <Menu
      label="Your account"
      align="right"
      trigger={
        <span className="grid size-8 place-items-center rounded-md text-soft hover:bg-raised hover:text-ink max-sm:size-10">
          <UserIcon />
        </span>
      }
    >
      <p className="truncate px-2 py-1.5 text-soft">{me.data?.email}</p>
      <Link to="/account" className={menuItem}>
        Account and password
      </Link>
      <button type="button" className={menuItem} onClick={() => void logout()}>
        Log out
      </button>
    </Menu>
  );
}
