// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api } from "../api/client";
import { queries } from "../api/queries";
import type { Project } from "../api/types";
import type { HomeProject } from "../insight/types";
import { Button, buttonClass, Empty, ErrorNote, Field, Notice } from "../ui/controls";
import { slugOf, slugProblem } from "./slug";

/** NoProject is the home of somebody who may see nothing yet. */
export function NoProject() {
  const me = useQuery(queries.me());
  if (me.data?.is_admin) {
    return (
      <Empty title="Create the first project">
        <p>
          A project holds the tasks, workers and agents of one application in one environment. You connect the
          application to it in the next step.
        </p>
        <CreateProject />
      </Empty>
    );
  }
  return (
    <Empty title="You are not a member of any project yet">
      <p>
        A project holds the tasks, workers and agents of one application. Ask an administrator of this z4j to
        add you to one, then reload this page.
      </p>
    </Empty>
  );
}

function CreateProject() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [own, setOwn] = useState<string | null>(null);
  const slug = own ?? slugOf(name);
  const create = useMutation({
    mutationFn: () => api.post<Project>("/projects", { name: name.trim(), slug }),
    onSuccess: async (project) => {
      await client.invalidateQueries({ queryKey: queries.projects().queryKey });
      await navigate({ to: "/projects/$slug", params: { slug: project.slug } });
    },
  });
  const reason = name.trim() ? slugProblem(slug) : "Give the project a name";
  return (
    <form
      className="max-w-md space-y-3 text-ink"
      onSubmit={(event) => {
        event.preventDefault();
        if (!reason) create.mutate();
      }}
    >
      <Field
        label="Name"
        value={name}
        maxLength={200}
        onChange={(event) => setName(event.target.value)}
        autoComplete="off"
      />
      <Field
        label="Short name"
        hint="Stands in addresses and in the settings of agents"
        error={slug ? slugProblem(slug) : null}
        value={slug}
        onChange={(event) => setOwn(event.target.value.toLowerCase().trim())}
        autoComplete="off"
        spellCheck={false}
      />
      {create.error && <ErrorNote error={create.error} what="The project was not created" />}
      <Button type="submit" kind="primary" reason={reason} busy={create.isPending}>
        Create the project
      </Button>
    </form>
  );
}

/** FirstProjectSteps leads on when projects exist and not one of them is connected to anything. */
export function FirstProjectSteps({ projects }: { projects: HomeProject[] }) {
  const first = projects[0];
  if (!first || projects.some((project) => project.agents_online + project.agents_offline > 0)) return null;
  return (
    <Notice tone="info" title="No application is connected yet">
      <p>A project shows something once an agent inside your workers reports to it.</p>
      <Link to="/projects/$slug" params={{ slug: first.slug }} className={buttonClass("primary")}>
        Connect {first.name}
      </Link>
    </Notice>
  );
}
