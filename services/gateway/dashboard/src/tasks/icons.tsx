// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ReactNode } from "react";

/** Signs that only the task list uses, drawn like those of ui/icons.tsx. */
function Sign({ children }: { children: ReactNode }) {
  return (
    <svg
      viewBox="0 0 16 16"
      aria-hidden="true"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.4"
      strokeLinecap="round"
      strokeLinejoin="round"
      className="size-4 shrink-0"
    >
      {children}
    </svg>
  );
}

export const ColumnsIcon = () => (
  <Sign>
    <path d="M2 2.5h12v11H2zM6 2.5v11M10 2.5v11" />
  </Sign>
);
export const ExportIcon = () => (
  <Sign>
    <path d="M8 2v7.5M5 6.5l3 3 3-3M2.5 11v2.5h11V11" />
  </Sign>
);
export const FacetsIcon = () => (
  <Sign>
    <path d="M2 3h12M4 8h8M6.5 13h3" />
  </Sign>
);
export const ViewsIcon = () => (
  <Sign>
    <path d="M4 2h8v12l-4-3-4 3z" />
  </Sign>
);
export const TrashIcon = () => (
  <Sign>
    <path d="M2.5 4h11M6 4V2.5h4V4M4 4l.7 9.5h6.6L12 4M6.7 6.5v4.5M9.3 6.5v4.5" />
  </Sign>
);
