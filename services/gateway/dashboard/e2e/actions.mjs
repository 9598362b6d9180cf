// SPDX-License-Identifier: AGPL-3.0-or-later
// Presses every button that changes something, and reads the effect back from the engine itself: from Celery's
// workers and results, from RQ's registries, from the lists in Redis.
//
// Environment: that of live.mjs without the control, and Z4J_E2E_RQ_PRODUCER, the same for an RQ worker.
import { browser, need } from "./env.mjs";
import { Producer, stopAll } from "./processes.mjs";
import { Session } from "./session.mjs";

const base = need("Z4J_E2E_URL");
const project = need("Z4J_E2E_PROJECT");
const node = "live@shop";
const s = await Session.open({ base, ...browser() });
const celery = new Producer(need("Z4J_E2E_PRODUCER"));
const rq = new Producer(need("Z4J_E2E_RQ_PRODUCER"));
const at = (path) => `/projects/${project}${path}`;
const dialog = () => s.page.getByRole("dialog");
const press = (name) =>
  dialog()
    .getByRole("button", { name, exact: typeof name === "string" })
    .click();

const value = async (producer, request) => (await producer.request(request)).value;
const result = (id) => value(celery, { op: "result", id });
const depth = (producer, queue) => value(producer, { op: "depth", queue });
const inspect = async (what, ...items) => (await value(celery, { op: "inspect", what, items }))?.[node];
const task = async (engine, id) => {
  const answer = await s.context.request.get(`${base}/api/v1${at(`/tasks/${engine}/${id}`)}`);
  return answer.ok() ? answer.json() : null;
};
const inState = (id, state, engine = "celery") =>
  s.until(`${id} is ${state}`, async () => (await task(engine, id))?.state === state);

/** outcome waits for what the page says about the newest command, and returns the command. */
async function outcome() {
  await s.page
    .locator('[data-testid=command-outcome][data-status="completed"]')
    .first()
    .waitFor({ timeout: 40_000 });
  const { items } = await s.get(at("/commands?limit=1"));
  return items[0];
}

async function openTask(id, engine = "celery") {
  await s.visit(at(`/tasks/${engine}/${id}`));
  await s.page.getByTestId("verdict").waitFor();
}

/** choose selects the listed tasks of a filter with their boxes. */
async function choose(query, count) {
  await s.visit(at(`/tasks?q=${encodeURIComponent(query)}`));
  await s.until(`${count} rows`, async () => (await s.page.locator("[data-row]").count()) === count);
  for (let n = 0; n < count; n++) await s.page.locator(`[data-row="${n}"] input[type=checkbox]`).check();
  await s.page.getByTestId("bulk-bar").getByText(`${count} selected`).waitFor();
}

/** told waits for the notification that says how it went. */
const told = (text) => s.page.getByText(text).first().waitFor({ timeout: 60_000 });

async function worker() {
  const list = await s.get(at("/workers"));
  return list.find((each) => each.name === node);
}

