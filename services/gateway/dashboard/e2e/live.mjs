// SPDX-License-Identifier: AGPL-3.0-or-later
// How soon the pages show what happens, and whether they survive the end of the brain. The events that are measured
// come from a probe that knows when they were sent; the restart happens under a real worker at work.
//
// Environment, besides that of env.mjs:
//   Z4J_E2E_URL, Z4J_E2E_EMAIL, Z4J_E2E_PASSWORD   the brain and an administrator
//   Z4J_E2E_PROJECT    a project with a Celery worker
//   Z4J_E2E_CONTROL    address that ends and starts the brain and sends events (tools/e2e/control_test.go)
//   Z4J_E2E_PRODUCER   puts work into Celery's queue (processes.mjs)
import { randomUUID } from "node:crypto";
import { browser, need } from "./env.mjs";
import { pages } from "./pages.mjs";
import { Producer, stopAll } from "./processes.mjs";
import { Session } from "./session.mjs";
import { median, watchFor } from "./stopwatch.mjs";

const base = need("Z4J_E2E_URL");
const project = need("Z4J_E2E_PROJECT");
const control = need("Z4J_E2E_CONTROL");
const list = `/projects/${project}/tasks`;
/** What is promised. Two cores are shared with a brain, a worker and a browser, so the median must keep it, not every single one. */
const target = 500;
const rounds = 3;

const s = await Session.open({ base, ...browser() });
const producer = new Producer(need("Z4J_E2E_PRODUCER"));

