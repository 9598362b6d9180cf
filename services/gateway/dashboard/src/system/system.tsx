// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useMemo, useState } from "react";
import { ApiError, api } from "../api/client";
import { useLink } from "../api/live";
import { pollInterval, queries } from "../api/queries";
import type { AdminSettingsResponse, DeepHealthResponse, SettingItem } from "../api/schema";
import { formatDuration } from "../api/time";
import { isNewer } from "../app/build";
import { CopyButton, Empty, ErrorNote, inputClass, Notice, Panel, Skeleton } from "../ui/controls";
import { Page } from "../ui/page";
import { StateShape } from "../ui/state";
import { type DataColumn, DataTable } from "../ui/table";
import { Checkbox } from "../ui/toggle";
import { checkName, envName, type Finding, findings, groupOf } from "./findings";

/** SystemPage shows an administrator what runs and how it is set; it changes nothing. */
export function SystemPage() {
  const me = useQuery(queries.me());
  if (me.data && !me.data.is_admin) {
    return (
      <Page title="System">
        <Empty title="This page is for administrators of the installation">
          <p>
            It shows settings, database and versions of the brain. Ask an administrator if you need to know
            something about it.
          </p>
        </Empty>
      </Page>
    );
  }
  return <System />;
}

/** A failed check comes as 503 with the report as its body; what it says is shown, not the status. */
async function deepHealth(signal: AbortSignal): Promise<DeepHealthResponse> {
  const response = await fetch("/api/v1/health/deep", { signal, credentials: "same-origin" });
  const body = (await response.json().catch(() => null)) as DeepHealthResponse | null;
  if (body?.checks) return body;
  throw new ApiError(
    response.status,
    "error",
    `the brain answered with status ${response.status}`,
    response.headers.get("X-Request-ID"),
  );
}

function System() {
  const poll = pollInterval(useLink());
  const system = useQuery({ ...queries.system(), refetchInterval: poll });
  const versions = useQuery(queries.versions());
  const settings = useQuery({
    queryKey: ["system", "settings"],
    queryFn: ({ signal }) => api.get<AdminSettingsResponse>("/admin/settings", undefined, signal),
  });
  const deep = useQuery({
    queryKey: ["system", "deep"],
    queryFn: ({ signal }) => deepHealth(signal),
    refetchInterval: poll,
  });
  const items = settings.data?.settings;
  const found = useMemo(
    () => (items ? findings(items, system.data, deep.data) : null),
    [items, system.data, deep.data],
  );
  const serious = found?.filter((finding) => finding.severity !== "info").length ?? 0;
  const answer =
    found === null || !deep.data
      ? undefined
      : deep.data.status === "failed"
        ? "Something has failed"
        : serious > 0
          ? `Runs, with ${serious} ${serious === 1 ? "thing" : "things"} to look at`
          : "Runs, nothing to look at";
  const error = system.error ?? settings.error ?? deep.error ?? versions.error;
  return (
    <Page title="System" answer={answer}>
      {error && (
        <ErrorNote
          error={error}
          what="A part of this page could not be loaded"
          onRetry={() => {
            for (const each of [system, settings, deep, versions]) if (each.error) void each.refetch();
          }}
        />
      )}
      {found && found.length > 0 && (
        <ul className="space-y-2" aria-label="What to look at">
          {found.map((finding) => (
            <li key={finding.title + (finding.setting ?? "")}>
              <FindingNote finding={finding} />
            </li>
          ))}
        </ul>
      )}
      <div className="grid gap-4 lg:grid-cols-3">
        <Panel title="Process">
          <Facts
            facts={
              system.data && [
                [
                  "z4j",
                  <Version key="v" running={system.data.z4j_version} newest={versions.data?.packages.z4j} />,
                ],
                ["Go", system.data.go_version],
                ["Platform", `${system.data.os} ${system.data.architecture}`],
                ["Process id", system.data.pid],
                ["State directory", <code key="home">{settings.data?.z4j_home ?? "–"}</code>],
              ]
            }
          />
        </Panel>
        <Panel title="Database and bus">
          <Facts
            facts={
              system.data && [
                ["Database", `${databaseName(system.data.database_type)} ${system.data.database_version}`],
                ["Size", megabytes(system.data.database_size_mb)],
                ["Answers within", latencyText(deep.data?.checks.database?.latency_ms)],
                ["Schema", deep.data?.checks.migrations?.revision ?? "–"],
                ["Bus", busName(items)],
              ]
            }
          />
        </Panel>
        <Panel title="Checks">
          <Facts
            facts={
              deep.data &&
              Object.entries(deep.data.checks).map(([key, check]): [string, ReactNode] => [
                checkName(key),
                <CheckState key={key} status={check.status} detail={check.detail} />,
              ])
            }
          />
          {deep.data && (
            <p className="mt-2 text-xs text-soft">
              Looks into <WithCode text={deep.data.coverage.detail} />.
            </p>
          )}
        </Panel>
      </div>
      <Settings items={items} />
      <Versions
        running={system.data?.packages}
        newest={versions.data?.packages}
        source={versions.data?.source}
      />
    </Page>
  );
}

