import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import { RoomTruth } from "#test/support/room-truth.ts";
import { type SimplifiedAccount, accountInRooms } from "#test/support/simplified-account.ts";
import { type SimplifiedAnswer, SimplifiedClient, stateOf, timelineOf } from "#test/support/simplified-client.ts";

const NAME = { include: [{ type: "m.room.name", state_key: "" }] };
const list = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  lists: { all: { required_state: NAME, timeline_limit: 2, ...more } },
});

describe("MSC4186 over HTTP", () => {
  let rig: FrontRig;

  beforeAll(async () => {
    rig = await FrontRig.start();
  });
  afterAll(() => rig.stop());

  const inRooms = (names: readonly string[]): SimplifiedAccount => accountInRooms(rig, names, "v4");

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

  test("[V4-32] state that one list excludes is sent where another one asks for it, and is not sent again", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    const without = { include: [{}], exclude: [{ type: "m.room.name" }] };
    const asked = (...configs: unknown[]): Record<string, unknown> => ({
      lists: Object.fromEntries(
        configs.map((required_state, index) => [`l${index}`, { required_state, timeline_limit: 1 }]),
      ),
    });
    const told = async (...configs: unknown[]): Promise<string[]> =>
      stateOf((await client.sync(asked(...configs))).rooms[room("a")]);
    expect(await told(without)).toEqual(["m.room.create|", `m.room.member|${id}`]);
    expect(await told(without, NAME)).toEqual(["m.room.name|"]);
    await rig.poll(me, { rooms: { join: { [room("a")]: { timeline: { events: [rig.say(id, "1")] } } } } });
    expect(await told(without, NAME)).toEqual([]);
    expect(await told(NAME)).toEqual([]);
    await rig.poll(me, { rooms: { join: { [room("a")]: { timeline: { events: [rig.say(id, "2")] } } } } });
    expect(await told(without)).toEqual([]);
    const renamed = rig.event("m.room.name", id, { name: "else" }, "");
    await rig.poll(me, { rooms: { join: { [room("a")]: { timeline: { events: [renamed] } } } } });
    expect(await told(without)).toEqual([]);
    expect(await told(without, NAME)).toEqual(["m.room.name|"]);
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

  test("[V4-33] an invite to a room that one was in before is rejected like any other", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    await client.sync(list());
    const own = (sender: string, membership: string): Record<string, unknown> =>
      rig.event("m.room.member", sender, { membership }, id);
    const leave = (sender: string): Promise<void> =>
      rig.poll(me, { rooms: { leave: { [room("a")]: { timeline: { events: [own(sender, "leave")] } } } } });
    await leave("@bob:test");
    expect((await client.sync(list())).rooms[room("a")]).not.toHaveProperty("stripped_state");
    await rig.poll(me, {
      rooms: { invite: { [room("a")]: { invite_state: { events: [own("@bob:test", "invite")] } } } },
    });
    expect((await client.sync(list())).rooms[room("a")]).toMatchObject({ membership: "invite" });
    await leave(id);
    const rejected = (await client.sync(list())).rooms[room("a")];
    expect(rejected?.membership).toBe("leave");
    expect(rejected?.stripped_state).toMatchObject([{ type: "m.room.member", content: { membership: "leave" } }]);
  });

  test("[V4-33] also when no event says so, and nobody knows any more what was told", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    await client.sync(list());
    const own = (sender: string, membership: string): Record<string, unknown> =>
      rig.event("m.room.member", sender, { membership }, id);
    const leave = (events: object[]): Promise<void> =>
      rig.poll(me, { rooms: { leave: { [room("a")]: { timeline: { events } } } } });
    await leave([own("@bob:test", "leave")]);
    await rig.poll(me, {
      rooms: { invite: { [room("a")]: { invite_state: { events: [own("@bob:test", "invite")] } } } },
    });
    expect((await client.sync(list())).rooms[room("a")]).toMatchObject({ membership: "invite" });
    await client.sync(list());
    await rig.node.shutDown();
    await rig.node.boot();
    await new SimplifiedClient(rig, me, "v4").sync({ conn_id: "awake" });
    await leave([]);
    const rejected = (await client.sync(list())).rooms[room("a")];
    expect(rejected?.stripped_state).toMatchObject([{ type: "m.room.member", content: { membership: "leave" } }]);
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

  test("[V4-10] a user is seen as the request says, and as there when it does not", async () => {
    const { me, client } = inRooms(["a"]);
    const seenAs = async (presence?: string): Promise<void> => {
      await client.sync({ ...list(), ...(presence === undefined ? {} : { set_presence: presence }) });
      await rig.node.homeserver.waitForRequest(
        ({ route, accessToken, query }) =>
          route === "/sync" && accessToken === me.accessToken && query["set_presence"] === (presence ?? "online"),
      );
      await rig.poll(me, {});
    };
    await seenAs();
    await seenAs("unavailable");
    await seenAs("offline");
    const unstable = inRooms(["a"]);
    await new SimplifiedClient(rig, unstable.me).sync({ set_presence: "online" });
    await rig.poll(unstable.me, {});
    const polls = rig.node.homeserver.syncs(unstable.me).map(({ query }) => query["set_presence"]);
    expect(new Set(polls)).toEqual(new Set(["offline"]));
  });

  describe("state that vanished", () => {
    let truth: RoomTruth;
    beforeAll(() => {
      truth = new RoomTruth(rig);
    });
    /** What the homeserver has of a room is read, and told. */
    const repaired = async (roomId: string, ask: () => Promise<SimplifiedAnswer>): Promise<SimplifiedAnswer> => {
      const asked = await rig.node.stores.repair.ask({ kind: "room", target: roomId }, 0);
      while ((await rig.node.stores.repair.progress(asked))?.isEnded !== true) await rig.node.pass(100);
      return ask();
    };
    const everything = { include: [{}] };

    test("[V4-11] it is a stub of type and key, for who asked for it and had it, and said once", async () => {
      const { me, client, id, room } = inRooms(["a"]);
      const other = new SimplifiedClient(rig, me, "v4");
      const unstable = new SimplifiedClient(rig, me);
      const body = list({ required_state: everything });
      const { rooms } = await client.sync(body);
      const named = list({ required_state: { include: [{ type: "m.room.topic" }] } });
      await other.sync({ conn_id: "other", ...named });
      const any = { lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [["*", "*"]] } } };
      await unstable.sync(any);
      const state = rooms[room("a")]?.required_state ?? [];
      truth.joined.set(id, [room("a")]);
      truth.states.set(
        room("a"),
        state.filter(({ type }) => type !== "m.room.name"),
      );
      const told = await repaired(room("a"), () => client.sync(body));
      expect(told.rooms[room("a")]?.required_state).toEqual([{ type: "m.room.name", state_key: "" }]);
      expect(told.rooms[room("a")]).toMatchObject({ name: null });
      expect(told.rooms[room("a")]).not.toHaveProperty("initial");
      expect((await client.sync(body)).rooms).toEqual({});
      expect((await other.sync({ conn_id: "other", ...named })).rooms[room("a")]).not.toHaveProperty("required_state");
      expect((await unstable.sync(any)).rooms[room("a")] ?? {}).not.toHaveProperty("required_state");
      const named2 = rig.event("m.room.name", id, { name: "back" }, "");
      await rig.poll(me, { rooms: { join: { [room("a")]: { timeline: { events: [named2] } } } } });
      const back = await client.sync(body);
      expect(stateOf(back.rooms[room("a")])).toEqual(["m.room.name|"]);
      const late = await client.sync({ ...body, conn_id: "late" }, { pos: null });
      expect(stateOf(late.rooms[room("a")]).sort()).toEqual(stateOf(rooms[room("a")]).sort());
    });

    test("[V4-12] of more than is kept the room is sent anew", async () => {
      const { me, client, id, room } = inRooms(["a"]);
      const body = list({ required_state: everything });
      await client.sync({});
      const many = Array.from({ length: 70 }, (_, index) => rig.event("org.example", id, {}, `k${index}`));
      await rig.poll(me, {
        rooms: { join: { [room("a")]: { timeline: { events: [rig.say(id, "m")] }, state: { events: many } } } },
      });
      const { rooms } = await client.sync(body);
      const state = rooms[room("a")]?.required_state ?? [];
      expect(state.length).toBeGreaterThan(70);
      truth.joined.set(id, [room("a")]);
      truth.states.set(
        room("a"),
        state.filter(({ type }) => type !== "org.example"),
      );
      const told = await repaired(room("a"), () => client.sync(body));
      expect(told.rooms[room("a")]).toMatchObject({ initial: true });
      expect(stateOf(told.rooms[room("a")])).not.toContain("org.example|k0");
      expect((await client.sync(body)).rooms).toEqual({});
    });

    test("[SSS-69] who is in a room no more without any event that says so is told so once, anew and without a timeline", async () => {
      const { me, client, id, room } = inRooms(["a", "b"]);
      const unstable = new SimplifiedClient(rig, me);
      const any = { lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [["*", "*"]] } } };
      await client.sync(list({ required_state: everything }));
      await unstable.sync(any);
      truth.joined.set(id, [room("b")]);
      truth.states.delete(room("a"));
      const told = await repaired(room("a"), () => client.sync(list({ required_state: everything })));
      expect(told.rooms[room("a")]).toMatchObject({ initial: true, membership: "leave", limited: true });
      const first = await unstable.sync(any);
      expect(first.rooms[room("a")]).toMatchObject({ initial: true, limited: true });
      for (const field of ["timeline", "joined_count", "invite_state"])
        expect(first.rooms[room("a")]).not.toHaveProperty(field);
      const next = await unstable.sync(any);
      expect([next.rooms, next.lists?.["all"]?.count]).toEqual([{}, 1]);
    });
  });
});
