// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiError, api, path } from "../api/client";
import { queries } from "../api/queries";
import type { Me } from "../api/types";
import { passwordProblem, policyReason, policyText } from "../auth/password";
import { Age } from "../ui/clock";
import { Button, ErrorNote, Field, Panel, SkeletonRows } from "../ui/controls";
import { Page } from "../ui/page";
import { useToast } from "../ui/toast";

export function AccountPage() {
  const me = useQuery(queries.me());
  return (
    <Page title="Account" answer={me.data?.email}>
      <div className="grid max-w-5xl gap-4 lg:grid-cols-2">
        {me.data && <Profile key={me.data.id} me={me.data} />}
        <Password />
        <Sessions />
      </div>
    </Page>
  );
}

function Profile({ me }: { me: Me }) {
  const client = useQueryClient();
  const toast = useToast();
  const [name, setName] = useState(me.display_name ?? "");
  const save = useMutation({
    mutationFn: () => api.patch<Me>("/auth/me", { display_name: name.trim() }),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: queries.me().queryKey });
      toast("good", "Your name is saved");
    },
  });
  return (
    <Panel title="Profile">
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <Field
          label="Name"
          value={name}
          maxLength={200}
          autoComplete="name"
          onChange={(event) => setName(event.target.value)}
        />
        {save.error && <ErrorNote error={save.error} what="Your name was not saved" />}
        <Button
          type="submit"
          busy={save.isPending}
          reason={name.trim() === (me.display_name ?? "") ? "Nothing has changed" : null}
        >
          Save
        </Button>
      </form>
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
              <Button kind="quiet" onClick={() => revoke.mutate(session.id)}>
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
