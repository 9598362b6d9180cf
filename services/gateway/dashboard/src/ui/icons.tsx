// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ReactNode } from "react";

// Drawn for this product on a 16 px grid; decorative, the text next to each says the same.
function Icon({ children, className = "size-4" }: { children: ReactNode; className?: string }) {
  return (
    <svg
      viewBox="0 0 16 16"
      aria-hidden="true"
      className={`shrink-0 ${className}`}
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      {children}
    </svg>
  );
}

type Props = { className?: string };

export const TasksIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M6 4h8M6 8h8M6 12h8M2.2 4h.6M2.2 8h.6M2.2 12h.6" />
  </Icon>
);
export const QueuesIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M2 3.5h12v3H2zM2 9.5h12v3H2zM5 3.5v3M5 9.5v3" />
  </Icon>
);
export const WorkersIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M4 4h8v8H4zM6.5 6.5h3v3h-3zM6 4V2M10 4V2M6 14v-2M10 14v-2M4 6H2M4 10H2M14 6h-2M14 10h-2" />
  </Icon>
);
export const AgentsIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8Z" />
    <circle cx="8" cy="8" r="2" />
  </Icon>
);
export const CommandsIcon = (p: Props) => (
  <Icon {...p}>
    <path d="m3 4 4 4-4 4M8.5 12.5H13" />
  </Icon>
);
export const UserIcon = (p: Props) => (
  <Icon {...p}>
    <circle cx="8" cy="5.2" r="2.7" />
    <path d="M2.5 14c.6-3 2.8-4.3 5.5-4.3s4.9 1.3 5.5 4.3" />
  </Icon>
);
export const SearchIcon = (p: Props) => (
  <Icon {...p}>
    <circle cx="7" cy="7" r="4.5" />
    <path d="m10.5 10.5 3.5 3.5" />
  </Icon>
);
export const CopyIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" />
  </Icon>
);
export const CheckIcon = (p: Props) => (
  <Icon {...p}>
    <path d="m2.5 8.5 3.5 3.5 7.5-8" />
  </Icon>
);
export const CloseIcon = (p: Props) => (
  <Icon {...p}>
    <path d="m3.5 3.5 9 9m0-9-9 9" />
  </Icon>
);
export const ChevronIcon = (p: Props) => (
  <Icon {...p}>
    <path d="m6 3.5 4.5 4.5L6 12.5" />
  </Icon>
);
export const SelectIcon = (p: Props) => (
  <Icon {...p}>
    <path d="m5 6 3-3 3 3M5 10l3 3 3-3" />
  </Icon>
);
export const WarnIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M8 2 1.5 13.5h13zM8 6.5V10M8 11.9v.1" />
  </Icon>
);
export const InfoIcon = (p: Props) => (
  <Icon {...p}>
    <circle cx="8" cy="8" r="6.2" />
    <path d="M8 7.2v4M8 4.8v.1" />
  </Icon>
);
export const SunIcon = (p: Props) => (
  <Icon {...p}>
    <circle cx="8" cy="8" r="3" />
    <path d="M8 1.5V3M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M3.4 12.6l1.1-1.1M11.5 4.5l1.1-1.1" />
  </Icon>
);
export const MoonIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3Z" />
  </Icon>
);
export const SystemIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M2 3h12v8H2zM6 13.5h4M8 11v2.5" />
  </Icon>
);
export const RetryIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3" />
  </Icon>
);
export const StopIcon = (p: Props) => (
  <Icon {...p}>
    <circle cx="8" cy="8" r="5.5" />
    <path d="m4.2 4.2 7.6 7.6" />
  </Icon>
);
export const ClockIcon = (p: Props) => (
  <Icon {...p}>
    <circle cx="8" cy="8" r="6" />
    <path d="M8 4.5V8l2.5 1.8" />
  </Icon>
);
export const HomeIcon = (p: Props) => (
  <Icon {...p}>
    <path d="m2 7.5 6-5 6 5M3.5 6.5v7h9v-7M6.5 13.5v-4h3v4" />
  </Icon>
);
export const OverviewIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M2 13.5h12M4 11V7.5M8 11V3.5M12 11V6" />
  </Icon>
);
export const IssuesIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M8 5v3.5M8 11v.1M5.5 2h5L14 5.5v5L10.5 14h-5L2 10.5v-5z" />
  </Icon>
);
export const TrendsIcon = (p: Props) => (
  <Icon {...p}>
    <path d="m2 11.5 4-4 3 2.5 5-6M10.5 4H14v3.5" />
  </Icon>
);
export const DeadIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M2 4.5h12v8.5H2zM2 4.5 4 2h8l2 2.5M6.2 7.2l3.6 3.6m0-3.6-3.6 3.6" />
  </Icon>
);
export const SystemPageIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M2.5 2.5h11v4.5h-11zM2.5 9h11v4.5h-11zM5 4.8h.1M5 11.2h.1" />
  </Icon>
);
export const MoreIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M3.5 8h.1M8 8h.1M12.5 8h.1" strokeWidth="2.4" />
  </Icon>
);
export const CollapseIcon = (p: Props) => (
  <Icon {...p}>
    <path d="M2 2.5h12v11H2zM6 2.5v11M11 6 9 8l2 2" />
  </Icon>
);
export const SortIcon = ({ dir, ...p }: Props & { dir: "asc" | "desc" | null }) => (
  <Icon {...p}>
    {dir !== "desc" && <path d="m5 6.5 3-3 3 3" />}
    {dir !== "asc" && <path d="m5 9.5 3 3 3-3" />}
  </Icon>
);
export const LogoMark = ({ className = "size-6" }: Props) => (
  <svg viewBox="0 0 32 32" aria-hidden="true" className={`shrink-0 text-accent ${className}`}>
    <rect width="32" height="32" rx="7" fill="currentColor" />
    <path
      d="M9 10h14L10 22h13"
      fill="none"
      className="stroke-accent-ink"
      strokeWidth="3.2"
      strokeLinecap="round"
      strokeLinejoin="round"
    />
  </svg>
);
