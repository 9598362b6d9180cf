// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { atLeast, roleIn } from "../agents/access";
import { queries } from "../api/queries";
import { formatCount } from "../api/time";
import type { IssueDetail } from "../insight/types";
import { Acting } from "../tasks/bulkbar";
import { nothing } from "../tasks/selection";
import { Button } from "../ui/controls";
import { RetryIcon } from "../ui/icons";

const everything = { ...nothing, everything: true };
const nobody = () => undefined;

/** RetryThese runs again what is still failed of an issue, whenever it failed. */
export function RetryThese({ slug, issue }: { slug: string; issue: IssueDetail }) {
  const client = useQueryClient();
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
      <Button kind="primary" reason={reason} onClick={() => setAsking(true)} data-testid="retry-these">
        <RetryIcon /> {issue.open_count > 0 ? `Retry ${formatCount(issue.open_count)}` : "Retry these"}
      </Button>
      {asking && (
        <Acting
          slug={slug}
          selection={everything}
          query={{ fingerprint: issue.fingerprint, state: "failure" }}
          action="retry"
          onGone={nobody}
          onClose={() => {
            setAsking(false);
            void client.invalidateQueries({ queryKey: ["p", slug, "issue", issue.fingerprint] });
          }}
        />
      )}
    </>
  );
}
