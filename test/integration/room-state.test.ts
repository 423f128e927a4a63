import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Session } from "#test/support/homeserver.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { ALICE, BOB, LIST, ROOM, RoomStage } from "#test/support/room-stage.ts";

const CAROL = "@carol:test";
const LAZY = [["m.room.member", "$LAZY"]];

let stage: RoomStage;
let alice: Session;
beforeEach(async () => {
  stage = await RoomStage.start();
});
afterEach(() => stage.stop());

const stateOf = (room: Record<string, unknown>): string[] =>
  ((room["required_state"] ?? []) as WireEvent[]).map((event) => `${event.type} ${String(event["state_key"])}`);
const room = (roomId: string, more: WireEvent[] = [], timeline = [stage.say("x")], creation = {}) => ({
  roomId,
  state: [stage.create(creation), stage.member(ALICE), stage.member(BOB), stage.member(CAROL), ...more],
  timeline,
});

/** Alice's first sync has these rooms. */
function open(...rooms: ReturnType<typeof room>[]): void {
  const join = Object.assign({}, ...rooms.map((one) => (stage.joins(one)["rooms"] as { join: object }).join)) as object;
  alice = stage.front.account("alice", { rooms: { join } });
}

describe("required_state", () => {
  const ask = async (required_state: unknown[]): Promise<string[]> =>
    stateOf(stage.room(await stage.first(alice, { lists: { all: { ...LIST, required_state } } })));
  const custom = (type: string, key: string) => stage.event(type, {}, key);

  test("[STATE-30] selects by type and key, with wildcards for both, `$ME` and `$LAZY`, in the order of the stream", async () => {
    open(room(ROOM, [custom("m.a", ""), custom("m.a", "k"), custom("m.b", "k"), custom("m.a", ALICE)]));
    expect(
      await ask([
        ["m.b", "k"],
        ["m.a", ""],
        ["m.none", ""],
        ["m.a", ""],
      ]),
    ).toEqual(["m.a ", "m.b k"]);
    expect(await ask([["m.a", "*"]])).toEqual(["m.a ", "m.a k", `m.a ${ALICE}`]);
    expect(await ask([["*", "k"]])).toEqual(["m.a k", "m.b k"]);
    expect(await ask([["*", "$ME"]])).toEqual([`m.room.member ${ALICE}`, `m.a ${ALICE}`]);
    expect(await ask([["m.a", "$ME"]])).toEqual([`m.a ${ALICE}`]);
    expect(await ask(LAZY)).toEqual([`m.room.member ${BOB}`]);
    expect(await ask([["m.a", "$LAZY"]])).toEqual([]);
    expect(await ask([["*", "*"]])).toHaveLength(8);
  });

  test("[STATE-31] everything with lazy members is everything but members, who come for the senders alone", async () => {
    open(room(ROOM, [custom("m.a", "k")]));
    expect(await ask([["*", "*"], ...LAZY])).toEqual(["m.room.create ", `m.room.member ${BOB}`, "m.a k"]);
    expect(await ask([["*", "*"], ...LAZY, ["m.room.member", "$ME"]])).toEqual([
      "m.room.create ",
      `m.room.member ${ALICE}`,
      `m.room.member ${BOB}`,
      "m.a k",
    ]);
  });

  test("[STATE-32] a lazily loaded member comes with the first event, and once", async () => {
    open(room(ROOM));
    await stage.first(alice, { lists: { all: { ...LIST, required_state: LAZY } } });
    const say = async (...senders: string[]) => {
      const timeline = senders.map((sender) => stage.say("hi", sender));
      await stage.front.poll(alice, stage.joins({ timeline }));
      return stateOf(stage.room(await stage.next(alice)));
    };
    expect(await say(BOB)).toEqual([]);
    expect(await say(CAROL, BOB, CAROL)).toEqual([`m.room.member ${CAROL}`]);
    expect(await say(CAROL)).toEqual([]);
  });

  test("[STATE-33] so does one who types, even when nothing else happens in the room", async () => {
    open(room(ROOM));
    const extensions = { typing: { enabled: true } };
    await stage.first(alice, { lists: { all: { ...LIST, required_state: LAZY } }, extensions });
    const type = async (...user_ids: string[]) => {
      const ephemeral = { events: [{ type: "m.typing", content: { user_ids } }] };
      await stage.front.poll(alice, stage.joins({ extra: { ephemeral } }));
      const { rooms } = await stage.next(alice);
      return rooms[ROOM] === undefined ? null : stateOf(rooms[ROOM]);
    };
    expect(await type(CAROL, BOB)).toEqual([`m.room.member ${CAROL}`]);
    expect(await type(CAROL)).toBeNull();
  });

  test("[STATE-34] a longer timeline brings the members that were not known yet, and no other state", async () => {
    open(room(ROOM, [], [stage.say("old", CAROL), stage.say("new")]));
    const required_state = [["m.room.create", ""], ...LAZY];
    await stage.first(alice, { lists: { all: { ...LIST, timeline_limit: 1, required_state } } });
    const longer = stage.room(await stage.next(alice, { lists: { all: { timeline_limit: 5 } } }));
    expect(stateOf(longer)).toEqual([`m.room.member ${CAROL}`]);
    expect(longer["timeline"]).toHaveLength(2);
  });

  test("[STATE-35] is the union of what lists and subscriptions of one request want, with the longest timeline", async () => {
    open(room(ROOM, [], [stage.say("one"), stage.say("two"), stage.say("three")]));
    const want = (type: string, timeline_limit: number, more: object = {}) => ({
      timeline_limit,
      required_state: [[type, type === "m.room.member" ? BOB : ""]],
      ...more,
    });
    const both = await stage.first(alice, {
      lists: { one: { ranges: [[0, 1]], ...want("m.room.create", 1) } },
      room_subscriptions: { [ROOM]: want("m.room.member", 2, { include_heroes: true }) },
    });
    expect(stateOf(stage.room(both))).toEqual(["m.room.create ", `m.room.member ${BOB}`]);
    expect(stage.room(both)["timeline"]).toHaveLength(2);
    expect(stage.room(both)).toHaveProperty("heroes");
    const later = await stage.next(alice, { room_subscriptions: { [ROOM]: want("m.room.member", 3) } });
    expect(stateOf(stage.room(later))).toEqual([`m.room.member ${BOB}`]);
    expect(stage.room(later)).toMatchObject({ initial: true });
    expect(stage.room(later)["timeline"]).toHaveLength(3);
    const bare = stage.room(await stage.next(alice, { room_subscriptions: { [ROOM]: {} } }));
    expect([bare["initial"], bare["timeline"], bare["required_state"]]).toEqual([true, undefined, undefined]);
  });
});

