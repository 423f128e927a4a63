import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import { type SimplifiedAccount, accountInRooms } from "#test/support/simplified-account.ts";
import { type SimplifiedAnswer, SimplifiedClient, stateOf, timelineOf } from "#test/support/simplified-client.ts";

const ALL = [[0, 99]];
const list = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  lists: { all: { ranges: ALL, required_state: [["m.room.member", "$ME"]], timeline_limit: 2, ...more } },
});
const filtered = (filters: Record<string, unknown>): Record<string, unknown> => list({ filters });
const listed = ({ lists }: SimplifiedAnswer): string[] => lists?.["all"]?.ops?.[0]?.room_ids ?? [];
const on = (...names: string[]): Record<string, unknown> =>
  Object.fromEntries(names.map((name) => [name, { enabled: true }]));

describe("rooms of simplified sliding sync", () => {
  let rig: FrontRig;

  beforeAll(async () => {
    rig = await FrontRig.start();
  });
  afterAll(() => rig.stop());

  interface Account extends SimplifiedAccount {
    /** Plays a timeline of a joined room. */
    play: (name: string, section: Record<string, unknown>) => Promise<void>;
  }

  const inRooms = async (...names: string[]): Promise<Account> => {
    const account = accountInRooms(rig, names);
    const { me, room } = account;
    await new SimplifiedClient(rig, me).sync({ conn_id: "awake" });
    const play = (name: string, section: Record<string, unknown>): Promise<void> =>
      rig.poll(me, { rooms: { join: { [room(name)]: section } } });
    return { ...account, play };
  };

  test("[SSS-29] a room moves up with whatever happens in it, however old its time is", async () => {
    const { client, id, room, play } = await inRooms("a", "b");
    expect(listed(await client.sync(list()))).toEqual([room("b"), room("a")]);
    await play("a", { timeline: { events: [{ ...rig.say(id, "late"), origin_server_ts: 5 }] } });
    expect(listed(await client.sync(list()))).toEqual([room("a"), room("b")]);
  });

  test("[SSS-30] unread counts are real, and an entry comes when they change", async () => {
    const { client, room, play } = await inRooms("a");
    expect((await client.sync(list())).rooms[room("a")]).toMatchObject({ notification_count: 0, highlight_count: 0 });
    await play("a", { unread_notifications: { notification_count: 3, highlight_count: 1 } });
    const { rooms } = await client.sync(list());
    expect(rooms[room("a")]).toMatchObject({ notification_count: 3, highlight_count: 1 });
    expect(rooms[room("a")]).not.toHaveProperty("timeline");
    expect((await client.sync(list())).rooms).toEqual({});
  });

  test("[SSS-104] unread counts, tags and receipts that come before their room are there with it, and show nobody a room", async () => {
    const { me, client, id } = await inRooms("a");
    const early = "!early:test";
    await client.sync(list());
    const read = { [`$read-${id}`]: { "m.read": { [id]: { ts: 5 } } } };
    const section = {
      unread_notifications: { notification_count: 3, highlight_count: 1 },
      account_data: { events: [{ type: "m.tag", content: { tags: { "m.favourite": {} } } }] },
      ephemeral: { events: [{ type: "m.receipt", content: read }] },
    };
    await rig.poll(me, { rooms: { join: { [early]: section } } });
    expect(await client.sync(list())).toMatchObject({ rooms: {}, lists: { all: { count: 1 } } });
    const create = rig.event("m.room.create", id, { room_version: "11" }, "");
    const join = rig.event("m.room.member", id, { membership: "join" }, id);
    await rig.poll(me, { rooms: { join: { [early]: { state: { events: [create] }, timeline: { events: [join] } } } } });
    const extensions = on("account_data", "receipts");
    const told = await client.sync({ ...filtered({ tags: ["m.favourite"] }), extensions });
    expect(listed(told)).toEqual([early]);
    expect(told.rooms[early]).toMatchObject({ notification_count: 3, highlight_count: 1 });
    expect(told.extensions["receipts"]?.["rooms"]).toEqual({ [early]: { type: "m.receipt", content: read } });
  });

  test("[SSS-31] a name is what the room says, and a room without one has heroes", async () => {
    const { client, id, room, play } = await inRooms("a");
    const bob = rig.event("m.room.member", "@bob:test", { membership: "join", displayname: "Bob" }, "@bob:test");
    await play("a", { timeline: { events: [bob] } });
    const first = (await client.sync(list())).rooms[room("a")];
    expect(first).toHaveProperty("name");
    expect(first).not.toHaveProperty("heroes");
    await play("a", { timeline: { events: [rig.event("m.room.name", id, {}, "")] } });
    const unnamed = (await client.sync(list())).rooms[room("a")];
    expect(unnamed).not.toHaveProperty("name");
    expect(unnamed?.heroes).toEqual([{ user_id: "@bob:test", displayname: "Bob" }] as never);
  });

  test("[SSS-101] a room without a name tells its heroes with every change of a membership, theirs or not", async () => {
    const { client, id, room, play } = await inRooms("a");
    const bob = rig.event("m.room.member", "@bob:test", { membership: "join", displayname: "Bob" }, "@bob:test");
    await play("a", { timeline: { events: [rig.event("m.room.name", id, {}, ""), bob] } });
    await client.sync(list());
    const ban = rig.event("m.room.member", id, { membership: "ban" }, "@evil:test");
    await play("a", { timeline: { events: [ban] } });
    const told = (await client.sync(list())).rooms[room("a")];
    expect(told).toMatchObject({ joined_count: 2, heroes: [{ user_id: "@bob:test", displayname: "Bob" }] });
    await play("a", { timeline: { events: [rig.say(id, "nobody moved")] } });
    expect((await client.sync(list())).rooms[room("a")]).not.toHaveProperty("heroes");
  });

  test("[SSS-98] an invite that vanishes without an event ends with a leave of one's own", async () => {
    const { me, client, id } = await inRooms("a");
    const invite = [{ type: "m.room.create", state_key: "", sender: "@bob:far", content: {} }];
    await rig.poll(me, { rooms: { invite: { "!far:test": { invite_state: { events: invite } } } } });
    expect((await client.sync(list())).rooms["!far:test"]).toHaveProperty("invite_state");
    await rig.poll(me, { rooms: { leave: { "!far:test": { timeline: { events: [] } } } } });
    const told = await client.sync(list());
    expect(told.rooms["!far:test"]?.required_state).toMatchObject([
      { type: "m.room.member", state_key: id, sender: id, content: { membership: "leave" } },
    ]);
    expect(told.rooms["!far:test"]).not.toHaveProperty("invite_state");
    const after = await client.sync(list());
    expect([after.rooms, after.lists?.["all"]?.count]).toEqual([{}, 1]);
  });

  test("[SSS-100] heroes are users with names and avatars that are text, whatever the room says", async () => {
    const { client, room, play } = await inRooms("a");
    const odd = { membership: "join", displayname: 5, avatar_url: { url: "mxc://a/b" } };
    await play("a", {
      timeline: {
        events: [
          rig.event("m.room.name", "@odd:test", { name: ["no", "text"] }, ""),
          rig.event("m.room.member", "@odd:test", odd, "@odd:test"),
          rig.event("m.room.member", "@odd:test", { membership: "join" }, "nobody"),
        ],
      },
    });
    const shown = (await client.sync(list())).rooms[room("a")];
    expect(shown?.heroes).toEqual([{ user_id: "@odd:test" }]);
    expect(shown).not.toHaveProperty("name");
  });

  test("[SSS-93] who is alone is shown those who left, whether or not their leave says what it ended", async () => {
    const { me, client, id } = await inRooms("a");
    const state = [
      rig.event("m.room.create", id, { creator: id }, ""),
      rig.event("m.room.member", id, { membership: "join" }, id),
      rig.event("m.room.member", "@gone:test", { membership: "leave" }, "@gone:test"),
      rig.event("m.room.member", id, { membership: "ban" }, "@never:test"),
    ];
    await rig.poll(me, { rooms: { join: { "!alone:test": { state: { events: state } } } } });
    expect((await client.sync(list())).rooms["!alone:test"]?.heroes).toMatchObject([{ user_id: "@gone:test" }]);
  });

  test("[SSS-32] counts come together when a membership changed, and zero is said", async () => {
    const { client, room, play } = await inRooms("a");
    expect((await client.sync(list())).rooms[room("a")]).toMatchObject({ joined_count: 1, invited_count: 0 });
    const bob = rig.event("m.room.member", "@bob:test", { membership: "invite" }, "@bob:test");
    await play("a", { timeline: { events: [bob] } });
    expect((await client.sync(list())).rooms[room("a")]).toMatchObject({ joined_count: 1, invited_count: 1 });
    await play("a", { timeline: { events: [rig.say("@bob:test", "x")] } });
    expect((await client.sync(list())).rooms[room("a")]).not.toHaveProperty("joined_count");
  });

  test("[SSS-33] bump stamps are positive, and told again only when something bumped", async () => {
    const { client, id, room, play } = await inRooms("a");
    const before = (await client.sync(list())).rooms[room("a")]?.bump_stamp ?? 0;
    expect(before).toBeGreaterThan(0);
    await play("a", { timeline: { events: [rig.event("m.reaction", id, {})] } });
    expect((await client.sync(list())).rooms[room("a")]).not.toHaveProperty("bump_stamp");
    await play("a", { timeline: { events: [rig.say(id, "x")] } });
    expect((await client.sync(list())).rooms[room("a")]?.bump_stamp).toBeGreaterThan(before);
  });

  test("[SSS-34] without a timeline limit there is no timeline, and a message is no news", async () => {
    const { client, id, room, play } = await inRooms("a");
    const none = list({ timeline_limit: 0 });
    const first = (await client.sync(none)).rooms[room("a")];
    for (const field of ["timeline", "limited", "prev_batch", "num_live"]) expect(first).not.toHaveProperty(field);
    await play("a", { timeline: { events: [rig.say(id, "x")] } });
    expect((await client.sync(none)).rooms).toEqual({});
    await play("a", { timeline: { events: [rig.event("m.room.name", id, { name: "new" }, "")] } });
    expect((await client.sync(none)).rooms[room("a")]).toMatchObject({ name: "new" });
  });

  test("[SSS-35] coming back to a room sends it whole, with its news live", async () => {
    const { me, client, id, room, play } = await inRooms("a");
    await client.sync(list());
    const left = rig.event("m.room.member", id, { membership: "leave" }, id);
    await rig.poll(me, { rooms: { leave: { [room("a")]: { timeline: { events: [left] } } } } });
    await client.sync(list());
    await client.sync(list());
    await play("a", { timeline: { events: [rig.event("m.room.member", id, { membership: "join" }, id)] } });
    const back = (await client.sync(list())).rooms[room("a")];
    expect(back).toMatchObject({ initial: true, num_live: 1 });
    expect(timelineOf(back)).toContain("join");
  });

  test("[SSS-36] a ban ends what is shown of a room, which stays listed", async () => {
    const { me, client, id, room } = await inRooms("a", "b");
    const other = new SimplifiedClient(rig, me);
    await client.sync(list());
    const banned = rig.event("m.room.member", "@admin:test", { membership: "ban" }, id);
    await rig.poll(me, { rooms: { leave: { [room("a")]: { timeline: { events: [banned] } } } } });
    const told = await client.sync(list());
    expect(told.rooms[room("a")]?.required_state?.at(-1)).toMatchObject({ content: { membership: "ban" } });
    expect(listed(await client.sync(list()))).toEqual([room("a"), room("b")]);
    const anew = (await other.sync({ conn_id: "anew", ...list() })).rooms[room("a")];
    expect(anew).toMatchObject({ initial: true });
    expect(anew?.required_state?.at(-1)).toMatchObject({ content: { membership: "ban" } });
    for (const field of ["joined_count", "heroes"]) expect(anew).not.toHaveProperty(field);
  });

  test("[SSS-37] a knock is stripped state with the own member event, and no invite to filters", async () => {
    const { me, client, id } = await inRooms("a");
    await client.sync(list());
    const stripped = [{ type: "m.room.create", state_key: "", sender: "@bob:test", content: {} }];
    await rig.poll(me, { rooms: { knock: { "!knock37:test": { knock_state: { events: stripped } } } } });
    const knocked = (await client.sync(list())).rooms["!knock37:test"];
    expect(knocked?.invite_state?.at(-1)).toMatchObject({ state_key: id, content: { membership: "knock" } });
    expect(listed(await client.sync(filtered({ is_invite: true })))).toEqual([]);
    expect(listed(await client.sync(filtered({ is_invite: false })))).toContain("!knock37:test");
  });

  test("[SSS-38] an invite that is rejected ends with the own member event", async () => {
    const { me, client, id } = await inRooms("a");
    await rig.poll(me, { rooms: { invite: { "!reject38:test": { invite_state: { events: [] } } } } });
    expect(Object.keys((await client.sync(list())).rooms)).toContain("!reject38:test");
    const left = rig.event("m.room.member", id, { membership: "leave" }, id);
    await rig.poll(me, { rooms: { leave: { "!reject38:test": { timeline: { events: [left] } } } } });
    const rejected = (await client.sync(list())).rooms["!reject38:test"];
    expect(rejected?.required_state).toMatchObject([{ state_key: id, content: { membership: "leave" } }]);
    for (const field of ["initial", "invite_state"]) expect(rejected).not.toHaveProperty(field);
    expect(timelineOf(rejected)).toEqual(["leave"]);
    expect(listed(await client.sync(list()))).not.toContain("!reject38:test");
  });

  test("[SSS-39] invites of ignored users are not shown, and come back with them", async () => {
    const { me, client, id } = await inRooms("a");
    const invite = { type: "m.room.member", state_key: id, sender: "@troll:test", content: { membership: "invite" } };
    await rig.poll(me, { rooms: { invite: { "!troll39:test": { invite_state: { events: [invite] } } } } });
    const ignore = (users: Record<string, unknown>): Promise<void> =>
      rig.poll(me, { account_data: { events: [{ type: "m.ignored_user_list", content: { ignored_users: users } }] } });
    await ignore({ "@troll:test": {} });
    expect((await client.sync(list())).lists?.["all"]?.count).toBe(1);
    await ignore({});
    expect((await client.sync(list())).rooms["!troll39:test"]).toMatchObject({ initial: true });
  });

  test("[SSS-40] an empty list of types, tags or spaces holds nothing, an empty list of exceptions everything", async () => {
    const { client } = await inRooms("a", "b");
    const count = async (filters: Record<string, unknown>): Promise<number | undefined> =>
      (await client.sync(filtered(filters))).lists?.["all"]?.count;
    for (const name of ["room_types", "tags", "spaces"]) expect([name, await count({ [name]: [] })]).toEqual([name, 0]);
    for (const name of ["not_room_types", "not_tags"]) expect([name, await count({ [name]: [] })]).toEqual([name, 2]);
    expect(await count({ room_types: [null] })).toBe(2);
    expect(await count({ not_room_types: [null] })).toBe(0);
    expect(await count({ is_encrypted: false, is_dm: false })).toBe(2);
    expect(await count({})).toBe(2);
  });

  test("[SSS-73] a room counts as encrypted when it says how, in its state and in what an invite shows", async () => {
    const { me, client, id, room, play } = await inRooms("a", "b");
    const counts = async (): Promise<unknown[]> => {
      const count = async (is_encrypted: boolean): Promise<number | undefined> =>
        (await client.sync(filtered({ is_encrypted }))).lists?.["all"]?.count;
      return [await count(true), await count(false)];
    };
    const encryption = (content: Record<string, unknown>): Record<string, unknown> => ({
      timeline: { events: [rig.event("m.room.encryption", id, content, "")] },
    });
    await play("a", encryption({}));
    expect(await counts()).toEqual([0, 2]);
    await play("a", encryption({ algorithm: "m.megolm.v1.aes-sha2" }));
    expect(await counts()).toEqual([1, 1]);
    await play("a", encryption({ algorithm: null }));
    expect(await counts()).toEqual([0, 2]);
    const invite = (name: string, content: Record<string, unknown>): [string, Record<string, unknown>] => {
      const events = [
        rig.event("m.room.create", "@bob:test", {}, ""),
        rig.event("m.room.encryption", "@bob:test", content, ""),
      ];
      return [`${room(name)}-invite`, { invite_state: { events } }];
    };
    const algorithm = "m.megolm.v1.aes-sha2";
    await rig.poll(me, { rooms: { invite: Object.fromEntries([invite("a", {}), invite("b", { algorithm })]) } });
    expect(await counts()).toEqual([1, 3]);
  });

  test("[SSS-41] a room that was left before is told to who subscribes to it, up to the leave", async () => {
    const { me, client, id, room } = await inRooms("a");
    const left = rig.event("m.room.member", id, { membership: "leave" }, id);
    await rig.poll(me, { rooms: { leave: { [room("a")]: { timeline: { events: [left] } } } } });
    const config = { required_state: [["m.room.member", "$ME"]], timeline_limit: 5 };
    const body = { room_subscriptions: { [room("a")]: config } };
    const told = (await client.sync(body)).rooms[room("a")];
    expect(told).toMatchObject({ initial: true });
    expect(timelineOf(told).at(-1)).toBe("leave");
    expect(told?.required_state).toMatchObject([{ content: { membership: "leave" } }]);
    expect((await client.sync(body)).rooms).toEqual({});
  });

  test("[SSS-42] receipts and account data of a room out of view are told when it comes back", async () => {
    const { client, id, room, play } = await inRooms("a", "b");
    const extensions = on("receipts", "account_data");
    const view = (ranges: number[][]): Record<string, unknown> => ({ ...list({ ranges }), extensions });
    await client.sync(view(ALL));
    await client.sync(view([]));
    const receipt = { $x: { "m.read": { [id]: { ts: 1 } } } };
    await play("a", {
      ephemeral: { events: [{ type: "m.receipt", content: receipt }] },
      account_data: { events: [{ type: "m.tag", content: { tags: { "m.favourite": {} } } }] },
    });
    const unseen = await client.sync(view([]));
    expect(unseen.extensions).toMatchObject({ receipts: { rooms: {} }, account_data: { rooms: {} } });
    const seen = await client.sync(view(ALL));
    expect(seen.extensions["receipts"]?.["rooms"]).toMatchObject({ [room("a")]: { content: { $x: {} } } });
    expect(seen.extensions["account_data"]?.["rooms"]).toMatchObject({ [room("a")]: [{ type: "m.tag" }] });
    const again = await client.sync(view(ALL));
    expect(again.extensions).toMatchObject({ receipts: { rooms: {} }, account_data: { rooms: {} } });
  });

  test("[SSS-43] extensions speak of the rooms they are asked about", async () => {
    const { client, id, room, play } = await inRooms("a", "b");
    const receipts = (scope: Record<string, unknown>): Record<string, unknown> => ({
      ...list(),
      extensions: { receipts: { enabled: true, ...scope } },
    });
    await client.sync(list());
    for (const name of ["a", "b"])
      await play(name, {
        ephemeral: { events: [{ type: "m.receipt", content: { $x: { "m.read": { [id]: { ts: 1 } } } } }] },
      });
    const told = async (scope: Record<string, unknown>): Promise<string[]> =>
      Object.keys((await client.sync(receipts(scope))).extensions["receipts"]?.["rooms"] ?? {}).toSorted();
    expect(await told({ lists: [], rooms: [] })).toEqual([]);
    expect(await told({ lists: [], rooms: [room("a"), "!other:test"] })).toEqual([room("a")]);
    expect(await told({ lists: ["none"], rooms: [] })).toEqual([]);
    expect(await told({})).toEqual([room("b")]);
    expect(await told({})).toEqual([]);
  });

  test("[SSS-44] typing is told when it changes, and to who comes to see it", async () => {
    const { client, id, room, play } = await inRooms("a");
    const body = (ranges: number[][]): Record<string, unknown> => ({ ...list({ ranges }), extensions: on("typing") });
    const typing = (...users: string[]): Promise<void> =>
      play("a", { ephemeral: { events: [{ type: "m.typing", content: { user_ids: users } }] } });
    await client.sync(body(ALL));
    await typing(id);
    const rooms = async (ranges: number[][]): Promise<unknown> =>
      (await client.sync(body(ranges))).extensions["typing"]?.["rooms"];
    expect(await rooms(ALL)).toMatchObject({ [room("a")]: { content: { user_ids: [id] } } });
    expect(await rooms(ALL)).toEqual({});
    expect(await rooms([])).toEqual({});
    expect(await rooms(ALL)).toMatchObject({ [room("a")]: { content: { user_ids: [id] } } });
    await play("a", { timeline: { events: [rig.say(id, "other news")] } });
    expect(await rooms(ALL)).toEqual({});
    await typing();
    expect(await rooms(ALL)).toMatchObject({ [room("a")]: { content: { user_ids: [] } } });
  });

  test("[SSS-45] all of the account data comes when it is first asked for, whatever was before", async () => {
    const { me, client } = await inRooms("a");
    await rig.poll(me, { account_data: { events: [{ type: "m.push_rules", content: { global: {} } }] } });
    await client.sync(list());
    const first = await client.sync({ ...list(), extensions: on("account_data") });
    expect(first.extensions["account_data"]?.["global"]).toMatchObject([{ type: "m.push_rules" }]);
    const next = await client.sync({ ...list(), extensions: on("account_data") });
    expect(next.extensions["account_data"]).toEqual({ global: [], rooms: {} });
  });

  test("[SSS-46] asking for everything brings every member, lazily or not", async () => {
    const { client, id, room, play } = await inRooms("a");
    const bob = rig.event("m.room.member", "@bob:test", { membership: "join" }, "@bob:test");
    await play("a", { timeline: { events: [bob, rig.say(id, "1"), rig.say(id, "2")] } });
    const every = [
      ["*", "*"],
      ["m.room.member", "$LAZY"],
    ];
    const { rooms } = await client.sync(list({ required_state: every }));
    expect(stateOf(rooms[room("a")])).toContain("m.room.member|@bob:test");
    const other = new SimplifiedClient(rig, (await inRooms("z")).me);
    expect((await other.sync(list({ required_state: [["*", ""]] }))).rooms).not.toEqual({});
    const made = [
      ["m.room.name", ""],
      ["\0-m.room.name", ""],
      ["m.room.member", "\0lazy"],
    ];
    const anew = await client.sync(list({ required_state: made }), { pos: null });
    expect(stateOf(anew.rooms[room("a")])).toEqual(["m.room.name|"]);
  });

  test("[SSS-60] a leave is believed although the state after it says nothing", async () => {
    const { me, client, id, room } = await inRooms("a", "b");
    await client.sync(list());
    const left = rig.event("m.room.member", id, { membership: "leave" }, id);
    const section = { timeline: { events: [left] }, "org.matrix.msc4222.state_after": { events: [] } };
    await rig.poll(me, { rooms: { leave: { [room("a")]: section } } });
    const told = (await client.sync(list())).rooms[room("a")];
    expect(told?.required_state).toMatchObject([{ content: { membership: "leave" } }]);
    expect(listed(await client.sync(list()))).toEqual([room("b")]);
  });

  test("[SSS-61] a changed profile is told with the counts", async () => {
    const { client, id, room, play } = await inRooms("a");
    await client.sync(list());
    const profile = { membership: "join", displayname: "new" };
    await play("a", { timeline: { events: [rig.event("m.room.member", id, profile, id)] } });
    const told = (await client.sync(list())).rooms[room("a")];
    expect(told).toMatchObject({ joined_count: 1, invited_count: 0 });
    expect(told).not.toHaveProperty("initial");
  });

  test("[SSS-53] who leaves is lazily told the members of their last events, the own one among them", async () => {
    const { me, client, id, room, play } = await inRooms("a");
    const lazy = list({ required_state: [["m.room.member", "$LAZY"]] });
    const bob = rig.event("m.room.member", "@bob:test", { membership: "join" }, "@bob:test");
    await play("a", { timeline: { events: [bob] } });
    await play("a", { timeline: { events: [rig.say(id, "1"), rig.say(id, "2")], prev_batch: "p" } });
    await client.sync(lazy);
    const left = rig.event("m.room.member", id, { membership: "leave" }, id);
    const events = [rig.say("@bob:test", "farewell"), left];
    await rig.poll(me, { rooms: { leave: { [room("a")]: { timeline: { events } } } } });
    const told = (await client.sync(lazy)).rooms[room("a")];
    expect(stateOf(told)).toEqual(["m.room.member|@bob:test", `m.room.member|${id}`]);
  });

  test("[SSS-76] that a room has no tags any more is told to who was told of some", async () => {
    const { client, room, play } = await inRooms("a");
    const tags = (of: Record<string, unknown>): Record<string, unknown> => ({
      account_data: { events: [{ type: "m.tag", content: { tags: of } }] },
    });
    const body = { ...list(), extensions: on("account_data") };
    await play("a", tags({ "m.favourite": {} }));
    const late = { ...body, conn_id: "late" };
    const rooms = async (wish: Record<string, unknown>, pos?: null): Promise<unknown> =>
      (await client.sync(wish, pos === null ? { pos } : {})).extensions["account_data"]?.["rooms"];
    expect(await rooms(body)).toMatchObject({ [room("a")]: [{ content: { tags: { "m.favourite": {} } } }] });
    await play("a", tags({}));
    expect(await rooms(body)).toMatchObject({ [room("a")]: [{ content: { tags: {} } }] });
    expect(await rooms(late, null)).toEqual({});
    await play("a", tags({}));
    expect(await rooms(late)).toEqual({});
  });

  test("[SSS-77] a timeline that is expanded brings the receipts on its events", async () => {
    const { client, id, room, play } = await inRooms("a");
    const [first, second] = [rig.say(id, "1"), rig.say(id, "2")];
    const content = { [first.event_id ?? ""]: { "m.read": { "@bob:test": { ts: 1 } } } };
    await play("a", { timeline: { events: [first] }, ephemeral: { events: [{ type: "m.receipt", content }] } });
    await play("a", { timeline: { events: [second], prev_batch: "p" } });
    const body = (limit: number) => ({ ...list({ timeline_limit: limit }), extensions: on("receipts") });
    expect((await client.sync(body(1))).extensions).toEqual({ receipts: { rooms: {} } });
    const expanded = await client.sync(body(2));
    expect(expanded.rooms[room("a")]).toMatchObject({ unstable_expanded_timeline: true });
    expect(expanded.extensions["receipts"]?.["rooms"]).toMatchObject({ [room("a")]: { content } });
  });

  test("[SSS-78] a room that was left is in no list once that is told, subscribed to or not, and goes on from there when asked for again", async () => {
    const { me, client, id, room } = await inRooms("a", "b");
    const config = { required_state: [["*", "*"]], timeline_limit: 2 };
    const body = (...names: string[]): Record<string, unknown> => ({
      ...list(),
      room_subscriptions: Object.fromEntries(names.map((name) => [room(name), config])),
    });
    await client.sync(body("a"));
    const left = rig.event("m.room.member", id, { membership: "leave" }, id);
    await rig.poll(me, { rooms: { leave: { [room("a")]: { timeline: { events: [left] } } } } });
    expect(timelineOf((await client.sync(body("a"))).rooms[room("a")])).toEqual(["leave"]);
    expect(listed(await client.sync(body("a")))).toEqual([room("b")]);
    expect(listed(await client.sync(body()))).toEqual([room("b")]);
    expect((await client.sync(body("a"))).rooms).toEqual({});
    const more = { ...body(), room_subscriptions: { [room("a")]: { ...config, timeline_limit: 9 } } };
    const { rooms } = await client.sync(more);
    expect(rooms[room("a")]).toMatchObject({ unstable_expanded_timeline: true });
    expect(rooms[room("a")]).not.toHaveProperty("initial");
    expect(stateOf(rooms[room("a")])).toEqual([`m.room.member|${id}`]);
  });

  test("[SSS-79] a member that was asked for by name is not sent once more for speaking", async () => {
    const { client, id, room, play } = await inRooms("a");
    const member = (...keys: string[]): Record<string, unknown> =>
      list({ required_state: keys.map((key) => ["m.room.member", key]) });
    expect(stateOf((await client.sync(member("$ME", "$LAZY"))).rooms[room("a")])).toEqual([`m.room.member|${id}`]);
    await play("a", { timeline: { events: [rig.say(id, "mine")] } });
    const spoken = (await client.sync(member("$ME", "$LAZY"))).rooms[room("a")];
    expect([timelineOf(spoken), stateOf(spoken)]).toEqual([["mine"], []]);
    const bob = rig.event("m.room.member", "@bob:test", { membership: "join" }, "@bob:test");
    await play("a", { state: { events: [bob] }, timeline: { events: [rig.say(id, "quiet")] } });
    const named = await client.sync(member("@bob:test", "$LAZY"));
    expect(stateOf(named.rooms[room("a")])).toContain("m.room.member|@bob:test");
    await play("a", { timeline: { events: [rig.say("@bob:test", "hello")] } });
    expect(stateOf((await client.sync(member("@bob:test", "$LAZY"))).rooms[room("a")])).toEqual([]);
  });

  test("[SSS-80] of state that was asked for before, what has changed unasked is sent when it is asked for again, and nothing else", async () => {
    const { client, id, room, play } = await inRooms("a");
    const wish = (...types: string[]): Record<string, unknown> =>
      list({ required_state: types.map((type) => [type, ""]), timeline_limit: 0 });
    const state = async (...types: string[]): Promise<string[]> =>
      stateOf((await client.sync(wish(...types))).rooms[room("a")]);
    await play("a", { timeline: { events: [rig.event("m.room.topic", id, { topic: "one" }, "")] } });
    expect((await state("m.room.create", "m.room.name", "m.room.topic")).length).toBe(3);
    await play("a", { timeline: { events: [rig.event("m.room.topic", id, { topic: "two" }, "")] } });
    expect(await state("m.room.create")).toEqual([]);
    expect(await state("m.room.create", "m.room.name", "m.room.topic")).toEqual(["m.room.topic|"]);
    expect(await state("m.room.create", "m.room.name", "m.room.topic")).toEqual([]);
    // Who asks for something twice asks for no more than once.
    expect(await state("m.room.topic", "m.room.topic", "m.room.topic")).toEqual([]);
    expect(await state("m.room.create", "m.room.name", "m.room.topic")).toEqual([]);
  });
});
