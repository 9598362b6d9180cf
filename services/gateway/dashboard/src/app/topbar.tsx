// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { Link, useRouterState } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { queries } from "../api/queries";
import { zoneName } from "../api/time";
import type { Project } from "../api/types";
import { setZone, useProfileZone, useZone } from "../ui/clock";
import { CheckIcon, SearchIcon, UserIcon } from "../ui/icons";
import { Menu, MenuItem, MenuLabel, MenuLine, MenuLink } from "../ui/menu";
import { applyTheme, ThemeSwitch, useTheme } from "../ui/theme";
import { useLogout } from "./actions";
import { Connection } from "./connection";
import { Breadcrumb } from "./crumbs";
import { obeysRange } from "./pages";
import { ProjectSwitcher } from "./rail";
import { RangePicker } from "./range";
import { paletteKeys } from "./shortcuts";

/** TopBar: where am I, find, which window of time, how fresh, whose clock, who am I. */
export function TopBar({
  project,
  projects,
  onSearch,
  onHelp,
}: {
  project: Project | undefined;
  projects: Project[];
  onSearch: () => void;
  onHelp: () => void;
}) {
  const pathname = useRouterState({ select: (state) => state.location.pathname });
  return (
    <header className="flex h-12 shrink-0 items-center gap-1 border-line border-b bg-panel px-3 md:px-4">
      <div className="mr-1 md:hidden">
        <ProjectSwitcher project={project} projects={projects} wide phone />
      </div>
      <Breadcrumb project={project} />
      <button
        type="button"
        onClick={onSearch}
        aria-label={`Search (${paletteKeys})`}
        title={`Find tasks, queues, workers, pages and actions (${paletteKeys})`}
        className="mr-1 inline-flex h-8 shrink-0 items-center gap-2 rounded-md text-soft hover:text-ink max-lg:size-8 max-lg:justify-center max-lg:hover:bg-raised lg:w-48 lg:border lg:border-line lg:bg-canvas lg:px-2.5 max-sm:size-10"
      >
        <SearchIcon />
        <span className="flex-1 text-left max-lg:hidden">Search</span>
        <kbd className="text-xs max-lg:hidden">{paletteKeys}</kbd>
      </button>
      {obeysRange(pathname, project?.slug ?? null) && <RangePicker />}
      {project && <Connection />}
      <ZoneMenu />
      <ThemeSwitch className="max-md:hidden" />
      <UserMenu onHelp={onHelp} />
    </header>
  );
}

function Chosen({ on, children }: { on: boolean; children: ReactNode }) {
  return (
    <>
      <CheckIcon className={`size-4 ${on ? "text-accent" : "invisible"}`} />
      {children}
    </>
  );
}

function useZoneChoices() {
  const zone = useZone();
  const profile = useProfileZone();
  const chosen = zone === "utc" || zone === "local" ? zone : "profile";
  const choices: { id: "utc" | "local" | "profile"; label: string; on: boolean }[] = [
    { id: "utc", label: "UTC", on: chosen === "utc" },
    { id: "local", label: `${zoneName("local")} (this browser)`, on: chosen === "local" },
  ];
  if (profile) choices.push({ id: "profile", label: `${profile} (your profile)`, on: chosen === "profile" });
  return { zone, choices };
}

/** ZoneMenu shows the zone once for the whole page and switches it. */
function ZoneMenu() {
  const { zone, choices } = useZoneChoices();
  return (
    <Menu
      label={`Times are shown in ${zoneName(zone)}. Switch`}
      align="end"
      trigger={
        <button
          type="button"
          data-testid="zone"
          title={`Times are shown in ${zoneName(zone)}`}
          className="h-8 max-w-36 truncate rounded-md px-2 text-soft hover:bg-raised hover:text-ink max-lg:hidden"
        >
          {zoneName(zone)}
        </button>
      }
    >
      <MenuLabel>Show times in</MenuLabel>
      {choices.map((choice) => (
        <MenuItem key={choice.id} onSelect={() => setZone(choice.id)}>
          <Chosen on={choice.on}>{choice.label}</Chosen>
        </MenuItem>
      ))}
    </Menu>
  );
}

function UserMenu({ onHelp }: { onHelp: () => void }) {
  const me = useQuery(queries.me());
  const logout = useLogout();
  const theme = useTheme();
  const { choices } = useZoneChoices();
  return (
    <Menu
      label="Your account"
      align="end"
      trigger={
        <button
          type="button"
          className="grid size-8 shrink-0 place-items-center rounded-md text-soft hover:bg-raised hover:text-ink max-sm:size-10"
        >
          <UserIcon />
        </button>
      }
    >
      <MenuLabel>{me.data?.display_name || me.data?.email}</MenuLabel>
      <MenuLink>
        <Link to="/account">Profile and password</Link>
      </MenuLink>
      <MenuItem onSelect={onHelp}>Keyboard</MenuItem>
      <div className="lg:hidden">
        <MenuLine />
        <MenuLabel>Show times in</MenuLabel>
        {choices.map((choice) => (
          <MenuItem key={choice.id} onSelect={() => setZone(choice.id)}>
            <Chosen on={choice.on}>{choice.label}</Chosen>
          </MenuItem>
        ))}
      </div>
      <div className="md:hidden">
        <MenuLine />
        <MenuLabel>Theme</MenuLabel>
        {(["system", "light", "dark"] as const).map((each) => (
          <MenuItem key={each} onSelect={() => applyTheme(each)}>
            <Chosen on={theme === each}>
              {each === "system" ? "As the system" : each === "light" ? "Light" : "Dark"}
            </Chosen>
          </MenuItem>
        ))}
      </div>
      <MenuLine />
      <MenuItem onSelect={() => void logout()}>Log out</MenuItem>
    </Menu>
  );
}
