import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { UserId } from "#src/protocol/ids.ts";
import { INGEST } from "#actors/addresses.ts";
import { type RigResponse, SyncRig } from "#test/support/sync-rig.ts";

const encoder = new TextEncoder();
const LIST = { ranges: [[0, 0]], sort: ["by_recency"], timeline_limit: 10 };
/** Longer than anything in a test takes. */
const PATIENT_MS = 600_000;
const ON = { enabled: true };

let rig: SyncRig;
let alice: UserId;
let bob: UserId;

beforeEach(async () => {
  rig = await SyncRig.start();
  alice = await rig.addUser("alice");
  bob = await rig.addUser("bob");
  for (const room of ["!c", "!b", "!a"]) {
    const state = rig.roomState(bob, [bob, alice], room);
    const timeline = [rig.event("m.room.message", bob, { body: `first of ${room}` }, { id: `$first${room}` })];
    for (const user of [bob, alice]) await rig.poll(user, [rig.join(room, { state, timeline })]);
  }
});

afterEach(() => rig.stop());

const datum = (type: string, content: Record<string, unknown>) => ({
  type,
  json: encoder.encode(JSON.stringify({ type, content })),
});
const typing = (...userIds: string[]) => ({
  json: encoder.encode(JSON.stringify({ type: "m.typing", content: { user_ids: userIds } })),
  userIds,
});
const receipt = (
  userId: string,
  eventId: string,
  more: { threadId?: string; isPrivate?: boolean; ts?: number } = {},
) => ({
  userId,
  eventId,
  threadId: "",
  isPrivate: false,
  ts: 1,
  ...more,
});
const say = (body: string, room = "!a"): Promise<void> =>
  rig.poll(bob, [rig.join(room, { timeline: [rig.event("m.room.message", bob, { body })] })]);
/** Bob types, or nobody. */
const types = (room: string, ...userIds: string[]): Promise<void> =>
  rig.poll(bob, [rig.join(room, { typing: typing(...userIds) })]);

const ask = (
  pos: string | null,
  extensions: Record<string, unknown>,
  more: Record<string, unknown> = {},
  timeoutMs = 0,
): Promise<RigResponse> =>
  rig.sync(alice, pos === null ? { lists: { all: LIST }, extensions, ...more } : { extensions, ...more }, {
    pos,
    timeoutMs,
  });
const roomsOf = (response: RigResponse, name: string): Record<string, unknown> =>
  (response.extensions[name]?.["rooms"] ?? {}) as Record<string, unknown>;
const typists = (response: RigResponse): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(roomsOf(response, "typing")).map(([roomId, event]) => [
      roomId,
      (event as { content: { user_ids: string[] } }).content.user_ids,
    ]),
  );

