// SPDX-License-Identifier: AGPL-3.0-or-later
// Every page of the dashboard, one line each. A page that is added here is opened with no data, five rows, 100,000
// tasks and a failing API, photographed, and looked at with axe and on a phone (states.mjs), and measured for how
// soon it shows an event (live.mjs).

/**
 * @typedef {object} Page
 * @property {string} name     of the screenshots
 * @property {(p: string, ids: Record<string, string>) => string} path  in project p
 * @property {string | RegExp} [empty]   what it says without data; left out when it needs none
 * @property {string} [shows]  selector of what it shows with data
 * @property {RegExp} [fails]  the requests that fail in its failing state, when not all of the project's
 * @property {object} [live]   what changes when a task of the project ends (stopwatch.mjs); `of` makes it of the
 *   task's id, `own` says that the page is the task's own, `arrives` that the page changes when a task arrives, not when it ends
 * @property {string} [needs]  the thing it is of, when not every project has one
 * @property {true} [admin]    only for administrators of the installation
 * @property {true} [stable]   tells of the past only, so it is rendered twice at one moment and compared
 * @property {true} [whole]    not of a project: has no empty state of its own
 */

/** @type {Page[]} */
export const pages = [
  {
    name: "home",
    path: () => "/home",
    whole: true,
    shows: "tbody tr",
    fails: /\/api\/v1\/home\//,
  },
  {
    name: "overview",
    path: (p) => `/projects/${p}`,
    empty: /Connect your application/,
    shows: "[data-testid=answer]",
    live: { see: "main", changes: true },
  },
  {
    name: "trends",
    stable: true,
    path: (p) => `/projects/${p}/trends`,
    empty: /No task ended/,
    shows: "canvas",
    live: { see: "main", changes: true },
  },
  { name: "trends-task", path: (p, ids) => `/projects/${p}/trends?name=${ids.name}`, shows: "canvas" },
  {
    name: "tasks",
    stable: true,
    path: (p) => `/projects/${p}/tasks`,
    empty: /Connect your application/,
    shows: "[data-row]",
    live: { of: (id) => ({ see: `[data-row]:has(a[href*="${id}"])`, says: /Success/ }) },
  },
  {
    name: "task",
    stable: true,
    path: (p, ids) => `/projects/${p}/tasks/celery/${ids.task}`,
    shows: "[data-testid=verdict]",
    live: { own: true, see: "[data-testid=verdict]", says: /Succeeded/ },
  },
  { name: "issues", path: (p) => `/projects/${p}/issues`, empty: /Nothing failed/ },
  {
    name: "issue",
    path: (p, ids) => `/projects/${p}/issues/${ids.issue}`,
    shows: "[data-testid=issue-answer]",
    needs: "issue",
  },
  {
    name: "queues",
    path: (p) => `/projects/${p}/queues`,
    empty: "No queue has been seen yet",
    shows: "tbody tr",
    live: { see: "main", changes: true, arrives: true },
  },
  {
    name: "queue",
    path: (p, ids) => `/projects/${p}/queues/celery/${ids.queue ?? "probe"}`,
    shows: "canvas",
    live: { see: "main", changes: true, arrives: true },
  },
  {
    name: "workers",
    path: (p) => `/projects/${p}/workers`,
    empty: "No worker has been seen yet",
    shows: "tbody tr",
    live: { see: "main", changes: true },
  },
  {
    name: "worker",
    path: (p, ids) => `/projects/${p}/workers/${ids.worker}`,
    shows: "[data-testid=controls]",
  },
  { name: "agents", path: (p) => `/projects/${p}/agents`, empty: "No agent yet", shows: "tbody tr" },
  {
    name: "agents-new",
    path: (p) => `/projects/${p}/agents/new`,
    empty: /Name/,
    shows: "form",
    fails: /never/,
  },
  {
    name: "commands",
    path: (p) => `/projects/${p}/commands`,
    empty: "Nothing was asked of the agents",
    shows: "tbody tr",
  },
  { name: "dead-letters", path: (p) => `/projects/${p}/dead-letters`, empty: "There is no engine to ask" },
  {
    name: "account",
    path: () => "/account",
    whole: true,
    shows: "form",
    fails: /\/api\/v1\/auth\/sessions/,
  },
  {
    name: "system",
    path: () => "/system",
    whole: true,
    admin: true,
    fails: /\/api\/v1\/(?:admin|system|settings)/,
  },
];
