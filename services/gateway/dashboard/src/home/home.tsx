// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, Navigate } from "@tanstack/react-router";
import { useMemo } from "react";
import { useLive } from "../api/live";
import { queries } from "../api/queries";
import { formatCount, formatDuration } from "../api/time";
import { useRange } from "../app/range";
import { windowWords } from "../insight/format";
import { useLastingError } from "../insight/lasting";
import { type Shown, toIssue, toPage } from "../insight/links";
import { insight } from "../insight/queries";
import { StaleNote } from "../insight/stale";
import { TailName } from "../insight/tailname";
import type { Attention, Home, HomeFailure, HomeProject } from "../insight/types";
import { Age } from "../ui/clock";
import { ErrorNote, Panel, SkeletonRows } from "../ui/controls";
import { formatPercent } from "../ui/delta";
import type { Goto } from "../ui/goto";
import { Page } from "../ui/page";
import { Sparkline } from "../ui/spark";
import { StateShape } from "../ui/state";
import { type DataColumn, DataTable, useUrlSort } from "../ui/table";
import { useTitle } from "../ui/title";
import { byNeed, bySeverity, homeAnswer, targets } from "./need";
import { FirstProjectSteps, NoProject } from "./steps";

/** The start: with one project there is nothing to choose from, so it leads to that one's overview, else to home. */
export function StartPage() {
  useTitle();
  const projects = useQuery(queries.projects());
  const only = projects.data?.length === 1 ? projects.data[0] : undefined;
  if (only) return <Navigate to="/projects/$slug" params={{ slug: only.slug }} replace />;
  if (projects.data) return <Navigate to="/home" replace />;
  return (
    <Page title="Home">
      {projects.error ? (
        <ErrorNote
          error={projects.error}
          what="Your projects could not be loaded"
          onRetry={() => void projects.refetch()}
        />
      ) : (
        <SkeletonRows label="Loading your projects" />
      )}
    </Page>
  );
}

/** Home answers: which project needs me? */
export function HomePage() {
  const range = useRange();
  const poll = useLive(["task.changed", "agent.changed", "command.changed"], [["home"]], 3000);
  const home = useQuery({ ...insight.home(range), refetchInterval: Math.min(poll, 10_000) });
  const [sort, onSort] = useUrlSort({ id: "need", desc: true });
  const rows = useMemo(() => home.data && byNeed(home.data.projects, home.data.attention), [home.data]);
  const columns = useMemo(() => projectColumns(range), [range]);
  const failure = useLastingError(home);
  if (failure && !home.data) {
    return (
      <Page title="Home">
        <ErrorNote
          error={failure}
          what="Your projects could not be loaded"
          onRetry={() => void home.refetch()}
        />
      </Page>
    );
  }
  if (home.data && home.data.projects.length === 0) return <NoProject />;
  return (
    <Page
      title="Home"
      answer={home.data ? `${homeAnswer(home.data.projects, home.data.attention)}.` : undefined}
    >
      <StaleNote query={home} />
      {home.data && <Attentions home={home.data} shown={range} />}
      {home.data && <FirstProjectSteps projects={home.data.projects} />}
      <DataTable
        label="Projects, the one that needs you first"
        columns={columns}
        rows={rows}
        rowKey={(project) => project.slug}
        rowHref={(project) => toPage("overview", project.slug, range)}
        sort={sort.id === "need" ? null : sort}
        onSort={onSort}
        skeletonRows={3}
      />
      <Failures home={home.data} shown={range} />
    </Page>
  );
}

function projectColumns(shown: Shown & { label: string }): DataColumn<HomeProject>[] {
  const window = shown.label.toLowerCase();
  return [
    {
      id: "name",
      header: "Project",
      sort: (project) => project.name,
      cell: (project) => (
        <span className="inline-flex min-w-0 items-baseline gap-2">
          <span className="font-medium">{project.name}</span>
          <span className="text-xs text-soft">{project.environment}</span>
        </span>
      ),
    },
    {
      id: "ended",
      header: "Tasks",
      title: `Tasks that ended, ${window}`,
      sort: (project) => project.ended,
      descFirst: true,
      cell: (project) => (
        <span className="inline-flex items-center gap-2 align-middle">
          <Sparkline values={project.spark} label={`Tasks of ${project.name}, ${window}`} />
          <span className="w-14 text-right">{formatCount(project.ended)}</span>
        </span>
      ),
    },
    {
      id: "failed",
      header: "Failures",
      title: `Tasks that failed, ${window}`,
      sort: (project) => project.failure_rate,
      descFirst: true,
      cell: (project) => (
        <span className="inline-flex items-center gap-2 align-middle">
          <Sparkline
            values={project.spark_failed}
            tone="bad"
            label={`Failures of ${project.name}, ${window}`}
          />
          <span className={`w-14 text-right ${project.failed > 0 ? "text-bad" : "text-soft"}`}>
            {formatPercent(project.failure_rate)}
          </span>
        </span>
      ),
    },
    {
      id: "wait",
      header: "Worst wait",
      title: "The queue whose tasks wait longest: 95 of 100 waited no longer than this",
      sort: (project) => project.worst_queue?.p95_wait_ms,
      descFirst: true,
      cell: (project) =>
        project.worst_queue ? (
          <span>
            {formatDuration(project.worst_queue.p95_wait_ms)}{" "}
            <span className="text-soft">in {project.worst_queue.name}</span>
          </span>
        ) : (
          <span className="text-soft">–</span>
        ),
    },
    {
      id: "workers",
      header: "Workers",
      sort: (project) => project.workers_offline,
      descFirst: true,
      cell: (project) => <Fleet project={project} />,
    },
    {
      id: "issues",
      header: "Open issues",
      align: "right",
      minor: true,
      sort: (project) => project.open_issues,
      descFirst: true,
      cell: (project) =>
        project.open_issues > 0 ? project.open_issues : <span className="text-soft">none</span>,
    },
    {
      id: "activity",
      header: "Last activity",
      align: "right",
      minor: true,
      sort: (project) => project.last_activity,
      descFirst: true,
      cell: (project) => <Age at={project.last_activity} suffix=" ago" />,
    },
  ];
}

