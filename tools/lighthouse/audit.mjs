// SPDX-License-Identifier: AGPL-3.0-or-later
// Audits pages of a running dashboard with Lighthouse, as a desktop browser sees them, and prints one JSON line a page:
// {"page", "performance", "accessibility", "best_practices", "largest_contentful_paint_ms", "total_blocking_ms", "layout_shift",
// "below": [titles of audits that cost points]}. The scores are the medians of the rounds.
//
// Environment:
//   Z4J_BENCH_URL       the brain
//   Z4J_BENCH_COOKIE    the cookie header of a session
//   Z4J_BENCH_PAGES     JSON: [[name, path, "anonymous"?], ...]
//   Z4J_BENCH_CHROMIUM  the browser
//   Z4J_BENCH_ROUNDS    how often each page is loaded (default 3)
import * as chrome from "chrome-launcher";
import lighthouse, { desktopConfig } from "lighthouse";

const base = process.env.Z4J_BENCH_URL;
const rounds = Number(process.env.Z4J_BENCH_ROUNDS ?? 3);
const pages = JSON.parse(process.env.Z4J_BENCH_PAGES);
const categories = { performance: "performance", accessibility: "accessibility", best_practices: "best-practices" };

const browser = await chrome.launch({
  chromePath: process.env.Z4J_BENCH_CHROMIUM,
  chromeFlags: ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** load audits an address. Now and then Chromium starts its trace too late; such a load says nothing. */
async function load(url, extraHeaders) {
  for (let attempt = 1; ; attempt++) {
    const { lhr } = await lighthouse(
      url,
      { port: browser.port, output: "json", logLevel: "error", onlyCategories: Object.values(categories), extraHeaders },
      desktopConfig,
    );
    if (!lhr.runtimeError) return lhr;
    if (attempt === 4) throw new Error(`${url}: ${lhr.runtimeError.message}`);
  }
}

try {
  for (const [page, path, who] of pages) {
    const found = [];
    for (let round = 0; round < rounds; round++) {
      const lhr = await load(base + path, who === "anonymous" ? {} : { Cookie: process.env.Z4J_BENCH_COOKIE });
      if (!lhr.finalDisplayedUrl.startsWith(base + path))
        throw new Error(`${page} led to ${lhr.finalDisplayedUrl}: is the session valid?`);
      found.push(lhr);
    }
    const score = (id) => Math.round(100 * median(found.map((lhr) => lhr.categories[id].score)));
    const value = (id) => median(found.map((lhr) => lhr.audits[id].numericValue));
    const below = new Set();
    for (const lhr of found)
      for (const id of Object.values(categories))
        for (const { id: audit, weight } of lhr.categories[id].auditRefs) {
          const { score: points, title, scoreDisplayMode } = lhr.audits[audit];
          if (weight > 0 && points !== null && points < 0.9 && scoreDisplayMode !== "notApplicable") below.add(title);
        }
    console.log(
      JSON.stringify({
        page,
        ...Object.fromEntries(Object.entries(categories).map(([key, id]) => [key, score(id)])),
        largest_contentful_paint_ms: Math.round(value("largest-contentful-paint")),
        total_blocking_ms: Math.round(value("total-blocking-time")),
        layout_shift: Math.round(1000 * value("cumulative-layout-shift")) / 1000,
        below: [...below],
      }),
    );
  }
} finally {
  browser.kill();
}
