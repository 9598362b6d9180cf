// SPDX-License-Identifier: AGPL-3.0-or-later
// Removes the previous build but leaves committed files (the placeholder page's folder markers) alone.
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../../internal/assets/dist/", import.meta.url));
await rm(`${dist}assets`, { recursive: true, force: true });
for (const name of [
  "index.html",
  "index.html.br",
  "index.html.gz",
  "favicon.svg",
  "favicon.svg.br",
  "favicon.svg.gz",
]) {
  await rm(dist + name, { force: true });
}
