// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import {
  type KeyboardEvent,
  type PointerEvent,
  type ReactNode,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { useLive } from "../api/live";
import type { TaskTreeNode, TaskTreeResponse } from "../api/schema";
import type { Task } from "../api/types";
import { useNow } from "../ui/clock";
import { Button, ErrorNote, Panel } from "../ui/controls";
import { StateShape, TaskBadge, taskLook, toneText } from "../ui/state";
import {
  countStates,
  type Direction,
  edgePath,
  type Flow,
  type FlowNode,
  fitView,
  layout,
  neighbour,
  nodeHeight,
  nodeWidth,
  reveal,
  splitOf,
  type View,
  zoom,
} from "./flow";
import { formatSpan } from "./precise";
import { taskQueries } from "./queries";
import { displayName, isTerminal, shortName } from "./verdict";

/** Canvas is the graph of a chain, group or chord that the task belongs to; nothing for a task of its own. */
export function Canvas({ slug, task }: { slug: string; task: Task }) {
  const query = taskQueries.tree(slug, task.engine, task.task_id);
  const poll = useLive(["task.changed"], [query.queryKey], 2000);
  const tree = useQuery({
    ...query,
    // A task that has ended may still start others, so a quiet canvas is looked at as well, just seldom.
    refetchInterval: (each) =>
      each.state.data?.nodes.some((node) => !isTerminal(node.state)) ? poll : Math.max(poll, 20_000),
  });
  if (tree.error && !tree.data) {
    return (
      <Panel title="Workflow">
        <ErrorNote
          error={tree.error}
          what="The workflow could not be loaded"
          onRetry={() => void tree.refetch()}
        />
      </Panel>
    );
  }
  if (!tree.data || tree.data.node_count < 2) return null;
  return <Drawn slug={slug} engine={task.engine} currentId={task.task_id} tree={tree.data} />;
}

function Drawn({
  slug,
  engine,
  currentId,
  tree,
}: {
  slug: string;
  engine: string;
  currentId: string;
  tree: TaskTreeResponse;
}) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const flow = useMemo(() => layout(tree.nodes, tree.root_task_id, currentId, open), [tree, currentId, open]);
  const counts = countStates(tree.nodes);
  const bundled = flow.nodes.some((node) => node.tasks.length > 1);
  return (
    <Panel
      title={`Workflow of ${tree.node_count} tasks`}
      actions={
        <ul className="flex flex-wrap items-center gap-x-3">
          {counts.map(([state, count]) => (
            <li key={state} className="flex items-center gap-1.5 text-xs">
              <TaskBadge state={state} /> {count}
            </li>
          ))}
        </ul>
      }
    >
      <div className="space-y-2" data-testid="canvas">
        {tree.truncated && (
          <p className="text-warn">
            Only the first {tree.node_count} tasks of this workflow are shown; it has more.
          </p>
        )}
        <Graph
          flow={flow}
          slug={slug}
          engine={engine}
          onOpen={(id) => setOpen(new Set([...open, id]))}
          extra={
            (bundled || open.size > 0) && (
              <Button
                kind="quiet"
                onClick={() =>
                  setOpen(
                    open.size > 0
                      ? new Set()
                      : new Set(flow.nodes.filter((node) => node.tasks.length > 1).map((node) => node.id)),
                  )
                }
              >
                {open.size > 0 ? "Bundle alike tasks" : "Show every task"}
              </Button>
            )
          }
        />
        <p className="text-xs text-soft">
          <span className="max-md:hidden">
            Drag to move, Ctrl+wheel to zoom, arrow keys between tasks, Enter opens.{" "}
          </span>
          A line leads from a task to those it started. The last step of a chord hangs on the member that
          ended last.
          {flow.adopted > 0 &&
            ` ${flow.adopted} ${flow.adopted === 1 ? "task's" : "tasks'"} parent is not known here; ${flow.adopted === 1 ? "it hangs" : "they hang"} on the root.`}
        </p>
        <Twin tree={tree} currentId={currentId} slug={slug} engine={engine} />
      </div>
    </Panel>
  );
}

interface GraphProps {
  flow: Flow;
  slug: string;
  engine: string;
  onOpen: (bundle: string) => void;
  extra: ReactNode;
}

const arrows = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);

