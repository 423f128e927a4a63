import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { SpawnedRole } from "#src/hosts/compositions.ts";
import { seededRng } from "#src/demo/seeded-rng.ts";
import type { SyncFault } from "#test/support/faulty-homeserver.ts";
import { answerLost, crashing, garbled, refused } from "#test/support/faulty-stores.ts";
import { NodeRig } from "#test/support/node-rig.ts";

const RUNS = 40;
const LIMIT_MS = 120_000;

/** One thing that happens to a node. */
type Step =
  | { kind: "talk"; count: number }
  | { kind: "kill"; role: SpawnedRole }
  | { kind: "upstream"; fault: number; times: number }
  | { kind: "outage"; forMs: number }
  | { kind: "commit"; isDone: boolean; dies: SpawnedRole | null }
  | { kind: "crash"; at: number }
  | { kind: "flaky"; calls: number; seed: number }
  | { kind: "hang-up"; client: number }
  | { kind: "restart" };

const UPSTREAM: readonly SyncFault[] = [
  { kind: "status", status: 500 },
  { kind: "status", status: 429, errcode: "M_LIMIT_EXCEEDED", retryAfterMs: 1000 },
  { kind: "garbage" },
  { kind: "half" },
  { kind: "reset" },
];
const BUGS = ["sliding_sync_poller_timeline_size", "ingest_group_batches", "ingest_commit_duration_secs"] as const;
const CRASHING_CALLS = ["commit", "loadUser", "deleteToDevice"] as const;

const role = fc.constantFrom<SpawnedRole>("sync", "ingest", "poller");
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("talk" as const), count: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("kill" as const), role }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("upstream" as const),
      fault: fc.nat(UPSTREAM.length - 1),
      times: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("outage" as const), forMs: fc.integer({ min: 0, max: 4000 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("commit" as const),
      isDone: fc.boolean(),
      dies: fc.option(role, { nil: null }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("crash" as const),
      at: fc.nat(BUGS.length + CRASHING_CALLS.length - 1),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("flaky" as const),
      calls: fc.integer({ min: 5, max: 40 }),
      seed: fc.nat(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("hang-up" as const), client: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
);

/** A host that dies a sixth time within a minute is given up on, as it should be; and each death waits longer than the one before. */
const DEATHS_LIMIT = 3;

class Schedule {
  readonly #node: NodeRig;
  readonly #deaths = new Map<SpawnedRole, number>();

  constructor(node: NodeRig) {
    this.#node = node;
  }

  async play(next: Step): Promise<void> {
    const node = this.#node;
    const { storeFaults: stores } = node;
    switch (next.kind) {
      case "talk":
        return node.talk(next.count);
      case "kill":
        return this.#kill(next.role);
      case "upstream":
        return node.syncFaults.next(UPSTREAM[next.fault] ?? { kind: "reset" }, next.times);
      case "outage":
        stores.isDown = true;
        await node.talk(2);
        await node.pass(next.forMs);
        stores.isDown = false;
        return;
      case "commit": {
        const { dies } = next;
        const after = dies === null ? undefined : (): void => this.#kill(dies);
        return stores.next("commit", next.isDone ? answerLost(after) : refused());
      }
      case "crash": {
        const bug = BUGS[next.at];
        if (bug !== undefined) return node.metrics.crashAt(bug);
        const call = CRASHING_CALLS[next.at - BUGS.length] ?? "commit";
        return stores.next(call, call === "loadUser" ? garbled() : crashing());
      }
      case "flaky":
        return this.#flaky(next.calls, next.seed);
      case "hang-up":
        return node.clients[next.client]?.hangUp();
      case "restart":
        await node.shutDown();
        await node.talk(2);
        await node.boot();
        this.#deaths.clear();
        return;
    }
  }

  #kill(dying: SpawnedRole): void {
    const deaths = this.#deaths.get(dying) ?? 0;
    if (deaths >= DEATHS_LIMIT || !this.#node.isUp) return;
    this.#deaths.set(dying, deaths + 1);
    this.#node.nodes.killHost(dying);
  }

  /** Half of the next calls fail, of whatever kind they are. */
  #flaky(calls: number, seed: number): void {
    const rng = seededRng(seed);
    let left = calls;
    const heal = this.#node.storeFaults.add(() => {
      left -= 1;
      if (left === 0) heal();
      if (rng.next() < 0.5) return null;
      return rng.next() < 0.5 ? refused() : answerLost();
    });
  }
}

describe("a whole node under any schedule of faults", () => {
  test(
    "[FAULT-60] tells every client everything once and in order, and expires no connection",
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 16 }), fc.nat(), async (steps, seed) => {
          const node = await NodeRig.start({ seed, haste: 100, topology: { sync: 2 } });
          try {
            await node.populate(["alice", "bob", "carol"], 3);
            const schedule = new Schedule(node);
            for (const next of steps) {
              await schedule.play(next);
              await node.talk(1);
            }
            await node.until(() => node.syncFaults.plannedCount === 0);
            await node.talk(2);
            await node.caughtUp();
            expect(node.faults()).toEqual([]);
          } finally {
            await node.stop();
          }
        }),
        { numRuns: RUNS, endOnFailure: true },
      );
    },
    LIMIT_MS,
  );
});
