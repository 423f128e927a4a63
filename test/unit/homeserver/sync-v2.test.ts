import { describe, expect, test } from "bun:test";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { PollBatch, PolledJoin, PolledLeave, PolledStripped } from "#src/protocol/poll-batch.ts";
import type { PieceLimits, PollOrigin } from "#src/homeserver/sync-v2.ts";
import { outlineSync, splitBatch } from "#src/homeserver/sync-v2.ts";

const ORIGIN: PollOrigin = {
  userId: "@alice:hs" as UserId,
  deviceId: "DEVICE" as DeviceId,
  isFirstSync: false,
  traceparent: null,
};
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function batchesOf(body: unknown, limits: PieceLimits = {}): PollBatch[] {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const outline = outlineSync(new TextEncoder().encode(text));
  if (typeof outline === "string") throw new Error(`unreadable: ${outline}`);
  return splitBatch(outline, ORIGIN, limits);
}

function batchOf(body: unknown): PollBatch {
  const [batch, ...more] = batchesOf(body);
  if (batch === undefined || more.length > 0) throw new Error("expected one batch");
  return batch;
}

const event = (id: string, more: Record<string, unknown> = {}) => ({
  event_id: id,
  type: "m.x",
  sender: "@a:hs",
  ...more,
});

describe("outlineSync", () => {
  test.each([
    ["", "empty body"],
    ["  \n", "empty body"],
    ["[]", "not a json object"],
    ["<html>", "not a json object"],
    ['"x"', "not a json object"],
    ['{"next_batch":"s1"', "truncated or malformed json"],
    ['{"next_batch":"s1","rooms":{"join":{"!a:hs":{', "truncated or malformed json"],
    ['{"next_batch":"s1"}}', "bytes after the end of the body"],
    ['{"next_batch":"s1"} garbage', "bytes after the end of the body"],
    [String.raw`{"next_batch":"a\u0000b"}`, "unusable next_batch"],
  ])("[SYN-1] %s is unreadable: %s", (text, reason) => {
    expect(outlineSync(new TextEncoder().encode(text))).toBe(reason);
  });

  test.each(["null", "{}", '{"next_batch":null}', '{"next_batch":5}', '{"next_batch":"","rooms":null}', "\uFEFF{}"])(
    "[SYN-2] %s is an empty poll without since",
    (text) => {
      expect(batchOf(text)).toMatchObject({ since: "", rooms: [], toDevice: [], rejected: [] });
    },
  );
});

