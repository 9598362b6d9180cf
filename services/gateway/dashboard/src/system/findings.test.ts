// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { SettingItem, SystemHealthResponse } from "../api/schema";
import { envName, findings, groupOf } from "./findings";

const setting = (name: string, value: string, source = "env"): SettingItem => ({
  name,
  value,
  source,
  is_secret: false,
  description: "",
});
const system = (database_type: string, database_size_mb = 1): SystemHealthResponse => ({
  z4j_version: "1.14.0",
  go_version: "",
  os: "linux",
  architecture: "amd64",
  pid: 1,
  database_type,
  database_version: "",
  database_size_mb,
  packages: {},
});
const named = (settings: SettingItem[], type = "sqlite", size = 1) =>
  findings(settings, system(type, size), undefined).map((finding) => finding.setting);

describe("findings", () => {
  it("has nothing to say about a laptop with defaults", () => {
    expect(
      named([
        setting("public_url", "http://localhost:7700"),
        setting("environment", "dev"),
        setting("log_level", "INFO"),
      ]),
    ).toEqual([]);
  });
  it("warns of plain http and of dev rules on a public address", () => {
    expect(named([setting("public_url", "http://z4j.example.com"), setting("environment", "dev")])).toEqual([
      "public_url",
      "environment",
    ]);
    expect(
      named([setting("public_url", "https://z4j.example.com"), setting("environment", "production")]),
    ).toEqual([]);
  });
  it("puts what failed first, with its own words", () => {
    const all = findings([setting("log_level", "debug")], system("sqlite"), {
      status: "failed",
      coverage: { startup_equivalent: false, detail: "" },
      checks: {
        database: { status: "ok" },
        migrations: { status: "failed", detail: "run z4j migrate" },
        audit_chain: { status: "degraded" },
      },
    });
    expect(all.map((finding) => finding.severity)).toEqual(["bad", "warn", "info"]);
    expect(all[0]?.text).toBe("run z4j migrate");
  });
  it("knows what concerns which database", () => {
    const ssl = [setting("require_db_ssl", "false")];
    expect(named(ssl, "postgresql")).toEqual(["require_db_ssl"]);
    expect(named(ssl, "sqlite")).toEqual([]);
    expect(named([], "sqlite", 20 * 1024)).toEqual(["event_retention_days"]);
  });
  it("reminds of what is kept for ever and of a forgotten password", () => {
    expect(named([setting("task_retention_days", "0"), setting("bootstrap_admin_password", "***")])).toEqual([
      "bootstrap_admin_password",
      "task_retention_days",
    ]);
    expect(named([setting("bootstrap_admin_password", "***", "default")])).toEqual([]);
  });
});

it.each([
  ["bind_port", "Process and addresses"],
  ["redis_url", "Database and bus"],
  ["session_secret", "Secrets"],
  ["session_retention_days", "Retention"],
  ["agent_stale_prune_days", "Retention"],
  ["agent_ip_allowlist", "Who may connect"],
  ["command_timeout_seconds", "Commands"],
  ["rest_max_page_size", "Interface"],
])("%s belongs to %s", (name, group) => expect(groupOf(name)).toBe(group));

it("names the variable", () => expect(envName("bind_port")).toBe("Z4J_BIND_PORT"));
