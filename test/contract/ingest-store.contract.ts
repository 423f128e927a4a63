import { describe, expect, test } from "bun:test";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomId } from "#src/protocol/ids.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import { jsonBytes, roomMeta, stateRowOf, storedEvent, transaction, userRoom } from "#test/support/stored-samples.ts";
import { ALICE, BOB, PHONE, room, ids, member, type StoresSuite } from "./stores-suite.ts";

/** What ingest reads and commits. */
export function describeIngestStore(suite: StoresSuite): void {
  describe("ingest", () => {
    test("[STO-1] a new database begins at 0 and has an epoch", async () => {
      const loaded = await suite.stores.ingest.loadHead();
      expect(loaded).toMatchObject({ head: 0, maxRoomNid: 0 });
      expect(loaded.epoch.length).toBeGreaterThan(8);
      expect(await suite.stores.rooms.loadHead()).toBe(0);
    });

    test("[STO-2] head and highest room move with the commit", async () => {
      await suite.commit(3, () => ({ rooms: [{ meta: roomMeta(7), isNew: true }] }));
      expect(await suite.stores.ingest.loadHead()).toMatchObject({ head: suite.head, maxRoomNid: 7 });
      expect(await suite.stores.rooms.loadHead()).toBe(suite.head);
    });

    test("[STO-3] repeating a commit changes nothing and succeeds", async () => {
      suite.head += 1;
      const tx = transaction(suite.head, {
        rooms: [{ meta: roomMeta(8), isNew: true }],
        events: [storedEvent(8, suite.head)],
        toDevice: [
          {
            userId: ALICE,
            deviceId: "REPEAT" as DeviceId,
            type: "m.x",
            sender: BOB,
            pos: suite.head,
            json: jsonBytes({}),
          },
        ],
      });
      await suite.stores.ingest.commit(tx);
      await suite.stores.ingest.commit(tx);
      expect(await suite.stores.ingest.loadHead()).toMatchObject({ head: suite.head });
      expect(await suite.stores.rooms.loadToDevice(ALICE, "REPEAT" as DeviceId, 0, 10)).toHaveLength(1);
      const [chunk] = await suite.stores.rooms.loadTimelines([{ nid: room(8), upTo: suite.head, limit: 10 }]);
      expect(chunk?.events).toHaveLength(1);
    });

    test("[STO-4] the head never moves back", async () => {
      const refused: unknown = await suite.stores.ingest
        .commit(transaction(suite.head - 1))
        .catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: "internal" });
      expect(await suite.stores.rooms.loadHead()).toBe(suite.head);
    });

    test("[STO-123] sticky events are stored with their poll, come back as they were until they expire, and are emptied by a redaction", async () => {
      const odd = "$odd\0\ud800:example.org" as EventId;
      const sticky = (nid: number, pos: number, expiresMs: number, parts: Partial<StickyEvent> = {}): StickyEvent => ({
        nid: room(nid),
        id: `$sticky-${pos}` as EventId,
        sender: ALICE,
        pos,
        expiresMs,
        json: jsonBytes({ pos, text: 'quoted " \\ {},NULL' }),
        ...parts,
      });
      const first = await suite.commit(4, (at) => ({
        sticky: [
          sticky(31, at, 5000),
          sticky(31, at + 1, 9000, { id: odd, sender: "@\ud800:x" }),
          sticky(32, at + 2, 9000),
          sticky(33, at + 3, 9000),
        ],
      }));
      const read = async (nids: number[], afterMs: number): Promise<StickyEvent[]> =>
        suite.stores.rooms.loadSticky(nids.map(room), afterMs);
      expect(await read([31, 32], 0)).toEqual([
        sticky(31, first, 5000),
        sticky(31, first + 1, 9000, { id: odd, sender: "@\ud800:x" }),
        sticky(32, first + 2, 9000),
      ]);
      expect((await read([31, 32], 5000)).map(({ pos }) => pos)).toEqual([first + 1, first + 2]);
      expect(await read([31], 9000)).toEqual([]);
      expect(await read([], 0)).toEqual([]);
      await suite.commit(1, (at) => ({
        sticky: [sticky(32, at, 9000, { id: `$sticky-${first + 2}` as EventId, json: new Uint8Array(0) })],
      }));
      expect(await read([32], 0)).toMatchObject([{ pos: first + 4, json: new Uint8Array(0) }]);
      const known = await suite.stores.ingest.loadStickyIds([room(31), room(32)], 5000);
      expect(known.toSorted((a, b) => a.nid - b.nid)).toEqual([
        {
          nid: room(31),
          id: odd,
          sender: "@\ud800:x",
          expiresMs: 9000,
          sizeBytes: sticky(31, first + 1, 0).json.length,
        },
        { nid: room(32), id: `$sticky-${first + 2}` as EventId, sender: ALICE, expiresMs: 9000, sizeBytes: 0 },
      ]);
      expect(await suite.stores.ingest.loadStickyIds([], 0)).toEqual([]);
    });

    test("[STO-5] rooms are found by id, with their newest metadata", async () => {
      const odd = "!odd\0\ud800\u001a:example.org" as RoomId;
      await suite.commit(1, () => ({
        rooms: [
          { meta: roomMeta(20, { name: "Old" }), isNew: true },
          { meta: roomMeta(21, { roomId: odd, name: 'quoted " \\ \0 {},NULL' }), isNew: true },
        ],
      }));
      await suite.commit(1, () => ({ rooms: [{ meta: roomMeta(20, { name: "New", joinedCount: 5 }), isNew: false }] }));
      const wanted = [roomMeta(20).roomId, odd, "!unknown:example.org" as RoomId];
      for (const found of [await suite.stores.ingest.loadRooms(wanted), await suite.stores.rooms.loadRooms(wanted)]) {
        expect(found.sort((a, b) => a.nid - b.nid)).toEqual([
          roomMeta(20, { name: "New", joinedCount: 5 }),
          roomMeta(21, { roomId: odd, name: 'quoted " \\ \0 {},NULL' }),
        ]);
      }
      expect(await suite.stores.rooms.loadRooms([])).toEqual([]);
    });

    test("[STO-6] known events are told from unknown ones", async () => {
      await suite.commit(3, (first) => ({
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
      expect(await suite.stores.ingest.knownEvents(asked)).toEqual(
        new Set(["$known-timeline", "$known-state", "$knöwn"] as EventId[]),
      );
      expect(await suite.stores.ingest.knownEvents([])).toEqual(new Set());
    });

    test("[STO-7] current state is replaced row by row", async () => {
      const first = await suite.commit(4, (at) => {
        const events = [
          storedEvent(40, at, { type: "m.room.name", stateKey: "", inTimeline: false }),
          member(40, at + 1, ALICE, { inTimeline: false }),
          member(40, at + 2, BOB, { inTimeline: false, membership: "invite" }),
          storedEvent(40, at + 3, { type: "odd\0type", stateKey: "\ud800" }),
        ];
        return { events, state: events.map((event) => stateRowOf(event)) };
      });
      const changed = await suite.commit(1, (at) => {
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
      const rows = await suite.stores.ingest.loadState(keys);
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
      const first = await suite.commit(2, (at) => {
        const old = storedEvent(45, at, { type: "m.room.topic", stateKey: "", inTimeline: false });
        return {
          events: [old, storedEvent(45, at + 1, { type: "m.room.topic", stateKey: "" })],
          state: [stateRowOf(old)],
        };
      });
      const newer = storedEvent(45, first + 1, { type: "m.room.topic", stateKey: "" });
      await suite.commit(1, (at) => ({ state: [stateRowOf(newer, { pos: at })] }));
      const back = await suite.commit(1, (at) => ({
        state: [stateRowOf(storedEvent(45, first, { type: "m.room.topic", stateKey: "" }), { pos: at })],
      }));
      const keys = [{ nid: room(45), type: "m.room.topic", stateKey: "" }];
      expect(await suite.stores.ingest.loadState(keys)).toMatchObject([{ pos: back, eventId: `$event-45-${first}` }]);
      expect(ids(await suite.stores.rooms.loadState([{ nid: room(45), entries: [["m.room.topic", ""]] }]))).toEqual([
        `$event-45-${first}`,
      ]);
    });

    test("[STO-53] all rows of a room are read, and a repair takes away what it names", async () => {
      const name = (at: number) => storedEvent(46, at, { type: "m.room.name", stateKey: "" });
      const first = await suite.commit(2, (at) => {
        const joined = member(46, at + 1, ALICE);
        return { events: [name(at), joined], state: [stateRowOf(name(at)), stateRowOf(joined)] };
      });
      const rows = await suite.stores.ingest.loadRoomState(room(46));
      expect(
        rows.sort((a, b) => b.pos - a.pos).map((row) => [row.type, row.stateKey, row.pos, row.membership]),
      ).toEqual([
        ["m.room.member", ALICE, first + 1, "join"],
        ["m.room.name", "", first, null],
      ]);
      await suite.commit(1, (at) => ({
        repairs: [{ nid: room(46), pos: at, removed: [{ type: "m.room.name", stateKey: "" }] }],
      }));
      expect(await suite.stores.ingest.loadRoomState(room(46))).toMatchObject([{ type: "m.room.member" }]);
      expect(await suite.stores.ingest.loadRoomState(room(4_600))).toEqual([]);
    });

    test("[STO-9] heroes come in order of membership, up to the limit, and only joined and invited ones", async () => {
      await suite.commit(6, (at) => {
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
      const heroes = await suite.stores.ingest.loadHeroEvents([room(50), room(51), room(52), room(50)], 2);
      expect(heroes.map(({ nid, stateKey }) => [nid as number, stateKey])).toEqual([
        [50, "@b:x"],
        [50, "@c:x"],
        [51, "@f:x"],
      ]);
    });

    test("[STO-12] a redacted event is written over in its place, its neighbours and its row of state stay", async () => {
      const first = await suite.commit(4, (at) => {
        const events = [
          storedEvent(55, at, { id: "$before" as EventId }),
          storedEvent(55, at + 1, { id: "$target" as EventId, prevBatch: "p", gapBefore: true }),
          storedEvent(55, at + 2, { id: "$after" as EventId }),
          storedEvent(55, at + 3, { id: "$name" as EventId, type: "m.room.name", stateKey: "", inTimeline: false }),
        ];
        return { events, state: events.slice(3).map((event) => stateRowOf(event)) };
      });
      const asked = ["$target", "$name", "$nowhere"] as EventId[];
      const found = await suite.stores.ingest.loadEvents(asked);
      expect(ids(found).sort()).toEqual(["$name", "$target"]);
      const json = jsonBytes({ redacted: "x".repeat(5000) });
      const tx = await (async () => {
        suite.head += 1;
        const made = transaction(suite.head, { redacted: found.map((event) => ({ ...event, json })) });
        await suite.stores.ingest.commit(made);
        return made;
      })();
      await suite.stores.ingest.commit(tx);
      expect((await suite.stores.ingest.loadEvents(asked)).map((event) => event.json)).toEqual([json, json]);
      const [chunk] = await suite.stores.rooms.loadTimelines([{ nid: room(55), upTo: suite.head, limit: 10 }]);
      expect(ids(chunk?.events ?? [])).toEqual(["$target", "$after"]);
      expect(chunk?.events[0]).toEqual({ ...(found.find(({ id }) => id === "$target") as StoredEvent), json });
      expect(chunk?.events[1]?.json).toEqual(storedEvent(55, first + 2, { id: "$after" as EventId }).json);
      const state = await suite.stores.rooms.loadState([{ nid: room(55), entries: [["m.room.name", ""]] }]);
      expect(state.map((event) => event.json)).toEqual([json]);
      expect(await suite.stores.ingest.knownEvents(asked)).toEqual(new Set(asked.slice(0, 2)));
    });

    test("[STO-67] an event that moves is gone from its place and found in its new one; its neighbours stay", async () => {
      const first = await suite.commit(4, (at) => {
        const events = [
          storedEvent(56, at, { id: "$m0" as EventId, gapBefore: true }),
          storedEvent(56, at + 1, { id: "$m1" as EventId, type: "m.room.name", stateKey: "" }),
          storedEvent(56, at + 2, { id: "$m2" as EventId }),
        ];
        return { events, state: events.slice(1, 2).map((event) => stateRowOf(event)) };
      });
      const alone = await suite.commit(1, (at) => ({ events: [storedEvent(56, at, { id: "$m3" as EventId })] }));
      const asked = ["$m1", "$m3"] as EventId[];
      const moved = await suite.stores.ingest.loadEvents(asked);
      expect(moved.map(({ pos }) => pos).sort((a, b) => a - b)).toEqual([first + 1, alone]);
      await suite.commit(2, (at) => {
        const events = moved.map((event, index) => ({ ...event, pos: at + index }));
        const named = events.filter(({ id }) => (id as string) === "$m1");
        return { events, moved, state: named.map((event) => stateRowOf(event)) };
      });
      const query = [{ nid: room(56), upTo: suite.head, limit: 10 }];
      for (const read of [suite.stores.rooms, suite.stores.ingest]) {
        const [chunk] = await read.loadTimelines(query);
        expect(ids(chunk?.events ?? [])).toEqual(["$m0", "$m2", ...ids(moved)]);
        expect(chunk?.hasMore).toBe(false);
      }
      expect((await suite.stores.ingest.loadEvents(asked)).every(({ pos }) => pos > alone)).toBe(true);
      expect(await suite.stores.ingest.knownEvents(asked)).toEqual(new Set(asked));
      const state = await suite.stores.rooms.loadState([{ nid: room(56), entries: [["m.room.name", ""]] }]);
      expect(ids(state)).toEqual(["$m1"]);
    });

    test("[STO-68] stays that began at a position or later are found by room", async () => {
      await suite.commit(1, () => ({
        userRooms: [
          userRoom(ALICE, 57, { joinPos: 4 }),
          userRoom(BOB, 57, { joinPos: 5 }),
          userRoom("@left:x", 57, { joinPos: 6, leftPos: 7, membership: "leave" }),
          userRoom(BOB, 58, { joinPos: 9 }),
        ],
      }));
      const found = await suite.stores.ingest.loadStays([{ nid: room(57), from: 5 }]);
      expect(found.map(({ userId, nid }) => [userId as string, nid as number])).toEqual([[BOB, 57]]);
      expect(await suite.stores.ingest.loadStays([])).toEqual([]);
    });

    test("[STO-69] a token comes back with where the stream stood when it was stored", async () => {
      const device = { userId: BOB, deviceId: "PLACED" as DeviceId };
      await suite.commit(1, () => ({ sinces: [{ ...device, since: "s7", pos: 7 }] }));
      expect(await suite.stores.ingest.loadSinces([device])).toEqual([{ ...device, since: "s7", pos: 7 }]);
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
      await suite.commit(1, () => ({
        userRooms: [userRoom(ALICE, 61), full, userRoom(BOB, 60, { stripped: new Uint8Array() })],
      }));
      const [found] = await suite.stores.ingest.loadUserRooms([{ userId: ALICE, nid: room(60) }]);
      expect(found).toEqual(full);
      await suite.commit(1, () => ({ userRooms: [userRoom(ALICE, 60)] }));
      const pairs = [
        { userId: ALICE, nid: room(60) },
        { userId: BOB, nid: room(60) },
        { userId: BOB, nid: room(61) },
      ];
      const rows = await suite.stores.ingest.loadUserRooms(pairs);
      expect(rows.sort((a, b) => a.userId.localeCompare(b.userId))).toEqual([
        userRoom(ALICE, 60),
        userRoom(BOB, 60, { stripped: new Uint8Array() }),
      ]);
    });

    test("[STO-11] users are known by their devices", async () => {
      await suite.commit(1, () => ({ sinces: [{ userId: BOB, deviceId: PHONE, since: "s1", pos: 1 }] }));
      expect(await suite.stores.ingest.knownUsers([BOB, "@nobody:example.org", BOB])).toEqual(new Set([BOB]));
      expect(await suite.stores.ingest.knownUsers([])).toEqual(new Set());
    });
  });
}