describe("extensions", () => {
  test("[EXT-1] say nothing unless they are enabled, and nothing any more once they are disabled", async () => {
    const first = await ask(null, { typing: {}, account_data: { enabled: false }, receipts: { enabled: null } });
    await rig.poll(alice, [], { accountData: [datum("m.a", {})] });
    await types("!a", bob);
    const second = await ask(first.pos, {});
    expect(second.extensions).toEqual({});
    const third = await ask(second.pos, { typing: { enabled: true, lists: ["all"] } });
    expect(typists(third)).toEqual({ "!a": [bob] });
    const fourth = await ask(third.pos, { typing: { enabled: false } });
    await types("!a");
    expect((await ask(fourth.pos, {})).extensions).toEqual({});
  });

  test("[EXT-2] rooms are in scope by list, by name, or by subscription; unknown names are ignored", async () => {
    const scope = async (lists: unknown, rooms: unknown, more: Record<string, unknown> = {}): Promise<string[]> => {
      const { pos } = await ask(null, { typing: { enabled: true, lists, rooms } }, more);
      for (const room of ["!a", "!b", "!c"]) await types(room, bob, String(typed++));
      return Object.keys(typists(await ask(pos, {}))).sort();
    };
    let typed = 0;
    // In view: !a by the list's window, !c by subscription.
    const subscribed = { room_subscriptions: { "!c": { timeline_limit: 1 } } };
    expect(await scope(undefined, undefined, subscribed)).toEqual(["!a", "!c"]);
    expect(await scope(null, null, subscribed)).toEqual(["!a", "!c"]);
    expect(await scope(["all"], [], subscribed)).toEqual(["!a"]);
    expect(await scope([], ["*"], subscribed)).toEqual(["!c"]);
    expect(await scope([], ["!b"], subscribed)).toEqual(["!b"]);
    expect(await scope([], [], subscribed)).toEqual([]);
    expect(await scope(["nonsense", "all"], ["!nonsense", "!b"])).toEqual(["!a", "!b"]);
    // A star means all of them in the first place only.
    expect(await scope(["nonsense", "*"], ["!b", "*"], subscribed)).toEqual(["!b"]);
  });

  test("[EXT-3] what a request does not mention of an extension stays", async () => {
    const first = await ask(null, { typing: { enabled: true, lists: [], rooms: ["!b"] } });
    const second = await ask(first.pos, { typing: { enabled: false } });
    const third = await ask(second.pos, { typing: { enabled: true, lists: null, rooms: null } });
    await types("!a", bob);
    await types("!b", bob);
    expect(typists(await ask(third.pos, {}))).toEqual({ "!b": [bob] });
  });

  test("[EXT-4] one that is enabled late begins with what its client lacks", async () => {
    await rig.poll(alice, [rig.join("!a", { accountData: [datum("m.room", { a: 1 })] })], {
      accountData: [datum("m.global", { g: 1 })],
    });
    await rig.poll(bob, [rig.join("!a", { receipts: [receipt(bob, "$first!a")] })]);
    const first = await ask(null, {});
    const second = await ask(first.pos, { account_data: ON, receipts: ON });
    expect(second.extensions["account_data"]).toEqual({
      global: [{ type: "m.global", content: { g: 1 } }],
      rooms: { "!a": [{ type: "m.room", content: { a: 1 } }] },
    });
    expect(Object.keys(roomsOf(second, "receipts"))).toEqual(["!a"]);
    expect(second.rooms).toEqual({});
    expect((await ask(second.pos, {})).extensions).toEqual({});
  });

  test("[EXT-5] a request waits while its extensions have nothing to say, and no longer", async () => {
    const all = { account_data: ON, receipts: ON, typing: ON, e2ee: ON, to_device: ON };
    const news: (() => Promise<void>)[] = [
      () => types("!a", bob),
      () => rig.poll(bob, [rig.join("!a", { receipts: [receipt(bob, "$first!a")] })]),
      () => rig.poll(alice, [rig.join("!a", { accountData: [datum("m.tag", { tags: {} })] })]),
      () => rig.poll(alice, [], { accountData: [datum("m.g", {})] }),
      () => rig.poll(alice, [], { otkCounts: '{"a":1}' }),
    ];
    let { pos } = await ask(null, all);
    for (const happen of news) {
      const parked = ask(pos, {}, {}, PATIENT_MS);
      await rig.nodes.settled();
      // Not in view, not in scope: nothing to say.
      await types("!c", bob, pos);
      await happen();
      const answer = await parked;
      expect(Object.keys(answer.extensions).filter((name) => name !== "to_device")).toHaveLength(1);
      expect(answer.rooms).toEqual({});
      pos = answer.pos;
    }
  });

  test("[EXT-6] a first request with extensions alone waits for the first thing they have to say", async () => {
    const parked = rig.sync(alice, { extensions: { account_data: ON, e2ee: ON } }, { timeoutMs: PATIENT_MS });
    await rig.nodes.settled();
    await rig.poll(alice, [], { accountData: [datum("m.g", { x: 1 })] });
    expect((await parked).extensions).toEqual({ account_data: { global: [{ type: "m.g", content: { x: 1 } }] } });
  });
});

