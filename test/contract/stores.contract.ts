import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { ConnId, DeviceId, EventId, RoomId, RoomNid, UserId } from "#src/protocol/ids.ts";
import type { RepairStore } from "#src/ports/repair.ts";
import type { ConnectionStore, DeviceStore, IngestStore, RoomReader } from "#src/ports/stores.ts";
import { jsonBytes, roomMeta, stateRowOf, storedEvent, transaction, userRoom } from "#test/support/stored-samples.ts";

/** A loaded machine takes its time to start a database server. */
const SERVER_START_LIMIT_MS = 60_000;

/** The stores under test, over an empty database. */
export interface StoresUnderTest {
  ingest: IngestStore;
  rooms: RoomReader;
  connections: ConnectionStore;
  devices: DeviceStore;
  repair: RepairStore;
  /** What the clock of the stores shows. */
  setNow(nowMs: number): void;
  close(): Promise<void>;
}

const ALICE = "@alice:example.org" as UserId;
const BOB = "@bob:example.org" as UserId;
const PHONE = "PHONE" as DeviceId;
const room = (nid: number): RoomNid => nid as RoomNid;
const ids = (events: readonly StoredEvent[]): string[] => events.map(({ id }) => id);
const member = (nid: number, pos: number, userId: string, overrides: Partial<StoredEvent> = {}): StoredEvent =>
  storedEvent(nid, pos, { type: "m.room.member", stateKey: userId, sender: userId, membership: "join", ...overrides });

