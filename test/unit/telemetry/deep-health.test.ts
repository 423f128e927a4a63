import { describe, expect, test } from "bun:test";
import { createDeepHealth } from "#src/telemetry/deep-health.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

function rig() {
  const time = new VirtualTime();
  const state = {
    ready: true,
    requests: { windowMs: 300_000, calls: 0, failures: 0 },
    homeserver: { windowMs: 300_000, calls: 0, failures: 0, latencyMs: null },
    asked: 0,
  };
  const deep = createDeepHealth({
    health: {
      report: async () => ({ ready: state.ready, checks: [{ name: "database", ok: state.ready, reason: null }] }),
    },
    requests: () => state.requests,
    homeserver: async () => {
      state.asked += 1;
      return state.homeserver;
    },
    clock: time,
  });
  return { time, state, deep };
}

describe("deep health", () => {
  test("[HLT-20] a few failures are no illness, a fifth of many is; readiness is part of it", async () => {
    const { time, state, deep } = rig();
    const isWell = async (): Promise<boolean> => {
      await time.advance(2000);
      return (await deep()).ready;
    };
    expect(await isWell()).toBe(true);
    state.requests = { windowMs: 300_000, calls: 9, failures: 9 };
    expect(await isWell()).toBe(true);
    state.requests = { windowMs: 300_000, calls: 100, failures: 19 };
    expect(await isWell()).toBe(true);
    state.requests = { windowMs: 300_000, calls: 100, failures: 20 };
    expect(await isWell()).toBe(false);
    expect((await deep()).checks.find(({ name }) => name === "requests")?.reason).toBe(
      "20 of 100 of clients' requests failed in the last 5 minutes",
    );
    state.requests = { windowMs: 300_000, calls: 0, failures: 0 };
    expect(await isWell()).toBe(true);
    state.homeserver = { windowMs: 300_000, calls: 10, failures: 10, latencyMs: null };
    expect(await isWell()).toBe(false);
    state.homeserver = { windowMs: 300_000, calls: 0, failures: 0, latencyMs: null };
    state.ready = false;
    expect(await isWell()).toBe(false);
  });

  test("[HLT-21] everybody who asks within two seconds shares one report", async () => {
    const { time, state, deep } = rig();
    await Promise.all([deep(), deep(), deep()]);
    expect(state.asked).toBe(1);
    await time.advance(2000);
    await deep();
    expect(state.asked).toBe(2);
  });
});
