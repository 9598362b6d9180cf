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
 *   task's id, `own` says that the page is the task's own
 * @property {true} [restless]  differs between two renders because of what looking at it changes
 * @property {true} [whole]    not of a project: has no empty state of its own
 */

/** @type {Page[]} */
export const pages = [
  { name: "home", path: () => "/home", whole: true, shows: "tbody tr", fails: /\/api\/v1\/home\// },
  {
    name: "overview",
    path: (p) => `/projects/${p}`,
    empty: /Connect your application/,
    shows: "[data-testid=answer]",
  },
  { name: "trends", path: (p) => `/projects/${p}/trends`, empty: /No task ended/, shows: "tbody tr" },
  {
    name: "trends-task",
    path: (p, ids) => `/projects/${p}/trends?name=${ids.name}`,
    shows: "canvas",
  },
  { name: "issues", path: (p) => `/projects/${p}/issues`, empty: /Nothing failed/, shows: "tbody tr" },
  {
    name: "issue",
    path: (p, ids) => `/projects/${p}/issues/${ids.issue}`,
    shows: "[data-testid=issue-answer]",
  },
  {
    name: "tasks",
    path: (p) => `/projects/${p}/tasks`,
    empty: /Connect your application/,
    shows: "[data-row]",
    live: { of: (id) => ({ see: `[data-row]:has(a[href*="${id}"])`, says: /Success/ }) },
  },
  {
    name: "task",
    path: (p, ids) => `/projects/${p}/tasks/celery/${ids.task}`,
    shows: "[data-testid=verdict]",
    live: { own: true, see: "[data-testid=verdict]", says: /Succeeded/ },
  },
  {
    name: "queues",
    path: (p) => `/projects/${p}/queues`,
    empty: /queue/i,
    shows: "tbody tr",
  },
  {
    name: "workers",
    path: (p) => `/projects/${p}/workers`,
    empty: /worker/i,
    shows: "tbody tr",
    live: { see: "main", changes: true },
  },
  { name: "agents", path: (p) => `/projects/${p}/agents`, empty: /agent/i, shows: "tbody tr" },
  {
    name: "agents-new",
    path: (p) => `/projects/${p}/agents/new`,
    empty: /Name/,
    shows: "form",
    fails: /never/,
  },
  { name: "commands", path: (p) => `/projects/${p}/commands`, empty: /command/i, shows: "tbody tr" },
  {
    name: "account",
    path: () => "/account",
    whole: true,
    restless: true,
    shows: "form",
    fails: /\/api\/v1\/auth\/sessions/,
  },
];
