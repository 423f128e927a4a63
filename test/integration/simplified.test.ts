import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import { type SimplifiedAccount, accountInRooms } from "#test/support/simplified-account.ts";
import { SimplifiedClient, stateOf, timelineOf } from "#test/support/simplified-client.ts";

const STATE = [
  ["m.room.name", ""],
  ["m.room.member", "$ME"],
  ["m.room.member", "$LAZY"],
];
const list = (ranges: [number, number][], more: Record<string, unknown> = {}): Record<string, unknown> => ({
  lists: { all: { ranges, required_state: STATE, timeline_limit: 2, ...more } },
});
const NONE: Record<string, never> = {};

describe("simplified sliding sync over HTTP", () => {
  let rig: FrontRig;

  beforeAll(async () => {
    rig = await FrontRig.start();
  });
  afterAll(() => rig.stop());

  const inRooms = (names: readonly string[]): SimplifiedAccount => accountInRooms(rig, names);
  const say = (id: string, roomId: string, ...bodies: string[]): Record<string, unknown> => ({
    rooms: { join: { [roomId]: { timeline: { events: bodies.map((body) => rig.say(id, body)) } } } },
  });

  test("[SSS-1] every requested window is whole in every response, and lists are counted", async () => {
    const { client, room } = inRooms(["a", "b", "c"]);
    const first = await client.sync(
      list([
        [0, 1],
        [2, 9],
      ]),
    );
    const windows = [
      { op: "SYNC", range: [0, 1], room_ids: [room("c"), room("b")] },
      { op: "SYNC", range: [2, 9], room_ids: [room("a")] },
    ];
    expect(first.lists).toEqual({ all: { count: 3, ops: windows } } as never);
    expect(Object.keys(first.rooms).sort()).toEqual([room("a"), room("b"), room("c")]);
    const again = await client.sync(
      list([
        [0, 1],
        [2, 9],
      ]),
    );
    expect(again.lists).toEqual({ all: { count: 3, ops: windows } } as never);
    expect(again.rooms).toEqual({});
  });

  test("[SSS-2] a list without ranges is counted, and a response without lists has none", async () => {
    const { client } = inRooms(["a", "b"]);
    const counted = await client.sync({ lists: { all: { required_state: [], timeline_limit: 1 } } });
    expect(counted).toMatchObject({ lists: { all: { count: 2, ops: [] } }, rooms: {} });
    const none = await client.sync({});
    expect("lists" in none).toBe(false);
    expect(none).toMatchObject({ rooms: {}, extensions: {} });
  });

  test("[SSS-3] windows may overlap, be empty, and hold a room once", async () => {
    const { client, room } = inRooms(["a", "b"]);
    const { lists, rooms } = await client.sync(
      list([
        [0, 1],
        [1, 0],
        [0, 0],
      ]),
    );
    expect(lists?.["all"]?.ops?.map(({ room_ids }) => room_ids)).toEqual([[room("b"), room("a")], [], [room("b")]]);
    expect(Object.keys(rooms).length).toBe(2);
  });

  test("[SSS-4] a room is sent whole once, and then what is new of it", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    const first = await client.sync(list([[0, 9]]));
    expect(first.rooms[room("a")]).toMatchObject({
      initial: true,
      num_live: 0,
      limited: true,
      joined_count: 1,
      invited_count: 0,
    });
    expect(stateOf(first.rooms[room("a")])).toEqual([`m.room.member|${id}`, "m.room.name|"]);
    await rig.poll(me, say(id, room("a"), "one", "two"));
    const next = await client.sync(list([[0, 9]]));
    expect(next.rooms[room("a")]).toMatchObject({ num_live: 2, limited: false });
    expect(next.rooms[room("a")]).not.toHaveProperty("initial");
    expect(next.rooms[room("a")]).not.toHaveProperty("required_state");
    expect(timelineOf(next.rooms[room("a")])).toEqual(["one", "two"]);
  });

  test("[SSS-5] more events than the limit are cut to the newest, with their state and a token", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    await client.sync(list([[0, 9]]));
    const renamed = rig.event("m.room.name", id, { name: "renamed" }, "");
    const poll = (token: string, ...bodies: string[]): Promise<void> => {
      const events = bodies.map((body) => (body === "renamed" ? renamed : rig.say(id, body)));
      const rooms = { join: { [room("a")]: { timeline: { events, prev_batch: token } } } };
      return rig.poll(me, { next_batch: `behind-${token}`, rooms });
    };
    await poll("one", "renamed");
    await poll("two", "1", "2");
    const { rooms } = await client.sync(list([[0, 9]]));
    expect(timelineOf(rooms[room("a")])).toEqual(["1", "2"]);
    expect(rooms[room("a")]).toMatchObject({ limited: true, prev_batch: "two", num_live: 2, name: "renamed" });
    expect(stateOf(rooms[room("a")])).toEqual(["m.room.name|"]);
    await poll("three", "3");
    await poll("four", "4", "5", "6");
    // A token from before what is not shown would be no use, and none would be worse: who pages from this one sees two events again.
    const more = await client.sync(list([[0, 9]]));
    expect(timelineOf(more.rooms[room("a")])).toEqual(["5", "6"]);
    expect(more.rooms[room("a")]).toMatchObject({ limited: true, prev_batch: "behind-four", num_live: 2 });
    await poll("five", "7", "8", "9");
    const all = await client.sync(list([[0, 9]]));
    expect(timelineOf(all.rooms[room("a")])).toEqual(["8", "9"]);
    expect(all.rooms[room("a")]).toMatchObject({ limited: true, prev_batch: "behind-five", num_live: 2 });
  });

  test("[SSS-6] a room that was out of view goes on from where the client has it", async () => {
    const { me, client, id, room } = inRooms(["a", "b"]);
    const both = (ranges: [number, number][]): Record<string, unknown> => list(ranges);
    await client.sync(both([[0, 1]]));
    await client.sync(both([]));
    await rig.poll(me, say(id, room("a"), "missed"));
    expect((await client.sync(both([]))).rooms).toEqual(NONE);
    await rig.poll(me, say(id, room("b"), "other"));
    const { rooms } = await client.sync(both([[0, 1]]));
    expect(timelineOf(rooms[room("a")])).toEqual(["missed"]);
    expect(rooms[room("a")]).not.toHaveProperty("initial");
    expect(rooms[room("a")]?.num_live).toBe(0);
  });

  test("[SSS-7] what was answered and never arrived is answered again, to whatever is asked now", async () => {
    const { me, client, id, room } = inRooms(["a", "b", "c"]);
    const { pos } = await client.sync(list([[0, 0]]));
    await rig.poll(me, say(id, room("b"), "news"));
    const lost = await client.sync(list([[0, 1]]), { pos });
    expect(Object.keys(lost.rooms)).toEqual([room("b")]);
    await rig.poll(me, say(id, room("c"), "later"));
    const repeated = await client.sync(list([[0, 2]]), { pos });
    expect(Object.keys(repeated.rooms).sort()).toEqual([room("a"), room("b"), room("c")]);
    expect(repeated.rooms[room("b")]?.initial).toBe(true);
    expect(timelineOf(repeated.rooms[room("c")])).toEqual(["later"]);
    expect(repeated.rooms[room("c")]).not.toHaveProperty("initial");
    expect((await client.sync(list([[0, 2]]))).rooms).toEqual(NONE);
  });

  test("[SSS-7] an extension that was switched off by a request that had to be repeated begins anew when it is switched on", async () => {
    const { me, client } = inRooms(["a"]);
    const asking = (enabled: boolean): Record<string, unknown> => ({
      ...list([[0, 0]]),
      extensions: { account_data: { enabled } },
    });
    await client.sync(asking(true));
    const { pos } = await client.sync(asking(true));
    await client.sync(asking(false), { pos });
    await client.sync(asking(false), { pos });
    await rig.poll(me, { account_data: { events: [{ type: "org.example.set", content: { meanwhile: true } }] } });
    await client.sync(asking(false));
    const { extensions } = await client.sync(asking(true));
    expect(extensions["account_data"]?.["global"]).toContainEqual({
      type: "org.example.set",
      content: { meanwhile: true },
    });
  });

  test("[SSS-8] a position that was acknowledged before, malformed, empty or of another dialect is unknown", async () => {
    const { me, client } = inRooms(["a"]);
    const { pos } = await client.sync(list([[0, 0]]));
    await client.sync(list([[0, 0]]));
    await client.sync(list([[0, 0]]));
    const other = new SimplifiedClient(rig, me, "v4");
    const { pos: foreign } = await other.sync({ lists: { all: { timeline_limit: 0, required_state: {} } } });
    for (const unknown of [pos, "", "x", foreign]) {
      const { status, json } = await client.request(list([[0, 0]]), { pos: unknown });
      expect([status, json["errcode"]]).toEqual([400, "M_UNKNOWN_POS"]);
    }
    // None of them disturbed the connection.
    expect((await client.sync(list([[0, 0]]))).rooms).toEqual(NONE);
  });

  test("[SSS-9] a higher timeline limit sends the newest events whole, and no other field", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    await client.sync(list([[0, 0]], { timeline_limit: 1 }));
    await rig.poll(me, say(id, room("a"), "1", "2"));
    await client.sync(list([[0, 0]], { timeline_limit: 1 }));
    const { rooms } = await client.sync(list([[0, 0]], { timeline_limit: 3 }));
    expect(timelineOf(rooms[room("a")])).toEqual(
      ["first of user9-a", "1", "2"].map((body) => body.replace(/user\d+/, id.slice(1, -5))),
    );
    expect(rooms[room("a")]).toMatchObject({ unstable_expanded_timeline: true, num_live: 0 });
    for (const field of ["initial", "required_state", "name", "joined_count"])
      expect(rooms[room("a")]).not.toHaveProperty(field);
    expect((await client.sync(list([[0, 0]], { timeline_limit: 1 }))).rooms).toEqual(NONE);
    expect((await client.sync(list([[0, 0]], { timeline_limit: 3 }))).rooms).toEqual(NONE);
  });

  test("[SSS-10] more required state sends only what is new, and less sends nothing", async () => {
    const { client, room } = inRooms(["a"]);
    const wants = (state: string[][]): Record<string, unknown> => list([[0, 0]], { required_state: state });
    await client.sync(wants([["m.room.name", ""]]));
    const more = await client.sync(
      wants([
        ["m.room.name", ""],
        ["m.room.create", ""],
      ]),
    );
    expect(stateOf(more.rooms[room("a")])).toEqual(["m.room.create|"]);
    expect(more.rooms[room("a")]).not.toHaveProperty("timeline");
    expect((await client.sync(wants([["m.room.name", ""]]))).rooms).toEqual(NONE);
    expect((await client.sync(wants([["m.room.create", ""]]))).rooms).toEqual(NONE);
    const all = await client.sync(wants([["*", "*"]]));
    expect(stateOf(all.rooms[room("a")]).length).toBe(1);
  });

  test("[SSS-11] an invite shows its stripped state with the own member event, once", async () => {
    const { me, client, id } = inRooms(["a"]);
    await client.sync(list([[0, 9]]));
    const stripped = [
      { type: "m.room.create", state_key: "", sender: "@bob:test", content: {} },
      { type: "m.room.name", state_key: "", sender: "@bob:test", content: { name: "invited" } },
    ];
    await rig.poll(me, { rooms: { invite: { "!inv:test": { invite_state: { events: stripped } } } } });
    const { rooms, lists } = await client.sync(list([[0, 9]]));
    expect(rooms["!inv:test"]).toMatchObject({ initial: true, name: "invited" });
    expect(rooms["!inv:test"]?.invite_state?.map(({ type }) => type)).toEqual([
      "m.room.create",
      "m.room.name",
      "m.room.member",
    ]);
    expect(rooms["!inv:test"]?.invite_state?.at(-1)).toMatchObject({
      state_key: id,
      content: { membership: "invite" },
    });
    for (const field of ["timeline", "required_state", "limited", "joined_count"])
      expect(rooms["!inv:test"]).not.toHaveProperty(field);
    expect(lists?.["all"]?.ops?.[0]?.room_ids[0]).toBe("!inv:test");
    expect((await client.sync(list([[0, 9]]))).rooms).toEqual(NONE);
  });

  test("[SSS-12] a room that is left is told with the own member event and then gone; a kick stays listed", async () => {
    const { me, client, id, room } = inRooms(["a", "b"]);
    await client.sync(list([[0, 9]]));
    const left = rig.event("m.room.member", id, { membership: "leave" }, id);
    const kicked = rig.event("m.room.member", "@admin:test", { membership: "leave" }, id);
    await rig.poll(me, {
      rooms: {
        leave: { [room("a")]: { timeline: { events: [left] } }, [room("b")]: { timeline: { events: [kicked] } } },
      },
    });
    const told = await client.sync(list([[0, 9]]));
    for (const name of ["a", "b"]) {
      expect(told.rooms[room(name)]?.required_state?.at(-1)).toMatchObject({
        state_key: id,
        content: { membership: "leave" },
      });
      expect(told.rooms[room(name)]).not.toHaveProperty("joined_count");
    }
    const after = await client.sync(list([[0, 9]]));
    expect(after).toMatchObject({ lists: { all: { count: 1, ops: [{ room_ids: [room("b")] }] } }, rooms: {} });
  });

  test("[SSS-13] a leave out of view is kept until it is told", async () => {
    const { me, client, id, room } = inRooms(["a", "b"]);
    await client.sync(list([[0, 9]]));
    await client.sync(list([]));
    const left = rig.event("m.room.member", id, { membership: "leave" }, id);
    await rig.poll(me, { rooms: { leave: { [room("a")]: { timeline: { events: [left] } } } } });
    expect((await client.sync(list([]))).lists?.["all"]?.count).toBe(2);
    const { rooms } = await client.sync(list([[0, 9]]));
    expect(rooms[room("a")]?.required_state?.at(-1)).toMatchObject({ content: { membership: "leave" } });
    expect((await client.sync(list([[0, 9]]))).lists?.["all"]?.count).toBe(1);
  });

  test("[SSS-14] a waiting request ends with the first news, and not for counts alone", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    await client.sync(list([[0, 0]]));
    const waiting = client.sync(list([[0, 0]]), { timeout: 20_000 });
    await rig.waiting(1);
    await rig.poll(me, say(id, room("a"), "wakes"));
    expect(timelineOf((await waiting).rooms[room("a")])).toEqual(["wakes"]);
  });

  test("[SSS-15] a newer request ends an older one, which is answered with its own position and nothing else", async () => {
    const { client } = inRooms(["a", "b"]);
    const { pos } = await client.sync(list([[0, 0]]));
    const older = client.request(list([[0, 0]]), { timeout: 20_000, pos });
    await rig.waiting(1);
    const newer = await client.sync(list([[0, 1]]), { timeout: 20_000, pos });
    expect(Object.keys(newer.rooms).length).toBe(1);
    const { status, json } = await older;
    expect([status, json["pos"], json["rooms"]]).toEqual([200, pos, {}]);
  });

  test("[SSS-16] a gap is told as limited, with the state that changed behind it", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    await client.sync(list([[0, 0]]));
    const name = rig.event("m.room.name", id, { name: "in the gap" }, "");
    await rig.poll(me, {
      rooms: {
        join: {
          [room("a")]: {
            state: { events: [name] },
            timeline: { events: [rig.say(id, "after")], limited: true, prev_batch: "gap" },
          },
        },
      },
    });
    const { rooms } = await client.sync(list([[0, 0]]));
    expect(rooms[room("a")]).toMatchObject({ limited: true, prev_batch: "gap", name: "in the gap", num_live: 1 });
    expect(rooms[room("a")]).not.toHaveProperty("initial");
    expect(stateOf(rooms[room("a")])).toEqual(["m.room.name|"]);
  });

  test("[SSS-17] who speaks in a lazily loaded room is told once", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    await client.sync({});
    const bob = rig.event("m.room.member", "@bob:test", { membership: "join" }, "@bob:test");
    for (const events of [[bob], [rig.say(id, "x"), rig.say(id, "y")]])
      await rig.poll(me, { rooms: { join: { [room("a")]: { timeline: { events, prev_batch: "p" } } } } });
    const first = await client.sync(list([[0, 0]]));
    expect(stateOf(first.rooms[room("a")])).toEqual([`m.room.member|${id}`, "m.room.name|"]);
    await rig.poll(me, say("@bob:test", room("a"), "hi"));
    expect(stateOf((await client.sync(list([[0, 0]]))).rooms[room("a")])).toEqual(["m.room.member|@bob:test"]);
    await rig.poll(me, say("@bob:test", room("a"), "again"));
    expect(stateOf((await client.sync(list([[0, 0]]))).rooms[room("a")])).toEqual([]);
  });

  test("[SSS-18] extensions that are enabled always speak, and no others", async () => {
    const { client } = inRooms(["a"]);
    const all = ["to_device", "e2ee", "account_data", "receipts", "typing"];
    const enabled = Object.fromEntries(all.map((name) => [name, { enabled: true }]));
    const first = await client.sync({
      extensions: { ...enabled, "org.matrix.msc4354.sticky_events": { enabled: true } },
    });
    expect(Object.keys(first.extensions).sort()).toEqual(all.toSorted());
    expect(first.extensions["e2ee"]).toEqual({
      device_one_time_keys_count: { signed_curve25519: 0 },
      device_unused_fallback_key_types: [],
    });
    const next = await client.sync({ extensions: enabled });
    expect(next.extensions["e2ee"]).toHaveProperty("device_lists", { changed: [], left: [] });
    expect(next.extensions).toMatchObject({
      account_data: { global: [], rooms: {} },
      receipts: { rooms: {} },
      typing: { rooms: {} },
    });
    expect((await client.sync({})).extensions).toEqual({});
  });

  test("[SSS-19] a subscription shows any room the user has to do with, and is told nothing of others", async () => {
    const { client, room } = inRooms(["a", "b"]);
    const config = { required_state: [["m.room.name", ""]], timeline_limit: 1 };
    const { rooms, ...rest } = await client.sync({
      room_subscriptions: { [room("a")]: config, "!elsewhere:test": config },
    });
    expect(Object.keys(rooms)).toEqual([room("a")]);
    expect(rest).not.toHaveProperty("lists");
    expect((await client.sync({})).rooms).toEqual(NONE);
  });

  test("[SSS-20] wrong requests are refused as clients expect", async () => {
    const { client } = inRooms(["a"]);
    const refused = async (body: unknown, timeout: string | number = 0): Promise<unknown[]> => {
      const { status, json } = await client.request(body as Record<string, unknown>, { pos: null, timeout });
      return [status, json["errcode"]];
    };
    expect(await refused("")).toEqual([400, "M_NOT_JSON"]);
    expect(await refused([])).toEqual([400, "M_BAD_JSON"]);
    expect(await refused({ lists: { a: { timeline_limit: "1" } } })).toEqual([400, "M_BAD_JSON"]);
    expect(await refused({ lists: { a: { timeline_limit: 1001 } } })).toEqual([400, "M_BAD_JSON"]);
    expect(await refused({ lists: { a: { required_state: {} } } })).toEqual([400, "M_BAD_JSON"]);
    expect(await refused({ lists: { a: { ranges: [[-1, 2]] } } })).toEqual([400, "M_BAD_JSON"]);
    expect(await refused({ lists: { ["k".repeat(65)]: {} } })).toEqual([400, "M_BAD_JSON"]);
    const ranges = Array.from({ length: 100 }, () => [0, 1000]);
    const overlapping = (count: number): Record<string, unknown> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`l${index}`, { ranges }]));
    expect(await refused({ lists: overlapping(3) })).toEqual([200, undefined]);
    expect(await refused({ lists: overlapping(4) })).toEqual([400, "M_INVALID_PARAM"]);
    expect(await refused({}, "-1")).toEqual([400, "M_INVALID_PARAM"]);
    expect(await refused({}, "x")).toEqual([400, "M_INVALID_PARAM"]);
    expect(await refused({ extensions: { to_device: { enabled: true, since: 5 } } })).toEqual([200, undefined]);
  });
});