/** What every implementation of the stores does. Tests of a group share one database and use rooms of their own. */
export function describeStoresContract(name: string, open: () => Promise<StoresUnderTest>): void {
  describe(`stores: ${name}`, () => {
    let stores: StoresUnderTest;
    let head = 0;
    const commit = async (
      count: number,
      parts: (first: number) => Parameters<typeof transaction>[1],
    ): Promise<number> => {
      const first = head + 1;
      head += count;
      await stores.ingest.commit(transaction(head, parts(first)));
      return first;
    };

    beforeAll(async () => {
      stores = await open();
      head = (await stores.ingest.loadHead()).head;
    }, SERVER_START_LIMIT_MS);
    afterAll(() => stores.close());

    describe("ingest", () => {
      test("[STO-1] a new database begins at 0 and has an epoch", async () => {
        const loaded = await stores.ingest.loadHead();
        expect(loaded).toMatchObject({ head: 0, maxRoomNid: 0 });
        expect(loaded.epoch.length).toBeGreaterThan(8);
        expect(await stores.rooms.loadHead()).toBe(0);
      });

      test("[STO-2] head and highest room move with the commit", async () => {
        await commit(3, () => ({ rooms: [{ meta: roomMeta(7), isNew: true }] }));
        expect(await stores.ingest.loadHead()).toMatchObject({ head, maxRoomNid: 7 });
        expect(await stores.rooms.loadHead()).toBe(head);
      });

      test("[STO-3] repeating a commit changes nothing and succeeds", async () => {
        head += 1;
        const tx = transaction(head, {
          rooms: [{ meta: roomMeta(8), isNew: true }],
          events: [storedEvent(8, head)],
          toDevice: [
            { userId: ALICE, deviceId: "REPEAT" as DeviceId, type: "m.x", sender: BOB, pos: head, json: jsonBytes({}) },
          ],
        });
        await stores.ingest.commit(tx);
        await stores.ingest.commit(tx);
        expect(await stores.ingest.loadHead()).toMatchObject({ head });
        expect(await stores.rooms.loadToDevice(ALICE, "REPEAT" as DeviceId, 0, 10)).toHaveLength(1);
        const [chunk] = await stores.rooms.loadTimelines([{ nid: room(8), upTo: head, limit: 10 }]);
        expect(chunk?.events).toHaveLength(1);
      });

      test("[STO-4] the head never moves back", async () => {
        const refused: unknown = await stores.ingest.commit(transaction(head - 1)).catch((error: unknown) => error);
        expect(refused).toMatchObject({ code: "internal" });
        expect(await stores.rooms.loadHead()).toBe(head);
      });

      test("[STO-5] rooms are found by id, with their newest metadata", async () => {
        const odd = "!odd\0\ud800\u001a:example.org" as RoomId;
        await commit(1, () => ({
          rooms: [
            { meta: roomMeta(20, { name: "Old" }), isNew: true },
            { meta: roomMeta(21, { roomId: odd, name: 'quoted " \\ \0 {},NULL' }), isNew: true },
          ],
        }));
        await commit(1, () => ({ rooms: [{ meta: roomMeta(20, { name: "New", joinedCount: 5 }), isNew: false }] }));
        const wanted = [roomMeta(20).roomId, odd, "!unknown:example.org" as RoomId];
        for (const found of [await stores.ingest.loadRooms(wanted), await stores.rooms.loadRooms(wanted)]) {
          expect(found.sort((a, b) => a.nid - b.nid)).toEqual([
            roomMeta(20, { name: "New", joinedCount: 5 }),
            roomMeta(21, { roomId: odd, name: 'quoted " \\ \0 {},NULL' }),
          ]);
        }
        expect(await stores.rooms.loadRooms([])).toEqual([]);
      });

      test("[STO-6] known events are told from unknown ones", async () => {
        await commit(3, (first) => ({
          events: [
            storedEvent(30, first, { id: "$known-timeline" as EventId }),
            storedEvent(30, first + 1, {
              id: "$known-state" as EventId,
              stateKey: "",
              type: "m.room.name",
              inTimeline: false,
            }),
            storedEvent(31, first + 2, { id: "$knöwn" as EventId }),
          ],
        }));
        const asked = ["$known-timeline", "$known-state", "$knöwn", "$unknown", "$known"] as EventId[];
        expect(await stores.ingest.knownEvents(asked)).toEqual(
          new Set(["$known-timeline", "$known-state", "$knöwn"] as EventId[]),
        );
        expect(await stores.ingest.knownEvents([])).toEqual(new Set());
      });

      test("[STO-7] current state is replaced row by row", async () => {
        const first = await commit(4, (at) => {
          const events = [
            storedEvent(40, at, { type: "m.room.name", stateKey: "", inTimeline: false }),
            member(40, at + 1, ALICE, { inTimeline: false }),
            member(40, at + 2, BOB, { inTimeline: false, membership: "invite" }),
            storedEvent(40, at + 3, { type: "odd\0type", stateKey: "\ud800" }),
          ];
          return { events, state: events.map((event) => stateRowOf(event)) };
        });
        const changed = await commit(1, (at) => {
          const event = member(40, at, BOB);
          return { events: [event], state: [stateRowOf(event)] };
        });
        const keys = [
          { nid: room(40), type: "m.room.name", stateKey: "" },
          { nid: room(40), type: "m.room.member", stateKey: BOB },
          { nid: room(40), type: "odd\0type", stateKey: "\ud800" },
          { nid: room(40), type: "m.room.topic", stateKey: "" },
          { nid: room(41), type: "m.room.name", stateKey: "" },
        ];
        const rows = await stores.ingest.loadState(keys);
        expect(rows.sort((a, b) => a.pos - b.pos)).toEqual([
          {
            nid: room(40),
            type: "m.room.name",
            stateKey: "",
            pos: first,
            membership: null,
            ts: storedEvent(40, first).ts,
            eventId: `$event-40-${first}`,
          },
          {
            nid: room(40),
            type: "odd\0type",
            stateKey: "\ud800",
            pos: first + 3,
            membership: null,
            ts: storedEvent(40, first + 3).ts,
            eventId: `$event-40-${first + 3}`,
          },
          {
            nid: room(40),
            type: "m.room.member",
            stateKey: BOB,
            pos: changed,
            membership: "join",
            ts: storedEvent(40, changed).ts,
            eventId: `$event-40-${changed}`,
          },
        ]);
      });

      test("[STO-8] state may fall back to an event that was stored before", async () => {
        const first = await commit(2, (at) => {
          const old = storedEvent(45, at, { type: "m.room.topic", stateKey: "", inTimeline: false });
          return {
            events: [old, storedEvent(45, at + 1, { type: "m.room.topic", stateKey: "" })],
            state: [stateRowOf(old)],
          };
        });
        const newer = storedEvent(45, first + 1, { type: "m.room.topic", stateKey: "" });
        await commit(1, (at) => ({ state: [stateRowOf(newer, { pos: at })] }));
        const back = await commit(1, (at) => ({
          state: [stateRowOf(storedEvent(45, first, { type: "m.room.topic", stateKey: "" }), { pos: at })],
        }));
        const keys = [{ nid: room(45), type: "m.room.topic", stateKey: "" }];
        expect(await stores.ingest.loadState(keys)).toMatchObject([{ pos: back, eventId: `$event-45-${first}` }]);
        expect(ids(await stores.rooms.loadState([{ nid: room(45), entries: [["m.room.topic", ""]] }]))).toEqual([
          `$event-45-${first}`,
        ]);
      });

      test("[STO-53] all rows of a room are read, and a repair takes away what it names", async () => {
        const name = (at: number) => storedEvent(46, at, { type: "m.room.name", stateKey: "" });
        const first = await commit(2, (at) => {
          const joined = member(46, at + 1, ALICE);
          return { events: [name(at), joined], state: [stateRowOf(name(at)), stateRowOf(joined)] };
        });
        const rows = await stores.ingest.loadRoomState(room(46));
        expect(
          rows.sort((a, b) => b.pos - a.pos).map((row) => [row.type, row.stateKey, row.pos, row.membership]),
        ).toEqual([
          ["m.room.member", ALICE, first + 1, "join"],
          ["m.room.name", "", first, null],
        ]);
        await commit(1, (at) => ({
          repairs: [{ nid: room(46), pos: at, removed: [{ type: "m.room.name", stateKey: "" }] }],
        }));
        expect(await stores.ingest.loadRoomState(room(46))).toMatchObject([{ type: "m.room.member" }]);
        expect(await stores.ingest.loadRoomState(room(4_600))).toEqual([]);
      });

      test("[STO-9] heroes come in order of membership, up to the limit, and only joined and invited ones", async () => {
        await commit(6, (at) => {
          const events = [
            member(50, at, "@a:x", { membership: "leave" }),
            member(50, at + 1, "@b:x"),
            member(50, at + 2, "@c:x", { membership: "invite" }),
            member(50, at + 3, "@d:x", { membership: "ban" }),
            member(50, at + 4, "@e:x"),
            member(51, at + 5, "@f:x"),
          ];
          return { events, state: events.map((event) => stateRowOf(event)) };
        });
        const heroes = await stores.ingest.loadHeroEvents([room(50), room(51), room(52), room(50)], 2);
        expect(heroes.map(({ nid, stateKey }) => [nid as number, stateKey])).toEqual([
          [50, "@b:x"],
          [50, "@c:x"],
          [51, "@f:x"],
        ]);
      });

      test("[STO-12] a redacted event is written over in its place, its neighbours and its row of state stay", async () => {
        const first = await commit(4, (at) => {
          const events = [
            storedEvent(55, at, { id: "$before" as EventId }),
            storedEvent(55, at + 1, { id: "$target" as EventId, prevBatch: "p", gapBefore: true }),
            storedEvent(55, at + 2, { id: "$after" as EventId }),
            storedEvent(55, at + 3, { id: "$name" as EventId, type: "m.room.name", stateKey: "", inTimeline: false }),
          ];
          return { events, state: events.slice(3).map((event) => stateRowOf(event)) };
        });
        const asked = ["$target", "$name", "$nowhere"] as EventId[];
        const found = await stores.ingest.loadEvents(asked);
        expect(ids(found).sort()).toEqual(["$name", "$target"]);
        const json = jsonBytes({ redacted: "x".repeat(5000) });
        const tx = await (async () => {
          head += 1;
          const made = transaction(head, { redacted: found.map((event) => ({ ...event, json })) });
          await stores.ingest.commit(made);
          return made;
        })();
        await stores.ingest.commit(tx);
        expect((await stores.ingest.loadEvents(asked)).map((event) => event.json)).toEqual([json, json]);
        const [chunk] = await stores.rooms.loadTimelines([{ nid: room(55), upTo: head, limit: 10 }]);
        expect(ids(chunk?.events ?? [])).toEqual(["$target", "$after"]);
        expect(chunk?.events[0]).toEqual({ ...(found.find(({ id }) => id === "$target") as StoredEvent), json });
        expect(chunk?.events[1]?.json).toEqual(storedEvent(55, first + 2, { id: "$after" as EventId }).json);
        const state = await stores.rooms.loadState([{ nid: room(55), entries: [["m.room.name", ""]] }]);
        expect(state.map((event) => event.json)).toEqual([json]);
        expect(await stores.ingest.knownEvents(asked)).toEqual(new Set(asked.slice(0, 2)));
      });

      test("[STO-10] standings keep every field", async () => {
        const full = userRoom(ALICE, 60, {
          membership: "invite",
          memberPos: 3,
          memberSender: BOB,
          joinPos: 2,
          leftPos: 9,
          stripped: new Uint8Array([0, 1, 255]),
          isDirect: true,
          notificationCount: 4,
          highlightCount: 2,
          pos: 9,
        });
        await commit(1, () => ({
          userRooms: [userRoom(ALICE, 61), full, userRoom(BOB, 60, { stripped: new Uint8Array() })],
        }));
        const [found] = await stores.ingest.loadUserRooms([{ userId: ALICE, nid: room(60) }]);
        expect(found).toEqual(full);
        await commit(1, () => ({ userRooms: [userRoom(ALICE, 60)] }));
        const pairs = [
          { userId: ALICE, nid: room(60) },
          { userId: BOB, nid: room(60) },
          { userId: BOB, nid: room(61) },
        ];
        const rows = await stores.ingest.loadUserRooms(pairs);
        expect(rows.sort((a, b) => a.userId.localeCompare(b.userId))).toEqual([
          userRoom(ALICE, 60),
          userRoom(BOB, 60, { stripped: new Uint8Array() }),
        ]);
      });

      test("[STO-11] users are known by their devices", async () => {
        await commit(1, () => ({ sinces: [{ userId: BOB, deviceId: PHONE, since: "s1" }] }));
        expect(await stores.ingest.knownUsers([BOB, "@nobody:example.org", BOB])).toEqual(new Set([BOB]));
        expect(await stores.ingest.knownUsers([])).toEqual(new Set());
      });
    });

    describe("rooms", () => {
      test("[STO-20] an event comes back as it was stored, less its transaction id", async () => {
        const first = head + 1;
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
        await commit(4, () => ({ events }));
        const [chunk] = await stores.rooms.loadTimelines([{ nid: room(100), upTo: head, limit: 10 }]);
        expect(chunk).toEqual({
          nid: room(100),
          events: events.map((event) => Object.assign({}, event, { txnId: null })),
          hasMore: false,
        });
      });

      test("[STO-21] a timeline is the newest part, oldest first, at or below the position asked for", async () => {
        const first = await commit(10, (at) => ({
          events: Array.from({ length: 10 }, (_, i) => storedEvent(101, at + i)),
        }));
        await commit(1, (at) => ({ events: [storedEvent(101, at)] }));
        await commit(1, (at) => ({
          events: [storedEvent(101, at, { type: "m.room.name", stateKey: "", inTimeline: false })],
        }));
        const read = async (upTo: number, limit: number): Promise<[positions: number[], hasMore: boolean]> => {
          const [chunk] = await stores.rooms.loadTimelines([{ nid: room(101), upTo, limit }]);
          return [chunk?.events.map(({ pos }) => pos - first) ?? [], chunk?.hasMore ?? false];
        };
        expect(await read(Number.MAX_SAFE_INTEGER, 3)).toEqual([[8, 9, 10], true]);
        expect(await read(head, 11)).toEqual([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], false]);
        expect(await read(head, 10)).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], true]);
        expect(await read(first + 4, 2)).toEqual([[3, 4], true]);
        expect(await read(first + 4, 5)).toEqual([[0, 1, 2, 3, 4], false]);
        expect(await read(first - 1, 5)).toEqual([[], false]);
        expect(await read(head, 0)).toEqual([[], true]);
      });

      test("[STO-22] a timeline is cut at its newest gap, whose event is included", async () => {
        const first = await commit(3, (at) => ({ events: [0, 1, 2].map((i) => storedEvent(102, at + i)) }));
        await commit(3, (at) => ({
          events: [0, 1, 2].map((i) =>
            storedEvent(102, at + i, { gapBefore: i === 0, prevBatch: i === 0 ? "p" : null }),
          ),
        }));
        await commit(1, (at) => ({ events: [storedEvent(102, at)] }));
        const read = async (upTo: number, limit: number): Promise<[positions: number[], hasMore: boolean]> => {
          const [chunk] = await stores.rooms.loadTimelines([{ nid: room(102), upTo, limit }]);
          return [chunk?.events.map(({ pos }) => pos - first) ?? [], chunk?.hasMore ?? false];
        };
        expect(await read(head, 50)).toEqual([[3, 4, 5, 6], false]);
        expect(await read(head, 4)).toEqual([[3, 4, 5, 6], false]);
        expect(await read(head, 2)).toEqual([[5, 6], true]);
        expect(await read(first + 3, 2)).toEqual([[3], false]);
        expect(await read(first + 2, 2)).toEqual([[1, 2], true]);
      });

      test("[STO-23] many timelines come in the order asked for, however many events there are", async () => {
        const big = "x".repeat(3000);
        await commit(200, (at) => ({
          events: Array.from({ length: 200 }, (_, i) =>
            storedEvent(103 + (i % 2), at + i, i % 50 === 0 ? { json: jsonBytes({ big, i }) } : {}),
          ),
        }));
        const chunks = await stores.rooms.loadTimelines([
          { nid: room(104), upTo: head, limit: 150 },
          { nid: room(999), upTo: head, limit: 5 },
          { nid: room(103), upTo: head, limit: 70 },
        ]);
        expect(chunks.map(({ nid, events, hasMore }) => [nid as number, events.length, hasMore])).toEqual([
          [104, 100, false],
          [999, 0, false],
          [103, 70, true],
        ]);
        expect(chunks[2]?.events.every((event, i, all) => i === 0 || event.pos > (all[i - 1]?.pos ?? 0))).toBe(true);
      });

      test("[STO-24] state is selected by type, key and wildcards, each row once", async () => {
        await commit(6, (at) => {
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
          (await stores.rooms.loadState([{ nid: room(110), entries }])).map(({ type, stateKey }) => [type, stateKey]);
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
        expect(await select(["m.room.member", "*"], ["m.room.member", BOB])).toEqual([alice, bob] as [
          string,
          string,
        ][]);
        expect(await select(["*", ALICE])).toEqual([alice, childAlice] as [string, string][]);
        expect(await select(["*", "*"], ["*", ALICE])).toEqual([name, alice, bob, childAlice, child] as [
          string,
          string,
        ][]);
        const both = await stores.rooms.loadState([
          { nid: room(111), entries: [["*", "*"]] },
          { nid: room(110), entries: [["m.room.name", ""]] },
        ]);
        expect(both.map(({ nid }) => nid as number)).toEqual([110, 111]);
        expect(await stores.rooms.loadState([])).toEqual([]);
      });

      test("[STO-25] a later receipt of the same user, thread and kind replaces the earlier", async () => {
        const receipt = { nid: room(120), userId: ALICE, eventId: "$1", threadId: "", isPrivate: false, ts: 1, pos: 1 };
        await commit(1, (pos) => ({
          receipts: [
            { ...receipt, pos },
            { ...receipt, isPrivate: true, pos },
            { ...receipt, threadId: "main\0", pos },
            { ...receipt, nid: room(121), pos },
          ],
        }));
        const pos = await commit(1, (at) => ({ receipts: [{ ...receipt, eventId: "$2", ts: 1.7, pos: at }] }));
        const rows = await stores.rooms.loadReceipts([room(120)]);
        expect(rows).toHaveLength(3);
        expect(rows.at(-1)).toMatchObject({ eventId: "$2", threadId: "", isPrivate: false, pos });
        expect(rows.map(({ threadId }) => threadId).sort()).toEqual(["", "", "main\0"]);
      });

      test("[STO-26] account data is read by room and position", async () => {
        const row = { userId: ALICE, roomNid: 0 as const, type: "m.direct", json: jsonBytes({ a: 1 }) };
        const first = await commit(3, (at) => ({
          accountData: [
            { ...row, pos: at },
            { ...row, roomNid: room(130), type: "m.tag", pos: at + 1 },
            { ...row, userId: BOB, pos: at + 2 },
          ],
        }));
        await commit(1, (at) => ({ accountData: [{ ...row, json: jsonBytes({ a: 2 }), pos: at }] }));
        const read = async (nids: (RoomNid | 0)[], after: number): Promise<unknown[]> =>
          (await stores.rooms.loadAccountData(ALICE, nids, after)).map(({ roomNid, type, json }) => [
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
        const first = await commit(3, (at) => ({
          toDevice: [0, 1, 2].map((i) => Object.assign({ pos: at + i, json: jsonBytes({ i }) }, message)),
        }));
        const read = async (after: number, limit: number): Promise<number[]> =>
          (await stores.rooms.loadToDevice(ALICE, PHONE, after, limit)).map(({ pos }) => pos - first);
        expect(await read(0, 2)).toEqual([0, 1]);
        expect(await read(first, 10)).toEqual([1, 2]);
        expect((await stores.rooms.loadDevice(ALICE, PHONE)).toDevicePos).toBe(first + 2);
        await stores.rooms.deleteToDevice(ALICE, PHONE, first + 1);
        await stores.rooms.deleteToDevice(ALICE, "OTHER" as DeviceId, first + 2);
        expect(await read(0, 10)).toEqual([2]);
        const [left] = await stores.rooms.loadToDevice(ALICE, PHONE, 0, 1);
        expect(Buffer.from(left?.json ?? []).toString()).toBe('{"i":2}');
      });

      test("[STO-28] of a device's list changes the latest of each user counts; absent key counts stay", async () => {
        const device = { userId: BOB, deviceId: PHONE };
        await commit(2, (pos) => ({
          deviceLists: [
            { ...device, target: "@x:h", change: "left", pos },
            { ...device, target: "@y:h", change: "changed", pos: pos + 1 },
          ],
          deviceKeys: [{ ...device, otkCounts: '{"a":1}', fallbackKeyTypes: "[]", pos }],
        }));
        const last = await commit(2, (pos) => ({
          deviceLists: [{ ...device, target: "@x:h", change: "changed", pos }],
          deviceKeys: [{ ...device, otkCounts: '{"a":2}', fallbackKeyTypes: null, pos: pos + 1 }],
        }));
        expect(await stores.rooms.loadDevice(BOB, PHONE)).toEqual({
          otkCounts: '{"a":2}',
          fallbackKeyTypes: "[]",
          otkCountsPos: last + 1,
          fallbackKeyTypesPos: last - 2,
          deviceLists: [
            { target: "@y:h", change: "changed", pos: last - 1 },
            { target: "@x:h", change: "changed", pos: last },
          ],
          toDevicePos: 0,
          connections: [],
        });
        await stores.rooms.deleteDeviceLists(BOB, PHONE, last - 1);
        expect((await stores.rooms.loadDevice(BOB, PHONE)).deviceLists.map(({ target }) => target)).toEqual(["@x:h"]);
      });

      test("[STO-29] a user's snapshot has rooms, steering account data and fresh transaction ids", async () => {
        const carol = "@carol:example.org" as UserId;
        const own = { userId: carol, json: jsonBytes({ z: 1 }) };
        const txn = { userId: carol, deviceId: PHONE, eventId: "$mine", txnId: "t" };
        await commit(1, (pos) => ({
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
        stores.setNow(10_000_001);
        const snapshot = await stores.rooms.loadUser(carol, () => false);
        expect(snapshot.head).toBe(head);
        expect(snapshot.rooms.sort((a, b) => a.standing.nid - b.standing.nid)).toEqual([
          { standing: userRoom(carol, 141), meta: roomMeta(141) },
          { standing: userRoom(carol, 142, { membership: "leave", leftPos: 5 }), meta: roomMeta(142) },
        ]);
        expect(Buffer.from(snapshot.direct ?? []).toString()).toBe('{"z":1}');
        expect(snapshot.ignored).toBeNull();
        expect(snapshot.tags.map(({ nid }) => nid as number)).toEqual([141]);
        expect(snapshot.txns).toEqual([{ deviceId: PHONE, eventId: "$mine", txnId: "t" }]);
        expect((await stores.rooms.loadUser("@stranger:x" as UserId, () => false)).rooms).toEqual([]);
      });

      test("[STO-35] a user is read without the metadata of rooms that the reader has", async () => {
        const dave = "@dave:x" as UserId;
        await commit(1, () => ({
          rooms: [143, 144].map((nid) => ({ meta: roomMeta(nid), isNew: true })),
          userRooms: [userRoom(dave, 143), userRoom(dave, 144)],
        }));
        const { rooms } = await stores.rooms.loadUser(dave, (nid) => nid === room(143));
        expect(rooms.sort((a, b) => a.standing.nid - b.standing.nid)).toEqual([
          { standing: userRoom(dave, 143), meta: null },
          { standing: userRoom(dave, 144), meta: roomMeta(144) },
        ]);
      });
    });

    describe("devices", () => {
      test("[STO-40] the token proven last is the one of the device", async () => {
        const save = (hash: string, accessToken: string, nowMs: number): Promise<void> =>
          stores.devices.saveToken({ hash, accessToken, userId: ALICE, deviceId: "D40" as DeviceId, nowMs });
        await save("h1", "secret one", 1000);
        await save("h2", "secret two", 2000);
        const load = () => stores.devices.loadDevice(ALICE, "D40" as DeviceId);
        expect(await load()).toMatchObject({
          accessToken: "secret two",
          tokenHash: "h2",
          lastSeenMs: 2000,
          since: null,
        });
        await save("h1", "secret one", 1500);
        expect(await load()).toMatchObject({ accessToken: "secret one", tokenHash: "h1" });
        expect(await stores.devices.findToken("h2")).toEqual({
          userId: ALICE,
          deviceId: "D40" as DeviceId,
          lastSeenMs: 2000,
          isNewest: false,
        });
        expect(await stores.devices.findToken("h1")).toMatchObject({ lastSeenMs: 2000 - 500, isNewest: true });
        await stores.devices.removeToken("h1");
        expect(await load()).toMatchObject({ accessToken: "secret two" });
        await stores.devices.removeToken("h2");
        expect(await load()).toMatchObject({ accessToken: null, tokenHash: null });
        expect(await stores.devices.findToken("h1")).toBeNull();
        expect(await stores.devices.loadDevice(ALICE, "NONE" as DeviceId)).toBeNull();
      });

      test("[STO-41] since moves with the commit and survives a new token", async () => {
        const deviceId = "D41" as DeviceId;
        await stores.devices.saveToken({ hash: "h41", accessToken: "a", userId: ALICE, deviceId, nowMs: 1 });
        await commit(1, () => ({ sinces: [{ userId: ALICE, deviceId, since: "s_1" }] }));
        await stores.ingest.commit(transaction(head, { sinces: [{ userId: ALICE, deviceId, since: "s_2\0'" }] }));
        await stores.devices.saveToken({ hash: "h41b", accessToken: "b", userId: ALICE, deviceId, nowMs: 2 });
        expect(await stores.devices.loadDevice(ALICE, deviceId)).toMatchObject({ since: "s_2\0'", accessToken: "b" });
      });

      test("[STO-42] devices are listed by their last use, newest first", async () => {
        const userId = "@lister:example.org" as UserId;
        for (const [hash, device, nowMs] of [
          ["l1", "L1", 9_000_000],
          ["l2", "L2", 9_000_500],
          ["l3", "L3", 9_000_200],
        ] as const) {
          await stores.devices.saveToken({ hash, accessToken: hash, userId, deviceId: device as DeviceId, nowMs });
        }
        await stores.devices.touchToken("l1", 9_000_900);
        await stores.devices.touchToken("l1", 9_000_100);
        await stores.devices.touchToken("unknown", 9_000_100);
        const listed = await stores.devices.listDevices(9_000_400);
        expect(listed.map(({ deviceId, lastSeenMs }) => [deviceId as string, lastSeenMs])).toEqual([
          ["L1", 9_000_900],
          ["L2", 9_000_500],
        ]);
      });

      test("[STO-44] tokens that nobody used go, devices and how far they are polled stay", async () => {
        const old = await stores.devices.expireTokens(0);
        expect(old).toEqual([]);
        const [userId, deviceId] = ["@stale:hs" as UserId, "STALE" as DeviceId];
        await stores.devices.saveToken({ hash: "stale", accessToken: "t", userId, deviceId, nowMs: -10 });
        expect(await stores.devices.expireTokens(0)).toEqual([{ tokenHash: "stale", userId, deviceId }]);
        expect(await stores.devices.findToken("stale")).toBeNull();
        expect(await stores.devices.loadDevice(userId, deviceId)).toMatchObject({ userId, accessToken: null });
      });

      test("[STO-46] what waits for a device goes when it has had no token for long, never sooner, and nobody else's", async () => {
        const [userId, other] = ["@gone:hs" as UserId, "OTHER" as DeviceId];
        const deviceId = "GONE" as DeviceId;
        const save = (device: DeviceId, hash: string): Promise<void> =>
          stores.devices.saveToken({ hash, accessToken: "t", userId, deviceId: device, nowMs: 1 });
        await save(deviceId, "gone");
        await save(other, "other");
        const owners = [deviceId, other].map((device) => ({ userId, deviceId: device }));
        const pos = await commit(2, (first) => ({
          sinces: owners.map((owner) => ({ ...owner, since: "s" })),
          toDevice: owners.map((owner) => ({ ...owner, type: "m.x", sender: BOB, pos: first, json: jsonBytes({}) })),
          deviceLists: owners.map((owner) => ({ ...owner, target: BOB, change: "changed" as const, pos: first })),
          deviceKeys: owners.map((owner) => ({ ...owner, otkCounts: "{}", fallbackKeyTypes: "[]", pos: first })),
        }));
        const waiting = async (device: DeviceId): Promise<unknown[]> => {
          const { deviceLists, otkCounts, toDevicePos } = await stores.rooms.loadDevice(userId, device);
          return [deviceLists.length, otkCounts, toDevicePos];
        };
        const all = [1, "{}", pos];
        const HOUR = 1000;

        await stores.devices.removeToken("gone");
        await stores.devices.expireDevices(0, HOUR);
        // Seen without a token at 1000: that is not before 1000.
        await stores.devices.expireDevices(HOUR, 2 * HOUR);
        expect(await waiting(deviceId)).toEqual(all);
        // Back in time: its time begins anew when it goes again.
        await save(deviceId, "back");
        await stores.devices.removeToken("back");
        await stores.devices.expireDevices(HOUR + 1, 3 * HOUR);
        expect(await waiting(deviceId)).toEqual(all);

        expect(await stores.devices.expireDevices(3 * HOUR + 1, 4 * HOUR)).toBeGreaterThan(0);
        expect(await waiting(deviceId)).toEqual([0, null, 0]);
        expect(await waiting(other)).toEqual(all);
        expect(await stores.devices.loadDevice(userId, deviceId)).toMatchObject({ since: "s" });
        // Nothing is looked at again.
        expect(await stores.devices.expireDevices(9 * HOUR, 9 * HOUR)).toBe(0);
      });

      test("[STO-47] they go however many they are", async () => {
        const names = Array.from({ length: 120 }, (_, index) => `MANY${index}`);
        for (const name of names) {
          const userId = "@many:hs" as UserId;
          await stores.devices.saveToken({
            hash: name,
            accessToken: "t",
            userId,
            deviceId: name as DeviceId,
            nowMs: 1,
          });
          await stores.devices.removeToken(name);
        }
        expect(await stores.devices.expireDevices(0, 10_000)).toBe(0);
        expect(await stores.devices.expireDevices(10_001, 10_001)).toBe(names.length);
      });

      test("[STO-43] filters are kept by user and hash", async () => {
        await stores.devices.saveFilter(ALICE, "hash", "1");
        await stores.devices.saveFilter(ALICE, "hash", "2");
        expect(await stores.devices.findFilter(ALICE, "hash")).toBe("2");
        expect(await stores.devices.findFilter(BOB, "hash")).toBeNull();
      });
    });

    describe("repairs", () => {
      const [DORA, ERIN] = ["@dora:example.org" as UserId, "@erin:example.org" as UserId];
      const first = 60_001;
      const joinedTo = (nid: number, userId: UserId, pos: number) => userRoom(userId, nid, { pos, membership: "join" });

      test("[STO-50] finds who can read a room, the device used last first", async () => {
        const save = (hash: string, userId: UserId, device: string, nowMs: number) =>
          stores.devices.saveToken({ hash, accessToken: hash, userId, deviceId: device as DeviceId, nowMs });
        await save("d1", DORA, "D1", 20_000_000);
        await save("d2", DORA, "D2", 20_000_500);
        await save("e1", ERIN, "E1", 20_000_900);
        await commit(3, (at) => ({
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
        expect(await stores.repair.readersOf(roomId, 5)).toEqual(readers);
        expect(await stores.repair.readersOf(roomId, 1)).toEqual(readers.slice(0, 1));
        expect(await stores.repair.readersOf(roomMeta(first + 1).roomId, 5)).toEqual([]);
        expect(await stores.repair.readerFor(DORA)).toEqual({ userId: DORA, deviceId: "D2" as DeviceId });
        expect(await stores.repair.readerFor("@nobody:example.org" as UserId)).toBeNull();
      });

      test("[STO-51] walks over active users in order, and over rooms that somebody is in", async () => {
        expect(await stores.repair.nextUser("", 20_000_000)).toMatchObject({ userId: DORA });
        expect(await stores.repair.nextUser(DORA, 20_000_000)).toMatchObject({ userId: ERIN });
        expect(await stores.repair.nextUser(ERIN, 20_000_000)).toBeNull();
        expect(await stores.repair.countUsers(20_000_000)).toBe(2);
        expect(await stores.repair.joinedRooms(DORA)).toEqual([roomMeta(first).roomId]);
        expect(await stores.repair.roomsAfter(first - 1, 5)).toEqual([
          { nid: room(first), roomId: roomMeta(first).roomId },
        ]);
        expect(await stores.repair.roomsAfter(first, 5)).toEqual([]);
        expect(await stores.repair.countRooms()).toBeGreaterThan(0);
      });

      test("[STO-52] keeps what operators ask for until it is done, and how it went", async () => {
        expect(await stores.repair.nextRequest()).toBeNull();
        const id = await stores.repair.ask({ kind: "room", target: "!r:hs" }, 5);
        const next = await stores.repair.ask({ kind: "all", target: "" }, 6);
        const request = await stores.repair.nextRequest();
        expect(request).toEqual({ id, kind: "room", target: "!r:hs", total: 0, done: 0, failed: 0, cursor: 0 });
        if (request === null) throw new Error("a request was asked for");
        await stores.repair.saveRequest({ ...request, total: 3, done: 2, failed: 1, cursor: 9 }, null);
        expect(await stores.repair.nextRequest()).toMatchObject({ id, cursor: 9 });
        expect(await stores.repair.progress(id)).toEqual({ total: 3, done: 2, failed: 1, isEnded: false });
        await stores.repair.saveRequest({ ...request, total: 3, done: 3 }, 7);
        expect(await stores.repair.progress(id)).toMatchObject({ isEnded: true });
        expect(await stores.repair.nextRequest()).toMatchObject({ id: next, kind: "all" });
        expect(await stores.repair.progress(id + 1000)).toBeNull();
      });
    });

    describe("connections", () => {
      const connection = (connId: string, overrides: Partial<Parameters<ConnectionStore["save"]>[0]> = {}) => ({
        userId: ALICE,
        deviceId: PHONE,
        connId: connId as ConnId,
        incarnation: "i1",
        params: '{"lists":{}}',
        cursors: "[]",
        toDevicePos: null,
        deviceListsPos: null,
        lastUsedMs: 1000,
        ...overrides,
      });

      test("[STO-64] a device knows how far its connections have read", async () => {
        const deviceId = "READER" as DeviceId;
        await stores.connections.save(connection("a", { deviceId, toDevicePos: 7 }));
        await stores.connections.save(connection("b", { deviceId, deviceListsPos: 2 ** 40 }));
        await stores.connections.save(connection("a", { deviceId, toDevicePos: 9, deviceListsPos: 3 }));
        const { connections } = await stores.rooms.loadDevice(ALICE, deviceId);
        expect(connections.toSorted((a, b) => (a.connId < b.connId ? -1 : 1))).toEqual([
          { connId: "a" as ConnId, toDevicePos: 9, deviceListsPos: 3 },
          { connId: "b" as ConnId, toDevicePos: null, deviceListsPos: 2 ** 40 },
        ]);
        expect(await stores.connections.load(ALICE, deviceId, "b" as ConnId)).toEqual(
          connection("b", { deviceId, deviceListsPos: 2 ** 40 }),
        );
      });

      test("[STO-60] a connection is kept, replaced and removed", async () => {
        const load = (connId: string) => stores.connections.load(ALICE, PHONE, connId as ConnId);
        expect(await load("c")).toBeNull();
        await stores.connections.save(connection("c"));
        await stores.connections.save(connection("c", { cursors: '{"quote":"\'\\""}', lastUsedMs: 2000 }));
        expect(await load("c")).toEqual(connection("c", { cursors: '{"quote":"\'\\""}', lastUsedMs: 2000 }));
        await stores.connections.delete(ALICE, PHONE, "c" as ConnId);
        expect(await load("c")).toBeNull();
      });

      test("[STO-65] new parameters leave what else is stored of the same incarnation", async () => {
        const load = () => stores.connections.load(ALICE, PHONE, "p" as ConnId);
        await stores.connections.save(connection("p", { cursors: null }));
        expect(await load()).toEqual(connection("p", { cursors: null }));
        await stores.connections.save(connection("p", { cursors: "[1]" }));
        await stores.connections.save(connection("p", { params: "{}", cursors: null }));
        expect(await load()).toEqual(connection("p", { params: "{}", cursors: "[1]" }));
        await Promise.all(
          ["[2]", null].map((cursors) => stores.connections.save(connection("p", { params: `${cursors}`, cursors }))),
        );
        expect(await load()).toEqual(connection("p", { params: "null", cursors: "[2]" }));
        await stores.connections.save(connection("p", { incarnation: "i2", cursors: null }));
        expect(await load()).toEqual(connection("p", { incarnation: "i2", cursors: null }));
      });

      test("[STO-61] of saves at the same time the last one wins, and all are stored", async () => {
        const saves = Array.from({ length: 1200 }, (_, i) =>
          stores.connections.save(connection(`many-${i % 600}`, { cursors: String(i) })),
        );
        await Promise.all(saves);
        expect((await stores.connections.load(ALICE, PHONE, "many-599" as ConnId))?.cursors).toBe("1199");
        expect((await stores.connections.load(ALICE, PHONE, "many-0" as ConnId))?.cursors).toBe("600");
      });

      test("[STO-62] connections that nobody uses expire", async () => {
        await stores.connections.expire(Number.MAX_SAFE_INTEGER, 1);
        await stores.connections.save(connection("old", { lastUsedMs: 10 }));
        await stores.connections.save(connection("new", { lastUsedMs: 20 }));
        expect(await stores.connections.expire(20, 10)).toBe(1);
        expect(await stores.connections.load(ALICE, PHONE, "old" as ConnId)).toBeNull();
        expect(await stores.connections.load(ALICE, PHONE, "new" as ConnId)).not.toBeNull();
      });

      test("[STO-63] a device keeps the connections it used last", async () => {
        await stores.connections.expire(Number.MAX_SAFE_INTEGER, 1);
        for (const [index, name] of ["first", "second", "third"].entries()) {
          await stores.connections.save(connection(name, { lastUsedMs: 10 + index }));
        }
        expect(await stores.connections.expire(0, 2)).toBe(1);
        expect(await stores.connections.load(ALICE, PHONE, "first" as ConnId)).toBeNull();
        expect(await stores.connections.load(ALICE, PHONE, "third" as ConnId)).not.toBeNull();
      });
    });
  });
}
