import { describe, expect, test } from "bun:test";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { keepHouse } from "#src/hosts/housekeeping.ts";
import { silentLogger } from "#test/support/in-process.ts";
import { settlePromises, VirtualTime } from "#test/support/virtual-time.ts";

const HOUR_MS = 3_600_000;

describe("keepHouse", () => {
  test("[HK-1] removes abandoned connections, old transaction ids, unused tokens and what waits for devices without any every hour, also after a failure", async () => {
    const time = new VirtualTime();
    const calls: string[] = [];
    const told: string[] = [];
    const counted: (number | undefined)[] = [];
    let isDown = false;
    const end = keepHouse(
      {
        connections: {
          expire: async (beforeMs, perDevice) => {
            if (isDown) throw new Error("away");
            calls.push(`connections ${(time.now() - beforeMs) / HOUR_MS} ${perDevice}`);
            return 3;
          },
        },
        devices: {
          expireTxns: async (beforeMs) => {
            calls.push(`txns ${(time.now() - beforeMs) / HOUR_MS}`);
            return 0;
          },
          expireDevices: async (beforeMs, nowMs) => {
            calls.push(`devices ${(nowMs - beforeMs) / HOUR_MS}`);
            return 0;
          },
          expireTokens: async (beforeMs) => {
            calls.push(`tokens ${(time.now() - beforeMs) / HOUR_MS}`);
            return [{ tokenHash: "h", userId: "@a:hs" as UserId, deviceId: "D" as DeviceId }];
          },
        },
        retention: {
          trim: async () => ({ events: 0, receipts: 0, next: null }),
          clearUp: async () => null,
          expireSticky: async (beforeMs) => {
            calls.push(`sticky ${(time.now() - beforeMs) / HOUR_MS}`);
            return 2;
          },
        },
      },
      null,
      {
        clock: time,
        timers: time,
        logger: silentLogger,
        actors: { tell: (to, message) => void told.push(`${to.kind} ${message.type}`), ask: () => Promise.reject() },
        metrics: { count: (_name, by) => void counted.push(by), observe: () => undefined, gauge: () => undefined },
      },
    );
    const hour = async (): Promise<void> => {
      await time.advance(HOUR_MS);
      await settlePromises();
    };
    await hour();
    expect(calls).toEqual(["connections 168 20", "txns 1", "sticky 0", "tokens 720", "devices 2160"]);
    expect(told).toEqual(["poller token-unused", "gateway token-expired"]);
    expect(counted).toEqual([3, 3, 2, 1]);
    isDown = true;
    await hour();
    isDown = false;
    await hour();
    expect(calls).toHaveLength(10);
    end();
    await hour();
    expect(calls).toHaveLength(10);
  });

  test("[HK-2] walks over all rooms step by step, with a pause after each, counts what went, and then has space used again", async () => {
    const time = new VirtualTime();
    const asked: string[] = [];
    const counted: string[] = [];
    const cleared: number[] = [];
    const steps = [
      { events: 5, receipts: 1, next: { nid: 200, pos: 0 } },
      { events: 0, receipts: 0, next: { nid: 300, pos: 7 } },
      { events: 2, receipts: 0, next: null },
    ];
    const none = async (): Promise<number> => 0;
    const end = keepHouse(
      {
        connections: { expire: none },
        devices: { expireTxns: none, expireDevices: none, expireTokens: async () => [] },
        retention: {
          expireSticky: none,
          trim: async (from, keep) => {
            asked.push(`${from === null ? "start" : `${from.nid}/${from.pos}`} ${keep?.ours} ${keep?.others}`);
            return steps[asked.length - 1] ?? { events: 0, receipts: 0, next: null };
          },
          clearUp: async () => {
            cleared.push(asked.length);
            return cleared.length === 3 ? null : { table: "events" };
          },
        },
      },
      5000,
      {
        clock: time,
        timers: time,
        logger: silentLogger,
        actors: { tell: () => undefined, ask: () => Promise.reject() },
        metrics: {
          count: (name, by, labels) =>
            void (name === "retention_removed_total" && counted.push(`${labels?.["kind"]} ${by}`)),
          observe: () => undefined,
          gauge: () => undefined,
        },
      },
    );
    await time.advance(HOUR_MS);
    await settlePromises();
    expect(asked).toEqual(["start 5000 100"]);
    for (const _ of steps) {
      await time.advance(500);
      await settlePromises();
    }
    expect(asked).toEqual(["start 5000 100", "200/0 5000 100", "300/7 5000 100"]);
    expect(counted).toEqual(["events 5", "receipts 1", "events 2"]);
    // Behind the walk, table by table, with a pause after each.
    expect(cleared).toEqual([3, 3]);
    await time.advance(500);
    expect(cleared).toEqual([3, 3, 3]);
    end();
    await time.advance(2 * HOUR_MS);
    expect(asked).toHaveLength(3);
  });
});
