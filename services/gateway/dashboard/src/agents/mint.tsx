// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useBlocker, useParams } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { api, path } from "../api/client";
import { queries } from "../api/queries";
import { parseTime } from "../api/time";
import type { MintedAgent } from "../api/types";
import { useNow } from "../ui/clock";
import { Button, buttonClass, CodeBlock, CopyButton, ErrorNote, Field, Notice, Panel } from "../ui/controls";
import { CheckIcon } from "../ui/icons";
import { Page } from "../ui/page";
import { atLeast, roleIn } from "./access";
import { envBlock, exportBlock, needsDevMode, recipes } from "./env";

/** The wizard: name it, copy its secrets (shown once), start the worker, watch it arrive. */
export function MintPage() {
  const { slug } = useParams({ from: "/app/projects/$slug/agents/new" });
  const me = useQuery(queries.me());
  const role = roleIn(me.data, slug);
  const [minted, setMinted] = useState<{ agent: MintedAgent; tasksBefore: number } | null>(null);
  if (!atLeast(role, "admin")) {
    return (
      <Page title="New agent" slug={slug}>
        <Notice tone="warn" title="Only an administrator of this project can create agents">
          <p>
            Your role here is {role}. Ask an administrator to create the agent and give you its environment
            variables.
          </p>
        </Notice>
      </Page>
    );
  }
  return (
    <Page title="New agent" slug={slug}>
      <div className="max-w-3xl space-y-4">
        {minted ? (
          <Connect slug={slug} minted={minted.agent} tasksBefore={minted.tasksBefore} />
        ) : (
          <Name slug={slug} onMinted={(agent, tasksBefore) => setMinted({ agent, tasksBefore })} />
        )}
      </div>
    </Page>
  );
}

function Name({
  slug,
  onMinted,
}: {
  slug: string;
  onMinted: (agent: MintedAgent, tasksBefore: number) => void;
}) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const mint = useMutation({
    mutationFn: async () => {
      const before = await client.fetchQuery(queries.stats(slug)).catch(() => null);
      const agent = await api.post<MintedAgent>(path`/projects/${slug}/agents`, { name: name.trim() });
      return { agent, before: before?.tasks_total ?? 0 };
    },
    onSuccess: ({ agent, before }) => {
      void client.invalidateQueries({ queryKey: queries.agents(slug).queryKey });
      onMinted(agent, before);
    },
  });
  return (
    <Panel title="1. Name it">
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim() && !mint.isPending) mint.mutate();
        }}
      >
        <Field
          label="Name"
          value={name}
          onChange={(event) => setName(event.target.value)}
          maxLength={200}
          required
          autoComplete="off"
          hint="What it watches, for example shop-workers. All processes of one application share one agent."
        />
        {mint.error && <ErrorNote error={mint.error} what="The agent was not created" />}
        <Button
          kind="primary"
          type="submit"
          busy={mint.isPending}
          reason={name.trim() ? null : "Give it a name first"}
        >
          Create the agent
        </Button>
      </form>
    </Panel>
  );
}

