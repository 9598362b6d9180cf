// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";
import { useLive } from "../api/live";
import { formatCount } from "../api/time";
import { useRange } from "../app/range";
import { windowWords } from "../insight/format";
import { useLastingError } from "../insight/lasting";
import { type Shown, toIssue } from "../insight/links";
import { insight, mostIssues } from "../insight/queries";
import { StaleNote } from "../insight/stale";
import { TailName } from "../insight/tailname";
import type { Issue } from "../insight/types";
import { Age } from "../ui/clock";
import { Button, Empty, ErrorNote, inputClass } from "../ui/controls";
import { Page } from "../ui/page";
import { Sparkline } from "../ui/spark";
import { type DataColumn, DataTable, useUrlSort } from "../ui/table";
import { Choice } from "../ui/toggle";
import { type IssueStatus, type IssuesSearch, isNew, issuesAnswer, issueTitle, matches } from "./search";
import { StatusBadge } from "./status";

/** Issues answers: what is broken? One row for each kind of failure, however often it happened. */
export function IssuesPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/issues" });
  const search = useSearch({ from: "/app/projects/$slug/issues" });
  const range = useRange();
  const navigate = useNavigate();
  const poll = useLive(["task.changed"], [["p", slug, "issues", range.key]], 3000);
  const issues = useQuery({ ...insight.issues(slug, range, search.status), refetchInterval: poll });
  const [sort, onSort] = useUrlSort({ id: "last", desc: true });
  const columns = useMemo(() => issueColumns(range), [range]);
  const rows = useMemo(
    () => issues.data?.items.filter((issue) => matches(issue, search.q)),
    [issues.data, search.q],
  );
  const failure = useLastingError(issues);
  const set = (change: IssuesSearch) =>
    void navigate({
      to: ".",
      replace: true,
      search: ((old: Record<string, unknown>) => ({ ...old, ...change })) as never,
    });
  const more = issues.data?.next_cursor != null;
  const words = windowWords(range.range, (range.to.getTime() - range.from.getTime()) / 1000);
  const filtered = Boolean(search.q || search.status);

  return (
    <Page
      title="Issues"
      slug={slug}
      answer={
        issues.data && !search.status
          ? `${capital(issuesAnswer(issues.data.items, more))} in ${words}.`
          : undefined
      }
    >
      <div className="flex flex-wrap items-center gap-3">
        <SearchBox value={search.q ?? ""} onChange={(q) => set({ q: q || undefined })} />
        <Choice<IssueStatus | "all">
          label="Which issues"
          value={search.status ?? "all"}
          options={[
            { value: "all", label: "All" },
            { value: "ongoing", label: "Ongoing" },
            { value: "recovered", label: "Recovered" },
          ]}
          onChange={(next) => set({ status: next === "all" ? undefined : next })}
        />
        {more && (
          <span className="text-soft">
            The {mostIssues} that failed last; a shorter time range shows the others.
          </span>
        )}
      </div>
      <StaleNote query={issues} />
      {failure && !issues.data ? (
        <ErrorNote
          error={failure}
          what="The issues could not be loaded"
          onRetry={() => void issues.refetch()}
        />
      ) : (
        <DataTable
          label="Issues"
          columns={columns}
          rows={rows}
          rowKey={(issue) => issue.fingerprint}
          rowHref={(issue) => toIssue(slug, issue.fingerprint, range)}
          sort={sort}
          onSort={onSort}
          empty={
            filtered ? (
              <Empty title="No issue matches">
                <p>Nothing that failed in {words} fits this filter.</p>
                <Button onClick={() => set({ q: undefined, status: undefined })}>Show all issues</Button>
              </Empty>
            ) : (
              <Empty title={`Nothing failed in ${words}`}>
                <p>
                  Tasks that fail with the same error at the same place become one issue here, with how often,
                  since when, and where it happens.
                </p>
                {range.range !== "7d" && (
                  <Button onClick={() => range.setRange("7d")}>Look at the last 7 days</Button>
                )}
              </Empty>
            )
          }
        />
      )}
    </Page>
  );
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** SearchBox writes to the address once the reader pauses, so that Back does not go letter by letter. */
function SearchBox({ value, onChange }: { value: string; onChange: (q: string) => void }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text.trim() === value) return;
    const timer = window.setTimeout(() => onChange(text.trim()), 250);
    return () => window.clearTimeout(timer);
  });
  return (
    <input
      type="search"
      data-search
      aria-label="Search the issues"
      placeholder="Error, task, queue"
      value={text}
      onChange={(event) => setText(event.target.value)}
      className={`${inputClass} max-w-80`}
    />
  );
}

function issueColumns(shown: Shown & { label: string }): DataColumn<Issue>[] {
  const window = shown.label.toLowerCase();
  return [
    {
      id: "title",
      header: "Failure",
      className: "w-2/5 max-w-0",
      sort: (issue) => issueTitle(issue.sample_exception, issue.sample_task_name),
      cell: (issue) => (
        <span className="block py-1">
          <span className="block font-medium md:truncate" title={issue.sample_exception ?? undefined}>
            {issueTitle(issue.sample_exception, issue.sample_task_name)}
          </span>
          <TailName
            name={issue.tasks.length > 0 ? names(issue.tasks) : (issue.sample_task_name ?? "")}
            className="text-xs font-normal text-soft"
          />
        </span>
      ),
    },
    {
      id: "state",
      header: "State",
      sort: (issue) => (issue.status === "ongoing" ? 1 : 0),
      descFirst: true,
      cell: (issue) => <StatusBadge status={issue.status} fresh={isNew(issue.first_seen, shown.from)} />,
    },
    {
      id: "times",
      header: "Occurrences",
      title: `Tasks that failed like this, ${window}`,
      sort: (issue) => issue.occurrences_in_window,
      descFirst: true,
      cell: (issue) => (
        <span className="inline-flex items-center gap-2 align-middle">
          <Sparkline values={issue.spark} tone="bad" label={`Occurrences, ${window}`} />
          <span className="w-12 text-right font-semibold" title={`${formatCount(issue.occurrences)} in all`}>
            {formatCount(issue.occurrences_in_window)}
            {issue.window_capped && "+"}
          </span>
        </span>
      ),
    },
    {
      id: "open",
      header: "Still failed",
      title: "Tasks that have not succeeded since",
      align: "right",
      minor: true,
      sort: (issue) => issue.open_count,
      descFirst: true,
      cell: (issue) => formatCount(issue.open_count),
    },
    {
      id: "queues",
      header: "Queues",
      minor: true,
      className: "max-w-48",
      cell: (issue) => <span className="block truncate text-soft">{names(issue.queues) || "–"}</span>,
    },
    {
      id: "first",
      header: "First seen",
      align: "right",
      minor: true,
      sort: (issue) => issue.first_seen,
      descFirst: true,
      cell: (issue) => <Age at={issue.first_seen} suffix=" ago" />,
    },
    {
      id: "last",
      header: "Last seen",
      align: "right",
      sort: (issue) => issue.last_seen,
      descFirst: true,
      cell: (issue) => <Age at={issue.last_seen} suffix=" ago" />,
    },
  ];
}

function names(list: string[]): string {
  return list.length > 2 ? `${list.slice(0, 2).join(", ")} and ${list.length - 2} more` : list.join(", ");
}