describe("account data", () => {
  const part = (response: RigResponse): unknown => response.extensions["account_data"];

  test("[ACC-5] global events come with the first response, those of a room with the room, changes once", async () => {
    await rig.poll(alice, [rig.join("!b", { accountData: [datum("m.b", { b: 1 })] })], {
      accountData: [datum("m.g", { g: 1 }), datum("m.h", { h: 1 })],
    });
    const first = await ask(null, { account_data: ON });
    expect(part(first)).toEqual({
      global: [
        { type: "m.g", content: { g: 1 } },
        { type: "m.h", content: { h: 1 } },
      ],
    });
    await say("up", "!b");
    const second = await ask(first.pos, {});
    expect(part(second)).toEqual({ rooms: { "!b": [{ type: "m.b", content: { b: 1 } }] } });
    await rig.poll(alice, [rig.join("!b", { accountData: [datum("m.b", { b: 2 }), datum("m.b", { b: 3 })] })], {
      accountData: [datum("m.g", { g: 2 })],
    });
    await say("more", "!b");
    const third = await ask(second.pos, {});
    expect(part(third)).toEqual({
      global: [{ type: "m.g", content: { g: 2 } }],
      rooms: { "!b": [{ type: "m.b", content: { b: 3 } }] },
    });
    await say("nothing new of account data", "!b");
    expect(part(await ask(third.pos, {}))).toBeUndefined();
  });

  test("[ACC-6] events out of scope are not told, neither under their room nor under another", async () => {
    await rig.poll(alice, [rig.join("!a", { accountData: [datum("m.a", {})] })]);
    const first = await ask(null, { account_data: { enabled: true, lists: [], rooms: [] } });
    expect(part(first)).toBeUndefined();
    await rig.poll(alice, [rig.join("!a", { accountData: [datum("m.a", { x: 1 })] })]);
    expect(part(await ask(first.pos, {}))).toBeUndefined();
  });

  test("[ACC-7] nobody else is told, and bytes stay as they are", async () => {
    const json = encoder.encode('{ "content":{"n":1.0,"big":12345678901234567890},"type":"m.g" }');
    await rig.poll(alice, [], { accountData: [{ type: "m.g", json }] });
    const { body } = await rig.answer(alice, { extensions: { account_data: ON } });
    expect(new TextDecoder().decode(body)).toContain(`"global":[${new TextDecoder().decode(json)}]`);
    expect(part(await rig.sync(bob, { extensions: { account_data: ON } }))).toBeUndefined();
  });

  test("[ACC-8] a change that a crash fell upon is told after it", async () => {
    const first = await ask(null, { account_data: ON });
    await rig.poll(alice, [rig.join("!a", { accountData: [datum("m.a", { x: 1 })] })], {
      accountData: [datum("m.g", { x: 1 })],
    });
    await rig.nodes.restartHost("sync");
    expect(part(await ask(first.pos, {}))).toEqual({
      global: [{ type: "m.g", content: { x: 1 } }],
      rooms: { "!a": [{ type: "m.a", content: { x: 1 } }] },
    });
  });
});

describe("receipts", () => {
  const content = (response: RigResponse, room = "!a"): unknown =>
    (roomsOf(response, "receipts")[room] as { content?: unknown } | undefined)?.content;

  test("[RCT-6] a room comes with receipts on the events sent, and with all of the user's own", async () => {
    await say("second");
    await rig.poll(alice, [
      rig.join("!a", {
        receipts: [
          receipt(bob, "$first!a"),
          receipt("@carol:hs", "$older"),
          receipt(alice, "$older"),
          receipt(alice, "$first!a", { isPrivate: true, threadId: "main" }),
        ],
      }),
    ]);
    const response = await ask(null, { receipts: ON });
    expect(roomsOf(response, "receipts")["!a"]).toEqual({
      type: "m.receipt",
      content: {
        "$first!a": { "m.read": { [bob]: { ts: 1 } }, "m.read.private": { [alice]: { ts: 1, thread_id: "main" } } },
        $older: { "m.read": { [alice]: { ts: 1 } } },
      },
    });
  });

  test("[RCT-7] new receipts come live, packed into one event for the room, and not again", async () => {
    const first = await ask(null, { receipts: ON });
    await rig.poll(bob, [rig.join("!a", { receipts: [receipt(bob, "$first!a", { threadId: "main" })] })]);
    await rig.poll(bob, [
      rig.join("!a", { receipts: [receipt(bob, "$first!a"), receipt("@carol:hs", "$first!a", { threadId: "$t" })] }),
    ]);
    const second = await ask(first.pos, {});
    expect(content(second)).toEqual({
      "$first!a": { "m.read": { [bob]: { ts: 1 }, "@carol:hs": { ts: 1, thread_id: "$t" } } },
    });
    // One that did not move is not told again.
    await rig.poll(alice, [rig.join("!a", { receipts: [receipt(bob, "$first!a")] })]);
    expect((await ask(second.pos, {})).extensions).toEqual({});
  });

  test("[RCT-8] private receipts are for their owner alone", async () => {
    const [first, other] = [
      await ask(null, { receipts: ON }),
      await rig.sync(bob, { lists: { all: LIST }, extensions: { receipts: ON } }),
    ];
    await rig.poll(alice, [rig.join("!a", { receipts: [receipt(alice, "$first!a", { isPrivate: true })] })]);
    expect(content(await ask(first.pos, {}))).toEqual({ "$first!a": { "m.read.private": { [alice]: { ts: 1 } } } });
    expect((await rig.sync(bob, {}, { pos: other.pos })).extensions).toEqual({});
    expect(content(await rig.sync(bob, { lists: { all: LIST }, extensions: { receipts: ON } }))).toBeUndefined();
  });

  test("[RCT-9] a room that comes into view live comes with its receipts", async () => {
    await rig.poll(bob, [rig.join("!b", { receipts: [receipt(bob, "$first!b")] })]);
    const first = await ask(null, { receipts: ON });
    expect(content(first, "!b")).toBeUndefined();
    await say("up", "!b");
    expect(content(await ask(first.pos, {}), "!b")).toEqual({ "$first!b": { "m.read": { [bob]: { ts: 1 } } } });
  });
});

