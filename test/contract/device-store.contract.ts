import { describe, expect, test } from "bun:test";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { jsonBytes, transaction } from "#test/support/stored-samples.ts";
import { ALICE, BOB, type StoresSuite } from "./stores-suite.ts";

/** Tokens, devices and filters. */
export function describeDeviceStore(suite: StoresSuite): void {
  describe("devices", () => {
    test("[STO-40] the token proven last is the one of the device", async () => {
      const save = (hash: string, accessToken: string, nowMs: number): Promise<void> =>
        suite.stores.devices.saveToken({ hash, accessToken, userId: ALICE, deviceId: "D40" as DeviceId, nowMs });
      await save("h1", "secret one", 1000);
      await save("h2", "secret two", 2000);
      const load = () => suite.stores.devices.loadDevice(ALICE, "D40" as DeviceId);
      expect(await load()).toMatchObject({
        accessToken: "secret two",
        tokenHash: "h2",
        lastSeenMs: 2000,
        since: null,
      });
      await save("h1", "secret one", 1500);
      expect(await load()).toMatchObject({ accessToken: "secret one", tokenHash: "h1" });
      expect(await suite.stores.devices.findToken("h2")).toEqual({
        userId: ALICE,
        deviceId: "D40" as DeviceId,
        lastSeenMs: 2000,
        isNewest: false,
      });
      expect(await suite.stores.devices.findToken("h1")).toMatchObject({ lastSeenMs: 2000 - 500, isNewest: true });
      await suite.stores.devices.removeToken("h1");
      expect(await load()).toMatchObject({ accessToken: "secret two" });
      await suite.stores.devices.removeToken("h2");
      expect(await load()).toMatchObject({ accessToken: null, tokenHash: null });
      expect(await suite.stores.devices.findToken("h1")).toBeNull();
      expect(await suite.stores.devices.loadDevice(ALICE, "NONE" as DeviceId)).toBeNull();
    });

    test("[STO-49] a device that is paused stays so, whatever tokens come, until it is resumed; an unknown one cannot be", async () => {
      const { devices } = suite.stores;
      const deviceId = "D49" as DeviceId;
      const save = (hash: string): Promise<void> =>
        devices.saveToken({ hash, accessToken: hash, userId: ALICE, deviceId, nowMs: 1 });
      await save("h49");
      expect(await devices.loadDevice(ALICE, deviceId)).toMatchObject({ pausedMs: null });
      expect(await devices.setPaused(ALICE, deviceId, 1234)).toBe(true);
      await save("h49b");
      expect(await devices.loadDevice(ALICE, deviceId)).toMatchObject({ pausedMs: 1234 });
      expect(await devices.setPaused(ALICE, deviceId, null)).toBe(true);
      expect(await devices.loadDevice(ALICE, deviceId)).toMatchObject({ pausedMs: null });
      expect(await devices.setPaused(ALICE, "NONE" as DeviceId, 1)).toBe(false);
    });

    test("[STO-41] since moves with the commit and survives a new token", async () => {
      const deviceId = "D41" as DeviceId;
      await suite.stores.devices.saveToken({ hash: "h41", accessToken: "a", userId: ALICE, deviceId, nowMs: 1 });
      await suite.commit(1, () => ({ sinces: [{ userId: ALICE, deviceId, since: "s_1", pos: 1 }] }));
      await suite.stores.ingest.commit(
        transaction(suite.head, { sinces: [{ userId: ALICE, deviceId, since: "s_2\0'", pos: 2 }] }),
      );
      await suite.stores.devices.saveToken({ hash: "h41b", accessToken: "b", userId: ALICE, deviceId, nowMs: 2 });
      expect(await suite.stores.devices.loadDevice(ALICE, deviceId)).toMatchObject({
        since: "s_2\0'",
        accessToken: "b",
      });
    });

    test("[STO-48] rooms of a device are due as its last commit says", async () => {
      const deviceId = "D48" as DeviceId;
      const due = async (): Promise<boolean | undefined> =>
        (await suite.stores.devices.loadDevice(ALICE, deviceId))?.roomsAreDue;
      const owner = { userId: ALICE, deviceId };
      await suite.stores.devices.saveToken({ hash: "h48", accessToken: "a", ...owner, nowMs: 1 });
      expect(await due()).toBe(false);
      await suite.commit(1, () => ({ sinces: [{ ...owner, since: "s1", pos: 1, roomsAreDue: true }] }));
      expect(await due()).toBe(true);
      await suite.commit(1, () => ({ sinces: [{ ...owner, since: "s2", pos: 2 }] }));
      expect(await due()).toBe(false);
    });

    test("[STO-42] devices are listed by their last use, newest first", async () => {
      const userId = "@lister:example.org" as UserId;
      for (const [hash, device, nowMs] of [
        ["l1", "L1", 9_000_000],
        ["l2", "L2", 9_000_500],
        ["l3", "L3", 9_000_200],
      ] as const) {
        await suite.stores.devices.saveToken({ hash, accessToken: hash, userId, deviceId: device as DeviceId, nowMs });
      }
      await suite.stores.devices.touchToken("l1", 9_000_900);
      await suite.stores.devices.touchToken("l1", 9_000_100);
      await suite.stores.devices.touchToken("unknown", 9_000_100);
      const listed = await suite.stores.devices.listDevices(9_000_400);
      expect(listed.map(({ deviceId, lastSeenMs }) => [deviceId as string, lastSeenMs])).toEqual([
        ["L1", 9_000_900],
        ["L2", 9_000_500],
      ]);
    });

    test("[STO-44] tokens that nobody used go, devices and how far they are polled stay", async () => {
      const old = await suite.stores.devices.expireTokens(0);
      expect(old).toEqual([]);
      const [userId, deviceId] = ["@stale:hs" as UserId, "STALE" as DeviceId];
      await suite.stores.devices.saveToken({ hash: "stale", accessToken: "t", userId, deviceId, nowMs: -10 });
      expect(await suite.stores.devices.expireTokens(0)).toEqual([{ tokenHash: "stale", userId, deviceId }]);
      expect(await suite.stores.devices.findToken("stale")).toBeNull();
      expect(await suite.stores.devices.loadDevice(userId, deviceId)).toMatchObject({ userId, accessToken: null });
    });

    test("[STO-46] what waits for a device goes when it has had no token for long, never sooner, and nobody else's", async () => {
      const [userId, other] = ["@gone:hs" as UserId, "OTHER" as DeviceId];
      const deviceId = "GONE" as DeviceId;
      const save = (device: DeviceId, hash: string): Promise<void> =>
        suite.stores.devices.saveToken({ hash, accessToken: "t", userId, deviceId: device, nowMs: 1 });
      await save(deviceId, "gone");
      await save(other, "other");
      const owners = [deviceId, other].map((device) => ({ userId, deviceId: device }));
      const pos = await suite.commit(2, (first) => ({
        sinces: owners.map((owner) => ({ ...owner, since: "s", pos: 1 })),
        toDevice: owners.map((owner) => ({ ...owner, type: "m.x", sender: BOB, pos: first, json: jsonBytes({}) })),
        deviceLists: owners.map((owner) => ({ ...owner, target: BOB, change: "changed" as const, pos: first })),
        deviceKeys: owners.map((owner) =>
          Object.assign({ otkCounts: "{}", fallbackKeyTypes: "[]", pos: first }, owner),
        ),
      }));
      const waiting = async (device: DeviceId): Promise<unknown[]> => {
        const { deviceLists, otkCounts, toDevicePos } = await suite.stores.rooms.loadDevice(userId, device);
        return [deviceLists.length, otkCounts, toDevicePos];
      };
      const all = [1, "{}", pos];
      const HOUR = 1000;

      await suite.stores.devices.removeToken("gone");
      await suite.stores.devices.expireDevices(0, HOUR);
      // Seen without a token at 1000: that is not before 1000.
      await suite.stores.devices.expireDevices(HOUR, 2 * HOUR);
      expect(await waiting(deviceId)).toEqual(all);
      // Back in time: its time begins anew when it goes again.
      await save(deviceId, "back");
      await suite.stores.devices.removeToken("back");
      await suite.stores.devices.expireDevices(HOUR + 1, 3 * HOUR);
      expect(await waiting(deviceId)).toEqual(all);

      expect(await suite.stores.devices.expireDevices(3 * HOUR + 1, 4 * HOUR)).toBeGreaterThan(0);
      expect(await waiting(deviceId)).toEqual([0, null, 0]);
      expect(await waiting(other)).toEqual(all);
      expect(await suite.stores.devices.loadDevice(userId, deviceId)).toMatchObject({ since: "s" });
      // Nothing is looked at again.
      expect(await suite.stores.devices.expireDevices(9 * HOUR, 9 * HOUR)).toBe(0);
    });

    test("[STO-47] they go however many they are", async () => {
      const names = Array.from({ length: 120 }, (_, index) => `MANY${index}`);
      for (const name of names) {
        const userId = "@many:hs" as UserId;
        await suite.stores.devices.saveToken({
          hash: name,
          accessToken: "t",
          userId,
          deviceId: name as DeviceId,
          nowMs: 1,
        });
        await suite.stores.devices.removeToken(name);
      }
      expect(await suite.stores.devices.expireDevices(0, 10_000)).toBe(0);
      expect(await suite.stores.devices.expireDevices(10_001, 10_001)).toBe(names.length);
    });

    test("[STO-43] filters are kept by user and hash", async () => {
      await suite.stores.devices.saveFilter(ALICE, "hash", "1");
      await suite.stores.devices.saveFilter(ALICE, "hash", "2");
      expect(await suite.stores.devices.findFilter(ALICE, "hash")).toBe("2");
      expect(await suite.stores.devices.findFilter(BOB, "hash")).toBeNull();
    });
  });
}
