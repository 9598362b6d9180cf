// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useLocation, useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import { queries } from "../api/queries";
import { Button, CodeBlock, ErrorNote, Field, Notice } from "../ui/controls";
import { useTitle } from "../ui/title";
import { AuthFrame } from "./frame";
import { passwordProblem, policyReason, policyText } from "./password";

/** tokenFrom reads the one-time token: from the fragment, which never reaches a server log, or from the query. */
export function tokenFrom(hash: string, queryToken: string | undefined): string {
  return new URLSearchParams(hash.replace(/^#/, "")).get("token") ?? queryToken ?? "";
}

const tokenReasons: Record<string, string> = {
  no_active_token: "No setup link is active.",
  expired: "This setup link has expired; it is valid for 15 minutes.",
  invalid_token: "This setup link is not the current one.",
};

export function SetupPage() {
  useTitle("Setup");
  const search = useSearch({ from: "/setup" });
  const location = useLocation();
  const navigate = useNavigate();
  const client = useQueryClient();
  const [token] = useState(() => tokenFrom(location.hash, search.token));
  const policy = useQuery(queries.policy());
  const [email, setEmail] = useState("");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);

  // The token is kept in memory only: it should not stay in the address bar or the history.
  useEffect(() => {
    if (token) window.history.replaceState(window.history.state, "", "/setup");
  }, [token]);

  const weak = passwordProblem(password, policy.data);
  const differs = password !== again ? "The two passwords differ" : null;

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setTried(true);
    if (weak || differs || !email.includes("@")) return;
    setBusy(true);
    setError(null);
    try {
      await api.post("/setup/complete", {
        token,
        email: email.trim(),
        display_name: name.trim() || undefined,
        password,
      });
      client.clear();
      await navigate({ to: "/" });
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };

  const failure = error instanceof ApiError ? error : null;
  if (failure?.status === 409) {
    return (
      <AuthFrame title="z4j is already set up">
        <p>An administrator exists. Log in with that account, or ask its owner to add you.</p>
        <p>
          <Link to="/login" className="text-accent underline">
            Log in
          </Link>
        </p>
      </AuthFrame>
    );
  }
  const tokenProblem = !token
    ? "This page needs the one-time link."
    : failure?.status === 404
      ? tokenReasons[String(failure.details.reason)]
      : null;
  if (tokenProblem) {
    return (
      <AuthFrame title="Set up z4j">
        <Notice tone="warn" title={tokenProblem}>
          <p>
            z4j prints the link on its terminal (stderr) when it starts for the first time. Print a fresh one
            on the machine it runs on, then open it here:
          </p>
        </Notice>
        <CodeBlock text="z4j reset-setup" label="command" />
        <p className="text-soft">
          Already set up?{" "}
          <Link to="/login" className="text-accent underline">
            Log in
          </Link>
        </p>
      </AuthFrame>
    );
  }

  const refused = failure?.status === 422 ? (policyReason(failure.details.reason) ?? failure.message) : null;
  return (
    <AuthFrame title="Create the first administrator">
      <form onSubmit={(event) => void submit(event)} noValidate className="space-y-4">
        {error !== null && !refused && <ErrorNote error={error} what="The account was not created" />}
        <Field
          label="E-mail"
          type="email"
          autoComplete="username"
          required
          maxLength={320}
          value={email}
          onChange={(event) => setEmail(event.target.value)}
          error={tried && !email.includes("@") ? "Enter an e-mail address" : null}
        />
        <Field
          label="Name (optional)"
          autoComplete="name"
          maxLength={200}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <Field
          label="Password"
          type="password"
          autoComplete="new-password"
          required
          maxLength={256}
          value={password}
          onChange={(event) => {
            setPassword(event.target.value);
            setError(null);
          }}
          hint={password && weak ? weak : policyText(policy.data)}
          error={refused ?? (tried ? weak : null)}
        />
        <Field
          label="Password again"
          type="password"
          autoComplete="new-password"
          required
          maxLength={256}
          value={again}
          onChange={(event) => setAgain(event.target.value)}
          error={(tried || again.length >= password.length) && again ? differs : tried ? differs : null}
        />
        <Button kind="primary" type="submit" busy={busy} className="w-full">
          {busy ? "Creating the account" : "Create the account and log in"}
        </Button>
      </form>
    </AuthFrame>
  );
}
