// SPDX-License-Identifier: AGPL-3.0-or-later
// What the Go tests tell the scripts of this folder, through the environment.

export function need(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; see the head of the script in e2e/`);
  return value;
}

/** browser are the settings that every script has. */
export const browser = () => ({
  artifacts: process.env.Z4J_E2E_ARTIFACTS ?? "artifacts",
  chromium: process.env.Z4J_E2E_CHROMIUM ?? "/usr/bin/chromium",
});
