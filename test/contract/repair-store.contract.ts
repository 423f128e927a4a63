import { describe, expect, test } from "bun:test";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { roomMeta, userRoom } from "#test/support/stored-samples.ts";
import { room, type StoresSuite } from "./stores-suite.ts";

/** Who can read a room, and what operators asked for. */
export function describeRepairStore(suite: StoresSuite): void {
  describe("repairs", () => {
    const [DORA, ERIN] = ["@dora:example.org" as UserId, "@erin:example.org" as UserId];
    const first = 60_001;
    const joinedTo = (nid: number, userId: UserId, pos: number) => userRoom(userId, nid, { pos, membership: "join" });

    test("[STO-50] finds who can read a room, the device used last first", async () => {
      const save = (hash: string, userId: UserId, device: string, nowMs: number) =>
        suite.stores.devices.saveToken({ hash, accessToken: hash, userId, deviceId: device as DeviceId, nowMs });
      await save("d1", DORA, "D1", 20_000_000);
      await save("d2", DORA, "D2", 20_000_500);
      await save("e1", ERIN, "E1", 20_000_900);
      await suite.commit(3, (at) => ({
        rooms: [0, 1].map((n) => ({ meta: roomMeta(first + n), isNew: true })),
        userRooms: [
          joinedTo(first, DORA, at),
          joinedTo(first, ERIN, at + 1),
          userRoom(DORA, first + 1, { pos: at + 2, membership: "leave" }),
        ],
      }));
      const { roomId } = roomMeta(first);
      const readers = [
        { userId: ERIN, deviceId: "E1" as DeviceId },
        { userId: DORA, deviceId: "D2" as DeviceId },
      ];
      expect(await suite.stores.repair.readersOf(roomId, 5)).toEqual(readers);
      expect(await suite.stores.repair.readersOf(roomId, 1)).toEqual(readers.slice(0, 1));
      expect(await suite.stores.repair.readersOf(roomMeta(first + 1).roomId, 5)).toEqual([]);
      expect(await suite.stores.repair.readerFor(DORA)).toEqual({ userId: DORA, deviceId: "D2" as DeviceId });
      expect(await suite.stores.repair.readerFor("@nobody:example.org" as UserId)).toBeNull();
    });

    test("[STO-51] walks over active users in order, and over rooms that somebody is in", async () => {
      expect(await suite.stores.repair.nextUser("", 20_000_000)).toMatchObject({ userId: DORA });
      expect(await suite.stores.repair.nextUser(DORA, 20_000_000)).toMatchObject({ userId: ERIN });
      expect(await suite.stores.repair.nextUser(ERIN, 20_000_000)).toBeNull();
      expect(await suite.stores.repair.countUsers(20_000_000)).toBe(2);
      expect(await suite.stores.repair.joinedRooms(DORA)).toEqual([roomMeta(first).roomId]);
      expect(await suite.stores.repair.roomsAfter(first - 1, 5)).toEqual([
        { nid: room(first), roomId: roomMeta(first).roomId },
      ]);
      expect(await suite.stores.repair.roomsAfter(first, 5)).toEqual([]);
      expect(await suite.stores.repair.countRooms()).toBeGreaterThan(0);
    });

    test("[STO-108] tells whoever watches that somebody has asked, and nobody before", async () => {
      let asked = 0;
      const heard = Promise.withResolvers<void>();
      const isTold = await suite.stores.repair.watch(() => {
        asked += 1;
        heard.resolve();
      });
      expect(isTold).toBe(true);
      expect(asked).toBe(0);
      const id = await suite.stores.repair.ask({ kind: "all", target: "" }, 5);
      await heard.promise;
      expect(asked).toBe(1);
      const request = await suite.stores.repair.nextRequest();
      expect(request?.id).toBe(id);
      if (request !== null) await suite.stores.repair.saveRequest(request, 6);
    });

    test("[STO-52] keeps what operators ask for until it is done, and how it went", async () => {
      expect(await suite.stores.repair.nextRequest()).toBeNull();
      const id = await suite.stores.repair.ask({ kind: "room", target: "!r:hs" }, 5);
      const next = await suite.stores.repair.ask({ kind: "all", target: "" }, 6);
      const request = await suite.stores.repair.nextRequest();
      expect(request).toEqual({ id, kind: "room", target: "!r:hs", total: 0, done: 0, failed: 0, cursor: 0 });
      if (request === null) throw new Error("a request was asked for");
      await suite.stores.repair.saveRequest({ ...request, total: 3, done: 2, failed: 1, cursor: 9 }, null);
      expect(await suite.stores.repair.nextRequest()).toMatchObject({ id, cursor: 9 });
      expect(await suite.stores.repair.progress(id)).toEqual({ total: 3, done: 2, failed: 1, isEnded: false });
      await suite.stores.repair.saveRequest({ ...request, total: 3, done: 3 }, 7);
      expect(await suite.stores.repair.progress(id)).toMatchObject({ isEnded: true });
      expect(await suite.stores.repair.nextRequest()).toMatchObject({ id: next, kind: "all" });
      expect(await suite.stores.repair.progress(id + 1000)).toBeNull();
    });
  });
}
