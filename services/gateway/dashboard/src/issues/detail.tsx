// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import { useLive } from "../api/live";
import { formatCount, parseTime } from "../api/time";
import { type Range, useRange } from "../app/range";
import { useChartActions } from "../insight/charts";
import { plural, windowWords } from "../insight/format";
import { useLastingError } from "../insight/lasting";
import { sinceThen, toPage, toTasks } from "../insight/links";
import { insight } from "../insight/queries";
import { Ranking, RankingSkeleton } from "../insight/ranking";
import { StaleNote } from "../insight/stale";
import type { IssueDetail, Share } from "../insight/types";
import { Traceback } from "../task/tracebackview";
import { TimeChart } from "../ui/chart";
import { Age } from "../ui/clock";
import { buttonClass, Empty, ErrorNote, Panel, Skeleton } from "../ui/controls";
import { Page } from "../ui/page";
import { TaskBadge } from "../ui/state";
import { type DataColumn, DataTable } from "../ui/table";
import { RetryThese } from "./retry";
import { isNew, issueTitle, withMessage } from "./search";
import { StatusBadge } from "./status";

/** IssuePage answers: what is this failure, where does it happen, and is it over? */
export function IssuePage() {
  const { slug, fingerprint } = useParams({ from: "/app/projects/$slug/issues/$fingerprint" });
  const range = useRange();
  const poll = useLive(["task.changed"], [["p", slug, "issue", fingerprint]], 2000);
  const issue = useQuery({ ...insight.issue(slug, range, fingerprint), refetchInterval: poll });
  const failure = useLastingError(issue);
  if (failure && !issue.data) {
    return (
      <Page title="Issue" slug={slug}>
        {failure instanceof ApiError && failure.status === 404 ? (
          <Empty title="There is no such issue">
            <p>No task of this project has failed like this, or its tasks are no longer kept.</p>
            <p>
              <Link {...(toPage("issues", slug, range) as { to: string })} className="text-accent underline">
                All issues
              </Link>
            </p>
          </Empty>
        ) : (
          <ErrorNote
            error={failure}
            what="The issue could not be loaded"
            onRetry={() => void issue.refetch()}
          />
        )}
      </Page>
    );
  }
  if (!issue.data) return <IssueSkeleton slug={slug} />;
  return <Loaded slug={slug} issue={issue.data} range={range} stale={<StaleNote query={issue} />} />;
}

function IssueSkeleton({ slug }: { slug: string }) {
  return (
    <Page title="Issue" slug={slug}>
      <div role="status" className="space-y-4">
        <span className="sr-only">Loading the issue</span>
        <Skeleton className="h-6 w-full max-w-2xl" />
        <Skeleton className="h-48" />
        <div className="grid gap-4 xl:grid-cols-[1fr_24rem]">
          <Skeleton className="h-72" />
          <RankingSkeleton title="Where it happens" />
        </div>
      </div>
    </Page>
  );
}

function Loaded({
  slug,
  issue,
  range,
  stale,
}: {
  slug: string;
  issue: IssueDetail;
  range: Range;
  stale: ReactNode;
}) {
  const title = issueTitle(
    withMessage(issue.sample_exception, issue.sample?.traceback ?? null),
    issue.sample_task_name,
  );
  const open = { fingerprint: issue.fingerprint, state: "failure" };
  return (
    <Page
      title={title}
      slug={slug}
      actions={
        <>
          <Link
            {...(toTasks(slug, { fingerprint: issue.fingerprint }, range) as { to: string })}
            className={buttonClass()}
          >
            Search these
          </Link>
          <RetryThese slug={slug} issue={issue} />
        </>
      }
    >
      <p className="flex flex-wrap items-center gap-x-4 gap-y-1" data-testid="issue-answer">
        <StatusBadge status={issue.status} fresh={isNew(issue.first_seen, range.from)} />
        <span>{outcome(issue)}</span>
        <span className="text-soft">
          First seen <Age at={issue.first_seen} suffix=" ago" />, last{" "}
          <Age at={issue.last_seen} suffix=" ago" />
        </span>
        {issue.open_count > 0 && (
          <Link
            {...(toTasks(slug, open, sinceThen(parseTime(issue.first_seen), Date.now())) as { to: string })}
            className="text-accent hover:underline"
          >
            Show what is still failed
          </Link>
        )}
      </p>
      {stale}
      <Occurrences slug={slug} issue={issue} range={range} />
      <div className="grid grid-cols-1 items-start gap-4 xl:grid-cols-[minmax(0,1fr)_24rem] xl:grid-rows-[auto_1fr]">
        <div className="min-w-0 space-y-4">
          <Sample slug={slug} issue={issue} />
        </div>
        <div className="min-w-0 space-y-4 xl:row-span-2">
          <Where slug={slug} title="Tasks" kind="name" shares={issue.top_names} issue={issue} range={range} />
          <Where
            slug={slug}
            title="Queues"
            kind="queue"
            shares={issue.top_queues}
            issue={issue}
            range={range}
          />
          <Where
            slug={slug}
            title="Workers"
            kind="worker"
            shares={issue.top_workers}
            issue={issue}
            range={range}
          />
        </div>
        <div className="min-w-0">
          <Recent slug={slug} issue={issue} />
        </div>
      </div>
    </Page>
  );
}

