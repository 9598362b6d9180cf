// SPDX-License-Identifier: AGPL-3.0-or-later
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// A running brain to develop against: `Z4J_DEV_BRAIN=http://127.0.0.1:7700 npm run dev`.
const brain = process.env.Z4J_DEV_BRAIN ?? "http://127.0.0.1:7700";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  build: {
    // The gateway embeds this folder; it is not in the repository.
    outDir: "../internal/assets/dist",
    // Not emptied by Vite: the folder holds a committed placeholder (scripts/clean.mjs keeps it).
    emptyOutDir: false,
    target: "es2023",
    cssTarget: ["chrome123", "safari17.5", "firefox120"],
    modulePreload: { polyfill: false },
    // Data URLs are not allowed by the page's content security policy.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": brain, "/ws": { target: brain, ws: true } } },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
