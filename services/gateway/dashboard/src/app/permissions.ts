// SPDX-License-Identifier: AGPL-3.0-or-later
import { queryOptions, useQuery } from "@tanstack/react-query";
import { api, path } from "../api/client";
import type { PermissionsPublic } from "../api/schema";

export const permissionsQuery = (slug: string) =>
  queryOptions({
    queryKey: ["p", slug, "permissions"],
    queryFn: ({ signal }) =>
      api.get<PermissionsPublic>(path`/projects/${slug}/permissions`, undefined, signal),
    staleTime: 60_000,
  });

/** refusal says why an action is not for this role, or null when it is. */
export function refusal(mine: PermissionsPublic | undefined, action: string): string | null {
  if (!mine) return "Checking what your role here may do";
  if (mine.actions.includes(action)) return null;
  return `Your role here is ${mine.role}, which may not do this. Ask an administrator of the project.`;
}

/**
 * usePermission asks the API's own list: `const reason = usePermission(slug, "agent.mint")` and
 * `<Button reason={reason}>`. The names are those of GET /projects/{slug}/permissions.
 */
export function usePermission(slug: string, action: string): string | null {
  const mine = useQuery(permissionsQuery(slug));
  if (mine.error) return `What your role may do could not be asked: ${mine.error.message}`;
  return refusal(mine.data, action);
}
