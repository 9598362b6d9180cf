// SPDX-License-Identifier: AGPL-3.0-or-later
import type { LinkProps } from "@tanstack/react-router";

/** Goto is where a number, a row or a card leads; build it with TanStack's linkOptions({to, params, search}). */
export type Goto = Pick<LinkProps, "to" | "params" | "search" | "hash">;
