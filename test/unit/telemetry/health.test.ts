import { beforeEach, describe, expect, test } from "bun:test";
import { createHealthSource } from "#src/telemetry/health.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

let time: VirtualTime;
beforeEach(() => {
  time = new VirtualTime();
});

describe("createHealthSource", () => {
  test("[HLT-1] ready when every probe is well", async () => {
    const health = createHealthSource({
      probes: [
        { name: "database", probe: async () => null },
        { name: "hosts", probe: async () => null },
      ],
      clock: time,
      timers: time,
    });
    expect(await health.report()).toEqual({
      ready: true,
      checks: [
        { name: "database", ok: true, reason: null },
        { name: "hosts", ok: true, reason: null },
      ],
    });
    expect(time.pendingCount).toBe(0);
  });

  test("[HLT-2] a probe that complains, throws or does not answer is told, and the others too", async () => {
    const health = createHealthSource({
      probes: [
        { name: "complains", probe: async () => "two hosts are down" },
        {
          name: "throws",
          probe: async () => {
            throw new Error("no connection");
          },
        },
        { name: "hangs", probe: () => new Promise(() => {}) },
        { name: "well", probe: async () => null },
      ],
      clock: time,
      timers: time,
    });
    const report = health.report();
    await time.advance(3_000);
    expect(await report).toEqual({
      ready: false,
      checks: [
        { name: "complains", ok: false, reason: "two hosts are down" },
        { name: "throws", ok: false, reason: "no connection" },
        { name: "hangs", ok: false, reason: "no answer within 3000 ms" },
        { name: "well", ok: true, reason: null },
      ],
    });
  });

  test("[HLT-3] many askers cost one look a second", async () => {
    let looks = 0;
    const probe = async (): Promise<string | null> => {
      looks++;
      return null;
    };
    const health = createHealthSource({ probes: [{ name: "database", probe }], clock: time, timers: time });
    await Promise.all([health.report(), health.report(), health.report()]);
    await time.advance(999);
    await health.report();
    expect(looks).toBe(1);
    await time.advance(1);
    await health.report();
    expect(looks).toBe(2);
  });
});
