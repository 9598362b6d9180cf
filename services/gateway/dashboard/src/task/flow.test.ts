// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { TaskTreeNode } from "../api/schema";
import {
  countStates,
  type Flow,
  fitView,
  layout,
  neighbour,
  nodeHeight,
  nodeWidth,
  reveal,
  splitOf,
  zoom,
} from "./flow";

const node = (id: string, parent: string | null, part: Partial<TaskTreeNode> = {}): TaskTreeNode => ({
  task_id: id,
  name: `n.${id}`,
  state: "success",
  parent_task_id: parent,
  root_task_id: "r",
  received_at: null,
  started_at: null,
  finished_at: null,
  ...part,
});
const none = new Set<string>();
const at = (flow: Flow, id: string) => {
  const found = flow.nodes.find((each) => each.id === id);
  if (!found) throw new Error(`${id} is not drawn`);
  return found;
};

describe("layout", () => {
  it("puts a chain on one line", () => {
    const flow = layout([node("r", null), node("a", "r"), node("b", "a")], "r", "b", none);
    expect(flow.nodes.map((each) => [each.id, each.depth, each.y])).toEqual([
      ["r", 0, 0],
      ["a", 1, 0],
      ["b", 2, 0],
    ]);
    expect(flow.height).toBe(nodeHeight);
    expect(at(flow, "b").current).toBe(true);
  });
  it("puts a parent in the middle of its children, in the order they came", () => {
    const flow = layout(
      [
        node("r", null),
        node("late", "r", { received_at: "2026-05-01T10:00:00.000002Z" }),
        node("early", "r", { received_at: "2026-05-01T10:00:00.000001Z" }),
        node("deep", "early"),
      ],
      "r",
      "r",
      none,
    );
    expect(at(flow, "early").y).toBe(0);
    expect(at(flow, "late").y).toBeGreaterThan(0);
    expect(at(flow, "r").y).toBe(at(flow, "late").y / 2);
    expect(at(flow, "deep").x).toBe(2 * at(flow, "early").x);
  });
  it("bundles alike leaves, but none that needs a look", () => {
    const many = Array.from({ length: 40 }, (_, i) => node(`m${i}`, "r", { name: "add" }));
    many[7] = node("bad", "r", { name: "add", state: "failure" });
    const tasks = [node("r", null), ...many];
    const flow = layout(tasks, "r", "m3", none);
    expect(flow.nodes.map((each) => each.tasks.length).sort()).toEqual([1, 1, 1, 38]);
    expect(at(flow, "m3").current).toBe(true);
    expect(layout(tasks, "r", "m3", new Set(["r/add"])).nodes).toHaveLength(41);
  });
  it("survives unknown parents, rings, doubles and long chains", () => {
    const odd = layout(
      [node("r", null), node("x", "gone"), node("a", "b"), node("b", "a"), node("s", "s"), node("x", "r")],
      "r",
      "r",
      none,
    );
    expect(odd.nodes.map((each) => each.id).sort()).toEqual(["a", "b", "r", "s", "x"]);
    expect(odd.adopted).toBe(3);
    const chain = Array.from({ length: 500 }, (_, i) => node(`c${i}`, i ? `c${i - 1}` : null));
    expect(layout(chain, "c0", "c0", none).nodes).toHaveLength(500);
    expect(layout([], "r", "r", none).nodes).toEqual([]);
    // The root itself may be unknown: it was not kept, or belongs to another agent.
    expect(layout([node("a", "r"), node("b", "a")], "r", "a", none).nodes.map((each) => each.id)).toEqual([
      "a",
      "b",
    ]);
  });
});

it("moves with the arrow keys", () => {
  const flow = layout([node("r", null), node("a", "r"), node("b", "r"), node("c", "b")], "r", "r", none);
  const go = (id: string, key: Parameters<typeof neighbour>[2]) =>
    neighbour(flow, at(flow, id), key)?.id ?? null;
  expect(go("r", "ArrowRight")).toBe("a");
  expect(go("a", "ArrowDown")).toBe("b");
  expect(go("b", "ArrowUp")).toBe("a");
  expect(go("b", "ArrowLeft")).toBe("r");
  expect(go("a", "ArrowUp")).toBeNull();
  expect(go("a", "Home")).toBe("r");
});

it("splits waiting from running", () => {
  const task = node("a", null, {
    received_at: "2026-05-01T10:00:00Z",
    started_at: "2026-05-01T10:00:02Z",
    finished_at: "2026-05-01T10:00:05Z",
  });
  expect(splitOf(task, 0)).toEqual({ wait: 2000, run: 3000 });
  const now = Date.parse("2026-05-01T10:00:10Z");
  expect(splitOf({ ...task, state: "started", finished_at: null }, now)).toEqual({ wait: 2000, run: 8000 });
  expect(splitOf({ ...task, state: "received", started_at: null, finished_at: null }, now)).toEqual({
    wait: 10_000,
    run: null,
  });
  expect(splitOf(node("b", null), now)).toEqual({ wait: null, run: null });
});

describe("view", () => {
  const flow = layout(
    [node("r", null), ...Array.from({ length: 30 }, (_, i) => node(`x${i}`, "r"))],
    "r",
    "x29",
    none,
  );
  it("shows all while that is readable, else the surroundings of one node", () => {
    const small = layout([node("r", null)], "r", "r", none);
    expect(fitView(small, 800, 400, null)).toEqual({
      k: 1,
      x: (800 - nodeWidth) / 2,
      y: (400 - nodeHeight) / 2,
    });
    const view = fitView(flow, 800, 400, at(flow, "x29"));
    const y = at(flow, "x29").y * view.k + view.y;
    expect(view.k).toBeGreaterThanOrEqual(0.55);
    expect(y).toBeGreaterThan(0);
    expect(y).toBeLessThan(400);
    expect(fitView(flow, 800, 400, null).k).toBeLessThan(0.55);
  });
  it("zooms around a point and reveals a node", () => {
    const view = zoom({ x: 10, y: 20, k: 1 }, 2, 110, 120);
    expect(view).toEqual({ k: 2, x: -90, y: -80 });
    const moved = reveal({ x: 0, y: 0, k: 1 }, at(flow, "x29"), 800, 400);
    expect(at(flow, "x29").y + nodeHeight + moved.y).toBeLessThanOrEqual(400);
  });
});

it("counts states", () => {
  expect(countStates([node("a", null), node("b", null, { state: "failure" }), node("c", null)])).toEqual([
    ["success", 2],
    ["failure", 1],
  ]);
});
