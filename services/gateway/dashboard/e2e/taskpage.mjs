// SPDX-License-Identifier: AGPL-3.0-or-later
// The page of one task: what only a retried task or one of a workflow shows, and what can be done to it.

/** taskPage drives it; `list` is the path of the task list. */
export async function taskPage(s, producer, list) {
  const { page } = s;
  const open = (id) => page.goto(`${s.base}${list}/celery/${id}`);
  const verdict = (text) => page.getByTestId("verdict").filter({ hasText: text });

  await s.step("a retried task tells each attempt", async () => {
    const id = await producer.send("shop.flaky", [1]);
    await open(id);
    await verdict("Succeeded after 1 retry").waitFor({ timeout: 30_000 });
    const attempts = page.getByTestId("attempts");
    await attempts
      .getByRole("button", { name: /^Attempt 1: will be retried.*RuntimeError: not yet/ })
      .click();
    await attempts.getByRole("button", { name: /^Attempt 2: succeeded/ }).waitFor();
    await attempts.getByText("Outcome").waitFor();
    await s.check("task-retried");
  });

  await s.step("a chain is drawn, and walked by keyboard", async () => {
    const { ids } = await producer.request({
      op: "chain",
      steps: [
        { task: "shop.add", args: [1, 2] },
        { task: "shop.add", args: [3] },
        { task: "shop.add", args: [4] },
      ],
    });
    await open(ids[0]);
    const canvas = page.getByTestId("canvas");
    await page.getByRole("heading", { name: "Workflow of 3 tasks" }).waitFor({ timeout: 30_000 });
    await canvas.locator(`[data-node="${ids[0]}"]`).focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await canvas.getByText("As a list").waitFor();
    await s.check("task-workflow");
    await canvas.locator(`[data-node="${ids[2]}"]`).focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/${ids[2]}`);
    await canvas.getByText("As a list").click();
    await canvas.getByRole("listitem").filter({ hasText: "(this task)" }).waitFor();
  });

  await s.step("a retry takes other arguments, and refuses what is no JSON", async () => {
    const id = await producer.send("shop.boom", ["first words"]);
    // The dialog is open before it is known which agents there are, as on a slow line.
    const go = await s.hold("**/api/v1/projects/*/agents");
    await open(id);
    await verdict("Failed: ValueError: first words").waitFor({ timeout: 30_000 });
    await page.getByTestId("retry").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Checking which agents are online").first().waitFor();
    await go();
    await dialog.getByText("Carried out by agent").waitFor();
    await dialog.getByText("These instead").click();
    const field = dialog.getByLabel("Arguments (JSON list)", { exact: true });
    await field.fill('["other words"');
    await dialog.getByText("Not valid JSON").waitFor();
    await s.check("task-retry-edited");
    await field.fill('["other words"]');
    await dialog.getByRole("button", { name: "Retry", exact: true }).click();
    await page.getByRole("link", { name: "Open the new task" }).click();
    await verdict("Failed: ValueError: other words").waitFor({ timeout: 30_000 });
    await page.goBack();
    await page.getByTestId("sent").getByText("Completed").waitFor();
  });

  await s.step("a task is deleted, and its page explains that it is gone", async () => {
    const id = await producer.send("shop.add", [7, 7]);
    await open(id);
    await verdict("Succeeded").waitFor({ timeout: 30_000 });
    await page.getByTestId("more").click();
    await page.getByRole("menuitem", { name: "Delete from z4j" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
    await page.waitForURL((url) => url.pathname.endsWith(list));
    await open(id);
    await page.getByText("This task is not known here").waitFor();
    // It is looked for again and again; meanwhile the page stays.
    const go = await s.hold(`**/api/v1/projects/*/tasks/celery/${id}`);
    await page.waitForRequest((request) => new URL(request.url()).pathname.endsWith(`/tasks/celery/${id}`));
    await page.evaluate(
      () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
    );
    s.expect(
      await page.getByText("This task is not known here").isVisible(),
      "the page vanishes while the task is looked for again",
    );
    await go();
    await s.check("task-unknown");
  });
}
