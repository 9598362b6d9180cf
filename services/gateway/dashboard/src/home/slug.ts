// SPDX-License-Identifier: AGPL-3.0-or-later

/** slugOf proposes the short name of a project: lower case, digits and dashes, as addresses want it. */
export const slugOf = (name: string): string =>
  name
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 50)
    .replace(/-+$/, "");

/** slugProblem says why the brain would refuse a short name; null when it would not. */
export const slugProblem = (slug: string): string | null =>
  /^[a-z0-9][a-z0-9-]{1,48}[a-z0-9]$/.test(slug)
    ? null
    : "3 to 50 lower-case letters, digits and dashes, with no dash at either end";
