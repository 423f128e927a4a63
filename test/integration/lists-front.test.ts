import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import { NaiveClient, type WireEvent, type WireOp } from "#test/support/naive-client.ts";

const ALICE = "@alice:test";
const BOB = "@bob:test";
const id = (name: string): string => `!${name}:test`;
const nameOf = (roomId: string): string => roomId.slice(1, roomId.indexOf(":"));

let rig: FrontRig;
let alice: Session;
let client: NaiveClient;

beforeEach(async () => {
  rig = await FrontRig.start();
  client = new NaiveClient();
});

afterEach(() => rig.stop());

interface RoomParts {
  state?: WireEvent[];
  timeline?: WireEvent[];
  notification_count?: number;
  highlight_count?: number;
}

const member = (userId: string, membership: string, sender = userId): WireEvent =>
  rig.event("m.room.member", sender, { membership }, userId);

/** A room of Bob's that Alice is in, as a first sync brings it. */
const room = (name: string, more: WireEvent[] = [], create: Record<string, unknown> = {}) => ({
  state: {
    events: [
      rig.event("m.room.create", BOB, { room_version: "11", ...create }, ""),
      member(BOB, "join"),
      member(ALICE, "join"),
      rig.event("m.room.name", BOB, { name }, ""),
      ...more,
    ],
  },
  timeline: { events: [rig.say(BOB, `first of ${name}`)], prev_batch: `p-${name}` },
});

/** Alice's first sync has these rooms, the last one the most recent. */
function begin(...names: string[]): void {
  const join = Object.fromEntries(names.map((name) => [id(name), room(name)]));
  alice = rig.account("alice", { rooms: { join } });
}

const news = (name: string, { timeline = [], notification_count, highlight_count }: RoomParts) => ({
  [id(name)]: {
    timeline: { events: timeline },
    ...(notification_count === undefined ? {} : { unread_notifications: { notification_count, highlight_count } }),
  },
});

const play = (rooms: Record<string, unknown>, more: Record<string, unknown> = {}) =>
  rig.poll(alice, { rooms, ...more });
const say = (name: string) => play({ join: news(name, { timeline: [rig.say(BOB, `more of ${name}`)] }) });

const written = (op: WireOp): string => {
  const ids = op.room_ids ?? (op.room_id === undefined ? [] : [op.room_id]);
  return `${op.op} ${op.range === undefined ? op.index : `[${op.range.join()}]`} ${ids.map(nameOf).join("")}`.trim();
};

/** One request: operations of a list as text, its count, and the rooms, those that come whole with a `+`. */
async function ask(lists: Record<string, unknown> = {}, key = "all") {
  const pos = client.pos === null ? {} : { pos: client.pos };
  const response = await rig.sync(alice, { lists }, pos);
  client.apply(response);
  return {
    rooms: response.rooms,
    lists: response.lists,
    told: [
      (response.lists[key]?.ops ?? []).map(written).join(", "),
      response.lists[key]?.count,
      Object.entries(response.rooms)
        .map(([roomId, { initial }]) => `${nameOf(roomId)}${initial === true ? "+" : ""}`)
        .sort()
        .join(" "),
    ],
  };
}

const LETTERS = "abcdefghijklmnopqrst".split("");
/** `a` is the most recent. */
const beginInOrder = (...names: string[]) => begin(...names.toReversed());

