// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ChangeEvent, type FormEvent, useMemo, useState } from "react";
import { roleIn } from "../agents/access";
import { ApiError, api, path } from "../api/client";
import { queries } from "../api/queries";
import type { Me } from "../api/types";
import { passwordProblem, policyReason, policyText } from "../auth/password";
import { Age, setZone } from "../ui/clock";
import { Combobox } from "../ui/combobox";
import { Button, ErrorNote, Field, Panel, SkeletonRows } from "../ui/controls";
import { Page } from "../ui/page";
import { useToast } from "../ui/toast";
import { zoneOptions } from "./zones";

export function AccountPage() {
  const me = useQuery(queries.me());
  return (
    <Page title="Profile" answer={me.data?.email}>
      <div className="grid max-w-5xl gap-4 lg:grid-cols-2">
        {me.data ? <Profile key={me.data.id} me={me.data} /> : <SkeletonRows rows={4} label="Loading" />}
        <Password />
        <Sessions />
        {me.data && <Projects me={me.data} />}
      </div>
    </Page>
  );
}

const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

function Profile({ me }: { me: Me }) {
  const client = useQueryClient();
  const toast = useToast();
  const saved = {
    display_name: me.display_name ?? "",
    first_name: me.first_name ?? "",
    last_name: me.last_name ?? "",
    timezone: me.timezone,
  };
  const [form, setForm] = useState(saved);
  const [openedAt] = useState(() => Date.now());
  const zones = useMemo(() => zoneOptions(me.timezone, browserZone(), openedAt), [me.timezone, openedAt]);
  const changed = (Object.keys(saved) as (keyof typeof saved)[]).filter(
    (key) => form[key].trim() !== saved[key],
  );
  const save = useMutation({
    mutationFn: () =>
      // Only what was changed: another tab may have saved the rest meanwhile.
      api.patch<Me>("/auth/me", Object.fromEntries(changed.map((key) => [key, form[key].trim()]))),
    onSuccess: (answer) => {
      client.setQueryData(queries.me().queryKey, answer);
      // A zone chosen in the profile is meant to be used, whatever was switched on here before.
      if (changed.includes("timezone")) setZone("profile");
      setForm({
        display_name: answer.display_name ?? "",
        first_name: answer.first_name ?? "",
        last_name: answer.last_name ?? "",
        timezone: answer.timezone,
      });
      toast("good", "Your profile is saved");
    },
  });
  const field = (key: keyof typeof saved) => ({
    value: form[key],
    onChange: (event: ChangeEvent<HTMLInputElement>) => setForm({ ...form, [key]: event.target.value }),
  });
  return (
    <Panel title="You">
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (changed.length > 0 && !save.isPending) save.mutate();
        }}
      >
        <Field
          label="Name"
          hint="How others see you, for example as the one who sent a command"
          maxLength={200}
          autoComplete="name"
          {...field("display_name")}
        />
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label="First name" maxLength={200} autoComplete="given-name" {...field("first_name")} />
          <Field label="Last name" maxLength={200} autoComplete="family-name" {...field("last_name")} />
        </div>
        <Combobox
          label="Time zone"
          value={form.timezone}
          options={zones}
          onChange={(timezone) => setForm({ ...form, timezone })}
          hint="Times on the pages are shown in this zone. With UTC here, the browser's zone is used until you switch in the top bar."
        />
        {save.error && <ErrorNote error={save.error} what="Your profile was not saved" />}
        <Button
          type="submit"
          kind="primary"
          busy={save.isPending}
          reason={changed.length === 0 ? "Nothing has changed" : null}
        >
          Save
        </Button>
      </form>
    </Panel>
  );
}

const roleText: Record<string, string> = {
  viewer: "sees everything, changes nothing",
  auditor: "sees everything and the audit log",
  operator: "retries, cancels and purges",
  admin: "does everything in the project",
};

