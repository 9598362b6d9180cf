// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { atLeast, roleIn } from "../agents/access";
import { queries } from "../api/queries";
import { buttonClass, CodeBlock, Empty } from "../ui/controls";

/** The empty task list teaches how to connect an application; it changes with how far the reader has come. */
export function FirstSteps({ slug }: { slug: string }) {
  const agents = useQuery(queries.agents(slug));
  const me = useQuery(queries.me());
  const canMint = atLeast(roleIn(me.data, slug), "admin");
  const online = agents.data?.filter((agent) => agent.state === "online") ?? [];
  const first = online[0];
  if (first) {
    return (
      <Empty title={`${first.name} is connected. Run a task and it appears here`}>
        <p>Nothing has been reported yet. Send any task of your application, for example:</p>
        <CodeBlock text="python -c 'from your_app.tasks import add; add.delay(2, 3)'" label="command" />
        {first.engine_adapters.includes("celery") && (
          <p>
            Celery workers have to be started with <code>-E</code>, otherwise they report only that a task was
            received.
          </p>
        )}
      </Empty>
    );
  }
  return (
    <Empty title="Connect your application to see its tasks">
      <p>
        A small agent inside your workers sends what happens to this page and carries out retry, cancel and
        purge. It opens one connection outwards; nothing has to be opened towards your workers.
      </p>
      <ol className="list-decimal space-y-3 pl-5 text-ink marker:text-soft">
        <li className="space-y-2">
          <p>Install the package for your queue, next to your application:</p>
          <CodeBlock text="pip install z4j-celery" label="command" />
          <p className="text-soft">
            z4j-rq, z4j-dramatiq, z4j-huey, z4j-arq and z4j-taskiq do the same for the others.
          </p>
        </li>
        <li className="space-y-2">
          <p>Create an agent; you get its secrets as four environment variables to copy.</p>
          {canMint ? (
            <Link to="/projects/$slug/agents/new" params={{ slug }} className={buttonClass("primary")}>
              Create an agent
            </Link>
          ) : (
            <p className="text-soft">Your role can't create agents. Ask an administrator of this project.</p>
          )}
        </li>
        <li className="space-y-2">
          <p>Start your worker with them set. Celery needs task events switched on:</p>
          <CodeBlock text="celery -A your_app worker -E" label="command" />
        </li>
      </ol>
      {(agents.data?.length ?? 0) > 0 && (
        <p>
          {agents.data?.length === 1 ? "One agent exists" : `${agents.data?.length} agents exist`} but none is
          online.{" "}
          <Link to="/projects/$slug/agents" params={{ slug }} className="text-accent underline">
            See what they reported last
          </Link>
        </p>
      )}
    </Empty>
  );
}
