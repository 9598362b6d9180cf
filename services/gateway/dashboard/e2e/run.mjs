// SPDX-License-Identifier: AGPL-3.0-or-later
// Drives the dashboard in a real browser against a running brain and a real worker, as a newcomer would:
// setup link, first agent, first task, retry, cancel, log out and in again. Every page is also checked for
// accessibility in both themes, for sideways scrolling on a phone, and for anything the browser complains about.
//
// Environment:
//   Z4J_E2E_SETUP_URL  the one-time setup link of a fresh brain
//   Z4J_E2E_EMAIL, Z4J_E2E_PASSWORD  of the administrator to create
//   Z4J_E2E_PROJECT    the project that setup creates
//   Z4J_E2E_WORKER     shell command that starts a Celery worker with an agent; gets the wizard's variables
//   Z4J_E2E_SILENT     the same worker, started without -E
//   Z4J_E2E_PRODUCER   shell command that reads {"op":"send","task":...,"args":[...]} lines and answers {"ids":[...]}
//   Z4J_E2E_ARTIFACTS  folder for screenshots (default: artifacts)
//   Z4J_E2E_CHROMIUM   the browser (default: /usr/bin/chromium)
import { browser, need } from "./env.mjs";
import { Producer, startWorker, stop, stopAll } from "./processes.mjs";
import { Session } from "./session.mjs";
import { taskPage } from "./taskpage.mjs";

const setupURL = need("Z4J_E2E_SETUP_URL");
const email = need("Z4J_E2E_EMAIL");
const password = need("Z4J_E2E_PASSWORD");
const project = need("Z4J_E2E_PROJECT");
const workerCommand = need("Z4J_E2E_WORKER");
const silentCommand = need("Z4J_E2E_SILENT");
const producerCommand = need("Z4J_E2E_PRODUCER");

const s = await Session.open({
  base: new URL(setupURL).origin,
  ...browser(),
});
const { page } = s;
const producer = new Producer(producerCommand);
const list = `/projects/${project}/tasks`;
const row = (id) => page.locator(`[data-row] a[href*="${id}"]`);
const rowState = (id, state) =>
  page
    .locator("[data-row]")
    .filter({ has: page.locator(`a[href*="${id}"]`) })
    .getByText(state, { exact: true });

