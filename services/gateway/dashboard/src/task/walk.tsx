// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link, useNavigate } from "@tanstack/react-router";
import { useEffect, useMemo } from "react";
import { typing } from "../app/shortcuts";
import { buttonClass } from "../ui/controls";
import { ChevronIcon } from "../ui/icons";
import { neighboursOf, type Place } from "./neighbours";

/** Walk leads to the next and the previous task of the list this one was opened from; j and k do the same. */
export function Walk({ slug, place }: { slug: string; place: Place }) {
  const navigate = useNavigate();
  const { engine, task_id } = place;
  const around = useMemo(() => neighboursOf(slug, { engine, task_id }), [slug, engine, task_id]);
  const next = around?.next ?? null;
  const previous = around?.previous ?? null;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (typing(event)) return;
      const to = event.key === "j" ? next : event.key === "k" ? previous : null;
      if (!to) return;
      event.preventDefault();
      void navigate({
        to: "/projects/$slug/tasks/$engine/$taskId",
        params: { slug, engine: to.engine, taskId: to.task_id },
      });
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate, slug, next, previous]);
  if (!around) return null;
  const step = (to: Place | null, label: string, turn: string) =>
    to ? (
      <Link
        to="/projects/$slug/tasks/$engine/$taskId"
        params={{ slug, engine: to.engine, taskId: to.task_id }}
        aria-label={label}
        title={label}
        className={buttonClass("plain", "px-2!")}
      >
        <ChevronIcon className={`size-4 ${turn}`} />
      </Link>
    ) : (
      <span aria-hidden="true" className={buttonClass("plain", "px-2! opacity-40")}>
        <ChevronIcon className={`size-4 ${turn}`} />
      </span>
    );
  return (
    <nav aria-label="Tasks of the list" className="ml-auto flex items-center gap-1.5">
      <Link
        to="/projects/$slug/tasks"
        params={{ slug }}
        search={Object.fromEntries(new URLSearchParams(around.search))}
        className="text-xs text-accent underline"
      >
        {around.position} of {around.count}
        <span className="max-sm:sr-only"> in the list</span>
      </Link>
      {step(previous, "Previous task (k)", "rotate-180")}
      {step(next, "Next task (j)", "")}
    </nav>
  );
}