function Graph({ flow, slug, engine, onOpen, extra }: GraphProps) {
  const box = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [view, setView] = useState<View | null>(null);
  const [focus, setFocus] = useState<string | null>(null);
  const [tall, setTall] = useState(false);
  const current = flow.nodes.find((node) => node.current) ?? null;
  const shown = view ?? fitView(flow, size.width, size.height, current);
  const height = tall
    ? Math.max(420, window.innerHeight - 220)
    : Math.min(420, Math.max(96, flow.height + 32));

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const watch = new ResizeObserver(() =>
      setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    watch.observe(element);
    return () => watch.disconnect();
  }, []);

  // The wheel zooms only with Ctrl or Cmd; without, the page scrolls over the graph. React's own listener is
  // passive and could not keep the browser from zooming the page.
  const latest = useRef(shown);
  latest.current = shown;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const rect = element.getBoundingClientRect();
      const factor = Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.002));
      setView(zoom(latest.current, factor, event.clientX - rect.left, event.clientY - rect.top));
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, []);

  const drag = useDrag(latest, setView);
  const focused = flow.nodes.find((node) => node.id === focus) ?? current ?? flow.nodes[0] ?? null;

  const onKey = (event: KeyboardEvent) => {
    if (event.key === "+" || event.key === "=" || event.key === "-") {
      event.preventDefault();
      setView(zoom(shown, event.key === "-" ? 0.8 : 1.25, size.width / 2, size.height / 2));
      return;
    }
    if (!arrows.has(event.key) || !focused) return;
    event.preventDefault();
    const next = neighbour(flow, focused, event.key as Direction);
    if (!next) return;
    setFocus(next.id);
    setView(reveal(shown, next, size.width, size.height));
    box.current
      ?.querySelector<SVGElement>(`[data-node="${CSS.escape(next.id)}"]`)
      ?.focus({ preventScroll: true });
  };

  const centre = (factor: number) => setView(zoom(shown, factor, size.width / 2, size.height / 2));
  return (
    <div className="space-y-1.5">
      <div className="flex flex-wrap items-center gap-1.5">
        <Button onClick={() => centre(1.25)} aria-label="Zoom in" title="Zoom in (+)">
          +
        </Button>
        <Button onClick={() => centre(0.8)} aria-label="Zoom out" title="Zoom out (-)">
          −
        </Button>
        <Button onClick={() => setView(fitView(flow, size.width, size.height, null, 0))}>Show all</Button>
        <Button onClick={() => setView(fitView(flow, size.width, size.height, current, 1))}>This task</Button>
        <Button kind="quiet" aria-pressed={tall} onClick={() => setTall(!tall)}>
          {tall ? "Smaller" : "Larger"}
        </Button>
        {extra}
      </div>
      <div
        ref={box}
        className="touch-pan-y overflow-hidden rounded-md border border-line bg-canvas"
        style={{ height }}
        onKeyDown={onKey}
        {...drag}
        role="group"
        aria-label="Workflow graph. Arrow keys move between tasks, Enter opens one. The same tasks follow as a list."
      >
        <svg width="100%" height="100%" className="block cursor-grab active:cursor-grabbing">
          <title>Workflow graph</title>
          <g transform={`translate(${shown.x} ${shown.y}) scale(${shown.k})`}>
            {flow.nodes.map(
              (node) =>
                node.parent && (
                  <path
                    key={node.id}
                    d={edgePath(node.parent, node)}
                    fill="none"
                    className="stroke-edge"
                    strokeWidth="1.25"
                  />
                ),
            )}
            {flow.nodes.map((node) => (
              <NodeView
                key={node.id}
                node={node}
                slug={slug}
                engine={engine}
                tab={node === focused}
                onFocus={() => setFocus(node.id)}
                onOpen={onOpen}
              />
            ))}
          </g>
        </svg>
      </div>
    </div>
  );
}

