// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Json } from "../api/types";

const maxBytes = 64 * 1024;

export type ParsedField = { value: Json; problem: null } | { value: undefined; problem: string };

/** parseJsonField reads what was typed for a retry, with the API's own limits. */
export function parseJsonField(text: string, shape: "list" | "object"): ParsedField {
  let value: Json;
  try {
    value = JSON.parse(text.trim() || (shape === "list" ? "[]" : "{}"));
  } catch (error) {
    return {
      value: undefined,
      problem: `Not valid JSON: ${error instanceof Error ? error.message : "unreadable"}`,
    };
  }
  if (shape === "list" && !Array.isArray(value))
    return { value: undefined, problem: 'Must be a list, like [1, "two"]' };
  if (shape === "object") {
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      return { value: undefined, problem: 'Must be an object, like {"amount": 3}' };
    }
    if (Object.keys(value).some((key) => key.startsWith("__z4j_"))) {
      return { value: undefined, problem: "Names that start with __z4j_ are reserved" };
    }
  }
  if (new TextEncoder().encode(text).length > maxBytes)
    return { value: undefined, problem: "Longer than 64 KiB" };
  return { value, problem: null };
}
