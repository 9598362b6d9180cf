// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ErrorComponentProps, Link, useLocation, useRouter } from "@tanstack/react-router";
import { ErrorNote } from "../ui/controls";
import { LogoMark } from "../ui/icons";
import { useTitle } from "../ui/title";

export function NotFound() {
  const { pathname } = useLocation();
  useTitle("Not found");
  return (
    <main className="mx-auto max-w-xl space-y-4 px-4 py-16">
      <LogoMark className="size-8" />
      <h1 className="text-xl font-semibold">There is no page at this address</h1>
      <p className="text-soft">
        <code>{pathname}</code> does not exist here. The link may be old or mistyped, or you may not be a
        member of the project it belongs to.
      </p>
      <p>
        <Link to="/" className="text-accent underline">
          Go to your tasks
        </Link>
      </p>
    </main>
  );
}

export function PageError({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  useTitle("Error");
  return (
    <main className="mx-auto max-w-xl space-y-4 px-4 py-16">
      <LogoMark className="size-8" />
      <h1 className="text-xl font-semibold">This page could not be loaded</h1>
      <ErrorNote
        error={error}
        what="The last request failed"
        onRetry={() => {
          reset();
          void router.invalidate();
        }}
      />
    </main>
  );
}
