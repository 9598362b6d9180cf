// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { atLeast, roleIn } from "../agents/access";
import { queries } from "../api/queries";
import { formatCount } from "../api/time";
import type { IssueDetail } from "../insight/types";
import { Button } from "../ui/controls";
import { RetryIcon } from "../ui/icons";

/** RetryThese runs again what is still failed of an issue. */
export function RetryThese({ slug, issue }: { slug: string; issue: IssueDetail }) {
  const me = useQuery(queries.me());
  const role = roleIn(me.data, slug);
  const [asking, setAsking] = useState(false);
  const reason = !atLeast(role, "operator")
    ? `Your role here is ${role}; this needs operator`
    : issue.open_count === 0
      ? "Every task of this issue has recovered"
      : null;
  return (
    <>
      <Button kind="primary" reason={reason} onClick={() => setAsking(true)}>
        <RetryIcon /> Retry {issue.open_count > 0 ? formatCount(issue.open_count) : "these"}
      </Button>
      {asking && null}
    </>
  );
}