describe("rooms", () => {
  test("[SYN-10] reads a joined room", () => {
    const body = {
      next_batch: "s2",
      rooms: {
        join: {
          "!a:hs": {
            state: { events: [event("$s", { state_key: "" })] },
            timeline: { events: [event("$1"), event("$2")], limited: true, prev_batch: "p1" },
            ephemeral: {
              events: [
                { type: "m.typing", content: { user_ids: ["@b:hs", 5, "@c:hs"] } },
                { type: "m.other", content: {} },
                {
                  type: "m.receipt",
                  content: {
                    $1: {
                      "m.read": { "@b:hs": { ts: 7 }, "@c:hs": { ts: 8, thread_id: "$t" }, "@bad:hs": 5 },
                      "m.read.private": { "@alice:hs": { ts: 9 } },
                      "m.odd": { "@d:hs": { ts: 1 } },
                    },
                  },
                },
              ],
            },
            account_data: { events: [{ type: "m.tag", content: { tags: {} } }] },
            unread_notifications: { notification_count: 3, highlight_count: 1 },
            summary: {},
          },
        },
      },
    };
    const room = batchOf(body).rooms[0] as PolledJoin;
    expect(room).toMatchObject({
      kind: "join",
      roomId: "!a:hs",
      isStateAfter: false,
      limited: true,
      prevBatch: "p1",
      notificationCount: 3,
      highlightCount: 1,
    });
    expect(room.state.map(({ id }) => id as string)).toEqual(["$s"]);
    expect(room.timeline.map(({ id }) => id as string)).toEqual(["$1", "$2"]);
    expect(room.typing?.userIds).toEqual(["@b:hs", "@c:hs"]);
    expect(decode(room.typing?.json ?? new Uint8Array())).toBe(
      JSON.stringify(body.rooms.join["!a:hs"].ephemeral.events[0]),
    );
    expect(room.receipts).toEqual([
      { userId: "@b:hs", eventId: "$1", threadId: "", isPrivate: false, ts: 7 },
      { userId: "@c:hs", eventId: "$1", threadId: "$t", isPrivate: false, ts: 8 },
      { userId: "@alice:hs", eventId: "$1", threadId: "", isPrivate: true, ts: 9 },
    ]);
    expect(room.accountData.map(({ type, json }) => [type, decode(json)])).toEqual([
      ["m.tag", '{"type":"m.tag","content":{"tags":{}}}'],
    ]);
  });

  test.each(["state_after", "org.matrix.msc4222.state_after"])("[SYN-11] %s wins over state", (name) => {
    const sections = { state: { events: [event("$old", { state_key: "" })] }, [name]: { events: [] as unknown[] } };
    const body = {
      next_batch: "s",
      rooms: {
        join: { "!a:hs": sections },
        leave: { "!b:hs": { ...sections, [name]: { events: [event("$new", { state_key: "" })] } } },
      },
    };
    const [join, leave] = batchOf(body).rooms as [PolledJoin, PolledLeave];
    expect(join).toMatchObject({ kind: "join", isStateAfter: true, state: [] });
    expect(leave).toMatchObject({ kind: "leave", isStateAfter: true });
    expect(leave.state.map(({ id }) => id as string)).toEqual(["$new"]);
  });

  test("[SYN-12] stripped state travels as it came; joins come before leaves, leaves before invites", () => {
    const text =
      '{"rooms":{"knock":{"!k:hs":{"knock_state":{"events":[ {"a" : 1}]}}},"invite":{"!i:hs":{"invite_state":{"events":[{"type":"m"} , {}]}},"!n:hs":{}},"leave":{"!l:hs":{}},"join":{"!j:hs":{}}},"next_batch":"s"}';
    const { rooms } = batchOf(text);
    expect(rooms.map(({ kind, roomId }) => `${kind} ${roomId}`)).toEqual([
      "join !j:hs",
      "leave !l:hs",
      "invite !i:hs",
      "invite !n:hs",
      "knock !k:hs",
    ]);
    expect(rooms.slice(2).map((room) => decode((room as PolledStripped).stripped))).toEqual([
      '[{"type":"m"} , {}]',
      "[]",
      '[ {"a" : 1}]',
    ]);
  });

  test("[SYN-13] a refused first event takes its prev_batch along", () => {
    const room = (events: unknown[]) =>
      batchOf({
        next_batch: "s",
        rooms: { join: { "!a:hs": { timeline: { events, limited: true, prev_batch: "p" } } } },
      }).rooms[0] as PolledJoin;
    expect(room([{ bad: 1 }, event("$1")])).toMatchObject({ prevBatch: null, limited: true });
    expect(room([event("$1"), { bad: 1 }])).toMatchObject({ prevBatch: "p", limited: true });
    expect(room([])).toMatchObject({ prevBatch: null, limited: true });
  });

  test("[SYN-44] an empty prev_batch is none", () => {
    const timeline = { events: [event("$1")], limited: false, prev_batch: "" };
    expect(batchOf({ next_batch: "s", rooms: { join: { "!a:hs": { timeline } } } }).rooms[0]).toMatchObject({
      prevBatch: null,
    });
  });

  test("[SYN-14] a room or section listed twice counts as it is listed last", () => {
    const text =
      '{"next_batch":"s0","rooms":{"join":{"!x:hs":{}}},"rooms":{"join":{"!a:hs":{"timeline":{"events":[]}},"!a:hs":{"timeline":{"limited":true}}}},"next_batch":"s1"}';
    const batch = batchOf(text);
    expect(batch.since).toBe("s1");
    expect(batch.rooms).toMatchObject([{ roomId: "!a:hs", limited: true }]);
  });
});

describe("what is refused", () => {
  test("[SYN-20] one bad event, section or room costs just that", () => {
    const text = `{"next_batch":"s","rooms":{"join":{
      "not a room":{"timeline":{"events":[]}},
      "!string:hs":"x",
      "!broken:hs":{"timeline" {}},
      "!section:hs":{"state":5,"timeline":{"events":[{"event_id":"$1","type":"m.x"}]},"account_data":{"events":[{"type":5},{"type":"ok"}]}},
      "!list:hs":{"timeline":{"events":[{"event_id":"$2","type":"m.x"} {"event_id":"$3","type":"m.x"}]}},
      "!ephemeral:hs":{"ephemeral":{"events":[{"type":"m.typing"},{"type":"m.receipt","content":{"$1":5}},7]}},
      "!good:hs":{"timeline":{"events":[{"x":1},{"event_id":"$4","type":"m.x"}]}}},
      "invite":{"!invite:hs":{"invite_state":{"events":[tru]}}}}}`;
    const { since, rooms, rejected } = batchOf(text);
    expect(since).toBe("s");
    expect(rooms.map(({ roomId }) => roomId as string)).toEqual([
      "!section:hs",
      "!list:hs",
      "!ephemeral:hs",
      "!good:hs",
    ]);
    expect(rejected.map(({ roomId, section, reason }) => `${roomId} ${section}: ${reason}`).sort()).toEqual([
      "!broken:hs join: malformed json",
      "!ephemeral:hs join.ephemeral: malformed json",
      "!ephemeral:hs join.ephemeral: no content",
      "!good:hs join.timeline: no event id",
      "!invite:hs invite.invite_state: malformed json",
      "!list:hs join.timeline: malformed json",
      "!section:hs join.account_data: malformed event",
      "!section:hs join.state: malformed json",
      "!string:hs join: not an object",
      "null join: bad room id",
    ]);
    expect((rooms[3] as PolledJoin).timeline.map(({ id }) => id as string)).toEqual(["$4"]);
  });

  test("[SYN-21] samples and entries are bounded, the count is not", () => {
    const events = Array.from({ length: 500 }, () => ({ x: "y".repeat(5000) }));
    const { rejected } = batchOf({ next_batch: "s", rooms: { join: { "!a:hs": { timeline: { events } } } } });
    expect(rejected).toHaveLength(100);
    expect(Buffer.from(rejected[0]?.sample ?? "", "base64")).toHaveLength(2048);
  });
});

