// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from "vitest";
import type { WorkerPublic } from "../api/schema";
import { advice, answer, byHost, hostOf } from "./fleet";

const worker = (over: Partial<WorkerPublic>): WorkerPublic =>
  ({
    name: "w1@a",
    hostname: null,
    engine: "celery",
    state: "online",
    active_tasks: 0,
    concurrency: null,
    idle_suspect: false,
    rate_per_minute: 0,
    load_average: null,
    ...over,
  }) as WorkerPublic;

describe("hostOf", () => {
  it("takes what the worker tells, and not a node name for a host", () => {
    expect(hostOf(worker({ hostname: "box-7" }))).toBe("box-7");
    expect(hostOf(worker({ hostname: "celery@box-7", name: "celery@box-7" }))).toBe("box-7");
    expect(hostOf(worker({ name: "mail@box-9" }))).toBe("box-9");
    expect(hostOf(worker({ name: "a1b2c3" }))).toBe("");
  });
});

describe("byHost", () => {
  it("puts hosts and workers that need a look first", () => {
    const hosts = byHost([
      worker({ name: "one@fine", active_tasks: 2, concurrency: 4, load_average: [1.5, 1, 1] }),
      worker({ name: "two@down", state: "offline" }),
      worker({ name: "three@idle" }),
      worker({ name: "four@idle", idle_suspect: true }),
    ]);
    expect(hosts.map((host) => host.name)).toEqual(["idle", "down", "fine"]);
    expect(hosts[0]?.workers.map((each) => each.name)).toEqual(["four@idle", "three@idle"]);
    expect(hosts[2]).toMatchObject({ online: 1, active: 2, slots: 4, load: 1.5 });
    expect(hosts[1]).toMatchObject({ online: 0, load: null });
  });
});

describe("answer", () => {
  it("names who seems not to consume", () => {
    expect(answer([worker({ idle_suspect: true }), worker({ name: "w2@a", concurrency: 4 })])).toBe(
      "w1@a is alive but seems not to consume; 2 of 2 online, 0 of 4 slots busy",
    );
    expect(answer([worker({ idle_suspect: true }), worker({ idle_suspect: true })])).toMatch(
      /^2 workers are alive/,
    );
  });
  it("counts", () => {
    expect(answer([worker({ active_tasks: 1, rate_per_minute: 4.25 }), worker({ state: "offline" })])).toBe(
      "1 of 2 online, 1 task running, 4.3 tasks a minute; 1 offline",
    );
    expect(answer([worker({ state: "offline" })])).toBe("No worker is online; 1 offline");
    expect(answer([])).toBe("");
  });
});

describe("advice", () => {
  it("fits the engine", () => {
    expect(advice({ engine: "celery" })[0]).toMatch(/pool/);
    expect(advice({ engine: "rq" }).join(" ")).not.toMatch(/pool/);
  });
});
