// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { queries } from "../api/queries";
import { formatCount } from "../api/time";
import { inputClass } from "../ui/controls";
import { CloseIcon, SearchIcon } from "../ui/icons";
import { StateShape, taskLook } from "../ui/state";
import { isFiltered, ranges, states, type TaskFilters } from "./filters";

const settle = 250;

/** FilterBar edits the filters in the URL; typing settles for a moment before it counts. */
export function FilterBar({ slug, filters }: { slug: string; filters: TaskFilters }) {
  const navigate = useNavigate({ from: "/projects/$slug/tasks" });
  const queues = useQuery(queries.queues(slug));
  const set = (change: Partial<TaskFilters>, replace = false) =>
    void navigate({ search: (old) => ({ ...old, ...change }), replace });
  const names = [...new Set([...(queues.data ?? []).map((queue) => queue.name), filters.queue ?? ""])]
    .filter(Boolean)
    .sort();
  const window = filters.range ?? (filters.since || filters.until ? "fixed" : "");

  return (
    <search className="flex flex-wrap items-center gap-2 px-3 py-2 md:px-4">
      <div className="relative min-w-40 flex-1 basis-60 max-sm:basis-full">
        <SearchIcon className="pointer-events-none absolute top-1/2 left-2.5 size-4 -translate-y-1/2 text-soft" />
        <TextFilter
          label="Search name, queue, worker or id"
          className="pl-8"
          search
          value={filters.q}
          onSettled={(q) => set({ q }, true)}
        />
      </div>
      <div className="w-44 max-md:hidden">
        <TextFilter label="Task name" value={filters.name} onSettled={(name) => set({ name }, true)} />
      </div>
      <select
        aria-label="Queue"
        className={`${inputClass} !w-auto max-w-44 flex-none max-sm:flex-1`}
        value={filters.queue ?? ""}
        onChange={(event) => set({ queue: event.target.value || undefined })}
      >
        <option value="">All queues</option>
        {names.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <select
        aria-label="Time range"
        className={`${inputClass} !w-auto flex-none max-sm:flex-1`}
        value={window}
        onChange={(event) =>
          set({
            range: ranges.find((each) => each === event.target.value),
            since: undefined,
            until: undefined,
          })
        }
      >
        <option value="">Any time</option>
        {ranges.map((range) => (
          <option key={range} value={range}>
            Last {range.replace(/(\d+)/, "$1 ")}
          </option>
        ))}
        {window === "fixed" && <option value="fixed">Fixed window</option>}
      </select>
      {filters.worker && (
        <button
          type="button"
          className="inline-flex h-8 items-center gap-1.5 rounded-md border border-edge px-2.5"
          onClick={() => set({ worker: undefined })}
        >
          on {filters.worker} <CloseIcon className="size-3" />
          <span className="sr-only">Remove this filter</span>
        </button>
      )}
      {isFiltered(filters) && (
        <button
          type="button"
          className="h-8 rounded-md px-2 text-accent underline max-sm:h-10"
          onClick={() => void navigate({ search: {} })}
        >
          Clear
        </button>
      )}
    </search>
  );
}

function TextFilter({
  label,
  value,
  onSettled,
  className = "",
  search,
}: {
  label: string;
  value: string | undefined;
  onSettled: (value: string | undefined) => void;
  className?: string;
  search?: boolean;
}) {
  const [draft, setDraft] = useState<string | null>(null);
  useEffect(() => {
    if (draft === null) return;
    const timer = window.setTimeout(() => {
      onSettled(draft.trim() || undefined);
      setDraft(null);
    }, settle);
    return () => window.clearTimeout(timer);
  }, [draft, onSettled]);
  return (
    <input
      type="search"
      aria-label={label}
      placeholder={label}
      data-search={search || undefined}
      className={`${inputClass} ${className}`}
      maxLength={200}
      value={draft ?? value ?? ""}
      onChange={(event) => setDraft(event.target.value)}
      onKeyDown={(event) => {
        if (event.key === "Escape") event.currentTarget.blur();
        if (event.key === "Enter" && draft !== null) {
          onSettled(draft.trim() || undefined);
          setDraft(null);
        }
      }}
    />
  );
}

/** States that appear only when there is something in them. */
const rare = new Set(["rejected", "pending", "unknown", "revoked"]);

/** StateFacets shows how many tasks are in each state, all history, and filters by one of them. */
export function StateFacets({ slug, filters }: { slug: string; filters: TaskFilters }) {
  const navigate = useNavigate({ from: "/projects/$slug/tasks" });
  const stats = useQuery(queries.stats(slug));
  const counts = stats.data?.tasks_by_state;
  // With other filters set, the project's totals would be read as the filter's.
  const { state: _, ...others } = filters;
  const showCounts = counts !== undefined && !isFiltered(others);
  const shown = states.filter(
    (state) => !rare.has(state) || filters.state === state || (counts?.[state] ?? 0) > 0,
  );
  const choose = (state: TaskFilters["state"]) => void navigate({ search: (old) => ({ ...old, state }) });
  const chip =
    "inline-flex h-8 shrink-0 items-center gap-1.5 rounded-md border px-2.5 hover:bg-raised aria-pressed:border-accent aria-pressed:bg-accent-wash aria-pressed:font-semibold max-sm:h-10";
  return (
    <fieldset
      className="flex gap-1.5 overflow-x-auto px-3 pb-2 md:px-4"
      title="Counts cover the whole history of this project"
    >
      <legend className="sr-only">State, with counts over the whole history</legend>
      <button
        type="button"
        aria-pressed={!filters.state}
        className={`${chip} border-line`}
        onClick={() => choose(undefined)}
      >
        All
        {showCounts && <Count n={stats.data?.tasks_total ?? 0} />}
      </button>
      {shown.map((state) => (
        <button
          key={state}
          type="button"
          aria-pressed={filters.state === state}
          className={`${chip} border-line`}
          onClick={() => choose(filters.state === state ? undefined : state)}
        >
          <StateShape look={taskLook(state)} />
          {taskLook(state).label}
          {showCounts && <Count n={counts[state] ?? 0} />}
        </button>
      ))}
    </fieldset>
  );
}

function Count({ n }: { n: number }) {
  return (
    <span className="font-normal text-soft" title={String(n)}>
      {formatCount(n)}
    </span>
  );
}
