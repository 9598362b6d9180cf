// SPDX-License-Identifier: AGPL-3.0-or-later
// Opens every page with no data, with a handful of rows, with 100,000 tasks, and with an API that fails.
//
// Environment, besides that of env.mjs:
//   Z4J_E2E_URL        the brain
//   Z4J_E2E_EMAIL, Z4J_E2E_PASSWORD    an administrator
//   Z4J_E2E_EMPTY, Z4J_E2E_FEW, Z4J_E2E_MANY   slugs of projects with so much in them
//   Z4J_E2E_PAGES      only the pages whose name fits this expression
import { browser, need } from "./env.mjs";
import { pages } from "./pages.mjs";
import { differing } from "./pixels.mjs";
import { Session } from "./session.mjs";

const base = need("Z4J_E2E_URL");
const projects = { empty: need("Z4J_E2E_EMPTY"), few: need("Z4J_E2E_FEW"), many: need("Z4J_E2E_MANY") };
const wanted = pages.filter((each) => new RegExp(process.env.Z4J_E2E_PAGES || ".").test(each.name));
const requestId = "req_0123456789abcdef";

const s = await Session.open({ base, ...browser() });

/** ids are of things in a project that pages of one thing can be opened with. */
async function ids(project) {
  const failed = await s.get(`/projects/${project}/tasks?state=failure&limit=50`);
  const any = await s.get(`/projects/${project}/tasks?limit=1`);
  const task = failed.items.find((each) => each.traceback) ?? any.items[0];
  const issues = await s.get(`/projects/${project}/issues`);
  const [worker] = await s.get(`/projects/${project}/workers`);
  return {
    task: task.task_id,
    name: encodeURIComponent(task.name),
    queue: task.queue,
    worker: worker.id,
    issue: (issues.items ?? issues)[0]?.fingerprint,
  };
}

/** command gives the page of the commands something to show. */
async function command(project) {
  const [agent] = await s.get(`/projects/${project}/agents`);
  const { items } = await s.get(`/projects/${project}/tasks?limit=1`);
  const about = { agent_id: agent.id, engine: "celery", task_id: items[0].task_id };
  const { id } = await s.post(`/projects/${project}/commands/cancel-task`, about);
  await s.until("the command ends", async () => {
    const { status } = await s.get(`/projects/${project}/commands/${id}`);
    return status === "completed" || status === "failed";
  });
}

/** refuse lets the requests of a page fail, as a brain does whose database is away. */
async function refuse(target) {
  const pattern = target.fails ?? /\/api\/v1\/(?:projects\/[^/]+\/|home)/;
  const asked = (url) => pattern.test(url.pathname);
  await s.page.route(asked, (route) =>
    route.fulfill({
      status: 503,
      headers: { "X-Request-ID": requestId, "Retry-After": "5" },
      json: {
        error: "database_unavailable",
        message: "the database does not answer",
        request_id: requestId,
        details: {},
        detail: "the database does not answer",
      },
    }),
  );
  s.expects = (status) => status === 503;
  return () => s.unheld();
}

const main = () => s.page.locator("main").first();

const states = {
  async empty(target) {
    if (target.whole || !target.empty) return;
    await s.visit(target.path(projects.empty, {}));
    await main().getByText(target.empty).first().waitFor();
    await s.check(`${target.name}-empty`, { brief: true });
  },

  async few(target, known) {
    if (target.needs && !known.few[target.needs]) return;
    await s.visit(target.path(projects.few, known.few));
    if (target.shows) await s.page.locator(target.shows).first().waitFor();
    await s.check(`${target.name}-few`, { brief: true });
  },

  async many(target, known) {
    await s.visit(target.path(projects.many, known.many));
    if (target.shows) await s.page.locator(target.shows).first().waitFor();
    await s.check(`${target.name}-many`);
  },

  async failing(target, known) {
    const mend = await refuse(target);
    await s.page.goto(s.base + target.path(projects.many, known.many));
    await s.page.locator("main h1").first().waitFor();
    if (target.fails?.source !== "never") {
      await main().getByText(requestId).first().waitFor();
      await main().getByRole("button", { name: "Try again" }).first().waitFor();
    }
    await s.check(`${target.name}-failing`, { brief: true });
    if (target.fails?.source === "never") return;
    // Pressed while it still fails, then once more: a page that asks again by itself may be quicker.
    const again = main().getByRole("button", { name: "Try again" }).first();
    await again.click();
    await main().getByText(requestId).first().waitFor();
    await mend();
    await again.click({ timeout: 3000 }).catch(() => undefined);
    await main().getByText(requestId).first().waitFor({ state: "detached" });
  },

  /** stable: rendered twice at the same moment, a page of the past looks the same. */
  async stable(target, known) {
    if (!target.stable) return;
    const at = Date.now();
    const frozen = `from=${new Date(at - 3_600_000).toISOString()}&to=${new Date(at).toISOString()}`;
    const path = target.path(projects.few, known.few);
    const shots = [];
    for (let n = 0; n < 2; n++) {
      const page = await s.fresh();
      await page.clock.setFixedTime(at);
      await s.visit(path + (path.includes("?") ? "&" : "?") + frozen);
      await s.dress("desktop", "light");
      shots.push(await page.screenshot({ animations: "disabled" }));
    }
    const pixels = await differing(s.context, ...shots);
    s.expect(pixels < 50, `${target.name} differs by ${pixels} pixels between two renders`);
  },
};

try {
  await s.login(need("Z4J_E2E_EMAIL"), need("Z4J_E2E_PASSWORD"));
  for (const project of [projects.few, projects.many]) await command(project);
  const known = { few: await ids(projects.few), many: await ids(projects.many) };
  for (const target of wanted) {
    for (const [state, run] of Object.entries(states)) {
      await s.fresh();
      // One page that is broken must not hide the others.
      await s.step(`${target.name}: ${state}`, () => run(target, known)).catch((error) => s.fail(error));
    }
  }
} catch (error) {
  await s.fail(error);
} finally {
  await s.close();
}
process.exit((await s.report("states")) ? 0 : 1);
