// SPDX-License-Identifier: AGPL-3.0-or-later
// Writes .br and .gz next to every text file of the build, so that the gateway never compresses at run time.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const dist = fileURLToPath(new URL("../../internal/assets/dist/", import.meta.url));
const compressible = /\.(html|js|css|svg|json|txt|map)$/;
const br = promisify(brotliCompress);
const gz = promisify(gzip);

for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !compressible.test(entry.name)) continue;
  const path = `${entry.parentPath}/${entry.name}`;
  const raw = await readFile(path);
  const quality = {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: raw.length },
  };
  await writeFile(`${path}.br`, await br(raw, quality));
  await writeFile(`${path}.gz`, await gz(raw, { level: 9 }));
}
