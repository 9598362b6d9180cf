// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ErrorBody, Json } from "./types";

/** ApiError is every way a request can fail; code "network" means that no answer came at all. */
export class ApiError extends Error {
  override name = "ApiError";
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string | null = null,
    readonly details: { [key: string]: Json } = {},
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
  get offline(): boolean {
    return this.code === "network";
  }
}

type Listener = (reachable: boolean) => void;

/** reachability tells the connection indicator whether the last request got any answer. */
const listeners = new Set<Listener>();
export function onReachability(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
function report(reachable: boolean) {
  for (const listener of listeners) listener(reachable);
}

export function csrfToken(): string {
  // The double-submit cookie; its name depends on whether the brain is served over https.
  const match = /(?:^|;\s*)(?:__Host-)?z4j_csrf=([^;]*)/.exec(document.cookie);
  return match?.[1] ? decodeURIComponent(match[1]) : "";
}

export type Query = Record<string, string | number | boolean | undefined | null>;

export function path(strings: TemplateStringsArray, ...values: (string | number)[]): string {
  return strings.reduce((out, part, i) => out + encodeURIComponent(String(values[i - 1])) + part);
}

function withQuery(url: string, query?: Query): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") params.set(key, String(value));
  }
  const text = params.toString();
  return text ? `${url}?${text}` : url;
}

/** toError reads the brain's error envelope; anything else (a proxy's page, say) is named by its status. */
export function toError(status: number, body: unknown, retryAfter: string | null): ApiError {
  const seconds = retryAfter && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  if (body && typeof body === "object") {
    const b = body as Partial<ErrorBody> & { detail?: unknown };
    if (typeof b.error === "string") {
      return new ApiError(
        status,
        b.error,
        b.message || b.error,
        b.request_id ?? null,
        b.details ?? {},
        seconds,
      );
    }
    if (typeof b.detail === "string") return new ApiError(status, "error", b.detail, null, {}, seconds);
  }
  return new ApiError(status, "error", `the server answered with status ${status}`, null, {}, seconds);
}

/** Reads that wait for their turn, and whether one is being started. */
const queue: (() => void)[] = [];
let starting = false;

/**
 * turn lets reads start one at a time. To start one takes the browser some milliseconds, and a page asks for half a dozen at
 * once: what the reader does in between is answered in between.
 */
function turn(): Promise<void> {
  if (starting) return new Promise((resolve) => queue.push(resolve));
  starting = true;
  setTimeout(pass, 0);
  return Promise.resolve();
}

function pass() {
  const next = queue.shift();
  starting = next !== undefined;
  if (!next) return;
  next();
  setTimeout(pass, 0);
}

async function request<T>(method: string, url: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRF-Token"] = csrfToken();
  let response: Response;
  if (method === "GET") await turn();
  try {
    signal?.throwIfAborted();
    response = await fetch(`/api/v1${url}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal,
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    report(false);
    throw new ApiError(
      0,
      "network",
      "The brain can't be reached. Check that it runs and that you are online.",
    );
  }
  // A gateway that stands in front of a stopped brain answers 502 to 504: as good as no answer.
  report(response.status < 502 || response.status > 504 || response.headers.has("X-Request-ID"));
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  let parsed: unknown;
  try {
    parsed = text ? JSON.parse(text) : undefined;
  } catch {
    parsed = undefined;
  }
  if (!response.ok) throw toError(response.status, parsed, response.headers.get("Retry-After"));
  return parsed as T;
}

export const api = {
  get: <T>(url: string, query?: Query, signal?: AbortSignal) =>
    request<T>("GET", withQuery(url, query), undefined, signal),
  post: <T>(url: string, body?: unknown) => request<T>("POST", url, body ?? {}),
  put: <T>(url: string, body: unknown) => request<T>("PUT", url, body),
  patch: <T>(url: string, body: unknown) => request<T>("PATCH", url, body),
  delete: <T>(url: string) => request<T>("DELETE", url),
};
