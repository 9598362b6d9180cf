// SPDX-License-Identifier: AGPL-3.0-or-later
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, path, type Query } from "../api/client";
import { useLink } from "../api/live";
import { pollInterval } from "../api/queries";
import type { FacetCount, TaskFacetsResponse } from "../api/schema";
import { formatCount } from "../api/time";
import { displayName } from "../task/verdict";
import { CheckIcon } from "../ui/icons";
import { StateShape, taskLook } from "../ui/state";
import type { Known, Vocabulary } from "./complete";
import { states } from "./filters";
import { bareOf, choose, chosen, exactly, type Parsed, parse, toggle } from "./query";

export type Facets = TaskFacetsResponse;

/** useFacets counts what the filter leaves; it follows the list at a calmer pace. */
export function useFacets(slug: string, query: Query, key: string) {
  const link = useLink();
  return useQuery({
    queryKey: ["p", slug, "facets", key],
    queryFn: ({ signal }) => api.get<Facets>(path`/projects/${slug}/tasks/facets`, query, signal),
    placeholderData: keepPreviousData,
    staleTime: 5_000,
    refetchInterval: Math.max(15_000, pollInterval(link)),
    retry: false,
  });
}

/** vocabularyOf is what the filter bar completes with. */
export function vocabularyOf(facets: Facets | undefined, queues: readonly string[]): Vocabulary {
  const known: Known[] = [...(facets?.queues ?? [])];
  for (const value of queues) if (!known.some((each) => each.value === value)) known.push({ value });
  return {
    state: facets?.states,
    queue: known,
    task: facets?.names,
    worker: facets?.workers,
    engine: facets?.engines,
    priority: facets?.priorities,
  };
}

/** States that appear only when there is something in them. */
const rare = new Set(["rejected", "pending", "unknown", "revoked"]);

interface Props {
  facets: Facets | undefined;
  parsed: Parsed;
  q: string;
  onChange: (q: string) => void;
}

/** StateChips filter by any number of states and say how many tasks of the window are in each. */
export function StateChips({ facets, parsed, q, onChange }: Props) {
  const wanted = chosen(parsed, "state");
  const counts = new Map(facets?.states.map((each) => [each.value, each.count]));
  const shown = states.filter((state) => !rare.has(state) || wanted.includes(state) || counts.get(state));
  return (
    <fieldset className="flex min-w-0 gap-1.5 overflow-x-auto">
      <legend className="sr-only">State, with the number of tasks in the time range</legend>
      {shown.map((state) => (
        <button
          key={state}
          type="button"
          aria-pressed={wanted.includes(state)}
          onClick={() => onChange(toggle(q, "state", state))}
          className="inline-flex h-7 shrink-0 items-center gap-1.5 rounded-md border border-line px-2 hover:bg-raised aria-pressed:border-accent aria-pressed:bg-accent-wash aria-pressed:font-semibold max-sm:h-10"
        >
          <StateShape look={taskLook(state)} />
          {taskLook(state).label}
          <Count n={facets ? (counts.get(state) ?? 0) : undefined} approximate={facets?.approximate} />
        </button>
      ))}
    </fieldset>
  );
}

/** What was counted in a part of the tasks is the least there can be. */
const atLeast = (n: number, approximate = false): string => `${formatCount(n)}${approximate ? "+" : ""}`;

function Count({ n, approximate }: { n: number | undefined; approximate?: boolean }) {
  // A place of its own, so that a count that arrives moves nothing.
  return (
    <span
      className="min-w-4 text-right font-normal text-soft text-xs"
      title={
        n === undefined
          ? undefined
          : `${n}${approximate ? " or more: counted over the newest 4,000 tasks" : ""}`
      }
    >
      {n === undefined ? "" : atLeast(n, approximate)}
    </span>
  );
}

const groups = [
  { key: "queue", title: "Queues", of: "queues" },
  { key: "task", title: "Tasks", of: "names" },
  { key: "worker", title: "Workers", of: "workers" },
  { key: "engine", title: "Engines", of: "engines" },
] as const;

/** flip takes a value out in whichever spelling it is there, or puts it in so that it means itself alone. */
function flip(q: string, key: string, value: string, negated: boolean): string {
  const now = chosen(parse(q), key, negated);
  const rest = now.filter((each) => bareOf(each) !== value);
  return choose(q, key, rest.length < now.length ? rest : [...now, exactly(key, value)], negated);
}

