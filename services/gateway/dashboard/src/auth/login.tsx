// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQueryClient } from "@tanstack/react-query";
import { useRouter, useSearch } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { ApiError, api } from "../api/client";
import type { LoginResponse } from "../api/types";
import { Button, ErrorNote, Field, Notice } from "../ui/controls";
import { useTitle } from "../ui/title";
import { AuthFrame } from "./frame";

export function LoginPage() {
  useTitle("Log in");
  const { next } = useSearch({ from: "/login" });
  const router = useRouter();
  const client = useQueryClient();
  const form = useRef<HTMLFormElement>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const wrong = error instanceof ApiError && error.status === 401;

  useEffect(() => {
    form.current?.querySelector<HTMLInputElement>("input[name=email]")?.focus();
  }, []);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    setBusy(true);
    setError(null);
    try {
      await api.post<LoginResponse>("/auth/login", {
        email: String(data.get("email")).trim(),
        password: String(data.get("password")),
        remember_me: data.get("remember") === "on",
      });
      client.clear();
      router.history.push(next ?? "/");
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };

  return (
    <AuthFrame title="Log in">
      <form ref={form} onSubmit={(event) => void submit(event)} className="space-y-4">
        {next && !error && <p className="text-soft">Log in to go on to the page you asked for.</p>}
        {wrong && (
          <Notice tone="bad" title="E-mail or password is wrong">
            <p>After ten failed attempts an account is locked for 15 minutes.</p>
          </Notice>
        )}
        {error !== null && !wrong && <ErrorNote error={error} what="Logging in failed" />}
        <Field label="E-mail" name="email" type="email" autoComplete="username" required maxLength={320} />
        <Field
          label="Password"
          name="password"
          type="password"
          autoComplete="current-password"
          required
          maxLength={256}
        />
        <label className="flex items-center gap-2">
          <input type="checkbox" name="remember" className="size-4 accent-accent" />
          Stay logged in on this computer
        </label>
        <Button kind="primary" type="submit" busy={busy} className="w-full">
          {busy ? "Logging in" : "Log in"}
        </Button>
      </form>
      <details className="text-soft">
        <summary>Forgotten password?</summary>
        <p className="mt-2">
          An administrator can set a new one, or whoever runs the server:{" "}
          <code>z4j changepassword you@example.com</code>
        </p>
      </details>
    </AuthFrame>
  );
}
