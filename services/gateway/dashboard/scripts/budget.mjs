// SPDX-License-Identifier: AGPL-3.0-or-later
// Fails the build when the JavaScript needed for the first page grows over its budget, or when the page
// would need something the strict content security policy refuses.
import { readFile, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const budget = 180 * 1024;
const dist = fileURLToPath(new URL("../../internal/assets/dist/", import.meta.url));
const html = await readFile(`${dist}index.html`, "utf8");

const problems = [];
if (/<script(?![^>]*\ssrc=)/i.test(html)) problems.push("index.html contains an inline script");
if (/<style|\sstyle=|\son[a-z]+=/i.test(html))
  problems.push("index.html contains inline style or an event handler");
if (/(?:src|href)="(?:https?:)?\/\//i.test(html))
  problems.push("index.html loads something from another host");

let total = 0;
for (const [, path] of html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)) {
  total += (await stat(`${dist}${path}.gz`)).size;
}
if (total === 0) problems.push("index.html names no script");
if (total > budget) problems.push(`initial JavaScript is ${total} bytes gzip, budget ${budget}`);

console.log(`initial JavaScript: ${(total / 1024).toFixed(1)} of ${budget / 1024} kB gzip`);
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