const few = 8;

/** FacetColumn lists what the matching tasks are made of; a click keeps one value, a second one lets go of it. */
export function FacetColumn({ facets, parsed, q, onChange }: Props) {
  return (
    <div className="space-y-4 p-3" data-testid="facets">
      {groups.map(({ key, title, of }) => {
        const values = facets?.[of] ?? [];
        const wanted = chosen(parsed, key).map(bareOf);
        const excluded = chosen(parsed, key, true).map(bareOf);
        if (key === "engine" && values.length < 2 && wanted.length + excluded.length === 0) return null;
        return (
          <Group
            key={key}
            title={title}
            name={key === "task" ? displayName : undefined}
            values={values}
            loading={!facets}
            approximate={facets?.approximate ?? false}
            wanted={wanted}
            excluded={excluded}
            onToggle={(value) => onChange(flip(q, key, value, false))}
            onExclude={(value) => onChange(flip(q, key, value, true))}
          />
        );
      })}
      {facets?.approximate && (
        <p className="text-xs text-soft">Counted over the newest 4,000 matching tasks.</p>
      )}
    </div>
  );
}

function Group({
  title,
  name = String,
  values,
  loading,
  approximate,
  wanted,
  excluded,
  onToggle,
  onExclude,
}: {
  title: string;
  name?: (value: string) => string;
  values: readonly FacetCount[];
  loading: boolean;
  approximate: boolean;
  wanted: string[];
  excluded: string[];
  onToggle: (value: string) => void;
  onExclude: (value: string) => void;
}) {
  const [all, setAll] = useState(false);
  // What is chosen stays in the list, also when nothing matches it any more.
  const gone = [...wanted, ...excluded].filter((value) => !values.some((each) => each.value === value));
  const listed = [...gone.map((value) => ({ value, count: 0 })), ...values];
  const most = Math.max(1, ...listed.map((each) => each.count));
  return (
    <section aria-label={`By ${title.toLowerCase()}`} className="space-y-1">
      <h2 className="text-xs font-semibold text-soft">{title}</h2>
      {loading && (
        <div aria-hidden="true" className="space-y-1.5">
          <div className="skeleton h-5" />
          <div className="skeleton h-5 w-4/5" />
        </div>
      )}
      {!loading && listed.length === 0 && <p className="text-xs text-soft">none</p>}
      <ul>
        {(all ? listed : listed.slice(0, few)).map(({ value, count }) => {
          const on = wanted.includes(value);
          const off = excluded.includes(value);
          return (
            <li key={value} className="group relative flex items-center">
              <button
                type="button"
                aria-pressed={on}
                title={value}
                onClick={() => (off ? onExclude(value) : onToggle(value))}
                className="relative flex h-7 min-w-0 flex-1 items-center gap-1.5 overflow-hidden rounded-md px-1.5 text-left hover:bg-raised aria-pressed:font-semibold max-sm:h-10"
              >
                {/* How much of the whole it is, behind the name. */}
                <span
                  aria-hidden="true"
                  className="absolute inset-y-1 left-0 rounded-r-sm bg-accent-wash"
                  style={{ width: `${(count / most) * 100}%` }}
                />
                {on && <CheckIcon className="relative size-3.5 shrink-0 text-accent" />}
                <span className={`relative min-w-0 flex-1 truncate ${off ? "text-soft line-through" : ""}`}>
                  {name(value)}
                </span>
                <span className="relative shrink-0 text-xs text-soft">{atLeast(count, approximate)}</span>
              </button>
              <button
                type="button"
                aria-label={off ? `Show ${value} again` : `Leave out ${value}`}
                title={off ? "Show these again" : "Leave these out"}
                onClick={() => onExclude(value)}
                className="grid size-7 shrink-0 place-items-center rounded-md text-soft opacity-0 hover:bg-raised hover:text-ink focus-visible:opacity-100 group-hover:opacity-100 max-sm:opacity-100"
              >
                {off ? "+" : "−"}
              </button>
            </li>
          );
        })}
      </ul>
      {listed.length > few && (
        <button type="button" className="px-1.5 text-xs text-accent underline" onClick={() => setAll(!all)}>
          {all ? "Fewer" : `${listed.length - few} more`}
        </button>
      )}
    </section>
  );
}