describe("room subscriptions", () => {
  test("[ROOM-30] to rooms that are unknown or not entered bring nothing, until the user is inside", async () => {
    alice = stage.front.account("alice");
    const body = { room_subscriptions: { [ROOM]: LIST, "!never:test": LIST } };
    expect((await stage.first(alice, body)).rooms).toEqual({});
    await stage.front.poll(alice, stage.invites(stage.stripped()));
    expect((await stage.next(alice)).rooms).toEqual({});
    await stage.front.poll(alice, stage.joins(room(ROOM)));
    expect(stage.room(await stage.next(alice))).toMatchObject({ initial: true, joined_count: 3 });
    const event = stage.say("live");
    await stage.front.poll(alice, stage.joins({ timeline: [event] }));
    expect(stage.room(await stage.next(alice))).toMatchObject({ timeline: [event], num_live: 1 });
  });

  test("[ROOM-31] end with the stay after its last event, and begin anew with the next", async () => {
    open(room(ROOM));
    await stage.first(alice, { room_subscriptions: { [ROOM]: LIST } });
    const leave = stage.member(ALICE, "leave");
    await stage.front.poll(alice, stage.leaves({ timeline: [leave] }));
    expect(stage.room(await stage.next(alice))["timeline"]).toEqual([leave] as never);
    const back = stage.member(ALICE);
    await stage.front.poll(alice, stage.joins({ timeline: [back], limited: true, prevBatch: "p" }));
    expect(stage.room(await stage.next(alice))).toMatchObject({ initial: true, timeline: [back], prev_batch: "p" });
  });
});

