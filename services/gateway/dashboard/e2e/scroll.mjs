// SPDX-License-Identifier: AGPL-3.0-or-later
// For the benchmarks: prints how smoothly the list of a project's tasks scrolls, as one JSON line.
//
// Environment, besides that of env.mjs: Z4J_E2E_URL, Z4J_E2E_EMAIL, Z4J_E2E_PASSWORD, Z4J_E2E_MANY (states.mjs)
import { browser, need } from "./env.mjs";
import { Session } from "./session.mjs";
import { scroll } from "./stopwatch.mjs";

const s = await Session.open({ base: need("Z4J_E2E_URL"), ...browser() });
try {
  await s.login(need("Z4J_E2E_EMAIL"), need("Z4J_E2E_PASSWORD"));
  await s.visit(`/projects/${need("Z4J_E2E_MANY")}/tasks`);
  await s.page.locator("[data-row='20']").waitFor();
  await s.page.waitForLoadState("networkidle");
  console.log(JSON.stringify(await scroll(s.page, 600)));
} finally {
  await s.close();
}