/** useDrag moves the view with one pointer and zooms it with two; a press that does not move stays a click. */
function useDrag(latest: { current: View }, setView: (view: View) => void) {
  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const moved = useRef(0);
  const at = (event: PointerEvent) => {
    const rect = event.currentTarget.getBoundingClientRect();
    return { x: event.clientX - rect.left, y: event.clientY - rect.top };
  };
  const end = useCallback((event: PointerEvent) => {
    pointers.current.delete(event.pointerId);
  }, []);
  return {
    onPointerDown: (event: PointerEvent) => {
      if (event.button !== 0) return;
      if (pointers.current.size === 0) moved.current = 0;
      pointers.current.set(event.pointerId, at(event));
    },
    onPointerMove: (event: PointerEvent) => {
      const before = pointers.current.get(event.pointerId);
      if (!before) return;
      if (event.buttons === 0) {
        pointers.current.delete(event.pointerId);
        return;
      }
      const here = at(event);
      const view = latest.current;
      const other = [...pointers.current].find(([id]) => id !== event.pointerId)?.[1];
      pointers.current.set(event.pointerId, here);
      moved.current += Math.hypot(here.x - before.x, here.y - before.y);
      if (moved.current < 4) return;
      if (other) {
        const was = Math.hypot(before.x - other.x, before.y - other.y);
        const is = Math.hypot(here.x - other.x, here.y - other.y);
        if (was > 0) setView(zoom(view, is / was, (here.x + other.x) / 2, (here.y + other.y) / 2));
        return;
      }
      setView({ k: view.k, x: view.x + here.x - before.x, y: view.y + here.y - before.y });
    },
    onPointerUp: end,
    onPointerCancel: end,
    onPointerLeave: end,
    onClickCapture: (event: { preventDefault: () => void; stopPropagation: () => void }) => {
      // The end of a drag over a node is no click on it.
      if (moved.current >= 4) {
        event.preventDefault();
        event.stopPropagation();
      }
      moved.current = 0;
    },
    onDragStart: (event: { preventDefault: () => void }) => event.preventDefault(),
  };
}

const clipped = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

interface NodeProps {
  node: FlowNode;
  slug: string;
  engine: string;
  tab: boolean;
  onFocus: () => void;
  onOpen: (bundle: string) => void;
}

function NodeView({ node, slug, engine, tab, onFocus, onOpen }: NodeProps) {
  const first = node.tasks[0];
  const navigate = useNavigate();
  if (!first) return null;
  const bundle = node.tasks.length > 1;
  const common = {
    "data-node": node.id,
    tabIndex: tab ? 0 : -1,
    onFocus,
    className:
      "cursor-pointer outline-none [&:focus-visible>rect]:stroke-accent [&:focus-visible>rect]:stroke-[3px]",
    transform: `translate(${node.x} ${node.y})`,
  };
  if (bundle) {
    const states = countStates(node.tasks);
    const name = shortName(displayName(first.name));
    return (
      <g
        {...common}
        role="button"
        aria-label={`${node.tasks.length} times ${name}: ${states.map(([state, n]) => `${n} ${taskLook(state).label}`).join(", ")}. Show each`}
        onClick={() => onOpen(node.id)}
        onKeyDown={(event) => {
          if (event.key === "Enter" || event.key === " ") {
            event.preventDefault();
            onOpen(node.id);
          }
        }}
      >
        <title>{`${displayName(first.name)}, ${node.tasks.length} times; click to show each`}</title>
        <rect
          x="6"
          y="-4"
          width={nodeWidth - 6}
          height={nodeHeight - 4}
          rx="6"
          className="fill-raised stroke-line"
        />
        <rect width={nodeWidth - 4} height={nodeHeight - 2} y="1" rx="6" className="fill-panel stroke-edge" />
        <text x="12" y="20" className="fill-ink text-xs font-semibold">
          {clipped(name, 18)} ×{node.tasks.length}
        </text>
        {states.slice(0, 3).map(([state, count], i) => (
          <g
            key={state}
            transform={`translate(${12 + i * 56} 29)`}
            className={toneText[taskLook(state).tone]}
          >
            <StateShape look={taskLook(state)} />
            <text x="16" y="10" className="fill-current text-xs">
              {count}
            </text>
          </g>
        ))}
      </g>
    );
  }
  const look = taskLook(first.state);
  const name = displayName(first.name);
  return (
    <a
      {...common}
      href={`/projects/${encodeURIComponent(slug)}/tasks/${encodeURIComponent(engine)}/${encodeURIComponent(first.task_id)}`}
      aria-current={node.current ? "page" : undefined}
      aria-label={`${name}, ${look.label}${node.current ? ", this task" : ""}`}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        void navigate({
          to: "/projects/$slug/tasks/$engine/$taskId",
          params: { slug, engine, taskId: first.task_id },
        });
      }}
    >
      <title>{`${name}\n${first.task_id}`}</title>
      {node.current && (
        <rect
          x="-4"
          y="-4"
          width={nodeWidth + 8}
          height={nodeHeight + 8}
          rx="9"
          className="fill-none stroke-accent"
          strokeWidth="2.5"
        />
      )}
      <rect
        width={nodeWidth}
        height={nodeHeight}
        rx="6"
        className={`${node.current ? "fill-accent-wash" : "fill-panel"} stroke-edge`}
      />
      <g transform="translate(10 9)">
        <StateShape look={look} />
      </g>
      <text x="28" y="20" className="fill-ink text-xs font-semibold">
        {clipped(shortName(name), 22)}
      </text>
      <Times task={first} />
    </a>
  );
}