const steps = {
  async "retry: the task runs again"() {
    const id = await celery.send("shop.boom", ["no more stock"]);
    await inState(id, "failure");
    await openTask(id);
    await s.page.getByTestId("retry").click();
    await press("Retry");
    const { result: answer } = await outcome();
    await s.until("Celery has run it", async () => (await result(answer.new_task_id)).state === "FAILURE");
    s.expect(
      (await result(answer.new_task_id)).result === "no more stock",
      "the retry ran with other arguments",
    );
  },

  async "retry with other arguments: the task runs with those"() {
    const id = await celery.send("shop.add", [1, 1]);
    await inState(id, "success");
    await openTask(id);
    await s.page.getByTestId("retry").click();
    await dialog().getByLabel("These instead").check();
    await dialog()
      .getByLabel(/^Arguments \(JSON list\)/)
      .fill("[40, 2]");
    await s.check("retry-edited", { brief: true });
    await press("Retry");
    const { result: answer } = await outcome();
    await s.until(
      "Celery has the new result",
      async () => (await result(answer.new_task_id)).result === "42",
    );
  },

  async "cancel: the running task stops"() {
    const id = await celery.send("shop.sleep", [120]);
    await inState(id, "started");
    await openTask(id);
    await s.page.getByTestId("cancel").click();
    await press("Stop it");
    await outcome();
    await s.until("Celery has revoked it", async () => (await result(id)).state === "REVOKED");
    s.expect(!(await inspect("active")).some((each) => each.id === id), "the worker still runs it");
  },

  async "rate limit: the worker applies it"() {
    const id = await celery.send("shop.add", [1, 2]);
    await inState(id, "success");
    await openTask(id);
    await s.page.getByTestId("more").click();
    await s.page.getByRole("menuitem", { name: /Limit its rate/ }).click();
    await dialog().getByLabel("Rate for each worker").fill("7000/m");
    await press("Limit");
    await outcome();
    await s.until("the worker has the rate", async () =>
      (await inspect("registered", "rate_limit")).includes("shop.add [rate_limit=7000/m]"),
    );
  },

  async "delete: the task is gone from z4j and stays in the engine"() {
    const id = await celery.send("shop.add", [5, 5]);
    await inState(id, "success");
    await openTask(id);
    await s.page.getByTestId("more").click();
    await s.page.getByRole("menuitem", { name: /Delete from z4j/ }).click();
    await press(/^Delete/);
    await s.until("it is gone", async () => (await task("celery", id)) === null);
    s.expect((await result(id)).state === "SUCCESS", "Celery's own result is gone too");
  },

  async "bulk retry: each selected task runs again"() {
    const ids = [];
    for (let n = 0; n < 3; n++) ids.push(await celery.send("shop.flop", [n]));
    for (const id of ids) await inState(id, "failure");
    await choose("state:failure task:shop.flop", 3);
    await s.page.getByTestId("bulk-bar").getByRole("button", { name: "Retry" }).click();
    await s.check("bulk-retry", { brief: true });
    await press(/^Retry/);
    await told("3 tasks retried");
    const { items } = await s.get(at("/commands?limit=3"));
    for (const each of items)
      await s.until(
        "Celery has run it",
        async () => (await result(each.result.new_task_id)).state === "FAILURE",
      );
    s.expect(new Set(items.map((each) => each.result.new_task_id)).size === 3, "some were not retried");
  },

  async "bulk cancel: each selected task stops"() {
    const ids = [await celery.send("shop.sleep", [130]), await celery.send("shop.sleep", [131])];
    for (const id of ids) await inState(id, "started");
    await choose("state:started task:shop.sleep", 2);
    await s.page.getByTestId("bulk-bar").getByRole("button", { name: "Cancel" }).click();
    await press("Cancel them");
    await told("2 tasks cancelled");
    for (const id of ids)
      await s.until("Celery has revoked it", async () => (await result(id)).state === "REVOKED");
  },

  async "bulk delete: each selected task is gone from z4j"() {
    const { items } = await s.get(at("/tasks?state=revoked&limit=50"));
    await choose("state:revoked", items.length);
    await s.page.getByTestId("bulk-bar").getByRole("button", { name: "Delete" }).click();
    await press(/^Delete/);
    await told(/\d+ tasks? deleted/);
    for (const { task_id } of items)
      s.expect((await task("celery", task_id)) === null, `${task_id} is still there`);
  },

  async "worker: takes a queue, leaves it, and the queue is purged"() {
    await s.until("the worker is listed", async () => (await worker())?.queues.length > 0);
    await s.visit(at(`/workers/${(await worker()).id}`));
    await s.page.getByLabel("Queue to consume as well").fill("parked");
    await s.page.getByRole("button", { name: "Consume", exact: true }).click();
    await outcome();
    const consumes = async () => (await inspect("active_queues")).some((each) => each.name === "parked");
    await s.until("the worker consumes it", consumes);
    await inState(await celery.send("shop.parked", []), "success");
    await s.until("the brain knows it", async () => (await worker()).queues.includes("parked"), 90_000);
    await s.visit(at(`/workers/${(await worker()).id}`));
    await s.page.getByRole("button", { name: "Stop consuming parked" }).click();
    await press("Stop consuming");
    await outcome();
    await s.until("the worker has left it", async () => !(await consumes()));
    await celery.request({ op: "send_many", task: "shop.add", count: 4, options: { queue: "parked" } });
    s.expect((await depth(celery, "parked")) === 4, "the messages are not in the list");
    await s.visit(at("/queues"));
    await s.page.getByRole("button", { name: "Purge parked" }).click();
    const always = dialog().getByRole("checkbox");
    if (await always.count()) await always.first().check();
    await s.check("purge", { brief: true });
    await dialog().getByLabel("Type parked to confirm").fill("parked");
    await press(/^Remove/);
    await outcome();
    s.expect((await depth(celery, "parked")) === 0, "the purge left messages in the list");
  },

  async "worker: grows, shrinks, restarts"() {
    const pool = async () => (await inspect("stats")).pool.processes;
    await s.visit(at(`/workers/${(await worker()).id}`));
    await s.page.getByRole("button", { name: "Grow the pool by one" }).click();
    await press("Grow it");
    await outcome();
    await s.until("the pool has three processes", async () => (await pool()).length === 3);
    await s.visit(at(`/workers/${(await worker()).id}`));
    await s.page.getByRole("button", { name: "Shrink the pool by one" }).click();
    await press("Shrink it");
    await outcome();
    await s.until("the pool has two processes", async () => (await pool()).length === 2);
    const before = String(await pool());
    await s.visit(at(`/workers/${(await worker()).id}`));
    await s.page.getByRole("button", { name: "Restart the pool" }).click();
    await press("Restart the pool");
    await outcome();
    await s.until("the pool has other processes", async () => String(await pool()) !== before);
    await inState(await celery.send("shop.add", [3, 3]), "success");
  },

  async "dead letter: the job runs again"() {
    const id = await rq.send("rq_jobs.boom", []);
    await inState(id, "failure", "rq");
    s.expect((await value(rq, { op: "failed" })).includes(id), "RQ does not count it as failed");
    const ended = await value(rq, { op: "ended", id });
    await s.visit(at("/dead-letters?engine=rq"));
    await s.page.getByRole("button", { name: new RegExp(`${id} back into its queue`) }).click();
    await s.check("dead-letters", { brief: true });
    await press("Put it back");
    await outcome();
    await s.until("RQ has run it again", async () => {
      const again = await value(rq, { op: "ended", id });
      return again !== null && again !== ended;
    });
  },

  async "purge: RQ's list is empty"() {
    for (let n = 0; n < 4; n++)
      await rq.request({ op: "send", task: "rq_jobs.add", args: [n, 1], options: { queue: "idle" } });
    await s.until("the brain knows the depth", async () => {
      const queues = await s.get(at("/queues"));
      return queues.find((each) => each.name === "idle")?.depth === 4;
    });
    await s.visit(at("/queues"));
    await s.page.getByRole("button", { name: "Purge idle" }).click();
    await dialog().getByLabel("Type idle to confirm").fill("idle");
    await press("Remove 4 waiting messages");
    await outcome();
    s.expect((await depth(rq, "idle")) === 0, "the purge left jobs in the list");
  },
};

try {
  await s.login(need("Z4J_E2E_EMAIL"), need("Z4J_E2E_PASSWORD"));
  for (const [name, run] of Object.entries(steps)) {
    await s.fresh();
    await s.step(name, run).catch((error) => s.fail(error));
  }
} catch (error) {
  await s.fail(error);
} finally {
  await stopAll();
  await s.close();
}
process.exit((await s.report("actions")) ? 0 : 1);
