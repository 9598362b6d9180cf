// SPDX-License-Identifier: AGPL-3.0-or-later
// The API's types under the names the dashboard uses. They come from the API's own document (schema.ts, see
// scripts/generate-types.mjs); only words that the document leaves open are narrowed here. Timestamps are text;
// api/time.ts parses them.
import type * as schema from "./schema";

/** Narrow replaces some fields of a generated type by more exact ones; a field that is gone fails to compile. */
type Narrow<T, N extends { [K in keyof N]: K extends keyof T ? unknown : never }> = Omit<T, keyof N> & N;

export type Json = schema.Json;
export type JsonObject = { [key: string]: Json };

export type TaskState = keyof schema.TaskStateCounts;
export type Role = schema.GrantMembershipRequest["role"];
export type CommandStatus = schema.CommandPublic["status"];

export type Project = schema.ProjectPublic;
export type Me = Narrow<
  schema.UserMePublic,
  { memberships: Narrow<schema.UserMembershipSummary, { role: Role }>[] }
>;
export type LoginResponse = schema.LoginResponse;
export type PasswordPolicy = schema.PasswordPolicyPublic;
export type Session = schema.SessionPublic;

export type Task = Narrow<schema.TaskPublic, { state: TaskState }>;
/** A task as its own page shows it; lists lack the offers. */
export type TaskDetail = Narrow<schema.TaskDetail, { state: TaskState }>;
export type TaskEvent = Narrow<schema.EventPublic, { payload: JsonObject }>;
export type Agent = Narrow<schema.AgentPublic, { state: "online" | "offline" | "unknown" }>;
export type MintedAgent = Narrow<schema.CreateAgentResponse, { agent: Agent }>;
export type Worker = Narrow<schema.WorkerPublic, { state: "online" | "offline" | "draining" | "unknown" }>;
export type Queue = schema.QueuePublic;
export type Stats = schema.StatsResponse;
export type Command = Narrow<schema.CommandPublic, { payload: JsonObject }>;

/** One page of a list; the total is there when it was asked for. */
export interface Page<T> {
  items: T[];
  next_cursor: string | null;
  total_count?: number | null;
  /** The search stopped there before the page was full; next_cursor goes on from it. */
  searched_to?: string | null;
}

/** What every refusal looks like; the answer of a proxy in between may lack parts of it. */
export type ErrorBody = Narrow<schema.Envelope, { request_id: string | null }>;
