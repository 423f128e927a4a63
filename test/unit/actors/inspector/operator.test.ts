import { describe, expect, test } from "bun:test";
import { systemTimers } from "#src/system.ts";
import { profileCpu } from "#src/telemetry/profiler.ts";
import { createOperator } from "#actors/inspector/operator.ts";
import type { Address, AnyMessage } from "#actors/runtime/actor.ts";

const BYTES = new Uint8Array([123, 125]);

/** An operator's end whose questions are answered when the test says so. */
function rig() {
  const told: string[] = [];
  const asked: { what: string; answer: PromiseWithResolvers<unknown> }[] = [];
  const operator = createOperator({
    hosts: ["main:0", "ingest:0", "sync:0"],
    startedAtMs: 1000,
    actors: {
      tell: (to: Address, message: AnyMessage) => void told.push(`${to.kind} ${message.type}`),
      ask: <T>(to: Address, message: AnyMessage): Promise<T> => {
        const answer = Promise.withResolvers<unknown>();
        asked.push({ what: `${to.shard} ${message.type}`, answer });
        return answer.promise as Promise<T>;
      },
    },
  });
  return { told, asked, operator };
}

const reasonOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => "it was done",
    (error: unknown) => String(error),
  );

describe("heap snapshots", () => {
  test("[ADM-20] one is made at a time, and the supervisor knows that a thread stands still for it", async () => {
    const { told, asked, operator } = rig();
    const first = operator.snapshotHeap("sync:0");
    expect(told).toEqual(["supervisor stall-begun"]);
    expect(await reasonOf(operator.snapshotHeap("sync:0"))).toContain("wait for its end");
    expect(await reasonOf(operator.snapshotHeap("ingest:0"))).toContain("wait for its end");
    asked[0]?.answer.resolve(BYTES);
    expect(await first).toBe(BYTES);
    expect(told).toEqual(["supervisor stall-begun", "supervisor stall-ended"]);
    // One that failed ends as well.
    const second = operator.snapshotHeap("ingest:0");
    asked[1]?.answer.reject(new Error("no memory"));
    expect(await reasonOf(second)).toContain("no memory");
    expect(told.slice(2)).toEqual(["supervisor stall-begun", "supervisor stall-ended"]);
    expect(asked.map(({ what }) => what)).toEqual(["sync:0 snapshot-heap", "ingest:0 snapshot-heap"]);
    expect(await reasonOf(operator.snapshotHeap("sync:7"))).toContain("no host of this name");
    expect(told).toHaveLength(4);
  });
});

describe("CPU profiles", () => {
  test("[ADM-21] a thread is sampled for one operator at a time, whichever of its hosts is asked", async () => {
    const first = profileCpu(0.05, systemTimers);
    expect(await reasonOf(profileCpu(0.05, systemTimers))).toContain("wait for its end");
    expect(JSON.parse(new TextDecoder().decode(await first))).toMatchObject({ nodes: expect.any(Array) });
    const second = await profileCpu(0.01, systemTimers);
    expect(second.length).toBeGreaterThan(0);
  });
});
