// SPDX-License-Identifier: AGPL-3.0-or-later
import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
  retainSearchParams,
} from "@tanstack/react-router";
import { ApiError, api, csrfToken } from "./api/client";
import { queries } from "./api/queries";
import type { Project } from "./api/types";
import { NotFound, PageError } from "./app/errors";
import { Shell } from "./app/shell";
import { parseRange, type RangeSearch } from "./app/window";
import { LoginPage } from "./auth/login";
import { SetupPage } from "./auth/setup";
import { parseCommandSearch } from "./commands/search";
import { parseDeadLetterSearch } from "./deadletters/search";
import { parseIssues } from "./issues/search";
import { parseTaskSearch } from "./tasks/filters";
import { parseTrends } from "./trends/search";
import { ToastProvider } from "./ui/toast";

const root = createRootRouteWithContext<{ queryClient: QueryClient }>()({
  // Notifications hold links, so they live inside the router.
  component: () => (
    <ToastProvider>
      <Outlet />
    </ToastProvider>
  ),
  notFoundComponent: () => <NotFound bare />,
});

const text = (value: unknown): string | undefined =>
  typeof value === "string" || typeof value === "number" ? String(value) : undefined;

/** safeNext accepts addresses of this dashboard only, so that a link can't send somebody elsewhere after login. */
export function safeNext(value: unknown): string | undefined {
  const next = text(value);
  if (!next?.startsWith("/") || /^\/[/\\]/.test(next) || /^\/(?:login|setup)(?:[/?#]|$)/.test(next))
    return undefined;
  return next;
}

const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  validateSearch: (search: Record<string, unknown>): { next?: string } => ({ next: safeNext(search.next) }),
  component: LoginPage,
});

const setup = createRoute({
  getParentRoute: () => root,
  path: "/setup",
  validateSearch: (search: Record<string, unknown>): { token?: string } => ({ token: text(search.token) }),
  component: SetupPage,
});

/** earlyProjects asks for the projects if nobody has and somebody seems to be logged in. */
async function earlyProjects(client: QueryClient): Promise<void> {
  const { queryKey } = queries.projects();
  if (client.getQueryData(queryKey) || !csrfToken()) return;
  try {
    client.setQueryData(queryKey, await api.get<Project[]>("/projects"));
  } catch {
    // Most likely the session has ended.
  }
}

/** Everything behind the login. Nobody logged in: the first start goes to setup, any later one to login. */
const app = createRoute({
  getParentRoute: () => root,
  id: "app",
  // The window of time stays from page to page (app/range.tsx).
  validateSearch: (search: Record<string, unknown>): RangeSearch => parseRange(search),
  search: { middlewares: [retainSearchParams<RangeSearch>(["range", "from", "to"])] },
  beforeLoad: async ({ context, location }) => {
    // Every page needs both; they are asked for at once. An answer that fails is asked for again by who needs it.
    const projects = earlyProjects(context.queryClient);
    try {
      await context.queryClient.ensureQueryData(queries.me());
      await projects;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      const first = await api
        .get<{ first_boot: boolean }>("/setup/status")
        .catch(() => ({ first_boot: false }));
      throw first.first_boot
        ? redirect({ to: "/setup", search: {} })
        : redirect({ to: "/login", search: { next: safeNext(location.href) } });
    }
  },
  component: Shell,
  errorComponent: (props) => <PageError {...props} bare />,
  notFoundComponent: () => <NotFound />,
});

const start = createRoute({
  getParentRoute: () => app,
  path: "/",
  component: lazyRouteComponent(() => import("./home/home"), "StartPage"),
});

const home = createRoute({
  getParentRoute: () => app,
  path: "/home",
  component: lazyRouteComponent(() => import("./home/home"), "HomePage"),
});

const account = createRoute({
  getParentRoute: () => app,
  path: "/account",
  component: lazyRouteComponent(() => import("./account/account"), "AccountPage"),
});

const system = createRoute({
  getParentRoute: () => app,
  path: "/system",
  component: lazyRouteComponent(() => import("./system/system"), "SystemPage"),
});

/** Whatever has no page: inside the frame, so that the way back is at hand. */
const unknown = createRoute({ getParentRoute: () => app, path: "$", component: () => <NotFound /> });

const project = createRoute({
  getParentRoute: () => app,
  path: "/projects/$slug",
  component: Outlet,
});

const overview = createRoute({
  getParentRoute: () => project,
  path: "/",
  component: lazyRouteComponent(() => import("./overview/overview"), "OverviewPage"),
});

const trends = createRoute({
  getParentRoute: () => project,
  path: "/trends",
  validateSearch: parseTrends,
  component: lazyRouteComponent(() => import("./trends/trends"), "TrendsPage"),
});

const issues = createRoute({
  getParentRoute: () => project,
  path: "/issues",
  validateSearch: parseIssues,
  component: lazyRouteComponent(() => import("./issues/list"), "IssuesPage"),
});

const issue = createRoute({
  getParentRoute: () => project,
  path: "/issues/$fingerprint",
  component: lazyRouteComponent(() => import("./issues/detail"), "IssuePage"),
});

const tasks = createRoute({
  getParentRoute: () => project,
  path: "/tasks",
  validateSearch: parseTaskSearch,
  component: lazyRouteComponent(() => import("./tasks/list"), "TasksPage"),
});

const task = createRoute({
  getParentRoute: () => project,
  path: "/tasks/$engine/$taskId",
  component: lazyRouteComponent(() => import("./task/detail"), "TaskPage"),
});

const queues = createRoute({
  getParentRoute: () => project,
  path: "/queues",
  component: lazyRouteComponent(() => import("./queues/queues"), "QueuesPage"),
});

const queue = createRoute({
  getParentRoute: () => project,
  path: "/queues/$engine/$name",
  component: lazyRouteComponent(() => import("./queues/detail"), "QueuePage"),
});

const workers = createRoute({
  getParentRoute: () => project,
  path: "/workers",
  component: lazyRouteComponent(() => import("./workers/workers"), "WorkersPage"),
});

const worker = createRoute({
  getParentRoute: () => project,
  path: "/workers/$workerId",
  component: lazyRouteComponent(() => import("./workers/detail"), "WorkerPage"),
});

const agents = createRoute({
  getParentRoute: () => project,
  path: "/agents",
  component: lazyRouteComponent(() => import("./agents/agents"), "AgentsPage"),
});

const newAgent = createRoute({
  getParentRoute: () => project,
  path: "/agents/new",
  component: lazyRouteComponent(() => import("./agents/mint"), "MintPage"),
});

const commands = createRoute({
  getParentRoute: () => project,
  path: "/commands",
  validateSearch: parseCommandSearch,
  component: lazyRouteComponent(() => import("./commands/commands"), "CommandsPage"),
});

const deadLetters = createRoute({
  getParentRoute: () => project,
  path: "/dead-letters",
  validateSearch: parseDeadLetterSearch,
  component: lazyRouteComponent(() => import("./deadletters/deadletters"), "DeadLettersPage"),
});

const routeTree = root.addChildren([
  login,
  setup,
  app.addChildren([
    start,
    home,
    account,
    system,
    unknown,
    project.addChildren([
      overview,
      trends,
      issues,
      issue,
      tasks,
      task,
      queues,
      queue,
      workers,
      worker,
      agents,
      newAgent,
      commands,
      deadLetters,
    ]),
  ]),
]);

export function createAppRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree,
    context: { queryClient },
    defaultPreload: "intent",
    defaultPreloadStaleTime: 0,
    defaultErrorComponent: PageError,
    scrollRestoration: true,
    // Plain query strings: ?state=failure&q=mail, easy to read, write and share.
    parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
    stringifySearch: (search) => {
      const params = new URLSearchParams();
      for (const [key, value] of Object.entries(search))
        if (value !== undefined) params.set(key, String(value));
      // Colons and commas may stand as they are: ?q=state:failure,retry stays readable.
      const out = params.toString().replace(/%3A/g, ":").replace(/%2C/g, ",");
      return out ? `?${out}` : "";
    },
  });
}

/** loadPage fetches the script of the page at the address without waiting for anything else. */
export function loadPage(router: ReturnType<typeof createAppRouter>) {
  const routes: Record<string, { options: { component?: unknown } }> = router.routesById;
  for (const match of router.matchRoutes(router.latestLocation)) {
    const component = routes[match.routeId]?.options.component as
      | { preload?: () => Promise<unknown> }
      | undefined;
    // Whoever shows the page tries again, and says so when it fails.
    void component?.preload?.().catch(() => undefined);
  }
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
