// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { Agent } from "../api/types";
import { enginesOf, parseDeadLetterSearch } from "./search";

const agent = (engines: Record<string, string[]>, state = "online"): Agent =>
  ({ name: "one", state, engine_adapters: Object.keys(engines), capabilities: engines }) as unknown as Agent;

describe("enginesOf", () => {
  it("puts the engines that can be asked first and says why others can't", () => {
    const got = enginesOf([agent({ celery: ["retry_task"], rq: ["list_dead_letters"] })]);
    expect(got.map((each) => each.engine)).toEqual(["rq", "celery"]);
    expect(got[0]?.reason).toBeNull();
    expect(got[1]?.reason).toMatch(/keeps no dead letters/);
  });
  it("needs an agent that is online", () => {
    expect(enginesOf([agent({ rq: ["list_dead_letters"] }, "offline")])[0]?.reason).toMatch(
      /one is not online/,
    );
    expect(enginesOf([agent({ dramatiq: [] })])[0]?.reason).toMatch(/dramatiq adapter/);
    expect(enginesOf([])).toEqual([]);
  });
});

it("reads the address", () => {
  expect(parseDeadLetterSearch({ engine: "rq", queue: 7, more: "x" })).toEqual({ engine: "rq", queue: "7" });
});