function Connect({ slug, minted, tasksBefore }: { slug: string; minted: MintedAgent; tasksBefore: number }) {
  const [engine, setEngine] = useState("celery");
  const [since] = useState(() => Date.now());
  const [copied, setCopied] = useState(false);
  const agents = useQuery({ ...queries.agents(slug), refetchInterval: 2000 });
  const stats = useQuery({ ...queries.stats(slug), refetchInterval: 2000 });
  const now = useNow();
  const agent = agents.data?.find((each) => each.id === minted.agent.id);
  const connected = agent?.state === "online";
  const seen = connected && (stats.data?.tasks_total ?? 0) > tasksBefore;
  const recipe = recipes.find((each) => each.id === engine) ?? recipes[0];
  const origin = window.location.origin;
  const env = envBlock(minted, slug, origin);
  const celery = agent?.engine_adapters.includes("celery") ?? engine !== "rq";

  useBlocker({
    shouldBlockFn: () =>
      !copied &&
      !connected &&
      !window.confirm("The secrets of this agent are shown only once. Leave without copying them?"),
    enableBeforeUnload: () => !copied && !connected,
  });

  return (
    <>
      <Panel title={`2. Give ${minted.agent.name} its secrets`}>
        <div className="space-y-3">
          <p>
            Set these where your workers run. They are shown <strong>only now</strong>: z4j keeps just a
            fingerprint of the token.
          </p>
          <div
            onCopy={() => setCopied(true)}
            onClickCapture={(event) => {
              if ((event.target as HTMLElement).closest("button")) setCopied(true);
            }}
            className="space-y-2"
          >
            <CodeBlock text={env} label="environment variables" />
            <div className="flex flex-wrap gap-2">
              <CopyButton text={env} label="Copy as .env" />
              <CopyButton text={exportBlock(env)} label="Copy as shell exports" />
            </div>
          </div>
          {needsDevMode(origin) && (
            <p className="text-soft">
              Z4J_DEV_MODE allows the unencrypted connection to another machine. Serve z4j over https and drop
              it for anything but a trial.
            </p>
          )}
          <p className="text-soft">
            If your workers reach this machine by another name, change Z4J_BRAIN_URL and allow that name here
            with <code>z4j allowed-hosts add NAME</code>.
          </p>
        </div>
      </Panel>
      <Panel title="3. Start your worker">
        <div className="space-y-3">
          <fieldset className="flex flex-wrap gap-1.5">
            <legend className="sr-only">Engine</legend>
            {recipes.map((each) => (
              <button
                key={each.id}
                type="button"
                aria-pressed={each.id === engine}
                onClick={() => setEngine(each.id)}
                className="h-8 rounded-md border border-line px-2.5 hover:bg-raised aria-pressed:border-accent aria-pressed:bg-accent-wash aria-pressed:font-semibold max-sm:h-10"
              >
                {each.label}
              </button>
            ))}
          </fieldset>
          {recipe && (
            <>
              <CodeBlock text={recipe.install} label="install command" />
              <p>
                <WithCode text={recipe.note} />
              </p>
              <CodeBlock text={recipe.start} label="start command" />
            </>
          )}
        </div>
      </Panel>
      <Panel title="4. Watch it arrive">
        <ul className="space-y-3" aria-live="polite">
          <Check done={connected}>
            {connected ? (
              <>
                Connected{agent?.host_name ? ` from ${agent.host_name}` : ""} with agent{" "}
                {agent?.agent_version ?? "of unknown version"}, engines:{" "}
                {agent?.engine_adapters.join(", ") || "none"}
              </>
            ) : (
              "Waiting for the agent to connect"
            )}
          </Check>
          <Check done={seen}>
            {seen ? "First task seen" : "Waiting for the first task. Send any task of your application"}
          </Check>
        </ul>
        {!connected && now - since > 60_000 && (
          <div className="mt-3">
            <Notice tone="info" title="Nothing yet after a minute? What usually helps">
              <ul className="list-disc space-y-1 pl-4">
                <li>
                  Ask the agent itself, in the same environment as the worker: <code>z4j-bare doctor</code>
                </li>
                <li>
                  Is <code>{origin}</code> reachable from that machine?{" "}
                  <code>curl -i {origin}/api/v1/health</code>
                </li>
                <li>A refused host name shows in the brain's log, with the command that allows it.</li>
                <li>The clocks of both machines may differ by at most a minute.</li>
              </ul>
            </Notice>
          </div>
        )}
        {connected && !seen && celery && now - (parseTime(agent?.last_connect_at) ?? now) > 30_000 && (
          <p className="mt-3 text-soft">
            Celery: was the worker started with <code>-E</code>?
          </p>
        )}
        <div className="mt-4">
          <Link
            to="/projects/$slug/tasks"
            params={{ slug }}
            className={buttonClass(seen ? "primary" : "plain")}
          >
            Go to the tasks
          </Link>
        </div>
      </Panel>
    </>
  );
}

function Check({ done, children }: { done: boolean; children: ReactNode }) {
  return (
    <li className="flex items-center gap-2.5">
      <span
        className={`grid size-6 shrink-0 place-items-center rounded-full border ${done ? "border-good text-good" : "skeleton border-edge"}`}
      >
        {done && <CheckIcon />}
      </span>
      <span className={done ? "" : "text-soft"}>{children}</span>
    </li>
  );
}

/** Text with `code` in backticks. */
function WithCode({ text }: { text: string }) {
  return text.split("`").map((part, i) =>
    // biome-ignore lint/suspicious/noArrayIndexKey: parts of a fixed text
    i % 2 === 1 ? <code key={i}>{part}</code> : <span key={i}>{part}</span>,
  );
}
