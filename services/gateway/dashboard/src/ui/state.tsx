// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ReactNode } from "react";

export type Tone = "good" | "bad" | "warn" | "run" | "wait" | "retry";

export const toneText: Record<Tone, string> = {
  good: "text-good",
  bad: "text-bad",
  warn: "text-warn",
  run: "text-run",
  wait: "text-soft",
  retry: "text-retry",
};

// A state is told by its shape first and its colour second.
const shapes: Record<string, ReactNode> = {
  disc: <circle cx="6" cy="6" r="4.5" fill="currentColor" />,
  triangle: <path d="M6 1.2 11.2 10.5H.8z" fill="currentColor" />,
  half: (
    <>
      <circle cx="6" cy="6" r="4.3" fill="none" stroke="currentColor" strokeWidth="1.4" />
      <path d="M6 1.7a4.3 4.3 0 0 1 0 8.6z" fill="currentColor" />
    </>
  ),
  ring: <circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" strokeWidth="1.6" />,
  dots: (
    <circle
      cx="6"
      cy="6"
      r="4.2"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
      strokeDasharray="1.6 1.7"
    />
  ),
  loop: (
    <path
      d="M10.2 6a4.2 4.2 0 1 1-1.3-3M10.3.8v2.7H7.6"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
    />
  ),
  slash: (
    <>
      <circle cx="6" cy="6" r="4.3" fill="none" stroke="currentColor" strokeWidth="1.4" />
      <path d="m3 3 6 6" stroke="currentColor" strokeWidth="1.4" />
    </>
  ),
  cross: (
    <path d="m2.2 2.2 7.6 7.6m0-7.6-7.6 7.6" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" />
  ),
  question: (
    <path
      d="M3.8 4.2a2.2 2.2 0 1 1 3.3 1.9c-.7.4-1.1.8-1.1 1.6M6 10.2v.1"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
    />
  ),
};

export interface Look {
  label: string;
  shape: keyof typeof shapes;
  tone: Tone;
}

export const taskLooks: Record<string, Look> = {
  pending: { label: "Pending", shape: "dots", tone: "wait" },
  received: { label: "Waiting", shape: "ring", tone: "wait" },
  started: { label: "Running", shape: "half", tone: "run" },
  success: { label: "Success", shape: "disc", tone: "good" },
  failure: { label: "Failure", shape: "triangle", tone: "bad" },
  retry: { label: "Retry", shape: "loop", tone: "retry" },
  revoked: { label: "Revoked", shape: "slash", tone: "warn" },
  rejected: { label: "Rejected", shape: "cross", tone: "bad" },
  unknown: { label: "Unknown", shape: "question", tone: "wait" },
};

const commandLooks: Record<string, Look> = {
  pending: { label: "Queued", shape: "dots", tone: "wait" },
  dispatched: { label: "Sent", shape: "half", tone: "run" },
  completed: { label: "Completed", shape: "disc", tone: "good" },
  failed: { label: "Failed", shape: "triangle", tone: "bad" },
  timeout: { label: "No answer", shape: "cross", tone: "bad" },
  cancelled: { label: "Cancelled", shape: "slash", tone: "warn" },
};

const presenceLooks: Record<string, Look> = {
  online: { label: "Online", shape: "disc", tone: "good" },
  offline: { label: "Offline", shape: "triangle", tone: "bad" },
  draining: { label: "Draining", shape: "half", tone: "warn" },
  unknown: { label: "Never seen", shape: "question", tone: "wait" },
};

export function StateShape({ look }: { look: Look }) {
  return (
    <svg
      viewBox="0 0 12 12"
      width="12"
      height="12"
      aria-hidden="true"
      className={`size-3 shrink-0 ${toneText[look.tone]}`}
    >
      {shapes[look.shape]}
    </svg>
  );
}

function Badge({ look }: { look: Look }) {
  return (
    <span className="inline-flex items-center gap-1.5 whitespace-nowrap">
      <StateShape look={look} />
      <span className={toneText[look.tone]}>{look.label}</span>
    </span>
  );
}

const fallback: Look = { label: "Unknown", shape: "question", tone: "wait" };

export const taskLook = (state: string): Look => taskLooks[state] ?? { ...fallback, label: state };
export const TaskBadge = ({ state }: { state: string }) => <Badge look={taskLook(state)} />;
export const CommandBadge = ({ status }: { status: string }) => (
  <Badge look={commandLooks[status] ?? { ...fallback, label: status }} />
);
export const presenceLook = (state: string): Look => presenceLooks[state] ?? { ...fallback, label: state };
export const PresenceBadge = ({ state }: { state: string }) => <Badge look={presenceLook(state)} />;
