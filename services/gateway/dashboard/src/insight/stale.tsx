// SPDX-License-Identifier: AGPL-3.0-or-later
import { Age } from "../ui/clock";

interface Asked {
  data: unknown;
  error: unknown;
  dataUpdatedAt: number;
}

/** StaleNote says that what is on screen could not be refreshed, and how old it is. */
export function StaleNote({ query, className = "" }: { query: Asked; className?: string }) {
  if (!query.error || query.data === undefined) return null;
  return (
    <p role="status" className={`rounded-md border border-warn bg-warn-wash px-3 py-2 ${className}`}>
      The last refresh failed: {query.error instanceof Error ? query.error.message : "no answer"} These
      numbers are from <Age at={new Date(query.dataUpdatedAt).toISOString()} suffix=" ago" />.
    </p>
  );
}
