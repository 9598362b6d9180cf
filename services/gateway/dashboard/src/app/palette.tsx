// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { Dialog as D } from "radix-ui";
import { type ComponentType, type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import { api, path } from "../api/client";
import { queries } from "../api/queries";
import type { Project, Task } from "../api/types";
import type { Goto } from "../ui/goto";
import {
  AgentsIcon,
  CommandsIcon,
  IssuesIcon,
  OverviewIcon,
  QueuesIcon,
  SearchIcon,
  TasksIcon,
  WorkersIcon,
} from "../ui/icons";
import { best, type Scored, score } from "../ui/match";
import { StateShape, taskLook } from "../ui/state";
import { type Command, useCommands } from "./actions";
import { hasRoute, pageLink, usePages } from "./usepages";

interface Item {
  id: string;
  group: string;
  label: string;
  note?: string | null;
  Icon?: ComponentType<{ className?: string }>;
  state?: string;
  goto?: Goto;
  run?: () => void;
  /** What is matched besides the label. */
  words?: string;
}

const perGroup = 6;
/** What the brain's own search found is worth more than a hit inside a word, less than one at a start. */
const searchPoints = 20;

/** The label counts; other words for it only when typed from their start. */
function pointsOf(item: Item, typed: string): number {
  const own = score(typed, item.label);
  if (own > 0 || !item.words) return own;
  const other = score(typed, item.words);
  return other >= 25 ? other / 4 : 0;
}
/** Typing rests this long before the API is asked. */
const restFor = 150;

/** The task list's filter language reads `name:value`; whatever may look like that goes in quotes. */
const asText = (typed: string): string => (/^[\w.-]+$/.test(typed) ? typed : JSON.stringify(typed));

interface IssueRow {
  fingerprint: string;
  sample_exception: string | null;
  sample_task_name: string | null;
  occurrences: number;
}

function useResting(text: string): string {
  const [rested, setRested] = useState(text);
  useEffect(() => {
    const timer = window.setTimeout(() => setRested(text), restFor);
    return () => window.clearTimeout(timer);
  }, [text]);
  return rested;
}

/** What can be found on the brain: tasks by its search, the rest from lists that are short. */
function useFound(project: Project | undefined, typed: string) {
  const router = useRouter();
  const slug = project?.slug ?? "";
  const wanted = useResting(typed.trim());
  const on = Boolean(project);
  const fresh = { enabled: on, staleTime: 30_000 };
  const queues = useQuery({ ...queries.queues(slug), ...fresh });
  const workers = useQuery({ ...queries.workers(slug), ...fresh });
  const agents = useQuery({ ...queries.agents(slug), ...fresh });
  const issues = useQuery({
    queryKey: ["p", slug, "palette-issues"],
    queryFn: ({ signal }) =>
      api.get<{ items: IssueRow[] }>(path`/projects/${slug}/issues`, { limit: 50 }, signal),
    ...fresh,
    enabled: on && hasRoute(router, "/projects/$slug/issues/$fingerprint"),
  });
  const tasks = useQuery({
    queryKey: ["p", slug, "palette-tasks", wanted],
    queryFn: ({ signal }) =>
      api.get<{ items: Task[] }>(path`/projects/${slug}/tasks`, { search: wanted, limit: perGroup }, signal),
    enabled: on && wanted.length >= 2,
    staleTime: 5_000,
  });
  const params = (more: Record<string, string>) => ({ slug, ...more });
  const goto = (detail: string, more: Record<string, string>, list: string): Goto =>
    (hasRoute(router, detail)
      ? { to: detail, params: params(more) }
      : { to: list, params: { slug } }) as unknown as Goto;
  const items: Scored<Item>[] = [];
  const add = (item: Item) => items.push({ item, points: searchPoints });
  if (wanted.length >= 2)
    for (const task of tasks.data?.items ?? [])
      add({
        id: `task ${task.engine} ${task.task_id}`,
        group: "Tasks",
        label: task.name || task.task_id,
        note: `${task.task_id.slice(0, 8)} ${task.queue ?? ""}`,
        state: task.state,
        goto: {
          to: "/projects/$slug/tasks/$engine/$taskId",
          params: { slug, engine: task.engine, taskId: task.task_id },
        } as Goto,
      });
  if (typed.trim() !== "") {
    const found: Item[] = [
      ...(queues.data ?? []).map((queue) => ({
        id: `queue ${queue.engine} ${queue.name}`,
        group: "Queues",
        label: queue.name,
        note: queue.engine,
        Icon: QueuesIcon,
        goto: goto(
          "/projects/$slug/queues/$engine/$name",
          { engine: queue.engine, name: queue.name },
          "/projects/$slug/queues",
        ),
      })),
      ...(workers.data ?? []).map((worker) => ({
        id: `worker ${worker.id}`,
        group: "Workers",
        label: worker.name,
        note: worker.state,
        Icon: WorkersIcon,
        goto: goto("/projects/$slug/workers/$workerId", { workerId: worker.id }, "/projects/$slug/workers"),
      })),
      ...(agents.data ?? []).map((agent) => ({
        id: `agent ${agent.id}`,
        group: "Agents",
        label: agent.name,
        note: agent.state,
        Icon: AgentsIcon,
        goto: { to: "/projects/$slug/agents", params: { slug } } as Goto,
      })),
      ...(issues.data?.items ?? []).map((issue) => ({
        id: `issue ${issue.fingerprint}`,
        group: "Issues",
        label: issue.sample_exception ?? issue.fingerprint,
        note: `${issue.sample_task_name ?? ""} ${issue.occurrences} times`,
        words: issue.sample_task_name ?? "",
        Icon: IssuesIcon,
        goto: goto(
          "/projects/$slug/issues/$fingerprint",
          { fingerprint: issue.fingerprint },
          "/projects/$slug/issues",
        ),
      })),
    ];
    for (const group of ["Queues", "Workers", "Issues", "Agents"])
      items.push(
        ...best(
          found.filter((item) => item.group === group),
          typed,
          (item) => pointsOf(item, typed),
          perGroup,
        ),
      );
  }
  return { items, busy: wanted !== typed.trim() || tasks.isFetching, error: tasks.error };
}

/** Palette finds everything by typing: pages, actions, projects, and what the project holds. */
export default function Palette({
  project,
  projects,
  early,
  onClose,
  onHelp,
}: {
  project: Project | undefined;
  projects: Project[];
  /** What was typed before the field was there. */
  early: { readonly current: string };
  onClose: () => void;
  onHelp: () => void;
}) {
  const id = useId();
  const router = useRouter();
  const slug = project?.slug ?? null;
  const available = usePages(slug);
  const commands = useCommands(slug, onHelp);
  const [typed, setTyped] = useState("");
  useEffect(() => setTyped((old) => old || early.current), [early]);
  const [at, setAt] = useState(0);
  const field = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const found = useFound(project, typed);

  const fixed = useMemo<Item[]>(
    () => [
      ...available.map((page) => ({
        id: `page ${page.id}`,
        group: "Pages",
        label: page.label,
        note: page.chord ? `g ${page.chord}` : null,
        Icon: page.Icon,
        goto: pageLink(page, slug),
      })),
      ...commands.map((command: Command) => ({
        id: `action ${command.id}`,
        group: "Actions",
        label: command.label,
        note: command.note,
        words: command.words,
        Icon: CommandsIcon,
        goto: command.goto,
        run: command.run,
      })),
      ...projects
        .filter((each) => each.id !== project?.id)
        .map((each) => ({
          id: `project ${each.id}`,
          group: "Projects",
          label: each.name,
          note: each.slug,
          words: each.slug,
          Icon: OverviewIcon,
          goto: { to: "/projects/$slug", params: { slug: each.slug } } as Goto,
        })),
    ],
    [available, commands, projects, project, slug],
  );
  const matched = ["Pages", "Actions", "Projects"].flatMap((group) =>
    best(
      fixed.filter((item) => item.group === group),
      typed,
      (item) => pointsOf(item, typed),
      typed ? perGroup : 20,
    ),
  );
  const search: Scored<Item>[] =
    slug && typed.trim()
      ? [
          {
            points: 0,
            item: {
              id: "search-tasks",
              group: "Tasks",
              label: `Search all tasks for “${typed.trim()}”`,
              Icon: SearchIcon,
              goto: {
                to: "/projects/$slug/tasks",
                params: { slug },
                search: { q: asText(typed.trim()) },
              } as Goto,
            },
          },
        ]
      : [];
  // The group with the best hit comes first: "que" leads to the queues, the name of a task to its runs.
  const all = [...matched, ...found.items, ...search];
  const groups = [...new Set(all.map(({ item }) => item.group))]
    .map((group) => ({
      group,
      points: Math.max(...all.filter(({ item }) => item.group === group).map(({ points }) => points)),
    }))
    .toSorted((a, b) => b.points - a.points)
    .map(({ group }) => group);
  const items = groups.flatMap((group) =>
    all.filter(({ item }) => item.group === group).map(({ item }) => item),
  );
  const chosen = items[Math.min(at, items.length - 1)];

  const choose = (item: Item | undefined, newTab: boolean) => {
    if (!item) return;
    if (newTab && item.goto) {
      window.open(router.buildLocation(item.goto as never).href, "_blank", "noopener");
      return;
    }
    onClose();
    if (item.goto) void router.navigate(item.goto as never);
    item.run?.();
  };
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step !== undefined && items.length > 0) {
      event.preventDefault();
      const wrap = Math.abs(step) === 1;
      setAt((old) => {
        const next = Math.min(old, items.length - 1) + step;
        return wrap ? (next + items.length) % items.length : Math.max(0, Math.min(items.length - 1, next));
      });
    } else if (event.key === "Enter") {
      event.preventDefault();
      choose(chosen, event.ctrlKey || event.metaKey);
    }
  };
  const chosenId = chosen?.id;
  // biome-ignore lint/correctness/useExhaustiveDependencies: scrolls when the chosen one changes
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [chosenId]);

  return (
    <D.Root open onOpenChange={(open) => !open && onClose()}>
      <D.Portal>
        <div aria-hidden="true" className="fixed inset-0 z-40 bg-[oklch(0.1_0.01_240/0.55)]" />
        <D.Content
          aria-describedby={undefined}
          // Radix would select what is already typed, and the next key would replace it.
          onOpenAutoFocus={(event) => {
            event.preventDefault();
            field.current?.focus();
          }}
          data-testid="palette"
          className="fixed top-[10vh] left-1/2 z-40 flex max-h-[76vh] w-[min(40rem,calc(100vw-1.5rem))] -translate-x-1/2 flex-col overflow-hidden rounded-md border border-edge bg-panel text-ink outline-none max-sm:top-3"
        >
          <D.Title className="sr-only">Find anything</D.Title>
          <div className="flex items-center gap-2 border-line border-b px-3">
            <SearchIcon className="size-4 text-soft" />
            <input
              ref={field}
              role="combobox"
              aria-expanded="true"
              aria-controls={`${id}-list`}
              aria-activedescendant={chosen ? `${id}-${items.indexOf(chosen)}` : undefined}
              aria-label="Find tasks, queues, workers, pages and actions"
              placeholder="Find tasks, queues, workers, pages and actions"
              autoComplete="off"
              autoCapitalize="off"
              spellCheck={false}
              value={typed}
              onChange={(event) => {
                setTyped(event.target.value);
                setAt(0);
              }}
              onKeyDown={onKey}
              className="h-12 min-w-0 flex-1 bg-transparent outline-none"
            />
            <button
              type="button"
              onClick={onClose}
              className="rounded-md px-1 text-xs text-soft hover:text-ink"
            >
              esc
            </button>
          </div>
          <div
            ref={list}
            id={`${id}-list`}
            role="listbox"
            aria-label="What was found"
            aria-busy={found.busy || undefined}
            className="min-h-0 flex-1 overflow-y-auto p-1"
          >
            {groups.map((group) => (
              <div key={group} role="group" aria-label={group}>
                <p aria-hidden="true" className="px-2 pt-2 pb-1 text-xs font-semibold text-soft">
                  {group}
                </p>
                {items.map((item, i) =>
                  item.group === group ? (
                    // biome-ignore lint/a11y/useKeyWithClickEvents: the field above holds the focus and the keys
                    <div
                      key={item.id}
                      id={`${id}-${i}`}
                      role="option"
                      aria-selected={item === chosen}
                      onPointerMove={() => setAt(i)}
                      onClick={(event) => choose(item, event.ctrlKey || event.metaKey)}
                      onAuxClick={(event) => event.button === 1 && choose(item, true)}
                      className="flex h-9 cursor-pointer items-center gap-2.5 rounded-md px-2 aria-selected:bg-accent-wash max-sm:h-11"
                    >
                      {item.state ? (
                        <>
                          <StateShape look={taskLook(item.state)} />
                          <span className="sr-only">{taskLook(item.state).label}</span>
                        </>
                      ) : item.Icon ? (
                        <item.Icon className="size-4 text-soft" />
                      ) : (
                        <TasksIcon className="size-4 text-soft" />
                      )}
                      <span className="min-w-0 flex-1 truncate">{item.label}</span>
                      {item.note && <span className="max-w-48 truncate text-xs text-soft">{item.note}</span>}
                    </div>
                  ) : null,
                )}
              </div>
            ))}
            {items.length === 0 && !found.busy && (
              <div
                role="option"
                aria-selected={false}
                aria-disabled="true"
                className="px-2 py-6 text-center text-soft"
              >
                Nothing is called “{typed.trim()}”
              </div>
            )}
          </div>
          {found.error && (
            <p role="status" className="border-line border-t px-3 py-2 text-xs text-bad">
              Tasks could not be searched: {found.error.message}
            </p>
          )}
        </D.Content>
      </D.Portal>
    </D.Root>
  );
}