describe("typing", () => {
  test("[TYP-1] who types is told with the room, live, and when they stop", async () => {
    await types("!a", bob);
    const first = await ask(null, { typing: ON });
    expect(typists(first)).toEqual({ "!a": [bob] });
    await types("!a", bob, "@carol:hs");
    const second = await ask(first.pos, {});
    expect(typists(second)).toEqual({ "!a": [bob, "@carol:hs"] });
    await types("!a");
    const third = await ask(second.pos, {});
    expect(typists(third)).toEqual({ "!a": [] });
    expect(third.rooms).toEqual({});
    expect((await ask(third.pos, {})).extensions).toEqual({});
  });

  test("[TYP-2] of several changes the last one is told", async () => {
    const first = await ask(null, { typing: ON });
    await types("!a", bob);
    await types("!a", "@carol:hs");
    expect(typists(await ask(first.pos, {}))).toEqual({ "!a": ["@carol:hs"] });
  });

  test("[TYP-3] whatever else is told of a room, who types in it is told along", async () => {
    await types("!a", bob);
    const first = await ask(null, { typing: ON });
    await say("hello");
    const second = await ask(first.pos, {});
    expect(second.rooms["!a"]?.timeline).toHaveLength(1);
    expect(typists(second)).toEqual({ "!a": [bob] });
    await rig.poll(alice, [rig.join("!a", { notificationCount: 2, highlightCount: 1 })]);
    expect(typists(await ask(second.pos, {}))).toEqual({ "!a": [bob] });
  });

  test("[TYP-4] a room that comes into view comes with who types, also when that began before anybody looked", async () => {
    await types("!b", bob);
    const first = await ask(null, { typing: ON });
    expect(typists(first)).toEqual({});
    await say("up", "!b");
    expect(typists(await ask(first.pos, {}))).toEqual({ "!b": [bob] });
  });

  test("[TYP-5] a sync host that was restarted knows who types, and tells who stopped meanwhile", async () => {
    await types("!a", bob);
    const first = await ask(null, { typing: ON });
    await types("!a");
    await rig.nodes.restartHost("sync");
    expect(typists(await ask(first.pos, {}))).toEqual({ "!a": [] });
    await types("!a", "@carol:hs");
    await rig.nodes.restartHost("sync");
    expect(typists(await ask(null, { typing: ON }))).toEqual({ "!a": ["@carol:hs"] });
  });

  test("[TYP-6] the first poller that reports typing in a room speaks for it until it stops", async () => {
    await types("!a", bob);
    const first = await ask(null, { typing: ON });
    await rig.poll(alice, [rig.join("!a", { typing: typing("@dan:hs") })]);
    const second = await ask(first.pos, {});
    expect(second.extensions).toEqual({});
    rig.nodes.tell(INGEST, { type: "poller-stopped", userId: bob, deviceId: "DEV" });
    await rig.poll(alice, [rig.join("!a", { typing: typing("@dan:hs", "@erin:hs") })]);
    expect(typists(await ask(second.pos, {}))).toEqual({ "!a": ["@dan:hs", "@erin:hs"] });
  });

  test("[TYP-7] whoever is sent away speaks for the room no more, whichever poll says so", async () => {
    await types("!a", alice, bob);
    const first = await ask(null, { typing: ON });
    await rig.poll(alice, [rig.join("!a", { typing: typing() })]);
    expect((await ask(first.pos, {})).extensions).toEqual({});
    const kick = rig.event("m.room.member", alice, { membership: "leave" }, { stateKey: bob });
    await rig.poll(alice, [rig.join("!a", { timeline: [kick], typing: typing(alice) })]);
    expect(typists(await ask(null, { typing: ON }, { conn_id: "other" }))).toEqual({ "!a": [alice] });
  });
});
