// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useParams } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { LiveProject } from "../api/live";
import { queries } from "../api/queries";
import { setProfileZone } from "../ui/clock";
import { Empty, ErrorNote, SkeletonRows } from "../ui/controls";
import { Later } from "../ui/later";
import { Banners } from "./banners";
import { lastProject, rememberProject } from "./lastproject";
import { BottomBar, Rail, useRail } from "./rail";
import { inField, KeyboardHelp, Shortcuts } from "./shortcuts";
import { TopBar } from "./topbar";

const loadPalette = () => import("./palette");
const Palette = lazy(loadPalette);
/** The palette is fetched this long after the first page, so that nobody who opens it types into nothing. */
const palettePreload = 1500;

/** The frame around every page behind the login: rail (a bottom bar on phones), top bar, banners, push socket. */
export function Shell() {
  return (
    <Frame>
      <Outlet />
    </Frame>
  );
}

/** Frame also stands around what is no page: unknown addresses and pages that broke. */
export function Frame({ children }: { children: ReactNode }) {
  const { slug } = useParams({ strict: false });
  const me = useQuery(queries.me());
  const projects = useQuery(queries.projects());
  const [wide, toggleRail] = useRail();
  const [open, setOpen] = useState<"palette" | "help" | null>(null);
  const openPalette = useCallback(() => setOpen("palette"), []);
  const openHelp = useCallback(() => setOpen("help"), []);
  const close = useCallback(() => setOpen(null), []);
  const wanted = slug ?? lastProject();
  const project =
    projects.data?.find((each) => each.slug === wanted) ?? (slug ? undefined : projects.data?.[0]);
  useEffect(() => {
    if (slug && project) rememberProject(slug);
  }, [slug, project]);
  useEffect(() => setProfileZone(me.data?.timezone), [me.data?.timezone]);

  // What is typed between the key and the field is not lost.
  const early = useRef("");
  useEffect(() => {
    if (open !== "palette") return;
    early.current = "";
    const onKey = (event: KeyboardEvent) => {
      if (inField(event.target) || event.key.length !== 1) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      early.current += event.key;
    };
    window.addEventListener("keydown", onKey, true);
    return () => window.removeEventListener("keydown", onKey, true);
  }, [open]);
  useEffect(() => {
    // Without an answer it is fetched again when somebody opens it.
    const timer = window.setTimeout(() => void loadPalette().catch(() => undefined), palettePreload);
    return () => window.clearTimeout(timer);
  }, []);

  let page: ReactNode = children;
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

  const all = projects.data ?? [];
  const frame = (
    <div className="flex h-full flex-col md:flex-row">
      <a href="#page" className="sr-only focus:not-sr-only focus:fixed focus:z-50 focus:bg-panel focus:p-2">
        Skip to the page
      </a>
      <Rail project={project} projects={all} wide={wide} onToggle={toggleRail} />
      <div className="flex min-h-0 min-w-0 flex-1 flex-col">
        <TopBar project={project} projects={all} onSearch={openPalette} onHelp={openHelp} />
        <main id="page" tabIndex={-1} className="relative min-h-0 flex-1 overflow-auto outline-none">
          <Later fallback={<SkeletonRows label="Loading the page" />}>{page}</Later>
        </main>
        <Banners />
      </div>
      <BottomBar project={project} />
      <Shortcuts
        slug={project?.slug ?? null}
        paused={open !== null}
        onHelp={openHelp}
        onPalette={openPalette}
      />
      {open === "help" && <KeyboardHelp slug={project?.slug ?? null} onClose={close} />}
      {open === "palette" && (
        <Suspense fallback={null}>
          <Palette project={project} projects={all} early={early} onClose={close} onHelp={openHelp} />
        </Suspense>
      )}
    </div>
  );
  // Another project starts every page anew; the same frame stays while the list of projects is on its way.
  return (
    <LiveProject key={wanted} projectId={project?.id ?? null} slug={project?.slug ?? ""}>
      {frame}
    </LiveProject>
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
          Go to your projects
        </Link>
      </p>
    </Empty>
  );
}
