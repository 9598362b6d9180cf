// SPDX-License-Identifier: AGPL-3.0-or-later
import type { TaskTreeNode } from "../api/schema";
import { preciseTime } from "./precise";

/** A task in the graph, or a bundle of leaf siblings that are alike. */
export interface FlowNode {
  id: string;
  /** The tasks it stands for: one, or those of a bundle. */
  tasks: TaskTreeNode[];
  depth: number;
  x: number;
  y: number;
  parent: FlowNode | null;
  children: FlowNode[];
  current: boolean;
}

export interface Flow {
  /** In drawing order: parents before children, top to bottom. */
  nodes: FlowNode[];
  width: number;
  height: number;
  /** Tasks whose parent is not among the known ones; they hang on the root. */
  adopted: number;
}

export const nodeWidth = 196;
export const nodeHeight = 48;
const columnGap = 44;
const rowGap = 12;

/** From how many alike leaf siblings on they are drawn as one. */
const bundleFrom = 6;

interface Raw {
  task: TaskTreeNode;
  children: Raw[];
}

/** arrange builds the tree from the flat answer. It holds no matter what the parents claim: each task comes once. */
function arrange(tasks: TaskTreeNode[], rootId: string): { root: Raw; adopted: number } | null {
  const first = tasks.find((task) => task.task_id === rootId) ?? tasks[0];
  if (!first) return null;
  const known = new Map<string, Raw>();
  for (const task of tasks) if (!known.has(task.task_id)) known.set(task.task_id, { task, children: [] });
  const root = known.get(first.task_id);
  if (!root) return null;
  let adopted = 0;
  for (const raw of known.values()) {
    if (raw === root) continue;
    const parent = raw.task.parent_task_id ? known.get(raw.task.parent_task_id) : undefined;
    if (parent && parent !== raw) parent.children.push(raw);
    else {
      root.children.push(raw);
      adopted++;
    }
  }
  // A ring of parents is reached from nowhere: break it open at the root.
  const seen = new Set<Raw>();
  const reach = (from: Raw) => {
    const stack = [from];
    for (let raw = stack.pop(); raw; raw = stack.pop()) {
      if (seen.has(raw)) continue;
      seen.add(raw);
      raw.children = raw.children.filter((child) => !seen.has(child));
      stack.push(...raw.children);
    }
  };
  reach(root);
  for (const raw of known.values()) {
    if (seen.has(raw)) continue;
    root.children.push(raw);
    adopted++;
    reach(raw);
  }
  const at = (raw: Raw) =>
    preciseTime(raw.task.received_at ?? raw.task.started_at) ?? Number.POSITIVE_INFINITY;
  for (const raw of known.values())
    raw.children.sort((a, b) => at(a) - at(b) || (a.task.task_id < b.task.task_id ? -1 : 1));
  return { root, adopted };
}

/** Tasks that need a look stay themselves. */
const plainState = (state: string) => state !== "failure" && state !== "rejected" && state !== "revoked";

function bundleKey(raw: Raw, currentId: string): string | null {
  if (raw.children.length > 0 || raw.task.task_id === currentId || !plainState(raw.task.state)) return null;
  return raw.task.name;
}

/**
 * layout places a canvas from left to right: a child is to the right of the task that sent it, siblings are below
 * each other, a parent is level with the middle of its children. Alike leaf siblings are bundled unless `open`
 * has their bundle's id.
 */
export function layout(
  tasks: TaskTreeNode[],
  rootId: string,
  currentId: string,
  open: ReadonlySet<string>,
): Flow {
  const tree = arrange(tasks, rootId);
  if (!tree) return { nodes: [], width: 0, height: 0, adopted: 0 };
  const make = (raws: Raw[], id: string, parent: FlowNode | null): FlowNode => ({
    id,
    tasks: raws.map((raw) => raw.task),
    depth: parent ? parent.depth + 1 : 0,
    x: 0,
    y: 0,
    parent,
    children: [],
    current: raws.some((raw) => raw.task.task_id === currentId),
  });
  const root = make([tree.root], tree.root.task.task_id, null);
  // Without recursion: a chain can be hundreds of tasks long.
  const order: FlowNode[] = [];
  const stack: { node: FlowNode; raw: Raw | null }[] = [{ node: root, raw: tree.root }];
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { node, raw } = top;
    order.push(node);
    if (!raw) continue;
    const alike = new Map<string, Raw[]>();
    for (const child of raw.children) {
      const key = bundleKey(child, currentId);
      if (key === null) continue;
      const list = alike.get(key);
      if (list) list.push(child);
      else alike.set(key, [child]);
    }
    const done = new Set<string>();
    const next: { node: FlowNode; raw: Raw | null }[] = [];
    for (const child of raw.children) {
      const key = bundleKey(child, currentId);
      const group = key === null ? undefined : alike.get(key);
      const id = `${raw.task.task_id}/${key}`;
      if (key !== null && group && group.length >= bundleFrom && !open.has(id)) {
        if (done.has(key)) continue;
        done.add(key);
        next.push({ node: make(group, id, node), raw: null });
      } else next.push({ node: make([child], child.task.task_id, node), raw: child });
    }
    node.children = next.map((each) => each.node);
    stack.push(...next.reverse());
  }
  let row = 0;
  let deepest = 0;
  for (const node of [...order].reverse()) {
    node.x = node.depth * (nodeWidth + columnGap);
    deepest = Math.max(deepest, node.depth);
    const first = node.children[0];
    const last = node.children.at(-1);
    // From the bottom up, so that each child is placed before its parent.
    if (!first || !last) node.y = -row++ * (nodeHeight + rowGap);
    else node.y = (first.y + last.y) / 2;
  }
  const lift = (row - 1) * (nodeHeight + rowGap);
  for (const node of order) node.y += lift;
  return {
    nodes: order,
    width: (deepest + 1) * nodeWidth + deepest * columnGap,
    height: Math.max(1, row) * nodeHeight + Math.max(0, row - 1) * rowGap,
    adopted: tree.adopted,
  };
}

