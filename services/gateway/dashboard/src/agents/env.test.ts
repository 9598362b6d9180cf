// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from "vitest";
import type { Agent, MintedAgent } from "../api/types";
import { envBlock, exportBlock, needsDevMode } from "./env";
import { findSkew } from "./skew";

const minted = { token: "t0k", hmac_secret: "s3c=" } as MintedAgent;

it("writes the four variables", () => {
  const env = envBlock(minted, "shop", "https://z4j.example.com");
  expect(env.split("\n")).toEqual([
    "Z4J_BRAIN_URL=https://z4j.example.com",
    "Z4J_PROJECT_ID=shop",
    "Z4J_TOKEN=t0k",
    "Z4J_HMAC_SECRET=s3c=",
  ]);
  expect(exportBlock(env)).toMatch(/^export Z4J_BRAIN_URL=/);
});

it("allows plain http to another machine only when asked", () => {
  expect(needsDevMode("http://localhost:7700")).toBe(false);
  expect(needsDevMode("http://[::1]:7700")).toBe(false);
  expect(needsDevMode("https://z4j.lan")).toBe(false);
  expect(envBlock(minted, "shop", "http://build-box:7700")).toContain("Z4J_DEV_MODE=1");
});

it("sorts agents by version, online ones only", () => {
  const agent = (name: string, part: Partial<Agent>): Agent =>
    ({ name, state: "online", is_outdated: false, ...part }) as Agent;
  const skew = findSkew([
    agent("same", { version_status: "current" }),
    agent("old", { version_status: "outdated" }),
    agent("oldprotocol", { version_status: null, is_outdated: true }),
    agent("gone", { version_status: "outdated", state: "offline" }),
    agent("new", { version_status: "newer_than_known" }),
    agent("major", { version_status: "incompatible", is_outdated: true }),
  ]);
  expect(skew.outdated.map((each) => each.name)).toEqual(["old", "oldprotocol"]);
  expect(skew.newer.map((each) => each.name)).toEqual(["new"]);
  expect(skew.incompatible.map((each) => each.name)).toEqual(["major"]);
});
