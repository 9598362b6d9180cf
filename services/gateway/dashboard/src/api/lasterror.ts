// SPDX-License-Identifier: AGPL-3.0-or-later
import { useState } from "react";

/**
 * useLastError is why a query has no data, also while it is asked again: the query itself forgets its error with each
 * question, and a page that follows it would turn into placeholders and back with every poll. null when there is data,
 * or no answer yet. The component must be keyed by what is asked for.
 */
export function useLastError(query: { data: unknown; error: Error | null }): Error | null {
  const [last, setLast] = useState<Error | null>(null);
  if (query.error !== null && query.error !== last) setLast(query.error);
  if (query.data !== undefined) return null;
  return query.error ?? last;
}
