// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdir } from "node:fs/promises";
import AxeModule from "@axe-core/playwright";
import { chromium } from "playwright-core";

const AxeBuilder = AxeModule.default ?? AxeModule;
const desktop = { width: 1440, height: 900 };
const phone = { width: 390, height: 844 };

// Chromium writes a line to the console for each answer in the 4xx range. These are part of normal work: asking
// who is logged in, a wrong password, and a task that a retry has started but not reported yet.
const expectedAnswers = [
  [401, /\/api\/v1\/(?:auth\/me|auth\/login|setup\/status)$/],
  [404, /\/api\/v1\/projects\/[^/]+\/tasks\/[^/]+\/[^/]+$/],
];

/** Session is one browser window and everything that went wrong in it. */
export class Session {
  problems = [];
  current = "start";
  shots = 0;

  static async open({ base, artifacts, chromium: executablePath }) {
    const s = new Session();
    s.base = base;
    s.artifacts = artifacts;
    await mkdir(artifacts, { recursive: true });
    s.browser = await chromium.launch({
      executablePath,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
    s.context = await s.browser.newContext({ viewport: desktop, colorScheme: "light" });
    s.context.setDefaultTimeout(20_000);
    await s.context.exposeFunction("z4jReportViolation", (text) =>
      s.problem(`content security policy: ${text}`),
    );
    await s.context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        window.z4jReportViolation(
          `${event.violatedDirective} refused ${event.blockedURI} (${event.sourceFile}:${event.lineNumber})`,
        );
      });
    });
    s.page = await s.context.newPage();
    s.page.on("pageerror", (error) => s.problem(`uncaught error: ${error.stack ?? error.message}`));
    s.page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      if (/^Failed to load resource/.test(message.text())) return; // judged by status, below
      if (/WebSocket connection .* failed/.test(message.text()) && s.tolerateSocket) return;
      s.problem(`console ${message.type()}: ${message.text()}`);
    });
    s.page.on("response", (response) => {
      const status = response.status();
      if (status < 400) return;
      const path = new URL(response.url()).pathname;
      if (!expectedAnswers.some(([code, url]) => code === status && url.test(path))) {
        s.problem(`${status} for ${response.request().method()} ${path}`);
      }
    });
    s.page.on("request", (request) => {
      const url = new URL(request.url());
      if (/^https?:$/.test(url.protocol) && url.origin !== base)
        s.problem(`request to another origin: ${url.origin}`);
    });
    return s;
  }

  problem(text) {
    this.problems.push(`${this.current}: ${text}`);
  }

  expect(condition, otherwise) {
    if (!condition) this.problem(otherwise);
  }

  async step(name, run) {
    this.current = name;
    const began = Date.now();
    await run();
    console.log(`ok  ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  }

  /** check looks at the open page in both themes and at two sizes: accessibility, sideways scrolling, a picture. */
  async check(name) {
    for (const colorScheme of ["light", "dark"]) {
      await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const [size, viewport] of [
        ["phone", phone],
        ["desktop", desktop],
      ]) {
        await this.page.setViewportSize(viewport);
        // One frame for the layout, one for the virtual rows.
        await this.page.evaluate(
          () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
        );
        const sideways = await this.page.evaluate(
          () => document.documentElement.scrollWidth - window.innerWidth,
        );
        this.expect(sideways <= 0, `${name} scrolls sideways by ${sideways} px on a ${size}`);
        await this.page.screenshot({ path: `${this.artifacts}/${name}-${size}-${colorScheme}.png` });
        this.shots++;
      }
      const { violations } = await new AxeBuilder({ page: this.page }).analyze();
      for (const violation of violations) {
        const where = violation.nodes.map((node) => node.target.join(" ")).join("; ");
        this.problem(
          `accessibility of ${name} (${colorScheme}): ${violation.id}: ${violation.help}: ${where}`,
        );
      }
    }
    await this.page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
  }

  async fail(error) {
    this.problem(error instanceof Error ? error.message : String(error));
    await this.page.screenshot({ path: `${this.artifacts}/failed.png` }).catch(() => undefined);
  }

  async close() {
    await this.browser.close();
  }

  report() {
    for (const problem of this.problems) console.error(`FAIL ${problem}`);
    console.log(`${this.shots} screenshots in ${this.artifacts}, ${this.problems.length} problems`);
    return this.problems.length === 0;
  }
}
