import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import { SimplifiedClient, stateOf, timelineOf } from "#test/support/simplified-client.ts";

const NAME = { include: [{ type: "m.room.name", state_key: "" }] };
const list = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  lists: { all: { required_state: NAME, timeline_limit: 2, ...more } },
});

describe("MSC4186 over HTTP", () => {
  let rig: FrontRig;
  let accounts = 0;

  beforeAll(async () => {
    rig = await FrontRig.start();
  });
  afterAll(() => rig.stop());

  const inRooms = (
    names: readonly string[],
  ): { me: Session; client: SimplifiedClient; id: string; room: (name: string) => string } => {
    accounts += 1;
    const localpart = `four${accounts}`;
    const id = `@${localpart}:test`;
    const own = names.map((name) => `${localpart}-${name}`);
    const me = rig.account(localpart, rig.joined(id, own));
    return { me, client: new SimplifiedClient(rig, me, "v4"), id, room: (name) => `!${localpart}-${name}:test` };
  };

  test("[V4-1] a list without a range is whole, one with a range a window, and lists say their length alone", async () => {
    const { client, room } = inRooms(["a", "b", "c"]);
    const windowed = await client.sync(list({ range: [0, 0] }));
    expect(windowed.lists).toEqual({ all: { count: 3 } });
    expect(Object.keys(windowed.rooms)).toEqual([room("c")]);
    const whole = await client.sync(list());
    expect(Object.keys(whole.rooms).sort()).toEqual([room("a"), room("b")]);
  });

  test("[V4-2] rooms say the membership and the lists that hold them, and no unread counts", async () => {
    const { client, room } = inRooms(["a"]);
    const { rooms } = await client.sync({
      ...list(),
      room_subscriptions: { [room("a")]: { required_state: {}, timeline_limit: 0 } },
    });
    expect(rooms[room("a")]).toMatchObject({ membership: "join", lists: ["all"], initial: true });
    expect(rooms[room("a")]).not.toHaveProperty("notification_count");
    const other = new SimplifiedClient(rig, inRooms(["x"]).me, "v4");
    const only = await other.sync({ room_subscriptions: {} });
    expect(only.rooms).toEqual({});
  });

  test("[V4-3] required state is included, excluded and lazy by patterns that mean what they say", async () => {
    const { client, id, room } = inRooms(["a"]);
    const types = async (required_state: Record<string, unknown>): Promise<string[]> =>
      stateOf((await client.sync(list({ required_state }), { pos: null })).rooms[room("a")]);
    expect(await types({ include: [{}] })).toEqual(["m.room.create|", `m.room.member|${id}`, "m.room.name|"]);
    expect(await types({ include: [{}], exclude: [{ type: "m.room.create" }] })).toEqual([
      `m.room.member|${id}`,
      "m.room.name|",
    ]);
    expect(await types({ include: [{ type: "*" }, { type: "m.room.member", state_key: "$ME" }] })).toEqual([]);
    expect(await types({ include: [{ state_key: id }] })).toEqual([`m.room.member|${id}`]);
    expect(await types({ include: [{}], exclude: [{ state_key: "" }], lazy_members: true })).toEqual([
      `m.room.member|${id}`,
    ]);
    const named = ["m.room.create", "m.room.name"].map((type) => ({ type, state_key: "" }));
    expect(await types({ include: named, exclude: [{ type: "m.room.name" }] })).toEqual(["m.room.create|"]);
    // What stands for something here is none of a client's to say.
    expect(await types({ include: [...named, { type: "\0-m.room.name" }] })).toEqual([
      "m.room.create|",
      "m.room.name|",
    ]);
    expect(await types({})).toEqual([]);
  });

  test("[V4-4] what is too much or not well named is refused", async () => {
    const { client, room } = inRooms(["a"]);
    const refused = async (body: Record<string, unknown>): Promise<unknown[]> => {
      const { status, json } = await client.request(body, { pos: null });
      return [status, json["errcode"]];
    };
    const config = { required_state: {}, timeline_limit: 1 };
    const many = (key: (index: number) => string): Record<string, unknown> =>
      Object.fromEntries(Array.from({ length: 101 }, (_, index) => [key(index), config]));
    expect(await refused({ lists: many((index) => `l${index}`) })).toEqual([400, "M_INVALID_PARAM"]);
    expect(await refused({ room_subscriptions: many((index) => `!r${index}:test`) })).toEqual([400, "M_INVALID_PARAM"]);
    expect(await refused({ lists: { "a b": config } })).toEqual([400, "M_INVALID_PARAM"]);
    expect(await refused({ set_presence: "busy" })).toEqual([400, "M_INVALID_PARAM"]);
    expect(await refused({ lists: { a: { ...config, timeline_limit: 5000 } } })).toEqual([200, undefined]);
    const made = await client.request(list(), { pos: "x".repeat(5000) });
    expect([made.status, made.json["errcode"]]).toEqual([400, "M_UNKNOWN_POS"]);
    for (const timeout of [-1, 1.5]) {
      const { status, json } = await client.request(list(), { pos: null, timeout });
      expect([status, json["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
    }
    expect(await refused({ pos: "x", ...list() })).toEqual([400, "M_UNKNOWN_POS"]);
    expect(room("a")).toContain("!");
  });

  test("[V4-5] an invite is stripped state, a rejected one its end, and the room stays listed as left", async () => {
    const { me, client, id } = inRooms(["a"]);
    await client.sync(list());
    const stripped = [{ type: "m.room.create", state_key: "", sender: "@bob:test", content: {} }];
    await rig.poll(me, { rooms: { invite: { "!inv4:test": { invite_state: { events: stripped } } } } });
    const invited = await client.sync(list());
    expect(invited.rooms["!inv4:test"]).toMatchObject({ membership: "invite", initial: true });
    expect(invited.rooms["!inv4:test"]?.stripped_state?.length).toBe(2);
    expect(invited.rooms["!inv4:test"]).not.toHaveProperty("invite_state");
    const left = rig.event("m.room.member", id, { membership: "leave" }, id);
    await rig.poll(me, { rooms: { leave: { "!inv4:test": { timeline: { events: [left] } } } } });
    const rejected = await client.sync(list());
    expect(rejected.rooms["!inv4:test"]).toMatchObject({ membership: "leave" });
    expect(rejected.rooms["!inv4:test"]?.stripped_state).toMatchObject([{ content: { membership: "leave" } }]);
    expect((await client.sync(list())).lists).toEqual({ all: { count: 2 } });
  });

  test("[V4-6] a name that is gone is null, and a room that is no longer direct says so", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    await client.sync({});
    await rig.poll(me, { account_data: { events: [{ type: "m.direct", content: { "@bob:test": [room("a")] } }] } });
    const first = await client.sync(list(), { pos: null });
    expect(first.rooms[room("a")]).toMatchObject({ is_dm: true });
    const unnamed = rig.event("m.room.name", id, {}, "");
    await rig.poll(me, { rooms: { join: { [room("a")]: { timeline: { events: [unnamed] } } } } });
    expect((await client.sync(list())).rooms[room("a")]).toHaveProperty("name", null);
    await rig.poll(me, { account_data: { events: [{ type: "m.direct", content: {} }] } });
    expect((await client.sync(list())).rooms[room("a")]).toMatchObject({ is_dm: false });
    expect((await client.sync(list())).rooms).toEqual({});
  });

  test("[V4-7] a higher limit expands the timeline under its own name", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    await client.sync(list({ timeline_limit: 1 }));
    await rig.poll(me, { rooms: { join: { [room("a")]: { timeline: { events: [rig.say(id, "1")] } } } } });
    await client.sync(list({ timeline_limit: 1 }));
    const { rooms } = await client.sync(list({ timeline_limit: 2 }));
    expect(rooms[room("a")]).toMatchObject({ expanded_timeline: true });
    expect(timelineOf(rooms[room("a")]).at(-1)).toBe("1");
    expect(timelineOf(rooms[room("a")]).length).toBe(2);
  });

  test("[V4-8] typing is asked for and answered under either of its names", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    const typing = (name: string): Record<string, unknown> => ({
      ...list(),
      extensions: { [name]: { enabled: true } },
    });
    await client.sync(typing("typing"));
    const ephemeral = { events: [{ type: "m.typing", content: { user_ids: [id] } }] };
    await rig.poll(me, { rooms: { join: { [room("a")]: { ephemeral } } } });
    const told = await client.sync(typing("typing"));
    expect(told.extensions).toMatchObject({ typing: { rooms: { [room("a")]: { content: { user_ids: [id] } } } } });
    const again = await client.sync(typing("org.matrix.msc4508.typing"), { pos: null });
    expect(Object.keys(again.extensions)).toEqual(["org.matrix.msc4508.typing"]);
    expect(again.extensions["org.matrix.msc4508.typing"]).toMatchObject({ rooms: { [room("a")]: {} } });
  });
});