try {
  await s.step("an anonymous visitor of a fresh brain is led to the setup", async () => {
    await page.goto(s.base);
    await page.waitForURL("**/setup");
    await page.getByText("needs the one-time link").waitFor();
    await s.check("setup-without-link");
  });

  await s.step("the setup link creates the first administrator", async () => {
    // The page is already open, and a change of the fragment alone would not load it again.
    await page.goto("about:blank");
    await page.goto(setupURL);
    await page.getByRole("heading", { name: "Create the first administrator" }).waitFor();
    s.expect(!page.url().includes("token"), "the setup token stays in the address bar");
    await s.check("setup");
    await page.getByLabel("E-mail").fill(email);
    await page.getByLabel("Password", { exact: true }).fill("short");
    await page.getByLabel("Password again").fill("other");
    await page.getByRole("button", { name: "Create the account" }).click();
    await page.getByText("more characters needed").waitFor();
    await page.getByText("The two passwords differ").waitFor();
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByLabel("Password again").fill(password);
    await page.getByRole("button", { name: "Create the account" }).click();
    await page.waitForURL(`**/projects/${project}`);
  });

  await s.step("an empty project teaches how to connect", async () => {
    await page.getByText("Connect your application to see its tasks").waitFor();
    await page.locator('[data-testid=connection][data-link="live"]').waitFor();
    await s.check("overview-empty");
    await page.goto(s.base + list);
    await page.getByText("Connect your application to see its tasks").waitFor();
    await s.check("tasks-empty");
  });

  let env = "";
  let silentWorker;
  await s.step("the wizard mints an agent and sees it arrive", async () => {
    await page.getByRole("link", { name: "Create an agent" }).click();
    await page.getByLabel("Name", { exact: true }).fill("browser-test");
    await page.getByRole("button", { name: "Create the agent" }).click();
    env = (await page.getByLabel("environment variables", { exact: true }).textContent()) ?? "";
    await s.check("agent-secrets");
    silentWorker = startWorker(silentCommand, env);
    await page.getByText("Connected").first().waitFor({ timeout: 90_000 });
    await producer.send("shop.add", [2, 3]);
    await page.getByText("First task seen").waitFor({ timeout: 30_000 });
    await s.check("agent-arrived");
    await page.getByRole("link", { name: "Go to the tasks" }).click();
    await page.waitForURL(`**${list}`);
    await page.locator("[data-row]").first().waitFor();
  });

  await s.step("a worker without -E is recognised, and the page says how to mend it", async () => {
    // Its task has ended long ago, but nobody said so.
    await page.getByTestId("silent-worker").waitFor({ timeout: 60_000 });
    await page.getByText("Why, and how").click();
    await page.getByText("worker_send_task_events").waitFor();
    await s.check("silent-worker");
    await stop(silentWorker);
    startWorker(workerCommand, env);
    // The hint also goes away while no agent is online: only a task that has ended tells that the new worker is there. Celery keeps
    // its events for nobody, so a task that runs before the agent listens to them is never reported to have ended.
    await s.until(
      "the end of a task is reported",
      async () => {
        const id = await producer.send("shop.add", [5, 6]);
        return rowState(id, "Success")
          .waitFor({ timeout: 5_000 })
          .then(() => true)
          .catch(() => false);
      },
      90_000,
    );
    await page.getByTestId("silent-worker").waitFor({ state: "detached", timeout: 60_000 });
  });

  await s.step("agents of another version are named", async () => {
    const agents = "**/api/v1/projects/*/agents";
    for (const [status, says] of [
      ["outdated", "Agent older than the brain"],
      ["newer_than_known", "Agent newer than the brain"],
    ]) {
      await page.route(agents, async (route) => {
        const response = await route.fetch();
        const rows = await response.json();
        await route.fulfill({ response, json: rows.map((row) => ({ ...row, version_status: status })) });
      });
      await page.reload();
      await page.getByTestId("version-skew").getByText(says).waitFor();
      await s.check(`version-${status}`);
      await s.unheld();
    }
    await page.reload();
  });

  await s.step("a task appears live, without a reload", async () => {
    await page.waitForURL(`**${list}`);
    await page.locator("[data-row]").first().waitFor();
    const id = await producer.send("shop.add", [40, 2]);
    await row(id).waitFor({ timeout: 10_000 });
    await rowState(id, "Success").waitFor({ timeout: 10_000 });
  });

  let failed = "";
  await s.step("filters live in the address", async () => {
    failed = await producer.send("shop.boom", ["no more stock"]);
    await page.getByRole("button", { name: /^Failure/ }).click();
    await page.waitForURL("**q=state:failure**");
    await row(failed).waitFor({ timeout: 15_000 });
    await page.keyboard.press("/");
    await page.keyboard.type("nothing-is-called-this");
    await page.getByText("No task matches").waitFor();
    s.expect(
      page.url().includes("q=state:failure+nothing-is-called-this"),
      `search is not in the address: ${page.url()}`,
    );
    await s.check("tasks-no-match");
    await page.goBack();
    await page.goto(`${s.base}${list}?state=failure&queue=default&range=1h`);
    await row(failed).waitFor();
    s.expect(
      page.url().includes("q=state:failure+queue:default"),
      `plain parameters do not become the filter: ${page.url()}`,
    );
    await s.check("tasks-filtered");
  });

  await s.step("the filter language completes words and points at mistakes", async () => {
    await page.goto(s.base + list);
    await page.locator("[data-row]").first().waitFor();
    const field = page.getByRole("combobox", { name: "Filter the tasks" });
    await page.keyboard.press("/");
    await page.keyboard.type("sta");
    await page.getByRole("option", { name: /^state:/ }).waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.type("fai");
    await page.getByRole("option", { name: /^failure/ }).waitFor();
    await s.check("tasks-completion");
    await page.keyboard.press("Enter");
    await page.locator('[data-token="state:failure"]').waitFor();
    await page.waitForURL("**q=state:failure**");
    await field.pressSequentially("stat:x");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "did you mean state?" }).waitFor();
    await s.check("tasks-mistake");
    await page.getByRole("button", { name: "Clear the filter", exact: true }).first().click();
    await page.locator("[data-token]").waitFor({ state: "detached" });
  });

  await s.step("a view is saved, opened, renamed and deleted", async () => {
    await page.goto(`${s.base}${list}?q=state:failure`);
    await row(failed).waitFor();
    await page.getByRole("button", { name: "Saved views" }).click();
    await page.getByLabel("Save the filter as").fill("All failures");
    await page.getByTestId("views").getByRole("button", { name: "Save", exact: true }).click();
    await page.getByTestId("views").getByText("All failures").waitFor();
    await s.check("tasks-views");
    await page.goto(s.base + list);
    await page.getByRole("button", { name: "Saved views" }).click();
    await page.getByTestId("views").getByText("All failures").click();
    await page.waitForURL("**q=state:failure**");
    await page.getByRole("button", { name: "Saved view All failures" }).click();
    await page.getByRole("button", { name: "Rename All failures" }).click();
    await page.getByLabel("New name of All failures").fill("Broken");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Delete Broken" }).click();
    await page.getByTestId("views").getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("A view is a filter with a name").waitFor();
    await page.keyboard.press("Escape");
  });

  await s.step("a row opens beside the list, and its page on Enter", async () => {
    await page.goto(`${s.base}${list}?q=state:failure`);
    await row(failed).click();
    const panel = page.getByTestId("side-panel");
    await panel.getByText("ValueError: no more stock").first().waitFor();
    s.expect(page.url().includes("open=celery"), `the open task is not in the address: ${page.url()}`);
    await s.check("tasks-panel");
    await page.keyboard.press("Escape");
    await panel.waitFor({ state: "detached" });
    // The pictures laid the list out anew, so the row has to be found again.
    await page.keyboard.press("j");
    await page.locator('[data-row="0"] a:focus').waitFor();
    await page.keyboard.press("Space");
    await panel.waitFor();
    await page.keyboard.press("Space");
    await panel.waitFor({ state: "detached" });
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/celery/${failed}**`);
  });

  await s.step("a failed task explains itself", async () => {
    await page.getByTestId("verdict").filter({ hasText: "Failed: ValueError: no more stock" }).waitFor();
    await page.getByText("Received by a worker").waitFor();
    await page.getByText("Started", { exact: true }).first().waitFor();
    await page.getByRole("heading", { name: "Traceback" }).waitFor();
    await page.getByText("Raw events").click();
    await s.check("task-failed");
  });

  await s.step("retry says what it will do and what it did", async () => {
    await page.keyboard.press("r");
    await page.getByRole("dialog").getByText("runs once more").waitFor();
    await s.check("task-retry");
    await page.getByRole("dialog").getByRole("button", { name: "Retry", exact: true }).click();
    await page.locator('[data-testid=command-outcome][data-status="completed"]').waitFor({ timeout: 30_000 });
    await page.getByRole("link", { name: "Open the new task" }).click();
    await page.waitForURL((url) => !url.pathname.includes(failed));
    await page.getByTestId("verdict").filter({ hasText: "Failed: ValueError" }).waitFor({ timeout: 30_000 });
  });

  await s.step("a running task can be cancelled", async () => {
    const id = await producer.send("shop.sleep", [120]);
    await page.goto(`${s.base}${list}/celery/${id}`);
    await page.getByTestId("verdict").filter({ hasText: "Running for" }).waitFor({ timeout: 30_000 });
    await page.getByTestId("cancel").click();
    await page.getByRole("dialog").getByRole("button", { name: "Stop it" }).click();
    await page.locator('[data-testid=command-outcome][data-status="completed"]').waitFor({ timeout: 30_000 });
    await page.getByTestId("verdict").filter({ hasText: "Revoked" }).waitFor({ timeout: 30_000 });
    s.expect(
      (await page.getByTestId("cancel").getAttribute("aria-disabled")) === "true",
      "a task that has ended can still be cancelled",
    );
  });

  await taskPage(s, producer, list);

  await s.step("new rows wait behind a pill while the reader is further down", async () => {
    await producer.request({ op: "send_many", task: "shop.add", count: 120 });
    await page.goto(s.base + list);
    await page.getByText(/^1[2-9]\d tasks/).waitFor({ timeout: 40_000 });
    const table = page.getByRole("table");
    await table.evaluate((element) => element.scrollTo({ top: 1200 }));
    await page.locator('[data-row="45"]').waitFor();
    const before = await page.locator('[data-row="45"] a').getAttribute("href");
    await producer.send("shop.add", [1, 1]);
    const pill = page.getByRole("button", { name: /\d+ new/ });
    await pill.waitFor({ timeout: 15_000 });
    s.expect(
      (await page.locator('[data-row="45"] a').getAttribute("href")) === before,
      "rows moved while the reader was further down",
    );
    await s.check("tasks-many");
    await pill.click();
    s.expect((await table.evaluate((element) => element.scrollTop)) < 5, "the pill does not lead to the top");
  });

  await s.step("rows can be walked with the keyboard", async () => {
    await page.locator("body").click({ position: { x: 2, y: 2 } });
    await page.keyboard.press("?");
    await page.getByRole("dialog").getByText("Next row").waitFor();
    await s.check("keyboard-help");
    await page.keyboard.press("Escape");
    await page.keyboard.press("j");
    await page.locator('[data-row="0"] a:focus').waitFor();
    await page.keyboard.press("j");
    await page.locator('[data-row="1"] a:focus').waitFor();
    await page.keyboard.press("Enter");
    await page.getByTestId("verdict").waitFor();
    for (const [key, name] of [
      ["q", "Queues"],
      ["w", "Workers"],
      ["a", "Agents"],
      ["c", "Commands"],
    ]) {
      await page.keyboard.press("g");
      await page.keyboard.press(key);
      await page.getByRole("heading", { name, exact: true, level: 1 }).waitFor();
      await page.locator("tbody tr").first().waitFor();
      await s.check(name.toLowerCase());
    }
  });

  await s.step("purging a queue asks for its name and tells the outcome", async () => {
    await page.goto(`${s.base}/projects/${project}/queues`);
    await page.getByRole("button", { name: "Purge default" }).click();
    const dialog = page.getByRole("dialog");
    const purge = dialog.getByRole("button", { name: /^Remove/ });
    s.expect(
      (await purge.getAttribute("aria-disabled")) === "true",
      "a queue can be purged without typing its name",
    );
    await s.check("purge");
    await dialog.getByLabel("Type default to confirm").fill("default");
    await purge.click();
    await page.locator('[data-testid=command-outcome][data-status="completed"]').waitFor({ timeout: 30_000 });
  });

  await s.step("account and an unknown address", async () => {
    await page.goto(`${s.base}/account`);
    await page.getByText("This session").waitFor();
    await s.check("account");
    await page.goto(`${s.base}/no/such/page`);
    await page.getByText("There is no page at this address").waitFor();
    await s.check("not-found");
    await page.goto(`${s.base}/projects/not-mine/tasks`);
    await page.getByText("There is no such project for you").waitFor();
  });

  await s.step("log out, and back in to the page that was asked for", async () => {
    await page.goto(s.base + list);
    await page.getByLabel("Your account").click();
    await page.getByRole("menuitem", { name: "Log out" }).click();
    await page.waitForURL("**/login**");
    const deep = `${list}/celery/${failed}`;
    await page.goto(s.base + deep);
    await page.waitForURL("**/login?next=**");
    await s.check("login");
    await page.getByLabel("E-mail").fill(email);
    await page.getByLabel("Password").fill("wrong-password-1A");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText("E-mail or password is wrong").waitFor();
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.waitForURL(`**${deep}`);
    await page.getByTestId("verdict").waitFor();
  });
} catch (error) {
  await s.fail(error);
} finally {
  await stopAll();
  await s.close();
}
process.exit((await s.report("run")) ? 0 : 1);
