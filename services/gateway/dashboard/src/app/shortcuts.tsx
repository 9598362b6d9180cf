// SPDX-License-Identifier: AGPL-3.0-or-later
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { Button, Kbd } from "../ui/controls";
import { Dialog } from "../ui/dialog";

const chords = {
  t: { to: "/projects/$slug/tasks", label: "Tasks" },
  q: { to: "/projects/$slug/queues", label: "Queues" },
  w: { to: "/projects/$slug/workers", label: "Workers" },
  a: { to: "/projects/$slug/agents", label: "Agents" },
  c: { to: "/projects/$slug/commands", label: "Commands" },
} as const;

/** typing tells whether a key press belongs to a field and not to the page. */
export function typing(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  return (
    target.isContentEditable ||
    /^(?:INPUT|TEXTAREA|SELECT)$/.test(target.tagName) ||
    target.closest('[role="dialog"],[role="menu"],[role="listbox"]') !== null
  );
}

const chordWithin = 900;

export function Shortcuts({ slug }: { slug: string | null }) {
  const navigate = useNavigate();
  const [help, setHelp] = useState(false);
  const armed = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (typing(event)) return;
      if (event.key === "?") {
        event.preventDefault();
        setHelp(true);
      } else if (event.key === "g") {
        armed.current = Date.now();
      } else if (Date.now() - armed.current < chordWithin && event.key in chords && slug) {
        armed.current = 0;
        event.preventDefault();
        void navigate({ to: chords[event.key as keyof typeof chords].to, params: { slug } });
      } else if (event.key === "/") {
        const search = document.querySelector<HTMLInputElement>("[data-search]");
        if (search) {
          event.preventDefault();
          search.focus();
          search.select();
        }
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate, slug]);

  if (!help) return null;
  return (
    <Dialog title="Keyboard" onClose={() => setHelp(false)}>
      <dl className="grid grid-cols-[auto_1fr] items-center gap-x-4 gap-y-2">
        {Object.entries(chords).map(([key, { label }]) => (
          <Row key={key} keys={["g", key]} what={`Go to ${label}`} />
        ))}
        <Row keys={["/"]} what="Search" />
        <Row keys={["j", "k"]} what="Next and previous row" />
        <Row keys={["enter"]} what="Open the row" />
        <Row keys={["n"]} what="Show new rows" />
        <Row keys={["r"]} what="Retry the open task" />
        <Row keys={["?"]} what="This help" />
      </dl>
      <div className="flex justify-end">
        <Button onClick={() => setHelp(false)}>Close</Button>
      </div>
    </Dialog>
  );
}

function Row({ keys, what }: { keys: string[]; what: string }) {
  return (
    <>
      <dt className="flex gap-1">
        {keys.map((key) => (
          <Kbd key={key}>{key}</Kbd>
        ))}
      </dt>
      <dd>{what}</dd>
    </>
  );
}