describe("the rest", () => {
  test("[SYN-30] reads to-device, device lists, keys and account data", () => {
    const text = String.raw`{"next_batch":"s","to_device":{"events":[ {"type":"m.room.encrypted","sender":"@b:hs","content":{"n":1.0}},{"type":"\u0000"},{"x":1},5]},"device_lists":{"changed":["@b:hs",5],"left":["@c:hs"]},"device_one_time_keys_count":{"signed_curve25519" : 50},"org.matrix.msc2732.device_unused_fallback_key_types":["signed_curve25519"],"account_data":{"events":[{"type":"m.direct","content":{}}]}}`;
    const batch = batchOf(text);
    expect(batch.toDevice.map(({ type, sender, json }) => [type, sender, decode(json)])).toEqual([
      ["m.room.encrypted", "@b:hs", '{"type":"m.room.encrypted","sender":"@b:hs","content":{"n":1.0}}'],
      ["\uFFFD", "", String.raw`{"type":"\u0000"}`],
      ["", "", '{"x":1}'],
    ]);
    expect(batch).toMatchObject({
      deviceListsChanged: ["@b:hs"],
      deviceListsLeft: ["@c:hs"],
      otkCounts: '{"signed_curve25519" : 50}',
      fallbackKeyTypes: '["signed_curve25519"]',
    });
    expect(batch.accountData.map(({ type }) => type)).toEqual(["m.direct"]);
    expect(batch.rejected.map(({ section }) => section)).toEqual(["to_device"]);
  });

  test("[SYN-31] an empty list of fallback keys says something, empty key counts do not", () => {
    const body = { next_batch: "s", device_one_time_keys_count: {}, device_unused_fallback_key_types: [] };
    expect(batchOf(body)).toMatchObject({ otkCounts: null, fallbackKeyTypes: "[]" });
    expect(batchOf({ next_batch: "s" })).toMatchObject({ otkCounts: null, fallbackKeyTypes: null });
    expect(batchOf({ next_batch: "s", device_unused_fallback_key_types: null })).toMatchObject({
      fallbackKeyTypes: null,
    });
  });

  test("[SYN-32] several batches: whole rooms, everything else with the last", () => {
    const join = Object.fromEntries(
      Array.from({ length: 10 }, (_, i) => [`!${i}:hs`, { timeline: { events: [event(`$${i}`)] } }]),
    );
    const body = {
      next_batch: "s",
      rooms: { join },
      to_device: { events: [{ type: "t" }] },
      account_data: { events: [{ type: "a" }] },
    };
    const batches = batchesOf(body, { pieceBytes: 200 });
    expect(batches.length).toBeGreaterThan(2);
    expect(batches.flatMap(({ rooms }) => rooms.map(({ roomId }) => roomId as string))).toEqual(Object.keys(join));
    const last = batches.pop();
    expect(last).toMatchObject({ since: "s", toDevice: [{ type: "t" }], accountData: [{ type: "a" }] });
    for (const batch of batches) expect(batch).toMatchObject({ since: null, toDevice: [], accountData: [] });
  });

  test("[SYN-45] each batch with rooms says where their timelines end", () => {
    const join = Object.fromEntries(
      Array.from({ length: 4 }, (_, i) => [`!${i}:hs`, { timeline: { events: [event(`$${i}`)] } }]),
    );
    const ends = (body: unknown): unknown[] => batchesOf(body, { pieceBytes: 100 }).map(({ roomsEnd }) => roomsEnd);
    expect(new Set(ends({ next_batch: "s", rooms: { join } }))).toEqual(new Set(["s"]));
    expect(ends({ next_batch: "s" })).toEqual([undefined]);
    expect(new Set(ends({ rooms: { join } }))).toEqual(new Set([undefined]));
  });
});
