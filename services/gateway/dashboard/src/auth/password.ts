// SPDX-License-Identifier: AGPL-3.0-or-later
import type { PasswordPolicy } from "../api/types";

const long = 16;
const classes: Record<string, RegExp> = {
  lowercase: /\p{Ll}/u,
  uppercase: /\p{Lu}/u,
  digit: /\p{Nd}/u,
  symbol: /[^\p{L}\p{N}\s]/u,
};

/** policyText says the rule in one sentence, before anything is typed. */
export function policyText(policy: PasswordPolicy | undefined): string {
  if (!policy) return "At least 12 characters.";
  const { min_length: min, required_character_classes: need } = policy;
  if (need <= 0) return `At least ${min} characters.`;
  return `At least ${min} characters; below ${long} also ${need} of: lower case, upper case, digit, symbol.`;
}

/** passwordProblem is what is still missing, or null. The brain checks again, and also against common passwords. */
export function passwordProblem(password: string, policy: PasswordPolicy | undefined): string | null {
  const min = policy?.min_length ?? 12;
  const length = [...password].length;
  if (length < min) return `${min - length} more ${min - length === 1 ? "character" : "characters"} needed`;
  if (length >= long) return null;
  const need = policy?.required_character_classes ?? 3;
  const have = Object.values(classes).filter((each) => each.test(password)).length;
  if (have >= need) return null;
  return `Use ${need} of lower case, upper case, digit, symbol (${have} so far), or ${long} characters`;
}

const reasons: Record<string, string> = {
  password_too_short: "This password is too short.",
  password_too_long: "This password is too long; 256 characters is the limit.",
  password_too_simple: "This password needs more kinds of characters, or more length.",
  password_in_breach_list: "This password is on the list of common passwords. Choose another one.",
};

export const policyReason = (reason: unknown): string | null =>
  typeof reason === "string" ? (reasons[reason] ?? null) : null;
