import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Session } from "#test/support/homeserver.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { ALICE, BOB, LIST, type PlayedRoom, ROOM, RoomStage } from "#test/support/room-stage.ts";

let stage: RoomStage;
let alice: Session;
beforeEach(async () => {
  stage = await RoomStage.start();
});
afterEach(() => stage.stop());

/** Alice's first sync has the room with her and Bob in it. */
function open(room: PlayedRoom = {}, more: Record<string, unknown> = {}, members: WireEvent[] = []): WireEvent[] {
  const state = [
    stage.create(),
    stage.member(ALICE, "join", { displayname: "Alice" }),
    stage.member(BOB, "join", { displayname: "Bob" }),
    ...members,
    ...(room.state ?? []),
  ];
  const timeline = room.timeline ?? [stage.say("hello")];
  alice = stage.front.account("alice", { ...stage.joins({ prevBatch: "p1", ...room, state, timeline }), ...more });
  return timeline;
}

const news = (...timeline: WireEvent[]) => stage.front.poll(alice, stage.joins({ timeline }));
const direct = (...roomIds: string[]) => ({
  account_data: { events: [{ type: "m.direct", content: { [BOB]: roomIds } }] },
});
const named = (name: unknown) => stage.event("m.room.name", { name }, "");

describe("the entry of a room that is sent whole", () => {
  test("[ROOM-10] has every key that the table names, and no other", async () => {
    const timeline = open();
    const required_state = [["m.room.create", ""]];
    const response = await stage.first(alice, { lists: { all: { ...LIST, required_state, include_heroes: true } } });
    expect(stage.room(response)).toEqual({
      initial: true,
      name: "Bob",
      avatar: null,
      heroes: [{ user_id: BOB, displayname: "Bob" }],
      required_state: [expect.objectContaining({ type: "m.room.create" })],
      timeline,
      joined_count: 2,
      invited_count: 0,
      notification_count: 0,
      highlight_count: 0,
      prev_batch: "p1",
      limited: true,
      timestamp: timeline[0]?.["origin_server_ts"],
    } as never);
  });

  test("[ROOM-11] leaves out what there is none of: state, timeline, token, heroes of a room with a name", async () => {
    open({ state: [named("Name")] });
    const response = await stage.first(alice, { lists: { all: { ranges: [[0, 9]], include_heroes: true } } });
    expect(Object.keys(stage.room(response)).sort()).toEqual([
      "avatar",
      "highlight_count",
      "initial",
      "invited_count",
      "joined_count",
      "name",
      "notification_count",
      "timestamp",
    ]);
  });

  test("[ROOM-12] says whether it is direct, and shows the other one's avatar only then", async () => {
    const carol = () => stage.member("@carol:test", "join", { avatar_url: "mxc://c" });
    const bob = () => stage.member(BOB, "join", { displayname: "Bob", avatar_url: "mxc://b" });
    const state = (roomId: string, ...members: WireEvent[]) =>
      stage.joins({ roomId, state: [stage.create(), stage.member(ALICE), ...members], timeline: [stage.say("x")] });
    const sections = [
      state("!two:test", bob()),
      state("!three:test", bob(), carol()),
      state("!plain:test", stage.member(BOB)),
      state("!other:test", bob()),
      state("!pictured:test", bob(), stage.event("m.room.avatar", { url: "mxc://room" }, "")),
    ];
    const join = Object.assign({}, ...sections.map(({ rooms }) => (rooms as { join: object }).join)) as object;
    alice = stage.front.account("alice", {
      rooms: { join },
      ...direct("!two:test", "!three:test", "!plain:test", "!pictured:test"),
    });
    const { rooms } = await stage.first(alice);
    const seen = Object.fromEntries(Object.entries(rooms).map(([id, room]) => [id, [room["is_dm"], room["avatar"]]]));
    expect(seen).toEqual({
      "!two:test": [true, "mxc://b"],
      "!three:test": [true, null],
      "!plain:test": [true, null],
      "!other:test": [undefined, null],
      "!pictured:test": [true, "mxc://room"],
    });
  });

  test("[ROOM-13] the name is what the vectors say, with empty and odd names passed over", async () => {
    open({ state: [named("")] });
    const seen: unknown[] = [stage.room(await stage.first(alice))["name"]];
    const change = async (...events: WireEvent[]) => {
      await news(...events);
      seen.push((await stage.next(alice)).rooms[ROOM]?.["name"]);
    };
    await change(stage.event("m.room.canonical_alias", { alias: "#a:test" }, ""));
    await change(named("Named"));
    await change(named(7));
    await change(stage.event("m.room.canonical_alias", {}, ""));
    await change(stage.member("@carol:test", "join", { displayname: "Bob" }));
    await change(stage.member(BOB, "leave"));
    await change(stage.member("@carol:test", "leave", { displayname: "Bob" }));
    expect(seen).toEqual([
      "Bob",
      "#a:test",
      "Named",
      "#a:test",
      "Bob",
      `Bob (${BOB}) and Bob (@carol:test)`,
      "Bob",
      expect.stringContaining("Bob"),
    ]);
  });
});

