// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Json } from "../api/types";

function short(value: Json, limit: number): string {
  const text = typeof value === "string" ? JSON.stringify(value) : (JSON.stringify(value) ?? "");
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

/** argsPreview is a call's arguments on one line: 42, "eu", amount=12.5 */
export function argsPreview(args: Json, kwargs: Json, limit = 160): string {
  const parts: string[] = [];
  if (Array.isArray(args)) parts.push(...args.slice(0, 8).map((each) => short(each, 60)));
  else if (args !== null && args !== undefined) parts.push(short(args, 60));
  if (kwargs && typeof kwargs === "object" && !Array.isArray(kwargs)) {
    for (const [key, value] of Object.entries(kwargs).slice(0, 8)) parts.push(`${key}=${short(value, 60)}`);
  }
  const text = parts.join(", ");
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}
