// SPDX-License-Identifier: AGPL-3.0-or-later
import { useRef } from "react";

/**
 * useLastingError keeps showing why nothing could be loaded while it is asked for again: the query itself forgets its
 * error with each attempt, and the page would flicker between the reason and its skeleton.
 */
export function useLastingError(query: { data: unknown; error: unknown }): unknown {
  const last = useRef<unknown>(null);
  if (query.data !== undefined) last.current = null;
  else if (query.error) last.current = query.error;
  return query.error ?? last.current;
}
