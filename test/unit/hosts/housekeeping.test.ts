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
      },
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
    expect(calls).toEqual(["connections 168 20", "txns 1", "tokens 720", "devices 2160"]);
    expect(told).toEqual(["poller token-unused", "gateway token-expired"]);
    expect(counted).toEqual([3]);
    isDown = true;
    await hour();
    isDown = false;
    await hour();
    expect(calls).toHaveLength(8);
    end();
    await hour();
    expect(calls).toHaveLength(8);
  });
});