function Fleet({ project }: { project: HomeProject }) {
  const { agents_online, agents_offline, workers_online, workers_offline } = project;
  if (agents_online + agents_offline === 0) return <span className="text-soft">no agent yet</span>;
  if (agents_online === 0) {
    return (
      <Look tone="bad" shape="triangle">
        no agent online
      </Look>
    );
  }
  if (workers_offline > 0) {
    return (
      <Look tone="warn" shape="triangle">
        {workers_offline} offline, {workers_online} online
      </Look>
    );
  }
  return (
    <Look tone="good" shape="disc">
      {workers_online} online
    </Look>
  );
}

function Look({
  tone,
  shape,
  children,
}: {
  tone: "good" | "warn" | "bad";
  shape: string;
  children: React.ReactNode;
}) {
  return (
    <span className="inline-flex items-center gap-1.5">
      <StateShape look={{ label: "", tone, shape }} />
      <span>{children}</span>
    </span>
  );
}

const severityLooks = {
  critical: { label: "Critical", shape: "triangle", tone: "bad" },
  warning: { label: "Warning", shape: "half", tone: "warn" },
} as const;

function Attentions({ home, shown }: { home: Home; shown: Shown }) {
  if (home.attention.length === 0) return null;
  return (
    <Panel title="Wants attention" pad={false}>
      <ul data-testid="attention">
        {bySeverity(home.attention).map((each) => {
          const look = severityLooks[each.severity];
          return (
            <li
              key={`${each.project} ${each.kind} ${each.text}`}
              className="relative flex min-h-9 items-center gap-x-3 max-sm:min-h-11 border-line border-t px-3 py-1.5 first:border-t-0 hover:bg-raised"
            >
              <StateShape look={look} />
              <span className="sr-only">{look.label}</span>
              <Link
                {...(attentionTarget(each, shown) as { to: string })}
                className="row-link min-w-0 flex-1 hover:underline"
              >
                <span className="font-medium">{each.project_name}</span>: {each.text}
              </Link>
              {each.since && (
                <span className="text-xs whitespace-nowrap text-soft">
                  for <Age at={each.since} />
                </span>
              )}
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

const attentionTarget = (each: Attention, shown: Shown): Goto =>
  toPage(targets[each.kind], each.project, shown);

const failureColumns: DataColumn<HomeFailure>[] = [
  {
    id: "what",
    header: "Failure",
    className: "w-2/5 max-w-0",
    cell: (failure) => (
      <span className="block md:truncate" title={failure.exception ?? undefined}>
        {failure.exception ?? "failed without a message"}
      </span>
    ),
  },
  {
    id: "task",
    header: "Task",
    className: "w-1/4 max-w-0",
    cell: (failure) => <TailName name={failure.name ?? "–"} className="text-soft" />,
  },
  {
    id: "project",
    header: "Project",
    cell: (failure) => (
      <span className="block max-w-48 truncate" title={failure.project_name}>
        {failure.project_name}
      </span>
    ),
  },
  {
    id: "times",
    header: "Times",
    cell: (failure) => (
      <span className="inline-flex items-center gap-2 align-middle">
        <Sparkline values={failure.spark} tone="bad" label="Occurrences in this window" />
        <span className="w-12 text-right font-semibold">
          {formatCount(failure.occurrences)}
          {failure.capped && "+"}
        </span>
      </span>
    ),
  },
  {
    id: "first",
    header: "First seen",
    align: "right",
    minor: true,
    cell: (failure) => <Age at={failure.first_seen} suffix=" ago" />,
  },
  {
    id: "last",
    header: "Last seen",
    align: "right",
    cell: (failure) => <Age at={failure.last_seen} suffix=" ago" />,
  },
];

/** Recent failures, one row for each kind of failure however often it happened. */
function Failures({ home, shown }: { home: Home | undefined; shown: Shown }) {
  const words = home ? windowWords(shown.range, home.window.seconds) : "";
  return (
    <section className="space-y-2" aria-labelledby="failures">
      <h2 id="failures" className="font-semibold">
        {home ? `Failures in ${words}` : "Failures"}
      </h2>
      <DataTable
        label="Failures, one row for each kind"
        columns={failureColumns}
        rows={home?.failures}
        rowKey={(failure) => `${failure.project} ${failure.fingerprint}`}
        rowHref={(failure) => toIssue(failure.project, failure.fingerprint, shown)}
        empty={<p className="text-soft">No task failed in {words}.</p>}
        skeletonRows={4}
      />
    </section>
  );
}