/** How long it waited and ran, in words and as a share of a line. */
function Times({ task }: { task: TaskTreeNode }) {
  // Only what still goes on ticks: a canvas can have hundreds of tasks.
  return isTerminal(task.state) ? <Split task={task} now={0} /> : <Ticking task={task} />;
}

function Ticking({ task }: { task: TaskTreeNode }) {
  return <Split task={task} now={useNow()} />;
}

function Split({ task, now }: { task: TaskTreeNode; now: number }) {
  const { wait, run } = splitOf(task, now);
  const total = (wait ?? 0) + (run ?? 0);
  const inner = nodeWidth - 20;
  const waited = total > 0 ? ((wait ?? 0) / total) * inner : 0;
  const look = taskLook(task.state);
  const text = [
    wait !== null ? `wait ${formatSpan(wait)}` : null,
    run !== null ? `run ${formatSpan(run)}` : null,
  ]
    .filter(Boolean)
    .join(" · ");
  return (
    <>
      <text x="10" y="35" className="fill-soft text-[11px]">
        {text || look.label}
      </text>
      {total > 0 && (
        <g className={toneText[look.tone]}>
          <rect x="10" y="40" width={inner} height="3" rx="1" className="fill-line" />
          {run !== null && (
            <rect
              x={10 + waited}
              y="40"
              width={Math.max(1.5, inner - waited)}
              height="3"
              rx="1"
              className="fill-current"
            />
          )}
        </g>
      )}
    </>
  );
}

/** Twin is the graph as a list, for screen readers and for whoever prefers to read. */
function Twin({
  tree,
  currentId,
  slug,
  engine,
}: {
  tree: TaskTreeResponse;
  currentId: string;
  slug: string;
  engine: string;
}) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="text-soft">As a list</summary>
      {open && <List tree={tree} currentId={currentId} slug={slug} engine={engine} />}
    </details>
  );
}

function List({
  tree,
  currentId,
  slug,
  engine,
}: {
  tree: TaskTreeResponse;
  currentId: string;
  slug: string;
  engine: string;
}) {
  const now = useNow();
  const flow = useMemo(() => {
    const all = new Set(tree.nodes.map((node) => `${node.parent_task_id}/${node.name}`));
    for (const node of tree.nodes) all.add(`${tree.root_task_id}/${node.name}`);
    return layout(tree.nodes, tree.root_task_id, currentId, all);
  }, [tree, currentId]);
  return (
    <ul className="max-h-96 overflow-y-auto pt-1" aria-label="Tasks of the workflow, parents first">
      {flow.nodes.map((node) => {
        const task = node.tasks[0];
        if (!task) return null;
        const { wait, run } = splitOf(task, now);
        return (
          <li
            key={task.task_id}
            className={`flex flex-wrap items-center gap-x-3 py-0.5 ${node.current ? "font-semibold" : ""}`}
            style={{ paddingLeft: `${Math.min(node.depth, 8) * 1.25}rem` }}
          >
            <TaskBadge state={task.state} />
            <Link
              to="/projects/$slug/tasks/$engine/$taskId"
              params={{ slug, engine, taskId: task.task_id }}
              aria-current={node.current ? "page" : undefined}
              className="text-accent underline"
            >
              {displayName(task.name)}
            </Link>
            <span className="text-xs text-soft">
              {wait !== null && `waited ${formatSpan(wait)}`}
              {wait !== null && run !== null && ", "}
              {run !== null && `ran ${formatSpan(run)}`}
              {node.current && " (this task)"}
              {node.depth > 8 && ` level ${node.depth + 1}`}
            </span>
          </li>
        );
      })}
    </ul>
  );
}
