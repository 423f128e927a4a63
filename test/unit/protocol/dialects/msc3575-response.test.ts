import { describe, expect, test } from "bun:test";
import { encodeMsc3575, encodeMsc3575Rooms, type Msc3575Response } from "#src/protocol/dialects/msc3575-response.ts";
import type { RoomEntry } from "#src/protocol/engine/room-entry.ts";
import type { RoomNid } from "#src/protocol/ids.ts";

const encoder = new TextEncoder();
const bytes = (text: string): Uint8Array => encoder.encode(text);
const nid = (value: number): RoomNid => value as RoomNid;
const written = (parts: Partial<Msc3575Response>): string =>
  new TextDecoder().decode(
    encodeMsc3575(
      { pos: "p", txnId: undefined, lists: [], rooms: [], extensions: {}, ...parts },
      (room) => `!r${room}`,
    ),
  );
const ENTRY: RoomEntry = {
  nid: nid(1),
  roomId: "!r1",
  isInitial: false,
  isDm: false,
  requiredState: [],
  timeline: [],
  notificationCount: 0,
  highlightCount: 0,
  prevBatch: null,
  numLive: 0,
  timestamp: 0,
};

describe("encodeMsc3575", () => {
  test("[ENC-1] an empty response has all its sections", () => {
    expect(written({})).toBe('{"pos":"p","lists":{},"rooms":{},"extensions":{}}\n');
  });

  test("[ENC-8] lists with each operation, and the request's transaction", () => {
    const text = written({
      txnId: 't"1',
      lists: [
        { key: "__proto__", count: 3, ops: [] },
        {
          key: "a",
          count: 2,
          ops: [
            { op: "INVALIDATE", range: [0, 1] },
            { op: "SYNC", range: [0, 0], rooms: [nid(1)] },
            { op: "DELETE", index: 1 },
            { op: "INSERT", index: 0, room: nid(2) },
          ],
        },
      ],
    });
    expect(text).toBe(
      '{"pos":"p","txn_id":"t\\"1","lists":{"__proto__":{"count":3},"a":{"count":2,"ops":[' +
        '{"op":"INVALIDATE","range":[0,1]},{"op":"SYNC","range":[0,0],"room_ids":["!r1"]},' +
        '{"op":"DELETE","index":1},{"op":"INSERT","index":0,"room_id":"!r2"}]}},"rooms":{},"extensions":{}}\n',
    );
  });

  test("[ENC-2] counts alone", () => {
    expect(written({ rooms: [{ ...ENTRY, notificationCount: 2, highlightCount: 1 }] })).toContain(
      '"rooms":{"!r1":{"notification_count":2,"highlight_count":1}}',
    );
  });

  test("[LIST-57] rooms written in pages are one object, whichever page has none", () => {
    const roomOf = (room: number): RoomEntry => ({ ...ENTRY, roomId: `!r${room}`, timeline: [bytes('{"n":1}')] });
    const rooms = [roomOf(1), roomOf(2), roomOf(3)];
    const atOnce = written({ rooms });
    for (let cut = 0; cut <= rooms.length; cut += 1) {
      const pages = [encodeMsc3575Rooms(rooms.slice(0, cut)), encodeMsc3575Rooms([])];
      expect(written({ written: pages, rooms: rooms.slice(cut) })).toBe(atOnce);
    }
  });

  test("[ENC-3] a whole room, its events byte for byte", () => {
    const event = '{"type":"m.x",  "n":12345678901234567890,"s":"\\ud800"}';
    const whole: RoomEntry = {
      ...ENTRY,
      isInitial: true,
      name: "Ä room",
      avatar: null,
      heroes: [
        { userId: "@a:hs", displayName: "A", avatarUrl: null, membership: "join" },
        { userId: "@b:hs", displayName: null, avatarUrl: "mxc://b", membership: "join" },
      ],
      isDm: true,
      joinedCount: 2,
      invitedCount: 0,
      requiredState: [bytes('{"type":"m.room.create"}')],
      timeline: [bytes(event), bytes("{}")],
      prevBatch: "b",
      isLimited: true,
      numLive: 1,
      timestamp: 5,
    };
    expect(written({ rooms: [whole] })).toContain(
      '"rooms":{"!r1":{"notification_count":0,"highlight_count":0,"initial":true,"name":"Ä room","avatar":null,' +
        '"heroes":[{"user_id":"@a:hs","displayname":"A"},{"user_id":"@b:hs","avatar_url":"mxc://b"}],"is_dm":true,' +
        '"joined_count":2,"invited_count":0,"required_state":[{"type":"m.room.create"}],' +
        `"timeline":[${event},{}],"prev_batch":"b","limited":true,"num_live":1,"timestamp":5}}`,
    );
  });

  test("[ENC-11] extensions, each where it has something to say", () => {
    const text = written({
      extensions: {
        toDevice: { nextBatch: "e_1", events: [] },
        e2ee: { otkCounts: '{"x":1}', fallbackKeyTypes: "[]", lists: { changed: ["@a:hs"], left: [] } },
        accountData: { global: [bytes("{}")], rooms: new Map([["!r1", [bytes("{}"), bytes("[]")]]]) },
        receipts: new Map([["!r1", "{}"]]),
        typing: new Map([["!r1", bytes("{}")]]),
      },
    });
    expect(text).toContain(
      '"extensions":{"to_device":{"next_batch":"e_1"},"e2ee":{"device_one_time_keys_count":{"x":1},' +
        '"device_unused_fallback_key_types":[],"device_lists":{"changed":["@a:hs"],"left":[]}},' +
        '"account_data":{"global":[{}],"rooms":{"!r1":[{},[]]}},"receipts":{"rooms":{"!r1":{}}},' +
        '"typing":{"rooms":{"!r1":{}}}}',
    );
  });

  test("[ENC-12] one part of an extension leaves the others out", () => {
    const events = [bytes('{"type":"m.a"}'), bytes('{"type":"m.b"}')];
    const extensions = {
      toDevice: { nextBatch: "e_2", events },
      e2ee: { otkCounts: null, fallbackKeyTypes: null, lists: { changed: [], left: ["@b:hs"] } },
      accountData: { global: [], rooms: new Map([["!r1", [bytes("{}")]]]) },
    };
    expect(JSON.parse(written({ extensions })).extensions).toEqual({
      to_device: { next_batch: "e_2", events: [{ type: "m.a" }, { type: "m.b" }] },
      e2ee: { device_lists: { changed: [], left: ["@b:hs"] } },
      account_data: { rooms: { "!r1": [{}] } },
    });
  });

  test("[ENC-4] a response longer than any buffer at hand", () => {
    const body = "ü€😀".repeat(30_000);
    const event = bytes(JSON.stringify({ body }));
    const parsed = JSON.parse(written({ pos: body, rooms: [{ ...ENTRY, timeline: [event, event] }] }));
    expect(parsed.pos).toBe(body);
    expect(parsed.rooms["!r1"].timeline).toEqual([{ body }, { body }]);
  });
});
