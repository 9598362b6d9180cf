// SPDX-License-Identifier: AGPL-3.0-or-later
const key = "z4j-project";

/** The project to come back to after login; a convenience, never trusted to exist. */
export const lastProject = (): string | null => localStorage.getItem(key);
export const rememberProject = (slug: string) => localStorage.setItem(key, slug);