async function ask(path, body) {
  const answer = await fetch(control + path, { method: "POST", body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

const emit = (kind, taskId, data = {}) =>
  ask("/emit", {
    kind: `task.${kind}`,
    task_id: taskId,
    data: { task_name: "probe.tick", queue: "probe", worker: "probe@live", ...data },
  });

const isLive = () => s.page.locator('[data-testid=connection][data-link="live"]').waitFor();

/** quiet waits until the page has asked nothing for longer than any page waits between two questions. */
async function quiet(page) {
  let last = Date.now();
  const asked = (request) => {
    if (request.url().includes("/api/")) last = Date.now();
  };
  page.on("request", asked);
  await s.until("the page is quiet", () => Date.now() - last > 2100);
  page.off("request", asked);
}

/** measure tells how long after an event was sent, and after it was acknowledged, the page showed it. */
async function measure(page) {
  const sent = [];
  const acked = [];
  for (let round = 0; round < rounds; round++) {
    const id = randomUUID();
    // The event that counts is the last one; those before it make the task what it is by then.
    const kinds = ["received", "started", "succeeded"].slice(0, page.live.arrives ? 1 : 3);
    const last = kinds.pop();
    for (const kind of kinds) await emit(kind, id);
    const path = page.path(project, { task: id, name: "probe.tick", queue: "probe" });
    if (round === 0 || page.live.own) {
      await s.visit(path);
      await isLive();
    }
    // A page that asks a heavy question does so at once when something happens after a pause, and every two
    // seconds while it goes on. What is measured is the former.
    await quiet(s.page);
    const watched = watchFor(s.page, page.live.of?.(id) ?? page.live);
    const times = await emit(last, id, { args: [round], kwargs: {}, result: round, runtime_ms: 12 + round });
    const seen = await watched;
    sent.push(seen.at - times.sent_ms);
    acked.push(seen.at - times.acked_ms);
  }
  s.figure(`${page.name}: event sent to page changed, median`, median(sent), "ms");
  s.figure(`${page.name}: event sent to page changed, worst`, Math.max(...sent), "ms");
  s.figure(`${page.name}: event stored to page changed, median`, median(acked), "ms");
  s.expect(median(sent) <= target, `${page.name} shows an event only after ${Math.round(median(sent))} ms`);
}

try {
  await s.login(need("Z4J_E2E_EMAIL"), need("Z4J_E2E_PASSWORD"));
  await s.step("the first task of the worker is on the list", async () => {
    const id = await producer.send("shop.add", [1, 2]);
    await s.visit(list);
    await s.page.locator(`[data-row] a[href*="${id}"]`).waitFor({ timeout: 60_000 });
  });

  for (const page of pages.filter((each) => each.live))
    await s.step(`${page.name} shows an event`, () => measure(page)).catch((error) => s.fail(error));

  await s.step("a task of a real worker is on the page as soon", async () => {
    await s.visit(list);
    await isLive();
    const times = [];
    for (let round = 0; round < rounds; round++) {
      await quiet(s.page);
      const id = await producer.send("shop.add", [round, 1]);
      const watched = watchFor(s.page, { see: `[data-row]:has(a[href*="${id}"])`, says: /Success/ });
      const { at } = await watched;
      const task = await s.get(`/projects/${project}/tasks/celery/${id}`);
      times.push(at - Date.parse(task.finished_at));
    }
    s.figure("tasks: a Celery task ended to page changed, median", median(times), "ms");
    s.figure("tasks: a Celery task ended to page changed, worst", Math.max(...times), "ms");
  });

  await s.step("the brain is killed and comes back: the page says so and has lost nothing", async () => {
    await s.visit(list);
    await isLive();
    const links = [];
    await s.page.exposeFunction("z4jLink", (link) => links.push([Date.now(), link]));
    await s.page.evaluate(() => {
      const shown = document.querySelector("[data-testid=connection]");
      const tell = () => window.z4jLink(shown.dataset.link);
      new MutationObserver(tell).observe(shown, { attributes: true });
    });
    s.tolerateSocket = true;
    s.expects = (status) => status >= 500;
    const rows = () =>
      s.page
        .locator("[data-row] a.row-link")
        .evaluateAll((links) => links.slice(0, 8).map((link) => link.href));
    const before = String(await rows());
    await ask("/kill");
    const killed = Date.now();
    await s.page.locator('[data-testid=connection]:not([data-link="live"])').waitFor();
    s.figure("restart: killed to the page saying so", Date.now() - killed, "ms");
    // The worker goes on; what it does now is in its agent's buffer.
    const { ids } = await producer.request({ op: "send_many", task: "shop.add", count: 40 });
    await producer.request({ op: "send", task: "shop.boom", args: ["while away"] });
    await s.until("the worker has done the work", async () => {
      const { value } = await producer.request({ op: "result", id: ids.at(-1) });
      return value.state === "SUCCESS";
    });
    await s.page.locator('[data-testid=connection][data-link="offline"]').waitFor();
    s.expect(String(await rows()) === before, "rows changed while the brain was away");
    await s.check("offline", { brief: true });
    const { took_ms } = await ask("/start");
    s.figure("restart: the brain's start", took_ms, "ms");
    const started = Date.now();
    await isLive();
    s.figure("restart: brain ready to page live again", Date.now() - started, "ms");
    s.expects = () => false;
    const seen = links.map(([, link]) => link);
    s.expect(seen.includes("catching"), `the page did not say that it catches up, only ${seen.join(", ")}`);
    await s.until("every task of the time without a brain is known", async () => {
      const states = await Promise.all(
        ids.map(async (id) => {
          const answer = await s.context.request.get(`${base}/api/v1/projects/${project}/tasks/celery/${id}`);
          return answer.ok() && (await answer.json()).state;
        }),
      );
      return states.every((state) => state === "success");
    });
    s.figure("restart: brain ready to every task known", Date.now() - started, "ms");
    await s.page.locator(`[data-row] a[href*="${ids.at(-1)}"]`).waitFor();
    await s.check("caught-up", { brief: true });
    s.tolerateSocket = false;
  });
} catch (error) {
  await s.fail(error);
} finally {
  await stopAll();
  await s.close();
}
process.exit((await s.report("live")) ? 0 : 1);
