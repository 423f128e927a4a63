import { beforeEach, describe, expect, test } from "bun:test";
import { createHealthSource } from "#src/telemetry/health.ts";
import { recordingLogger } from "#test/support/recording.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

let time: VirtualTime;
let log: ReturnType<typeof recordingLogger>;
beforeEach(() => {
  time = new VirtualTime();
  log = recordingLogger();
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
      log,
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
      log,
    });
    const report = health.report();
    await time.advance(3_000);
    expect(await report).toEqual({
      ready: false,
      checks: [
        { name: "complains", ok: false, reason: "two hosts are down" },
        { name: "throws", ok: false, reason: "cannot be used: the log says why" },
        { name: "hangs", ok: false, reason: "no answer within 3000 ms" },
        { name: "well", ok: true, reason: null },
      ],
    });
  });

  test("[HLT-4] what a probe rejects with is for the log, once for each reason, and not for whoever asks", async () => {
    let reason: string | null = 'password authentication failed for user "glissade" at 10.0.0.5:5432';
    const probe = async (): Promise<null> => {
      if (reason === null) return null;
      throw new Error(reason);
    };
    const health = createHealthSource({ probes: [{ name: "database", probe }], clock: time, timers: time, log });
    const look = async (): Promise<string> => {
      await time.advance(1000);
      return JSON.stringify(await health.report());
    };
    for (let n = 0; n < 3; n += 1) expect(await look()).not.toMatch(/password|glissade|10\.0/);
    expect(log.lines).toMatchObject([
      { level: "warn", message: "health check failed", fields: { check: "database", reason } },
    ]);
    // One that is well again may fail again.
    const before = reason;
    reason = null;
    expect(await look()).toContain('"ready":true');
    reason = before;
    await look();
    expect(log.lines).toHaveLength(2);
  });

  test("[HLT-3] many askers cost one look a second", async () => {
    let looks = 0;
    const probe = async (): Promise<string | null> => {
      looks++;
      return null;
    };
    const health = createHealthSource({ probes: [{ name: "database", probe }], clock: time, timers: time, log });
    await Promise.all([health.report(), health.report(), health.report()]);
    await time.advance(999);
    await health.report();
    expect(looks).toBe(1);
    await time.advance(1);
    await health.report();
    expect(looks).toBe(2);
  });
});