function Projects({ me }: { me: Me }) {
  const projects = useQuery(queries.projects());
  const rows = projects.data?.map((project) => ({ ...project, role: roleIn(me, project.slug) })) ?? [];
  return (
    <Panel title="Your projects">
      {me.is_admin && (
        <p className="mb-2 text-soft">You administer this installation and act as admin in every project.</p>
      )}
      {!projects.data && !projects.error && <SkeletonRows rows={2} label="Loading your projects" />}
      {projects.error && <ErrorNote error={projects.error} what="Your projects could not be loaded" />}
      {projects.data?.length === 0 && (
        <p className="text-soft">None yet. Ask an administrator to add you to one.</p>
      )}
      <ul className="divide-y divide-line">
        {rows.map((project) => (
          <li key={project.id} className="flex flex-wrap items-baseline gap-x-3 py-1.5">
            <Link to="/projects/$slug" params={{ slug: project.slug }} className="text-accent underline">
              {project.name}
            </Link>
            <span>{project.role}</span>
            <span className="text-xs text-soft">{roleText[project.role]}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Password() {
  const policy = useQuery(queries.policy());
  const client = useQueryClient();
  const toast = useToast();
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const [tried, setTried] = useState(false);
  const change = useMutation({
    mutationFn: () => api.post("/auth/change-password", { current_password: current, new_password: next }),
    onSuccess: () => {
      setCurrent("");
      setNext("");
      setAgain("");
      setTried(false);
      void client.invalidateQueries({ queryKey: queries.sessions().queryKey });
      toast("good", "Your password is changed; your other sessions are logged out");
    },
  });
  const failure = change.error instanceof ApiError ? change.error : null;
  const wrong =
    failure?.details.reason === "wrong_current_password" ? "This is not your current password" : null;
  const refused = failure?.status === 422 ? (policyReason(failure.details.reason) ?? failure.message) : null;
  const weak = passwordProblem(next, policy.data);
  const differs = next !== again ? "The two passwords differ" : null;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (current && !weak && !differs && !change.isPending) change.mutate();
  };
  return (
    <Panel title="Password">
      <form className="space-y-4" onSubmit={submit} noValidate>
        <Field
          label="Current password"
          type="password"
          autoComplete="current-password"
          value={current}
          maxLength={256}
          onChange={(event) => setCurrent(event.target.value)}
          error={wrong ?? (tried && !current ? "Enter your current password" : null)}
        />
        <Field
          label="New password"
          type="password"
          autoComplete="new-password"
          value={next}
          maxLength={256}
          onChange={(event) => {
            setNext(event.target.value);
            change.reset();
          }}
          hint={next && weak ? weak : policyText(policy.data)}
          error={refused ?? (tried ? weak : null)}
        />
        <Field
          label="New password again"
          type="password"
          autoComplete="new-password"
          value={again}
          maxLength={256}
          onChange={(event) => setAgain(event.target.value)}
          error={tried ? differs : null}
        />
        {change.error && !wrong && !refused && (
          <ErrorNote error={change.error} what="Your password was not changed" />
        )}
        <Button type="submit" busy={change.isPending}>
          Change the password
        </Button>
      </form>
    </Panel>
  );
}

function Sessions() {
  const sessions = useQuery(queries.sessions());
  const client = useQueryClient();
  const toast = useToast();
  const done = (text: string) => {
    void client.invalidateQueries({ queryKey: queries.sessions().queryKey });
    toast("good", text);
  };
  const revoke = useMutation({
    mutationFn: (id: string) => api.post(path`/auth/sessions/${id}/revoke`),
    onSuccess: () => done("The session is logged out"),
  });
  const revokeOthers = useMutation({
    mutationFn: () => api.post("/auth/sessions/revoke-others"),
    onSuccess: () => done("All your other sessions are logged out"),
  });
  const others = (sessions.data ?? []).filter((session) => !session.is_current);
  const error = sessions.error ?? revoke.error ?? revokeOthers.error;
  return (
    <Panel
      title="Where you are logged in"
      actions={
        <Button
          kind="quiet"
          reason={others.length === 0 ? "There is no other session" : null}
          busy={revokeOthers.isPending}
          onClick={() => revokeOthers.mutate()}
        >
          Log out the others
        </Button>
      }
    >
      {error && (
        <ErrorNote
          error={error}
          what="Your sessions could not be loaded or changed"
          onRetry={() => void sessions.refetch()}
        />
      )}
      {!sessions.data && !error && <SkeletonRows rows={3} label="Loading sessions" />}
      <ul className="divide-y divide-line">
        {sessions.data?.map((session) => (
          <li key={session.id} className="flex items-center gap-3 py-2">
            <div className="min-w-0 flex-1">
              <p className="truncate" title={session.user_agent_at_issue ?? undefined}>
                {browserName(session.user_agent_at_issue)} from {session.ip_at_issue}
              </p>
              <p className="text-xs text-soft">
                Logged in <Age at={session.issued_at} suffix=" ago" />, active{" "}
                <Age at={session.last_seen_at} suffix=" ago" />
              </p>
            </div>
            {session.is_current ? (
              <span className="text-good">This session</span>
            ) : (
              <Button
                kind="quiet"
                busy={revoke.isPending && revoke.variables === session.id}
                onClick={() => revoke.mutate(session.id)}
              >
                Log out
              </Button>
            )}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function browserName(agent: string | null): string {
  if (!agent) return "Unknown browser";
  const name =
    ["Firefox", "Edg", "Chrome", "Safari", "curl", "python"].find((each) => agent.includes(each)) ??
    agent.slice(0, 30);
  const system = ["Windows", "Android", "iPhone", "Mac OS", "Linux"].find((each) => agent.includes(each));
  return (name === "Edg" ? "Edge" : name) + (system ? ` on ${system}` : "");
}
