import { describe, expect, test } from "bun:test";
import type { DeviceId, RoomNid, UserId } from "#src/protocol/ids.ts";
import { jsonBytes, roomMeta, stateRowOf, storedEvent, userRoom } from "#test/support/stored-samples.ts";
import { ALICE, BOB, PHONE, room, member, type StoresSuite } from "./stores-suite.ts";

/** What sync hosts read of rooms, users and devices. */
export function describeRoomReader(suite: StoresSuite): void {
  describe("rooms", () => {
    test("[STO-20] an event comes back as it was stored, less its transaction id", async () => {
      const first = suite.head + 1;
      const events = [
        storedEvent(100, first, { txnId: "t1", prevBatch: "p_1", gapBefore: true }),
        storedEvent(100, first + 1, {
          type: "m.room.redaction",
          redacts: "$x",
          ts: 0,
          json: new Uint8Array([0x7b, 0xff, 0x00, 0x7d]),
        }),
        member(100, first + 2, BOB, { membership: "leave", prevMembership: "ban", replacesState: "$old", ts: -1.5 }),
        storedEvent(100, first + 3, { type: "", stateKey: "", sender: "@é:x", ts: Number.MAX_SAFE_INTEGER }),
      ];
      await suite.commit(4, () => ({ events }));
      const [chunk] = await suite.stores.rooms.loadTimelines([{ nid: room(100), upTo: suite.head, limit: 10 }]);
      expect(chunk).toEqual({
        nid: room(100),
        events: events.map((event) => Object.assign({}, event, { txnId: null })),
        hasMore: false,
      });
    });

    test("[STO-21] a timeline is the newest part, oldest first, at or below the position asked for", async () => {
      const first = await suite.commit(10, (at) => ({
        events: Array.from({ length: 10 }, (_, i) => storedEvent(101, at + i)),
      }));
      await suite.commit(1, (at) => ({ events: [storedEvent(101, at)] }));
      await suite.commit(1, (at) => ({
        events: [storedEvent(101, at, { type: "m.room.name", stateKey: "", inTimeline: false })],
      }));
      const read = async (upTo: number, limit: number): Promise<[positions: number[], hasMore: boolean]> => {
        const [chunk] = await suite.stores.rooms.loadTimelines([{ nid: room(101), upTo, limit }]);
        return [chunk?.events.map(({ pos }) => pos - first) ?? [], chunk?.hasMore ?? false];
      };
      expect(await read(Number.MAX_SAFE_INTEGER, 3)).toEqual([[8, 9, 10], true]);
      expect(await read(suite.head, 11)).toEqual([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], false]);
      expect(await read(suite.head, 10)).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], true]);
      expect(await read(first + 4, 2)).toEqual([[3, 4], true]);
      expect(await read(first + 4, 5)).toEqual([[0, 1, 2, 3, 4], false]);
      expect(await read(first - 1, 5)).toEqual([[], false]);
      expect(await read(suite.head, 0)).toEqual([[], true]);
    });

    test("[STO-22] a timeline is cut at its newest gap, whose event is included", async () => {
      const first = await suite.commit(3, (at) => ({ events: [0, 1, 2].map((i) => storedEvent(102, at + i)) }));
      await suite.commit(3, (at) => ({
        events: [0, 1, 2].map((i) => storedEvent(102, at + i, { gapBefore: i === 0, prevBatch: i === 0 ? "p" : null })),
      }));
      await suite.commit(1, (at) => ({ events: [storedEvent(102, at)] }));
      const read = async (upTo: number, limit: number): Promise<[positions: number[], hasMore: boolean]> => {
        const [chunk] = await suite.stores.rooms.loadTimelines([{ nid: room(102), upTo, limit }]);
        return [chunk?.events.map(({ pos }) => pos - first) ?? [], chunk?.hasMore ?? false];
      };
      expect(await read(suite.head, 50)).toEqual([[3, 4, 5, 6], false]);
      expect(await read(suite.head, 4)).toEqual([[3, 4, 5, 6], false]);
      expect(await read(suite.head, 2)).toEqual([[5, 6], true]);
      expect(await read(first + 3, 2)).toEqual([[3], false]);
      expect(await read(first + 2, 2)).toEqual([[1, 2], true]);
    });

    test("[STO-23] many timelines come in the order asked for, however many events there are", async () => {
      const big = "x".repeat(3000);
      await suite.commit(200, (at) => ({
        events: Array.from({ length: 200 }, (_, i) =>
          storedEvent(103 + (i % 2), at + i, i % 50 === 0 ? { json: jsonBytes({ big, i }) } : {}),
        ),
      }));
      const chunks = await suite.stores.rooms.loadTimelines([
        { nid: room(104), upTo: suite.head, limit: 150 },
        { nid: room(999), upTo: suite.head, limit: 5 },
        { nid: room(103), upTo: suite.head, limit: 70 },
      ]);
      expect(chunks.map(({ nid, events, hasMore }) => [nid as number, events.length, hasMore])).toEqual([
        [104, 100, false],
        [999, 0, false],
        [103, 70, true],
      ]);
      expect(chunks[2]?.events.every((event, i, all) => i === 0 || event.pos > (all[i - 1]?.pos ?? 0))).toBe(true);
    });

    test("[STO-24] state is selected by type, key and wildcards, each row once", async () => {
      await suite.commit(6, (at) => {
        const events = [
          storedEvent(110, at, { type: "m.room.name", stateKey: "", inTimeline: false }),
          member(110, at + 1, ALICE, { inTimeline: false }),
          member(110, at + 2, BOB),
          storedEvent(110, at + 3, { type: "m.space.child", stateKey: ALICE }),
          storedEvent(110, at + 4, { type: "m.space.child", stateKey: "!x" }),
          storedEvent(111, at + 5, { type: "m.room.name", stateKey: "" }),
        ];
        return { events, state: events.map((event) => stateRowOf(event)) };
      });
      const select = async (...entries: (readonly [string, string])[]): Promise<[string, string | null][]> =>
        (await suite.stores.rooms.loadState([{ nid: room(110), entries }])).map(({ type, stateKey }) => [
          type,
          stateKey,
        ]);
      const [name, alice, bob, childAlice, child] = [
        ["m.room.name", ""],
        ["m.room.member", ALICE],
        ["m.room.member", BOB],
        ["m.space.child", ALICE],
        ["m.space.child", "!x"],
      ] as [string, string][];
      expect(await select(["m.room.name", ""], ["m.room.name", ""], ["m.none", ""])).toEqual([
        name as [string, string],
      ]);
      expect(await select(["m.room.member", "*"], ["m.room.member", BOB])).toEqual([alice, bob] as [string, string][]);
      expect(await select(["*", ALICE])).toEqual([alice, childAlice] as [string, string][]);
      expect(await select(["*", "*"], ["*", ALICE])).toEqual([name, alice, bob, childAlice, child] as [
        string,
        string,
      ][]);
      const both = await suite.stores.rooms.loadState([
        { nid: room(111), entries: [["*", "*"]] },
        { nid: room(110), entries: [["m.room.name", ""]] },
      ]);
      expect(both.map(({ nid }) => nid as number)).toEqual([110, 111]);
      expect(await suite.stores.rooms.loadState([])).toEqual([]);
    });

    test("[SSS-21] state that changed after a position is selected by room, at the position of its change", async () => {
      let from = 0;
      await suite.commit(4, (at) => {
        from = at;
        const events = [
          storedEvent(112, at, { type: "m.room.name", stateKey: "", inTimeline: false }),
          storedEvent(112, at + 1, { type: "m.room.topic", stateKey: "" }),
          member(112, at + 2, BOB),
          storedEvent(113, at + 3, { type: "m.room.name", stateKey: "" }),
        ];
        return { events, state: events.map((event) => stateRowOf(event)) };
      });
      const since = async (...queries: [number, number][]): Promise<[number, string, number][]> =>
        (
          await suite.stores.rooms.loadStateSince(
            queries.map(([nid, offset]) => ({ nid: room(nid), since: from + offset })),
          )
        ).map(({ nid, type, pos }) => [nid, type, pos - from]);
      expect(await since([112, 0])).toEqual([
        [112, "m.room.topic", 1],
        [112, "m.room.member", 2],
      ]);
      expect(await since([112, 1], [113, 2])).toEqual([
        [112, "m.room.member", 2],
        [113, "m.room.name", 3],
      ]);
      expect(await since([112, 2], [999, -1])).toEqual([]);
      expect(await since()).toEqual([]);
    });

    test("[STO-25] a later receipt of the same user, thread and kind replaces the earlier", async () => {
      const receipt = { nid: room(120), userId: ALICE, eventId: "$1", threadId: "", isPrivate: false, ts: 1, pos: 1 };
      await suite.commit(1, (pos) => ({
        receipts: [
          { ...receipt, pos },
          { ...receipt, isPrivate: true, pos },
          { ...receipt, threadId: "main\0", pos },
          { ...receipt, nid: room(121), pos },
        ],
      }));
      const pos = await suite.commit(1, (at) => ({ receipts: [{ ...receipt, eventId: "$2", ts: 1.7, pos: at }] }));
      const rows = await suite.stores.rooms.loadReceipts([room(120)]);
      expect(rows).toHaveLength(3);
      expect(rows.at(-1)).toMatchObject({ eventId: "$2", threadId: "", isPrivate: false, pos });
      expect(rows.map(({ threadId }) => threadId).sort()).toEqual(["", "", "main\0"]);
    });

    test("[STO-26] account data is read by room and position", async () => {
      const row = { userId: ALICE, roomNid: 0 as const, type: "m.direct", json: jsonBytes({ a: 1 }) };
      const first = await suite.commit(3, (at) => ({
        accountData: [
          { ...row, pos: at },
          { ...row, roomNid: room(130), type: "m.tag", pos: at + 1 },
          { ...row, userId: BOB, pos: at + 2 },
        ],
      }));
      await suite.commit(1, (at) => ({ accountData: [{ ...row, json: jsonBytes({ a: 2 }), pos: at }] }));
      const read = async (nids: (RoomNid | 0)[], after: number): Promise<unknown[]> =>
        (await suite.stores.rooms.loadAccountData(ALICE, nids, after)).map(({ roomNid, type, json }) => [
          roomNid as number,
          type,
          Buffer.from(json).toString(),
        ]);
      expect(await read([0], 0)).toEqual([[0, "m.direct", '{"a":2}']]);
      expect(await read([room(130), 0], 0)).toEqual([
        [130, "m.tag", '{"a":1}'],
        [0, "m.direct", '{"a":2}'],
      ]);
      expect(await read([room(130), 0], first + 1)).toEqual([[0, "m.direct", '{"a":2}']]);
      expect(await read([], 0)).toEqual([]);
    });

    test("[STO-27] to-device messages stay until they are acknowledged", async () => {
      const message = { userId: ALICE, deviceId: PHONE, type: "m.room_key", sender: BOB };
      const first = await suite.commit(3, (at) => ({
        toDevice: [0, 1, 2].map((i) => Object.assign({ pos: at + i, json: jsonBytes({ i }) }, message)),
      }));
      const read = async (after: number, limit: number): Promise<number[]> =>
        (await suite.stores.rooms.loadToDevice(ALICE, PHONE, after, limit)).map(({ pos }) => pos - first);
      expect(await read(0, 2)).toEqual([0, 1]);
      expect(await read(first, 10)).toEqual([1, 2]);
      expect((await suite.stores.rooms.loadDevice(ALICE, PHONE)).toDevicePos).toBe(first + 2);
      await suite.stores.rooms.deleteToDevice(ALICE, PHONE, first + 1);
      await suite.stores.rooms.deleteToDevice(ALICE, "OTHER" as DeviceId, first + 2);
      expect(await read(0, 10)).toEqual([2]);
      const [left] = await suite.stores.rooms.loadToDevice(ALICE, PHONE, 0, 1);
      expect(Buffer.from(left?.json ?? []).toString()).toBe('{"i":2}');
    });

    test("[STO-28] of a device's list changes the latest of each user counts; absent key counts stay", async () => {
      const device = { userId: BOB, deviceId: PHONE };
      await suite.commit(2, (pos) => ({
        deviceLists: [
          { ...device, target: "@x:h", change: "left", pos },
          { ...device, target: "@y:h", change: "changed", pos: pos + 1 },
        ],
        deviceKeys: [{ ...device, otkCounts: '{"a":1}', fallbackKeyTypes: "[]", pos }],
      }));
      const last = await suite.commit(2, (pos) => ({
        deviceLists: [{ ...device, target: "@x:h", change: "changed", pos }],
        deviceKeys: [{ ...device, otkCounts: '{"a":2}', fallbackKeyTypes: null, pos: pos + 1 }],
      }));
      expect(await suite.stores.rooms.loadDevice(BOB, PHONE)).toEqual({
        otkCounts: '{"a":2}',
        fallbackKeyTypes: "[]",
        otkCountsPos: last + 1,
        fallbackKeyTypesPos: last - 2,
        deviceLists: [
          { target: "@y:h", change: "changed", pos: last - 1 },
          { target: "@x:h", change: "changed", pos: last },
        ],
        deviceListsFrom: 0,
        toDevicePos: 0,
        connections: [],
      });
      await suite.stores.rooms.deleteDeviceLists(BOB, PHONE, last - 1, false);
      expect((await suite.stores.rooms.loadDevice(BOB, PHONE)).deviceLists.map(({ target }) => target)).toEqual([
        "@x:h",
      ]);
    });

    test("[STO-107] from where on all changes of device lists are there is known once some were deleted for somebody", async () => {
      const device = { userId: BOB, deviceId: "tablet" as DeviceId };
      const last = await suite.commit(3, (pos) => ({
        deviceLists: [0, 1, 2].map((i) =>
          Object.assign({}, device, { target: `@u${i}:h`, change: "changed" as const, pos: pos + i }),
        ),
      }));
      const state = async (): Promise<unknown[]> => {
        const { deviceLists, deviceListsFrom } = await suite.stores.rooms.loadDevice(BOB, device.deviceId);
        return [deviceLists.map(({ target }) => target), deviceListsFrom];
      };
      await suite.stores.rooms.deleteDeviceLists(BOB, device.deviceId, last, false);
      expect(await state()).toEqual([["@u1:h", "@u2:h"], 0]);
      await suite.stores.rooms.deleteDeviceLists(BOB, device.deviceId, last + 1, true);
      expect(await state()).toEqual([["@u2:h"], last + 1]);
      await suite.stores.rooms.deleteDeviceLists(BOB, device.deviceId, last - 5, true);
      expect(await state()).toEqual([["@u2:h"], last + 1]);
      await suite.stores.rooms.deleteDeviceLists(BOB, device.deviceId, last + 2, false);
      expect(await state()).toEqual([[], last + 2]);
    });

    test("[STO-29] a user's snapshot has rooms, steering account data and fresh transaction ids", async () => {
      const carol = "@carol:example.org" as UserId;
      const own = { userId: carol, json: jsonBytes({ z: 1 }) };
      const txn = { userId: carol, deviceId: PHONE, eventId: "$mine", txnId: "t" };
      await suite.commit(1, (pos) => ({
        rooms: [141, 142].map((nid) => ({ meta: roomMeta(nid), isNew: true })),
        userRooms: [userRoom(carol, 141), userRoom(carol, 142, { membership: "leave", leftPos: 5 })],
        accountData: [
          { ...own, roomNid: 0, type: "m.direct", pos },
          { ...own, roomNid: 0, type: "m.push_rules", pos },
          { ...own, roomNid: room(141), type: "m.tag", pos },
          { ...own, roomNid: room(141), type: "m.fully_read", pos },
        ],
        txns: [
          { ...txn, nowMs: 10_000_000 },
          { ...txn, eventId: "$old", nowMs: 6_000_000 },
        ],
      }));
      suite.stores.setNow(10_000_001);
      const snapshot = await suite.stores.rooms.loadUser(carol, () => false);
      expect(snapshot.head).toBe(suite.head);
      expect(snapshot.rooms.sort((a, b) => a.standing.nid - b.standing.nid)).toEqual([
        { standing: userRoom(carol, 141), meta: roomMeta(141) },
        { standing: userRoom(carol, 142, { membership: "leave", leftPos: 5 }), meta: roomMeta(142) },
      ]);
      expect(Buffer.from(snapshot.direct ?? []).toString()).toBe('{"z":1}');
      expect(snapshot.directPos).toBe(suite.head);
      expect(snapshot.ignored).toBeNull();
      expect(snapshot.tags.map(({ nid }) => nid as number)).toEqual([141]);
      expect(snapshot.txns).toEqual([{ deviceId: PHONE, eventId: "$mine", txnId: "t" }]);
      expect((await suite.stores.rooms.loadUser("@stranger:x" as UserId, () => false)).rooms).toEqual([]);
    });

    test("[STO-35] a user is read without the metadata of rooms that the reader has", async () => {
      const dave = "@dave:x" as UserId;
      await suite.commit(1, () => ({
        rooms: [143, 144].map((nid) => ({ meta: roomMeta(nid), isNew: true })),
        userRooms: [userRoom(dave, 143), userRoom(dave, 144)],
      }));
      const { rooms } = await suite.stores.rooms.loadUser(dave, (nid) => nid === room(143));
      expect(rooms.sort((a, b) => a.standing.nid - b.standing.nid)).toEqual([
        { standing: userRoom(dave, 143), meta: null },
        { standing: userRoom(dave, 144), meta: roomMeta(144) },
      ]);
    });
  });
}