describe("lists over HTTP", () => {
  test("[LIST-60] several windows: each is a SYNC of exactly its rooms, and a room that crosses them moves each by a pair", async () => {
    beginInOrder(...LETTERS);
    const ranges = [
      [0, 2],
      [10, 12],
      [17, 19],
    ];
    expect((await ask({ all: { ranges } })).told).toEqual([
      "SYNC [0,2] abc, SYNC [10,12] klm, SYNC [17,19] rst",
      20,
      "a+ b+ c+ k+ l+ m+ r+ s+ t+",
    ]);
    await say("s");
    expect((await ask()).told).toEqual([
      "DELETE 18, INSERT 17 q, DELETE 2, INSERT 0 s, DELETE 12, INSERT 10 j",
      20,
      "j+ q+ s",
    ]);
    expect(client.window("all", [[0, 2]])).toEqual([id("s"), id("a"), id("b")]);
  });

  test("[LIST-61] ranges: they grow by what is new, shrink by what is gone, and end with the list", async () => {
    beginInOrder("a", "b", "c", "d", "e");
    expect((await ask({ all: { ranges: [[0, 20]] } })).told[0]).toBe("SYNC [0,4] abcde");
    expect((await ask({ all: { ranges: [[0, 1]] } })).told).toEqual(["INVALIDATE [2,4]", 5, ""]);
    expect((await ask({ all: { ranges: [[0, 3]] } })).told).toEqual(["SYNC [2,3] cd", 5, "c+ d+"]);
    expect((await ask({ all: { ranges: [[7, 9]] } })).told).toEqual(["INVALIDATE [0,3]", 5, ""]);
    expect((await ask({ all: { ranges: [] } })).told).toEqual(["", 5, ""]);
    expect((await ask()).told).toEqual(["", 5, ""]);
  });

  test("[LIST-62] wrong ranges and unknown sorts are refused, and nothing of the request is kept", async () => {
    begin("a");
    await ask({ all: { ranges: [[0, 1]] } });
    for (const list of [
      { ranges: [[-1, 2]] },
      { ranges: [[3, 2]] },
      {
        ranges: [
          [0, 2],
          [2, 3],
        ],
      },
      { sort: ["by_magic"] },
    ]) {
      const { status } = await rig.request(alice, { body: { lists: { all: list, other: {} } }, pos: client.pos ?? "" });
      expect(status).toBe(400);
    }
    expect(Object.keys((await ask()).lists)).toEqual(["all"]);
  });

  test("[LIST-63] what moves nothing makes no operation, and its event comes alone", async () => {
    beginInOrder("a", "b");
    await ask({ all: { ranges: [[0, 9]] } });
    await say("a");
    const shown = await ask();
    expect(shown.told).toEqual(["", 2, "a"]);
    expect(shown.lists["all"]).toEqual({ count: 2 });
  });

  test("[LIST-64] a message and the counts of one poll move a room once; counts are told of rooms out of view", async () => {
    beginInOrder("a", "b", "c");
    const sort = ["by_notification_level", "by_recency"];
    await ask({ all: { ranges: [[0, 1]], sort } });
    await play({
      join: news("b", { timeline: [rig.say(BOB, "ping")], notification_count: 1, highlight_count: 1 }),
    });
    expect((await ask()).told).toEqual(["DELETE 1, INSERT 0 b", 3, "b"]);
    await play({ join: news("b", { notification_count: 0, highlight_count: 0 }) });
    const cleared = await ask();
    expect(cleared.rooms).toEqual({ [id("b")]: { notification_count: 0, highlight_count: 0 } });
    await ask({ all: { ranges: [[0, 0]], sort: ["by_name"] } });
    await play({ join: news("c", { notification_count: 7, highlight_count: 0 }) });
    expect((await ask()).rooms).toEqual({ [id("c")]: { notification_count: 7, highlight_count: 0 } });
  });

  test("[LIST-65] tags and direct rooms move rooms between lists at once", async () => {
    beginInOrder("a", "b");
    const lists = {
      all: { ranges: [[0, 9]], filters: { tags: ["m.favourite"] } },
      rest: { ranges: [[0, 9]], filters: { not_tags: ["m.favourite"], is_dm: false } },
    };
    expect((await ask(lists)).told).toEqual(["", 0, "a+ b+"]);
    const tagged = (tags: object) => ({
      join: { [id("b")]: { account_data: { events: [{ type: "m.tag", content: { tags } }] } } },
    });
    await play(tagged({ "m.favourite": { order: 0.5 } }));
    const shown = await ask();
    expect([shown.told, shown.lists["rest"]?.count]).toEqual([["DELETE 0, INSERT 0 b", 1, "b+"], 1]);
    await play(tagged({}));
    expect((await ask()).told.slice(0, 2)).toEqual(["DELETE 0", 0]);
    await play({}, { account_data: { events: [{ type: "m.direct", content: { [BOB]: [id("a")] } }] } });
    expect((await ask({}, "rest")).told).toEqual(["DELETE 0", 1, ""]);
  });

  test("[LIST-66] bump event types: each list has its own time of a room, and without any it is that of the join", async () => {
    const join = Object.fromEntries(["c", "b", "a"].map((name) => [id(name), room(name)]));
    alice = rig.account("alice", { rooms: { join } });
    await ask({
      all: { ranges: [[0, 9]], bump_event_types: ["m.room.message"] },
      any: { ranges: [[0, 9]] },
      never: { ranges: [[0, 9]], bump_event_types: ["org.never"] },
    });
    await play({ join: news("c", { timeline: [rig.event("m.room.topic", BOB, { topic: "t" }, "")] }) });
    const shown = await ask();
    expect([shown.told[0], shown.lists["any"]?.ops?.length, shown.lists["never"]?.ops]).toEqual(["", 2, undefined]);
    await say("b");
    const bumped = await ask();
    expect([bumped.told[0], bumped.lists["never"]?.ops]).toEqual(["DELETE 1, INSERT 0 b", undefined]);
  });

  test("[LIST-67] slow_get_all_rooms: joins add rooms without operations, and every event comes", async () => {
    beginInOrder("a", "b");
    expect((await ask({ all: { slow_get_all_rooms: true, timeline_limit: 1 } })).told).toEqual([
      "SYNC [0,1] ab",
      2,
      "a+ b+",
    ]);
    await play({ join: { [id("n")]: room("n") } });
    expect((await ask()).told).toEqual(["", 3, "n+"]);
    await say("b");
    expect((await ask()).told).toEqual(["", 3, "b"]);
  });

  test("[LIST-68] spaces: children of the spaces one has joined, live, and nothing to those who are only invited", async () => {
    const child = (name: string) => rig.event("m.space.child", BOB, { via: ["test"] }, id(name));
    const join = {
      [id("s")]: room("s", [child("a"), child("stranger")], { type: "m.space" }),
      [id("b")]: room("b"),
      [id("a")]: room("a"),
    };
    alice = rig.account("alice", { rooms: { join } });
    const filters = { spaces: [id("s")] };
    expect((await ask({ all: { ranges: [[0, 9]], filters } })).told).toEqual(["SYNC [0,0] a", 1, "a+"]);
    await play({ join: news("s", { timeline: [child("b")] }) });
    expect((await ask()).told).toEqual(["DELETE 1, INSERT 1 b", 2, "b+"]);
    const both = await ask({ both: { ranges: [[0, 9]], filters: { ...filters, room_types: ["m.space"] } } }, "both");
    expect(both.told.slice(0, 2)).toEqual(["", 0]);
    await play({ leave: { [id("s")]: { timeline: { events: [member(ALICE, "leave")] } } } });
    expect((await ask()).told.slice(1)).toEqual([0, ""]);
  });

  test("[LIST-69] an upgraded room gives way once its successor is joined, and its tombstone is told", async () => {
    beginInOrder("a", "b", "o");
    await ask({ all: { ranges: [[0, 9]], timeline_limit: 1 } });
    await play({ join: { [id("n")]: room("n", [], { predecessor: { room_id: id("o"), event_id: "$x" } }) } });
    expect((await ask()).told).toEqual(["DELETE 3, INSERT 0 n", 4, "n+"]);
    const tombstone = rig.event("m.room.tombstone", BOB, { replacement_room: id("n") }, "");
    await play({ join: news("o", { timeline: [tombstone] }) });
    const shown = await ask();
    expect(shown.told).toEqual(["DELETE 3", 3, "o"]);
    expect(shown.rooms[id("o")]?.timeline).toMatchObject([{ event_id: tombstone.event_id }]);
  });

  test("[LIST-70] a room comes once with what several lists want, and anew with what a later list wants alone", async () => {
    begin("b", "a");
    const first = await ask({
      all: { ranges: [[0, 0]], timeline_limit: 1, required_state: [["m.room.create", ""]] },
      same: { ranges: [[0, 0]], timeline_limit: 5, required_state: [["m.room.name", ""]] },
    });
    expect(first.rooms[id("a")]?.required_state?.map(({ type }) => type)).toEqual(["m.room.create", "m.room.name"]);
    const later = await ask({
      later: { ranges: [[0, 1]], timeline_limit: 1, required_state: [["m.room.member", "$ME"]] },
    });
    expect(later.told[2]).toBe("a+ b+");
    expect(later.rooms[id("a")]?.required_state).toMatchObject([{ type: "m.room.member", state_key: ALICE }]);
    const equal = await ask({
      equal: { ranges: [[0, 0]], timeline_limit: 1, required_state: [["m.room.create", ""]] },
    });
    expect(equal.told[2]).toBe("a+");
    await say("b");
    const moved = await ask();
    expect(moved.lists["all"]).toEqual(moved.lists["equal"] as never);
  });

  test("[LIST-71] a deleted list is in no response, and may come back under the same key", async () => {
    begin("b", "a");
    await ask({ all: { ranges: [[0, 0]] }, other: { ranges: [[0, 0]] } });
    expect(Object.keys((await ask({ all: { deleted: true } })).lists)).toEqual(["other"]);
    expect(Object.keys((await ask()).lists)).toEqual(["other"]);
    expect((await ask({ all: { ranges: [[0, 1]], sort: ["by_name"] } })).told[0]).toBe("SYNC [0,1] ab");
  });
});
