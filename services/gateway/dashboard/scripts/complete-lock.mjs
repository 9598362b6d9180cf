// SPDX-License-Identifier: AGPL-3.0-or-later
// Adds the native packages of other platforms to package-lock.json. npm leaves them out when its registry
// does not carry them, and `npm ci` then refuses the lock everywhere. Run by `npm run lock`.
import { readFile, writeFile } from "node:fs/promises";

const file = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(await readFile(file, "utf8"));

const systems = {
  android: "android",
  darwin: "darwin",
  freebsd: "freebsd",
  linux: "linux",
  openharmony: "openharmony",
  win32: "win32",
};
const processors = ["arm64", "x64", "arm", "ia32", "ppc64", "s390x", "riscv64", "loong64", "wasm32"];

for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] || !/^\d/.test(version)) continue;
    const words = name.split("/").pop().split("-");
    const os = words.map((word) => systems[word]).find(Boolean);
    const cpu = processors.find((processor) => words.includes(processor));
    if (!cpu) continue;
    const entry = { version, cpu: [cpu] };
    if (parent.dev) entry.dev = true;
    if (words.includes("musl") || words.includes("gnu"))
      entry.libc = [words.includes("musl") ? "musl" : "glibc"];
    entry.optional = true;
    if (os) entry.os = [os];
    lock.packages[key] = entry;
  }
}
const root = lock.packages[""];
delete lock.packages[""];
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = { "": root, ...Object.fromEntries(sorted) };
await writeFile(file, `${JSON.stringify(lock, null, 2)}\n`);
