// SPDX-License-Identifier: AGPL-3.0-or-later
import type { DeepHealthResponse, SettingItem, SystemHealthResponse } from "../api/schema";

export interface Finding {
  severity: "bad" | "warn" | "info";
  title: string;
  /** What it means and what to do. */
  text: string;
  setting?: string;
}

const gib = 1024;

const isLocal = (url: string): boolean => {
  try {
    return /^(?:localhost|127\.|\[?::1)/.test(new URL(url).hostname);
  } catch {
    return false;
  }
};

/** envName is the variable that sets a setting. */
export const envName = (name: string): string => `Z4J_${name.toUpperCase()}`;

const checkNames: Record<string, string> = {
  database: "Database",
  migrations: "Schema of the database",
  audit_chain: "Audit chain",
};
export const checkName = (key: string): string => checkNames[key] ?? key.replaceAll("_", " ");

/** findings looks at health and settings the way `z4j doctor` does, worst first. */
export function findings(
  settings: SettingItem[],
  system: SystemHealthResponse | undefined,
  deep: DeepHealthResponse | undefined,
): Finding[] {
  const of = (name: string) => settings.find((setting) => setting.name === name);
  const value = (name: string) => of(name)?.value ?? "";
  const on = (name: string) => value(name) === "true";
  const number = (name: string) => Number(value(name) || "0");
  const out: Finding[] = [];

  for (const [key, check] of Object.entries(deep?.checks ?? {})) {
    if (check.status === "ok") continue;
    out.push({
      severity: check.status === "failed" ? "bad" : "warn",
      title: `${checkName(key)}: ${check.status}`,
      text: check.detail || "The brain's log says more.",
    });
  }
  const url = value("public_url");
  if (url.startsWith("http:") && !isLocal(url)) {
    out.push({
      severity: "warn",
      title: "The dashboard is reached over plain http",
      text: "Passwords and session cookies can be read on the way. Put a proxy with TLS in front and set an https public URL.",
      setting: "public_url",
    });
  }
  if (value("environment") === "dev" && url && !isLocal(url)) {
    out.push({
      severity: "warn",
      title: "Development rules on a public address",
      text: "dev relaxes cookies and headers for a laptop. Set the environment to production.",
      setting: "environment",
    });
  }
  if (on("metrics_public") && on("metrics_enabled")) {
    out.push({
      severity: "warn",
      title: "Anybody can read /metrics",
      text: "Names of queues and agents are in it. Leave it off and give the scraper the metrics token.",
      setting: "metrics_public",
    });
  }
  if (system?.database_type.startsWith("postgres") && of("require_db_ssl") && !on("require_db_ssl")) {
    out.push({
      severity: "info",
      title: "The connection to PostgreSQL need not be encrypted",
      text: "Fine on one host or a private network; else require SSL.",
      setting: "require_db_ssl",
    });
  }
  if (system?.database_type === "sqlite" && system.database_size_mb > 10 * gib) {
    out.push({
      severity: "warn",
      title: "The SQLite database has grown large",
      text: "Keep events for fewer days, or move to PostgreSQL, where old events are dropped by the day.",
      setting: "event_retention_days",
    });
  }
  if (number("bus_drop_percent") > 0) {
    out.push({
      severity: "warn",
      title: "Hints are thrown away on purpose",
      text: "This setting is for tests; pages and commands react late with it.",
      setting: "bus_drop_percent",
    });
  }
  if (on("debug_host_errors")) {
    out.push({
      severity: "info",
      title: "Refused hosts get a detailed answer",
      text: "Useful while setting up; switch it off afterwards.",
      setting: "debug_host_errors",
    });
  }
  if (value("log_level").toUpperCase() === "DEBUG") {
    out.push({
      severity: "info",
      title: "The log is at DEBUG",
      text: "It grows quickly and may name more than it should. INFO is enough in daily use.",
      setting: "log_level",
    });
  }
  const bootstrap = of("bootstrap_admin_password");
  if (bootstrap && bootstrap.source !== "default") {
    out.push({
      severity: "info",
      title: "The first administrator's password is still in the environment",
      text: "It has done its work at the first start. Remove the variable.",
      setting: "bootstrap_admin_password",
    });
  }
  const endless = ["event_retention_days", "task_retention_days", "command_retention_days"].filter(
    (name) => of(name) && number(name) === 0,
  );
  for (const setting of endless) {
    out.push({
      severity: "info",
      title: "Something is kept for ever",
      text: `${envName(setting)} is 0: the database grows without end.`,
      setting,
    });
  }
  const order = { bad: 0, warn: 1, info: 2 };
  return out.toSorted((a, b) => order[a.severity] - order[b.severity]);
}

const groupsByPrefix: [RegExp, string][] = [
  [
    /^(?:home|bind_|public_url|environment|allow_http|shutdown|api_url|ingest_url|request_timeout)/,
    "Process and addresses",
  ],
  [/^(?:database_|require_db|auto_migrate|redis_|bus_)/, "Database and bus"],
  [/(?:secret|hop_key)/, "Secrets"],
  [/^(?:cors_|hsts_|trusted_|allowed_hosts|debug_host|.*_ip_allowlist)/, "Who may connect"],
  [/^(?:password_|argon2_|session_|login_|first_boot|bootstrap_)/, "Accounts and sessions"],
  [/^(?:agent_|ws_|max_ws|redaction_)/, "Agents"],
  [/^(?:command_|reconciliation_)/, "Commands"],
  [/^(?:metrics_|log_)/, "Logs and metrics"],
];

/** groupOf sorts a setting under a heading; retention is looked for first, wherever it belongs by name. */
export function groupOf(name: string): string {
  if (/retention_days$|prune_days$/.test(name)) return "Retention";
  return groupsByPrefix.find(([pattern]) => pattern.test(name))?.[1] ?? "Interface";
}