function FindingNote({ finding }: { finding: Finding }) {
  return (
    <Notice tone={finding.severity} title={finding.title}>
      <p>
        <WithCode text={finding.text} /> {finding.setting && <code>{envName(finding.setting)}</code>}
      </p>
    </Notice>
  );
}

const latencyText = (ms: number | null | undefined): string =>
  typeof ms === "number" && ms < 1 ? "less than 1 ms" : formatDuration(ms);

/** The API marks commands with backticks. */
function WithCode({ text }: { text: string }) {
  return text.split("`").map((part, i) =>
    i % 2 === 1 ? (
      // biome-ignore lint/suspicious/noArrayIndexKey: parts of one fixed text
      <code key={i}>{part}</code>
    ) : (
      part
    ),
  );
}

const databaseName = (type: string): string =>
  type === "sqlite" ? "SQLite" : type.startsWith("postgres") ? "PostgreSQL" : type;

const megabytes = (mb: number): string => (mb < 1024 ? `${mb} MB` : `${(mb / 1024).toFixed(1)} GB`);

function busName(items: SettingItem[] | undefined): string {
  const url = items?.find((item) => item.name === "redis_url")?.value;
  if (!items) return "–";
  return url ? "Redis, between replicas" : "In this process";
}

function Version({ running, newest }: { running: string; newest: string | undefined }) {
  return (
    <>
      {running}
      {newest && isNewer(newest, running) && <span className="text-warn"> ({newest} is available)</span>}
    </>
  );
}