/** outcome says how often, and what became of it. */
export function outcome(issue: Pick<IssueDetail, "occurrences" | "open_count" | "recovered_count">): string {
  const times = `${plural(issue.occurrences, "task")} failed like this`;
  if (issue.open_count === 0) return `${times}; every one has recovered`;
  if (issue.recovered_count === 0)
    return `${times}; ${issue.occurrences === 1 ? "it has not recovered" : "none has recovered"}`;
  return `${times}; ${formatCount(issue.open_count)} still failed, ${formatCount(issue.recovered_count)} recovered`;
}

function Occurrences({ slug, issue, range }: { slug: string; issue: IssueDetail; range: Range }) {
  const series = { ...issue, markers: [] };
  const act = useChartActions(slug, range, series, { fingerprint: issue.fingerprint });
  const counts = issue.buckets.map((bucket) => bucket.count);
  const words = windowWords(range.range, issue.window.seconds);
  return (
    <Panel
      title={`${issue.window_capped ? "At least " : ""}${plural(issue.occurrences_in_window, "occurrence")} in ${words}`}
    >
      <TimeChart
        quiet
        caption="Occurrences"
        times={issue.buckets.map((bucket) => bucket.t)}
        bucketSeconds={issue.bucket_seconds}
        series={[{ label: "Failed", kind: "stack", tone: "bad", values: counts }]}
        height={140}
        {...act}
      />
    </Panel>
  );
}

function Sample({ slug, issue }: { slug: string; issue: IssueDetail }) {
  const sample = issue.sample;
  if (!sample) {
    return (
      <Panel title="Traceback">
        <p className="text-soft">No task of this issue is kept any more, so there is no traceback to show.</p>
      </Panel>
    );
  }
  return (
    <>
      {sample.traceback ? (
        <Traceback source={sample.traceback} />
      ) : (
        <Panel title="Traceback">
          <p className="text-soft">
            The task's engine sent no traceback.{sample.exception ? " The error was:" : ""}
          </p>
          {sample.exception && <pre className="mt-2 whitespace-pre-wrap">{sample.exception}</pre>}
        </Panel>
      )}
      <p className="text-soft">
        From{" "}
        <Link
          to="/projects/$slug/tasks/$engine/$taskId"
          params={{ slug, engine: sample.engine, taskId: sample.task_id }}
          className="text-accent underline"
        >
          the latest failure with a traceback
        </Link>
        .
      </p>
    </>
  );
}

function Where({
  slug,
  title,
  kind,
  shares,
  issue,
  range,
}: {
  slug: string;
  title: string;
  kind: "name" | "queue" | "worker";
  shares: Share[];
  issue: IssueDetail;
  range: Range;
}) {
  const most = Math.max(1, ...shares.map((share) => share.count));
  return (
    <Ranking
      title={
        issue.sample_size < issue.occurrences
          ? `${title}, of the latest ${formatCount(issue.sample_size)}`
          : title
      }
      tone="bad"
      empty="Not reported by the engine."
      rows={shares.map((share) => ({
        key: share.value,
        name: share.value,
        value: formatCount(share.count),
        share: share.count / most,
        to: toTasks(slug, { fingerprint: issue.fingerprint, [kind]: share.value }, range),
      }))}
    />
  );
}

type Latest = IssueDetail["recent"][number];

const recentColumns: DataColumn<Latest>[] = [
  { id: "state", header: "State", cell: (task) => <TaskBadge state={task.state} /> },
  { id: "name", header: "Task", cell: (task) => task.name, className: "max-w-80" },
  {
    id: "id",
    header: "Id",
    minor: true,
    cell: (task) => <code title={task.task_id}>{task.task_id.slice(0, 8)}</code>,
  },
  { id: "queue", header: "Queue", cell: (task) => task.queue ?? "–" },
  { id: "worker", header: "Worker", minor: true, cell: (task) => task.worker ?? "–" },
  {
    id: "when",
    header: "Failed",
    align: "right",
    cell: (task) => <Age at={task.failed_at} suffix=" ago" />,
  },
];

function Recent({ slug, issue }: { slug: string; issue: IssueDetail }) {
  return (
    <section className="space-y-2" aria-labelledby="latest">
      <h2 id="latest" className="font-semibold">
        Latest tasks
      </h2>
      <DataTable
        label="Latest tasks of this issue"
        columns={recentColumns}
        rows={issue.recent}
        rowKey={(task) => `${task.engine} ${task.task_id}`}
        rowHref={(task) => ({
          to: "/projects/$slug/tasks/$engine/$taskId",
          params: { slug, engine: task.engine, taskId: task.task_id },
        })}
        empty={<p className="text-soft">No task of this issue is kept any more.</p>}
      />
    </section>
  );
}