/** edgePath is the curve from a parent's right edge to a child's left edge. */
export function edgePath(from: FlowNode, to: FlowNode): string {
  const x1 = from.x + nodeWidth;
  const y1 = from.y + nodeHeight / 2;
  const y2 = to.y + nodeHeight / 2;
  const mid = x1 + columnGap / 2;
  return `M${x1} ${y1}C${mid} ${y1} ${mid} ${y2} ${to.x} ${y2}`;
}

export interface Split {
  wait: number | null;
  run: number | null;
}

/** splitOf is how long a task waited and ran; `now` closes what still goes on. */
export function splitOf(task: TaskTreeNode, now: number): Split {
  const received = preciseTime(task.received_at);
  const started = preciseTime(task.started_at);
  const finished = preciseTime(task.finished_at);
  const live =
    task.state === "received" ||
    task.state === "pending" ||
    task.state === "retry" ||
    task.state === "started";
  const waitEnd = started ?? finished ?? (live ? now : null);
  const runEnd = finished ?? (task.state === "started" ? now : null);
  return {
    wait: received !== null && waitEnd !== null ? Math.max(0, waitEnd - received) : null,
    run: started !== null && runEnd !== null ? Math.max(0, runEnd - started) : null,
  };
}

/** countStates counts a bundle's tasks by state, most first. */
export function countStates(tasks: TaskTreeNode[]): [state: string, count: number][] {
  const counts = new Map<string, number>();
  for (const { state } of tasks) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

export type Direction = "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown" | "Home" | "End";

/** neighbour is where an arrow key leads: to the parent, the first child, or the next node of the same column. */
export function neighbour(flow: Flow, node: FlowNode, key: Direction): FlowNode | null {
  if (key === "ArrowLeft") return node.parent;
  if (key === "ArrowRight") return node.children[Math.floor((node.children.length - 1) / 2)] ?? null;
  if (key === "Home") return flow.nodes[0] ?? null;
  if (key === "End") return flow.nodes.at(-1) ?? null;
  const column = flow.nodes.filter((each) => each.depth === node.depth).sort((a, b) => a.y - b.y);
  return column[column.indexOf(node) + (key === "ArrowDown" ? 1 : -1)] ?? null;
}

export interface View {
  x: number;
  y: number;
  k: number;
}

export const leastZoom = 0.15;
const mostZoom = 2;

/** fit shows all of the graph if that stays readable, else it shows it as large as is readable around one node. */
export function fitView(
  flow: Flow,
  width: number,
  height: number,
  around: FlowNode | null,
  readable = 0.55,
): View {
  if (flow.width === 0 || width === 0) return { x: 0, y: 0, k: 1 };
  const pad = 16;
  const whole = Math.min((width - 2 * pad) / flow.width, (height - 2 * pad) / flow.height, 1);
  if (whole >= readable || !around) {
    const k = Math.max(leastZoom, whole);
    return { k, x: (width - flow.width * k) / 2, y: (height - flow.height * k) / 2 };
  }
  const k = Math.min(1, Math.max(readable, (height - 2 * pad) / flow.height));
  const keep = (size: number, total: number, middle: number) => {
    if (total * k <= size - 2 * pad) return (size - total * k) / 2;
    return Math.min(pad, Math.max(size - pad - total * k, size / 2 - middle * k));
  };
  return {
    k,
    x: keep(width, flow.width, around.x + nodeWidth / 2),
    y: keep(height, flow.height, around.y + nodeHeight / 2),
  };
}

/** zoom keeps the point under the pointer where it is. */
export function zoom(view: View, factor: number, x: number, y: number): View {
  const k = Math.min(mostZoom, Math.max(leastZoom, view.k * factor));
  const by = k / view.k;
  return { k, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
}

/** reveal moves the view just so far that a node is inside. */
export function reveal(view: View, node: FlowNode, width: number, height: number): View {
  const pad = 16;
  const slide = (offset: number, from: number, to: number, size: number) => {
    if (from * view.k + offset < pad) return pad - from * view.k;
    if (to * view.k + offset > size - pad) return size - pad - to * view.k;
    return offset;
  };
  return {
    k: view.k,
    x: slide(view.x, node.x, node.x + nodeWidth, width),
    y: slide(view.y, node.y, node.y + nodeHeight, height),
  };
}
