// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Navigate } from "@tanstack/react-router";
import { queries } from "../api/queries";
import { Empty, ErrorNote, SkeletonRows } from "../ui/controls";
import { useTitle } from "../ui/title";
import { lastProject } from "./lastproject";

/** The start page leads to the project used last, else the first one. */
export function HomeRedirect() {
  useTitle();
  const projects = useQuery(queries.projects());
  if (projects.error) {
    return (
      <div className="p-4">
        <ErrorNote
          error={projects.error}
          what="Your projects could not be loaded"
          onRetry={() => void projects.refetch()}
        />
      </div>
    );
  }
  if (!projects.data) return <SkeletonRows label="Loading your projects" />;
  const last = lastProject();
  const target = projects.data.find((each) => each.slug === last) ?? projects.data[0];
  if (target) return <Navigate to="/projects/$slug/tasks" params={{ slug: target.slug }} replace />;
  return (
    <Empty title="You are not a member of any project yet">
      <p>
        A project holds the tasks, workers and agents of one application. Ask an administrator of this z4j to
        add you to one, then reload this page.
      </p>
    </Empty>
  );
}
