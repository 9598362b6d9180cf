// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ErrorComponentProps, Link, useLocation, useRouter } from "@tanstack/react-router";
import { Button, ErrorNote, Notice } from "../ui/controls";
import { LogoMark } from "../ui/icons";
import { useTitle } from "../ui/title";

/** NotFound: below the shell it stands inside the frame; for somebody without a session it is the whole page. */
export function NotFound({ bare = false }: { bare?: boolean }) {
  const { pathname } = useLocation();
  useTitle("Not found");
  const Outer = bare ? "main" : "div";
  return (
    <Outer className="mx-auto max-w-xl space-y-4 px-4 py-16">
      {bare && <LogoMark className="size-8" />}
      <h1 className="text-xl font-semibold">There is no page at this address</h1>
      <p className="text-soft">
        <code>{pathname}</code> does not exist here. The link may be old or mistyped, or you may not be a
        member of the project it belongs to.
      </p>
      <p>
        <Link to="/" className="text-accent underline">
          Go to your projects
        </Link>
      </p>
    </Outer>
  );
}

/** A part of the page that could not be fetched: mostly an upgrade replaced it while this page was open. */
const isMissingPart = (error: unknown): boolean =>
  error instanceof Error &&
  /dynamically imported module|module script failed|Unable to preload|Failed to fetch/i.test(error.message);

/** PageError stands where a page broke. Errors of the API bring their request id; for ours there is the text. */
export function PageError({ error, reset, bare = false }: ErrorComponentProps & { bare?: boolean }) {
  const router = useRouter();
  useTitle("Error");
  const Outer = bare ? "main" : "div";
  return (
    <Outer className="mx-auto max-w-xl space-y-4 px-4 py-16">
      {bare && <LogoMark className="size-8" />}
      <h1 className="text-xl font-semibold">This page could not be shown</h1>
      {isMissingPart(error) ? (
        <Notice tone="warn" title="A part of the page is missing">
          <p>
            The brain was probably upgraded while this page was open, or it does not answer right now. Loading
            the page again gets all parts from one build.
          </p>
          <Button onClick={() => window.location.reload()}>Reload the page</Button>
        </Notice>
      ) : (
        <ErrorNote
          error={error}
          what="What failed"
          onRetry={() => {
            reset();
            void router.invalidate();
          }}
        />
      )}
      <p>
        <Link to="/" className="text-accent underline">
          Go to your projects
        </Link>
      </p>
    </Outer>
  );
}
