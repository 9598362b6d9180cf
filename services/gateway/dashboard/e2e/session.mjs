// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdir, writeFile } from "node:fs/promises";
import AxeModule from "@axe-core/playwright";
import { chromium } from "playwright-core";

const AxeBuilder = AxeModule.default ?? AxeModule;
const sizes = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };

// Chromium writes a line to the console for each answer in the 4xx range. These are part of normal work: asking
// who is logged in, a wrong password, and a task that a retry has started but not reported yet.
const expectedAnswers = [
  [401, /\/api\/v1\/(?:auth\/me|auth\/login|setup\/status)$/],
  [404, /\/api\/v1\/projects\/[^/]+\/tasks\/[^/]+\/[^/]+(?:\/tree|\/similar)?$/],
];

/** Session is one browser window and everything that went wrong in it. */
export class Session {
  problems = [];
  current = "start";
  shots = 0;
  /** What is measured, for the artefacts: [name, number, unit]. */
  figures = [];
  /** Tells which answers a step provokes on purpose: (status, path) => boolean. */
  expects = () => false;

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
    s.context = await s.browser.newContext({ viewport: sizes.desktop, colorScheme: "light" });
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
    s.watch(await s.context.newPage());
    return s;
  }

  /** watch makes a page the current one and takes note of everything that goes wrong in it. */
  watch(page) {
    this.page = page;
    this.page.on("pageerror", (error) => this.problem(`uncaught error: ${error.stack ?? error.message}`));
    this.page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      if (/^Failed to load resource/.test(message.text())) return; // judged by status, below
      if (/WebSocket connection .* failed/.test(message.text()) && this.tolerateSocket) return;
      this.problem(`console ${message.type()}: ${message.text()}`);
    });
    this.page.on("response", (response) => {
      const status = response.status();
      if (status < 400) return;
      const path = new URL(response.url()).pathname;
      if (
        !expectedAnswers.some(([code, url]) => code === status && url.test(path)) &&
        !this.expects(status, path)
      ) {
        this.problem(`${status} for ${response.request().method()} ${path}`);
      }
    });
    this.page.on("request", (request) => {
      const url = new URL(request.url());
      if (/^https?:$/.test(url.protocol) && url.origin !== this.base)
        this.problem(`request to another origin: ${url.origin}`);
    });
    return page;
  }

  /** fresh replaces the open page with a new one, on which nothing of the last is left. */
  async fresh() {
    await this.page.close();
    this.expects = () => false;
    return this.watch(await this.context.newPage());
  }

  /** login opens a session in this browser, or changes whose it is. */
  async login(email, password) {
    await this.context.clearCookies();
    const answer = await this.context.request.post(`${this.base}/api/v1/auth/login`, {
      data: { email, password },
    });
    if (!answer.ok()) throw new Error(`log in as ${email}: ${answer.status()} ${await answer.text()}`);
  }

  /** hold keeps the answers of an address back until the function that it returns is called. */
  async hold(address) {
    let go = () => undefined;
    const held = new Promise((resolve) => {
      go = resolve;
    });
    await this.page.route(address, async (route) => {
      await held;
      await route.continue();
    });
    return () => {
      go();
      return this.unheld();
    };
  }

  /** unheld lets every answer through again. One that is still with its handler is waited for: it can be given only once. */
  unheld() {
    return this.page.unrouteAll({ behavior: "wait" });
  }

  /** get reads the API as the user who is logged in. */
  async get(path) {
    const answer = await this.context.request.get(`${this.base}/api/v1${path}`);
    if (!answer.ok()) throw new Error(`GET ${path}: ${answer.status()} ${await answer.text()}`);
    return answer.json();
  }

  /** post changes something through the API as the user who is logged in. */
  async post(path, data) {
    const csrf = (await this.context.cookies(this.base)).find((cookie) => cookie.name.endsWith("z4j_csrf"));
    const answer = await this.context.request.post(`${this.base}/api/v1${path}`, {
      data,
      headers: { "X-CSRF-Token": csrf?.value ?? "" },
    });
    if (!answer.ok()) throw new Error(`POST ${path}: ${answer.status()} ${await answer.text()}`);
    return answer.json();
  }

  /** until polls what no page shows. */
  async until(what, condition, limit = 30_000) {
    const end = Date.now() + limit;
    while (!(await condition())) {
      if (Date.now() > end) throw new Error(`${what}: not within ${limit / 1000} s`);
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  /** visit goes to an address of the dashboard and waits until it shows what it has to show. */
  async visit(path) {
    await this.page.goto(this.base + path);
    await this.settle();
  }

  /** settle waits until the page has its heading and no placeholder is left. */
  async settle() {
    await this.page.waitForFunction(
      () =>
        document.querySelector("main h1") !== null &&
        document.querySelector("main .skeleton:not(.rounded-full), main [aria-busy=true]") === null,
    );
  }

  figure(name, value, unit) {
    this.figures.push({ name, value: Math.round(value * 10) / 10, unit });
    console.log(`    ${name}: ${Math.round(value * 10) / 10} ${unit}`);
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

  /** dress gives the page a size and a theme, and lets it lay itself out. */
  async dress(size, colorScheme) {
    await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await this.page.setViewportSize(sizes[size]);
    // One frame for the layout, one for the virtual rows.
    await this.page.evaluate(
      () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
    );
  }

  /**
   * check looks at the open page: a picture of each size and theme, sideways scrolling, and in each theme
   * accessibility. `brief` makes one picture of each size and looks with axe once.
   */
  async check(name, { brief = false } = {}) {
    const looks = brief
      ? [
          ["phone", "dark"],
          ["desktop", "light"],
        ]
      : ["light", "dark"].flatMap((theme) => [
          ["phone", theme],
          ["desktop", theme],
        ]);
    for (const [size, theme] of looks) {
      await this.dress(size, theme);
      const sideways = await this.page.evaluate(
        () => document.documentElement.scrollWidth - window.innerWidth,
      );
      this.expect(sideways <= 0, `${name} scrolls sideways by ${sideways} px on a ${size}`);
      await this.page.screenshot({ path: `${this.artifacts}/${name}-${size}-${theme}.png` });
      this.shots++;
      if (size === "desktop") await this.axe(`${name} (${size}, ${theme})`);
    }
    await this.page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
  }

  async axe(name) {
    const { violations } = await new AxeBuilder({ page: this.page }).analyze();
    for (const violation of violations) {
      const where = violation.nodes.map((node) => node.target.join(" ")).join("; ");
      this.problem(`accessibility of ${name}: ${violation.id}: ${violation.help}: ${where}`);
    }
  }

  async fail(error) {
    this.problem(error instanceof Error ? error.message : String(error));
    const name = this.current.replaceAll(/[^a-z0-9]+/gi, "-").slice(0, 60);
    await this.page.screenshot({ path: `${this.artifacts}/failed-${name}.png` }).catch(() => undefined);
  }

  async close() {
    await this.browser.close();
  }

  /** report prints what went wrong and keeps the figures beside the pictures. */
  async report(name) {
    if (this.figures.length > 0)
      await writeFile(`${this.artifacts}/${name}.json`, `${JSON.stringify(this.figures, null, 2)}\n`);
    for (const problem of this.problems) console.error(`FAIL ${problem}`);
    console.log(`${this.shots} screenshots in ${this.artifacts}, ${this.problems.length} problems`);
    return this.problems.length === 0;
  }
}
