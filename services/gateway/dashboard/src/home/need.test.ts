// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import type { Attention, HomeProject } from "../insight/types";
import { byNeed, bySeverity, homeAnswer } from "./need";

const project = (slug: string, more: Partial<HomeProject> = {}): HomeProject => ({
  id: slug,
  attention: 0,
  slug,
  name: slug.toUpperCase(),
  environment: "production",
  ended: 1000,
  failed: 0,
  failure_rate: 0,
  spark: [],
  spark_failed: [],
  worst_queue: null,
  workers_online: 2,
  workers_offline: 0,
  agents_online: 1,
  agents_offline: 0,
  open_issues: 0,
  stuck_commands: 0,
  last_activity: "2026-01-01T00:00:00Z",
  ...more,
});
const attention = (
  slug: string,
  severity: Attention["severity"],
  since: string | null = null,
): Attention => ({
  kind: "agents_offline",
  count: 1,
  project: slug,
  project_name: slug.toUpperCase(),
  text: "",
  since,
  severity,
});
const order = (projects: HomeProject[], about: Attention[] = []) =>
  byNeed(projects, about).map((p) => p.slug);

it("puts the project that needs somebody first", () => {
  expect(order([project("calm"), project("failing", { failure_rate: 0.4 })])).toEqual(["failing", "calm"]);
  expect(
    order([project("failing", { failure_rate: 0.4 }), project("blind")], [attention("blind", "critical")]),
  ).toEqual(["blind", "failing"]);
  // Two failures of three tasks are no reason to overtake a project with lost workers.
  expect(
    order([project("tiny", { ended: 3, failure_rate: 0.66 }), project("lost", { workers_offline: 3 })]),
  ).toEqual(["lost", "tiny"]);
});

it("orders equals by activity, then by name, always the same", () => {
  const old = project("old", { last_activity: null });
  expect(order([old, project("b"), project("a")])).toEqual(["a", "b", "old"]);
});

it("names what has lasted longest first among equally bad", () => {
  const list = [
    attention("a", "warning", "2026-01-01T00:00:00Z"),
    attention("b", "critical", "2026-01-03T00:00:00Z"),
    attention("c", "critical", "2026-01-02T00:00:00Z"),
    attention("d", "warning", null),
  ];
  expect(bySeverity(list).map((each) => each.project)).toEqual(["c", "b", "a", "d"]);
});

it("answers which project needs somebody", () => {
  const all = ["a", "b", "c", "d"].map((slug) => project(slug));
  expect(homeAnswer(all, [])).toBe("None of 4 projects needs you");
  expect(homeAnswer([project("a")], [])).toBe("Nothing needs you");
  expect(homeAnswer(all, [attention("b", "critical")])).toBe("B needs you");
  expect(homeAnswer(all, [attention("b", "critical"), attention("a", "warning")])).toBe("B and A need you");
  expect(
    homeAnswer(
      all,
      all.map((p) => attention(p.slug, "critical")),
    ),
  ).toBe("A, B, C and 1 more need you");
  expect(homeAnswer([], [])).toBe("");
});
