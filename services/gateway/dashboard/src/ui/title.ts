// SPDX-License-Identifier: AGPL-3.0-or-later
import { useEffect } from "react";

/** useTitle names the browser tab: the object first, so that many tabs stay readable. */
export function useTitle(...parts: (string | null | undefined)[]) {
  const title = [...parts.filter(Boolean), "z4j"].join(" · ");
  useEffect(() => {
    document.title = title;
  }, [title]);
}
