// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import type { Task } from "../api/types";
import type { Outcome } from "./bulk";
import { cancelMany, retryMany } from "./bulkmany";

const tasks = ["a", "b", "c"].map((id) => ({ id, task_id: id, engine: "celery", name: id }) as Task);
const never = new AbortController().signal;

function brain(answers: { status: string; outcomes: string[] }[]) {
  const posts: [string, unknown][] = [];
  let look = -1;
  const get = async (url: string) => {
    if (!url.endsWith("/items")) look = Math.min(look + 1, answers.length - 1);
    const now = answers[look];
    if (!url.endsWith("/items")) return { status: now?.status };
    return {
      items: now?.outcomes.map((outcome, ordinal) => ({
        ordinal,
        task_id: tasks[ordinal]?.task_id,
        outcome,
        error: outcome === "failed" ? "refused" : null,
        command_id: `command ${ordinal}`,
      })),
      next: null,
    };
  };
  const post = async (url: string, body: unknown) => {
    posts.push([url, body]);
    return { id: "request" };
  };
  return { client: { get, post } as never, posts };
}

it("tells of each task once, as its result comes in", async () => {
  const { client, posts } = brain([
    { status: "in_progress", outcomes: ["succeeded", "unobserved", "unobserved"] },
    { status: "partial", outcomes: ["succeeded", "failed", "succeeded"] },
  ]);
  const told: Outcome[] = [];
  await retryMany("shop", "celery", tasks, "agent", (each) => told.push(each), never, client);
  expect(told.map(({ task, ok, text }) => [task.id, ok, text])).toEqual([
    ["a", true, "done"],
    ["b", false, "refused"],
    ["c", true, "done"],
  ]);
  expect(posts[0]?.[1]).toMatchObject({
    agent_id: "agent",
    filter: { engine: "celery", task_ids: ["a", "b", "c"] },
    max: 3,
  });
});

it("ends when somebody paused the request", async () => {
  const { client } = brain([{ status: "paused", outcomes: ["succeeded", "unobserved", "unobserved"] }]);
  const told: Outcome[] = [];
  await retryMany("shop", "celery", tasks, "agent", (each) => told.push(each), never, client);
  expect(told.map(({ ok }) => ok)).toEqual([true, false, false]);
  expect(told[1]?.text).toContain("paused");
});

it("says which cancellations were sent, and why others were not", async () => {
  const client = {
    post: async () => ({
      items: [
        { engine: "celery", task_id: "a", command_id: "1", reason: null },
        { engine: "celery", task_id: "b", command_id: null, reason: "it has ended" },
      ],
    }),
  } as never;
  const told: Outcome[] = [];
  await cancelMany("shop", tasks, (each) => told.push(each), never, client);
  expect(told.map(({ ok, text }) => [ok, text])).toEqual([
    [true, "sent to the agent"],
    [false, "it has ended"],
    [false, "it was left alone"],
  ]);
});