describe("include_old_rooms", () => {
  const old = { timeline_limit: 1, required_state: [["m.room.tombstone", ""]] };
  const body = (roomId: string, more: object = {}) => ({
    room_subscriptions: { [roomId]: { timeline_limit: 2, include_old_rooms: old, ...more } },
  });
  const end = (replacement_room: string) => stage.event("m.room.tombstone", { replacement_room }, "");
  const after = (room_id: string) => ({ predecessor: { room_id, event_id: "$x" } });

  test("[ROOM-32] follows the chain back through rooms the user is in, with parameters of their own", async () => {
    open(
      room("!1:test", [end("!2:test")]),
      room("!2:test", [end("!3:test")], [stage.say("a"), stage.say("b")], after("!1:test")),
      room("!3:test", [], [stage.say("c"), stage.say("d")], after("!2:test")),
    );
    const { rooms, lists } = await stage.first(alice, body("!3:test"));
    expect(Object.keys(rooms).sort()).toEqual(["!1:test", "!2:test", "!3:test"]);
    expect(rooms["!2:test"]).toMatchObject({ initial: true, required_state: [{ type: "m.room.tombstone" }] });
    expect([rooms["!2:test"]?.timeline?.length, rooms["!3:test"]?.timeline?.length]).toEqual([1, 2]);
    expect(rooms["!3:test"]).not.toHaveProperty("required_state");
    expect(lists).toEqual({});
    // Sent beside their successor alone: what happens in them later is not told.
    await stage.front.poll(alice, stage.joins({ roomId: "!1:test", timeline: [stage.say("late")] }));
    expect((await stage.next(alice)).rooms).toEqual({});
  });

  test("[ROOM-33] stops at a room that is unknown or was left, and goes in no circles", async () => {
    open(
      room("!1:test", [], undefined, after("!0:test")),
      room("!2:test", [], undefined, after("!1:test")),
      room("!a:test", [], undefined, after("!b:test")),
      room("!b:test", [], undefined, after("!a:test")),
      room("!self:test", [], undefined, after("!self:test")),
    );
    const shown = async (roomId: string) => Object.keys((await stage.first(alice, body(roomId))).rooms).sort();
    expect(await shown("!2:test")).toEqual(["!1:test", "!2:test"]);
    expect(await shown("!a:test")).toEqual(["!a:test", "!b:test"]);
    expect(await shown("!self:test")).toEqual(["!self:test"]);
    await stage.front.poll(alice, stage.leaves({ roomId: "!1:test", timeline: [stage.member(ALICE, "leave")] }));
    expect(await shown("!2:test")).toEqual(["!2:test"]);
  });

  test("[ROOM-34] an old room that is in view keeps what was asked for it there", async () => {
    open(
      room("!1:test", [], [stage.say("a"), stage.say("b"), stage.say("c")]),
      room("!2:test", [], undefined, after("!1:test")),
    );
    const both = {
      ...body("!2:test").room_subscriptions,
      "!1:test": { timeline_limit: 3, required_state: [["m.room.create", ""]] },
    };
    const { rooms } = await stage.first(alice, { room_subscriptions: both });
    expect(rooms["!1:test"]?.timeline).toHaveLength(3);
    expect(stateOf(rooms["!1:test"] ?? {})).toEqual(["m.room.create "]);
  });

  test("[ROOM-35] of a room one is only invited to, nothing is followed", async () => {
    open(room("!1:test"));
    const create = { type: "m.room.create", state_key: "", sender: BOB, content: after("!1:test") };
    await stage.first(alice, { lists: { all: { ranges: [[0, 0]], include_old_rooms: old } } });
    await stage.front.poll(alice, stage.invites(stage.stripped({}, [create]), "!2:test"));
    expect(Object.keys((await stage.next(alice)).rooms)).toEqual(["!2:test"]);
  });
});