describe("the entry of a room that changed", () => {
  test("[ROOM-14] after a message holds the message, the counts, the time, and nothing else", async () => {
    open();
    await stage.first(alice);
    const message = stage.say("again");
    await news(message);
    expect(stage.room(await stage.next(alice))).toEqual({
      timeline: [message],
      num_live: 1,
      notification_count: 0,
      highlight_count: 0,
      timestamp: message["origin_server_ts"],
    } as never);
  });

  test("[ROOM-15] after a join has the one count that changed, and the name again", async () => {
    open();
    await stage.first(alice);
    await news(stage.member("@carol:test", "join", { displayname: "Carol" }));
    const joined = stage.room(await stage.next(alice));
    expect(joined).toMatchObject({ joined_count: 3, name: "Bob and Carol" });
    expect(joined).not.toHaveProperty("invited_count");
    await news(stage.member("@dave:test", "invite", {}, BOB));
    const invited = stage.room(await stage.next(alice));
    expect(invited).toMatchObject({ invited_count: 1, name: "Bob, Carol and @dave:test" });
    expect(invited).not.toHaveProperty("joined_count");
    expect(invited).not.toHaveProperty("avatar");
  });

  test("[ROOM-16] a changed avatar is told, and that there is none any more", async () => {
    open();
    await stage.first(alice);
    await news(stage.event("m.room.avatar", { url: "mxc://a" }, ""));
    expect(stage.room(await stage.next(alice))).toMatchObject({ avatar: "mxc://a" });
    await news(stage.event("m.room.avatar", {}, ""));
    expect(stage.room(await stage.next(alice))["avatar"]).toBeNull();
    await news(stage.say("x"));
    expect(stage.room(await stage.next(alice))).not.toHaveProperty("avatar");
  });

  test("[ROOM-17] a hero's new name is told with the heroes, a new avatar of theirs alone is not", async () => {
    open();
    await stage.first(alice, { lists: { all: { ...LIST, include_heroes: true } } });
    await news(stage.member(BOB, "join", { displayname: "Robert" }));
    expect(stage.room(await stage.next(alice))).toMatchObject({
      name: "Robert",
      heroes: [{ user_id: BOB, displayname: "Robert" }],
    });
    await news(stage.member(BOB, "join", { displayname: "Robert", avatar_url: "mxc://b" }));
    const pictured = stage.room(await stage.next(alice));
    expect([pictured["name"], pictured["heroes"]]).toEqual([undefined, undefined]);
  });

  test("[ROOM-18] the avatar of a direct room follows the other one, and goes when they leave", async () => {
    open({}, direct(ROOM));
    expect(stage.room(await stage.first(alice))["avatar"]).toBeNull();
    await news(stage.member(BOB, "join", { avatar_url: "mxc://b" }));
    expect(stage.room(await stage.next(alice))["avatar"]).toBe("mxc://b");
    await news(stage.member(BOB, "leave"));
    expect(stage.room(await stage.next(alice))["avatar"]).toBeNull();
  });

  test("[ROOM-19] changed unread counts are told alone, of rooms out of every window too; one that is not said stays", async () => {
    open();
    await stage.first(alice, { lists: { all: { ranges: [[5, 9]] } } });
    const count = (unread: object) => stage.front.poll(alice, stage.joins({ extra: { unread_notifications: unread } }));
    await count({ notification_count: 3, highlight_count: 1 });
    expect((await stage.next(alice)).rooms).toEqual({ [ROOM]: { notification_count: 3, highlight_count: 1 } } as never);
    await count({ highlight_count: 0 });
    expect((await stage.next(alice)).rooms).toEqual({ [ROOM]: { notification_count: 3, highlight_count: 0 } } as never);
    await count({ notification_count: 3 });
    expect((await stage.next(alice)).rooms).toEqual({});
  });

  test("[ROOM-20] the time is that of the newest event that moves rooms, however many come, and never before the join", async () => {
    const at = (ts: number, type = "m.room.message") => ({ ...stage.event(type, {}), origin_server_ts: ts });
    const join = { ...stage.member(ALICE), origin_server_ts: 5000 };
    alice = stage.front.account(
      "alice",
      stage.joins({ state: [stage.create()], timeline: [join, at(4000), at(6000, "m.other")] }),
    );
    const bumped = { lists: { all: { ...LIST, bump_event_types: ["m.room.message"] } } };
    expect(stage.room(await stage.first(alice, bumped))["timestamp"]).toBe(5000);
    await news(at(9000), at(8000), at(10_000, "m.other"));
    expect(stage.room(await stage.next(alice))["timestamp"]).toBe(8000);
    await news(at(20_000, "m.other"));
    expect(stage.room(await stage.next(alice))["timestamp"]).toBe(8000);
  });
});

test("[ROOM-21] heroes are five at most beside the viewer, in the order of their membership, and others take the places of those who leave", async () => {
  const others = ["c", "d", "e", "f", "g", "h"].map((name) => stage.member(`@${name}:test`, "join"));
  open({}, {}, others);
  const heroes = (room: Record<string, unknown>) =>
    (room["heroes"] as { user_id: string }[]).map(({ user_id }) => user_id.slice(1, 2));
  const body = { lists: { all: { ...LIST, include_heroes: true } } };
  const first = stage.room(await stage.first(alice, body));
  expect(heroes(first)).toEqual(["b", "c", "d", "e", "f"]);
  expect(first["name"]).toBe("Bob, @c:test, @d:test, @e:test, @f:test and 2 others");
  await news(stage.member("@d:test", "leave"), stage.member("@e:test", "ban", {}, BOB));
  expect(heroes(stage.room(await stage.next(alice)))).toEqual(["b", "c", "f", "g", "h"]);
});