function Facts({ facts }: { facts: [string, ReactNode][] | undefined }) {
  if (!facts) {
    return (
      <div role="status" className="space-y-2">
        <span className="sr-only">Loading</span>
        {["w-2/3", "w-1/2", "w-3/5", "w-1/3"].map((width) => (
          <Skeleton key={width} className={`h-5 ${width}`} />
        ))}
      </div>
    );
  }
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1">
      {facts.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-soft">{name}</dt>
          <dd className="min-w-0 break-words">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function CheckState({ status, detail }: { status: string; detail?: string }) {
  const look =
    status === "ok"
      ? ({ label: "Good", shape: "disc", tone: "good" } as const)
      : status === "degraded"
        ? ({ label: "Degraded", shape: "half", tone: "warn" } as const)
        : ({ label: "Failed", shape: "triangle", tone: "bad" } as const);
  return (
    <span className="inline-flex flex-wrap items-center gap-x-1.5">
      <StateShape look={look} />
      {look.label}
      {detail && (
        <span className="text-xs text-soft">
          <WithCode text={detail} />
        </span>
      )}
    </span>
  );
}

const settingColumns: DataColumn<SettingItem>[] = [
  {
    id: "name",
    header: "Setting",
    cell: (item) => (
      <span className="inline-flex items-center gap-1">
        <code>{envName(item.name)}</code>
        <CopyButton compact text={envName(item.name)} label={`Copy ${envName(item.name)}`} />
      </span>
    ),
    className: "md:w-96 md:whitespace-nowrap",
  },
  {
    id: "value",
    header: "Value",
    cell: (item) =>
      item.value === "" || item.value === "[]" ? (
        <span className="text-soft">empty</span>
      ) : (
        <code className="break-all">{item.value}</code>
      ),
    className: "md:w-72",
  },
  {
    id: "source",
    header: "From",
    cell: (item) =>
      item.source === "default" ? (
        <span className="text-soft">default</span>
      ) : (
        <strong className="font-semibold">{item.source}</strong>
      ),
    className: "md:w-32 md:whitespace-nowrap",
  },
  {
    id: "description",
    header: "What it does",
    cell: (item) => <span className="text-soft">{item.description}</span>,
    className: "md:min-w-72",
  },
];

function Settings({ items }: { items: SettingItem[] | undefined }) {
  const [wanted, setWanted] = useState("");
  const [changedOnly, setChangedOnly] = useState(false);
  const groups = useMemo(() => {
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = items?.filter((item) => {
      if (changedOnly && item.source === "default") return false;
      const text = `${envName(item.name)} ${item.value} ${item.description}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const by = new Map<string, SettingItem[]>();
    for (const item of shown ?? []) {
      const group = groupOf(item.name);
      by.set(group, [...(by.get(group) ?? []), item]);
    }
    return by;
  }, [items, wanted, changedOnly]);
  return (
    <div className="space-y-3">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <h2 className="text-base font-semibold">Settings</h2>
        <input
          data-search
          type="search"
          aria-label="Find a setting"
          placeholder="Find a setting"
          value={wanted}
          onChange={(event) => setWanted(event.target.value)}
          className={`${inputClass} max-w-72`}
        />
        <Checkbox
          checked={changedOnly}
          onChange={setChangedOnly}
          label="Only what differs from the default"
        />
      </div>
      <p className="text-soft">
        Set in the environment or on the command line, read when the brain starts; secrets are masked.
      </p>
      {!items && (
        <DataTable
          label="Settings"
          columns={settingColumns}
          rows={undefined}
          rowKey={(item: SettingItem) => item.name}
        />
      )}
      {items && groups.size === 0 && <Empty title="No setting is called that" />}
      {[...groups].map(([group, rows]) => (
        <div key={group} className="space-y-1">
          <h3 className="font-semibold">{group}</h3>
          <DataTable
            label={`Settings: ${group}`}
            columns={settingColumns}
            rows={rows}
            rowKey={(item) => item.name}
          />
        </div>
      ))}
    </div>
  );
}

interface VersionRow {
  name: string;
  version: string;
}

const versionColumns: DataColumn<VersionRow>[] = [
  { id: "name", header: "Package", cell: (row) => <code>{row.name}</code> },
  { id: "version", header: "Version", cell: (row) => row.version },
];

function Versions({
  running,
  newest,
  source,
}: {
  running: Record<string, string> | undefined;
  newest: Record<string, string> | undefined;
  source: string | undefined;
}) {
  const known = useMemo(
    () =>
      newest &&
      Object.entries(newest)
        .map(([name, version]) => ({ name, version }))
        .toSorted((a, b) => a.name.localeCompare(b.name)),
    [newest],
  );
  const libraries = useMemo(
    () => running && Object.entries(running).map(([name, version]) => ({ name, version })),
    [running],
  );
  return (
    <section aria-labelledby="versions" className="space-y-3">
      <h2 id="versions" className="text-base font-semibold">
        Versions
      </h2>
      <div className="grid gap-4 lg:grid-cols-2">
        <div className="space-y-1">
          <h3 className="font-semibold">Newest agents this brain knows of</h3>
          <DataTable
            label="Newest packages"
            columns={versionColumns}
            rows={known}
            rowKey={(row) => row.name}
          />
          {source === "bundled" && (
            <p className="text-xs text-soft">
              The list came with this release; the brain asks nobody for newer ones.
            </p>
          )}
        </div>
        <div className="space-y-1">
          <h3 className="font-semibold">Libraries of this brain</h3>
          <DataTable label="Libraries" columns={versionColumns} rows={libraries} rowKey={(row) => row.name} />
        </div>
      </div>
    </section>
  );
}
