import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type CannedEvent, type Json, joined, response } from "#test/support/black-box.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const LIST = { ranges: [[0, 20]], timeline_limit: 20 };
const ALL = { lists: { a: LIST } };

describe("a black box's rooms", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  const push = (token: string, rooms: [string, Json][], more: Json = {}): Promise<void> =>
    box.homeserver.push(token, response(rooms, { next_batch: `s${box.nextTs()}`, ...more }));
  const queue = (token: string, rooms: [string, Json][], more: Json = {}): void =>
    box.homeserver.queue(token, response(rooms, { next_batch: `s${box.nextTs()}`, ...more }));

  test("[BBX-40] one room whole, member by member", async () => {
    const alice = box.user("alice");
    const room = box.roomId("whole");
    const [create, own, power, rules] = box.beginning(alice.id) as [CannedEvent, CannedEvent, CannedEvent, CannedEvent];
    const name = box.state("m.room.name", alice.id, { name: "The room" });
    const avatar = box.state("m.room.avatar", alice.id, { url: "mxc://localhost/room" });
    const bob = box.member("@bob:localhost", "join", { displayname: "Bob" });
    const chris = box.member("@chris:localhost", "invite", {}, alice.id);
    const said = box.say("@bob:localhost", "1.0 <b>&\u2028");
    queue(alice.token, [
      joined(room, {
        state: [create, own, power, rules, name, avatar, bob, chris],
        timeline: [said],
        prevBatch: "page",
        unread: { notification_count: 2, highlight_count: 1 },
      }),
    ]);
    const first = await box.sync(alice.token, {
      lists: {
        a: {
          ...LIST,
          required_state: [
            ["m.room.create", ""],
            ["m.room.member", "$ME"],
            ["m.nothing", "*"],
          ],
        },
      },
    });
    expect(first.rooms[room]).toEqual({
      initial: true,
      name: "The room",
      avatar: "mxc://localhost/room",
      joined_count: 2,
      invited_count: 1,
      notification_count: 2,
      highlight_count: 1,
      limited: true,
      prev_batch: "page",
      timeline: [said],
      required_state: [create, own],
      timestamp: said.origin_server_ts,
    });
  });

  test("[BBX-48] names and heroes follow the members", async () => {
    const alice = box.user("alice");
    const rooms = Object.fromEntries(
      ["named", "aliased", "one", "two", "none", "left", "many", "same"].map((name) => [name, box.roomId(name)]),
    );
    const begin = (): CannedEvent[] => box.beginning(alice.id);
    const join = (name: string, displayname: string | null = name): CannedEvent =>
      box.member(`@${name.toLowerCase()}:localhost`, "join", displayname === null ? {} : { displayname });
    const said = (): CannedEvent => box.say(alice.id, "hi");
    queue(alice.token, [
      joined(rooms["named"]!, {
        timeline: [...begin(), join("Bob"), box.state("m.room.name", alice.id, { name: "N" }), said()],
      }),
      joined(rooms["aliased"]!, {
        timeline: [
          ...begin(),
          join("Bob"),
          box.state("m.room.canonical_alias", alice.id, { alias: "#a:localhost" }),
          said(),
        ],
      }),
      joined(rooms["one"]!, { timeline: [...begin(), join("Bob"), said()] }),
      joined(rooms["two"]!, { timeline: [...begin(), join("Bob"), join("charlie", null), said()] }),
      joined(rooms["none"]!, { timeline: [...begin(), said()] }),
      joined(rooms["left"]!, { timeline: [...begin(), join("Bob"), box.member("@bob:localhost", "leave"), said()] }),
      joined(rooms["many"]!, {
        timeline: [...begin(), ...["A", "B", "C", "D", "E", "F", "G", "H", "I"].map((name) => join(name)), said()],
      }),
      joined(rooms["same"]!, {
        timeline: [
          ...begin(),
          box.member("@b1:localhost", "join", { displayname: "B" }),
          box.member("@b2:localhost", "join", { displayname: "B" }),
          said(),
        ],
      }),
    ]);
    const first = await box.sync(alice.token, { lists: { a: { ...LIST, include_heroes: true } } });
    const of = (name: string): [unknown, unknown] => {
      const room = first.rooms[rooms[name]!]!;
      const heroes = room["heroes"] as Json[] | undefined;
      return [room.name, heroes?.map((hero) => hero["user_id"]).sort()];
    };
    expect(of("named")).toEqual(["N", undefined]);
    expect(of("aliased")).toEqual(["#a:localhost", undefined]);
    expect(of("one")).toEqual(["Bob", ["@bob:localhost"]]);
    expect(of("two")[0]).toMatch(/^(Bob and @charlie:localhost|@charlie:localhost and Bob)$/);
    expect(of("none")[0]).toBe("Empty Room");
    expect(of("left")[0]).toBe("Empty Room (was @bob:localhost)");
    expect(String(of("many")[0])).toMatch(/^([A-I], ){4,5}[A-I] and [34] others$/);
    expect(String(of("same")[0])).toMatch(/^B \(@b[12]:localhost\) and B \(@b[12]:localhost\)$/);
    expect(first.rooms[rooms["one"]!]!["heroes"]).toEqual([{ user_id: "@bob:localhost", displayname: "Bob" }]);
    const renamed = box.state("m.room.name", alice.id, { name: "" });
    await push(alice.token, [joined(rooms["named"]!, { timeline: [renamed] })]);
    const live = await box.sync(alice.token, {}, { pos: first.pos });
    expect(live.rooms[rooms["named"]!]!.name).toBe("Bob");
    expect(live.rooms[rooms["named"]!]!["heroes"]).toHaveLength(1);
    await push(alice.token, [joined(rooms["named"]!, { timeline: [join("Dora")] })]);
    const joinedLive = await box.sync(alice.token, {}, { pos: live.pos });
    expect(joinedLive.rooms[rooms["named"]!]).toMatchObject({ joined_count: 3 });
    expect(joinedLive.rooms[rooms["named"]!]!.name).toMatch(/Bob and Dora|Dora and Bob/);
  });

  test("[BBX-49] avatars: of the room, of the other one in a direct room, null, and absent when unchanged", async () => {
    const alice = box.user("alice");
    const [own, dm, plain, group, bare] = ["own", "dm", "plain", "group", "bare"].map((name) => box.roomId(name)) as [
      string,
      string,
      string,
      string,
      string,
    ];
    const bob = { displayname: "Bob", avatar_url: "mxc://localhost/bob" };
    const with2 = (...others: CannedEvent[]): CannedEvent[] => [
      ...box.beginning(alice.id),
      ...others,
      box.say(alice.id, "hi"),
    ];
    queue(
      alice.token,
      [
        joined(own, { timeline: with2(box.state("m.room.avatar", alice.id, { url: "mxc://localhost/own" })) }),
        joined(dm, { timeline: with2(box.member("@bob:localhost", "join", bob)) }),
        joined(plain, { timeline: with2(box.member("@bob:localhost", "join", bob)) }),
        joined(group, {
          timeline: with2(box.member("@bob:localhost", "join", bob), box.member("@c:localhost", "join")),
        }),
        joined(bare, { timeline: with2(box.member("@c:localhost", "join")) }),
      ],
      {
        account_data: {
          events: [{ type: "m.direct", content: { "@bob:localhost": [dm, group], "@c:localhost": [bare] } }],
        },
      },
    );
    const first = await box.sync(alice.token, ALL);
    expect([own, dm, plain, group, bare].map((room) => first.rooms[room]!["avatar"])).toEqual([
      "mxc://localhost/own",
      "mxc://localhost/bob",
      null,
      null,
      null,
    ]);
    expect([own, dm, plain, group].map((room) => first.rooms[room]!["is_dm"])).toEqual([
      undefined,
      true,
      undefined,
      true,
    ]);
    await push(alice.token, [joined(dm, { timeline: [box.say(alice.id, "unchanged")] })]);
    let next = await box.sync(alice.token, {}, { pos: first.pos });
    expect("avatar" in next.rooms[dm]!).toBe(false);
    const avatarOf = async (events: CannedEvent[], room: string): Promise<unknown> => {
      await push(alice.token, [joined(room, { timeline: events })]);
      next = await box.sync(alice.token, {}, { pos: next.pos });
      return "avatar" in next.rooms[room]! ? next.rooms[room]["avatar"] : "absent";
    };
    const bobNow = (url: string | undefined): CannedEvent =>
      box.member(
        "@bob:localhost",
        "join",
        { displayname: "Bob", ...(url === undefined ? {} : { avatar_url: url }) },
        "@bob:localhost",
        {
          unsigned: { prev_content: { membership: "join" } },
        },
      );
    expect(await avatarOf([bobNow("mxc://localhost/bob2")], dm)).toBe("mxc://localhost/bob2");
    expect(await avatarOf([bobNow(undefined)], dm)).toBe(null);
    expect(await avatarOf([bobNow("mxc://localhost/bob3")], dm)).toBe("mxc://localhost/bob3");
    expect(await avatarOf([box.state("m.room.avatar", alice.id, { url: "mxc://localhost/dm" })], dm)).toBe(
      "mxc://localhost/dm",
    );
    expect(await avatarOf([box.state("m.room.avatar", alice.id, { url: "" })], dm)).toBe("mxc://localhost/bob3");
    expect(await avatarOf([box.member("@c:localhost", "invite", {}, alice.id)], dm)).toBe(null);
    expect(await avatarOf([box.member("@c:localhost", "leave", {}, alice.id)], dm)).toBe("mxc://localhost/bob3");
    expect(await avatarOf([box.member("@bob:localhost", "leave")], dm)).toBe(null);
    expect(await avatarOf([box.state("m.room.avatar", alice.id, {})], own)).toBe(null);
  });

  test("[BBX-54] old rooms come along the upgrade chain, as far as one is in them", async () => {
    const alice = box.user("alice");
    const [oldest, older, old, now] = ["oldest", "older", "old", "now"].map((name) => box.roomId(name)) as [
      string,
      string,
      string,
      string,
    ];
    const begin = (predecessor: string | null): CannedEvent[] =>
      box.beginning(alice.id, predecessor === null ? {} : { predecessor: { room_id: predecessor, event_id: "$x" } });
    const end = (successor: string): CannedEvent =>
      box.state("m.room.tombstone", alice.id, { body: "x", replacement_room: successor });
    queue(alice.token, [
      joined(older, { timeline: [...begin(oldest), end(old)] }),
      joined(old, { timeline: [...begin(older), end(now)] }),
      joined(now, { timeline: [...begin(old), box.say(alice.id, "hi")] }),
    ]);
    const first = await box.sync(alice.token, {
      lists: { a: { ...LIST, include_old_rooms: { timeline_limit: 1, required_state: [["m.room.tombstone", ""]] } } },
    });
    expect(first.lists["a"]).toEqual({ count: 1, ops: [{ op: "SYNC", range: [0, 0], room_ids: [now] }] });
    expect(Object.keys(first.rooms).sort()).toEqual([older, old, now].sort());
    expect(first.rooms[old]!.required_state).toMatchObject([{ type: "m.room.tombstone" }]);
    expect(first.rooms[old]!.timeline).toHaveLength(1);
    expect(first.rooms[now]!.required_state).toBeUndefined();
  });

  test("[BBX-55] an upgrade while one looks takes the old room's place", async () => {
    const alice = box.user("alice");
    const [a, b, o, n] = ["a", "b", "o", "n"].map((name) => box.roomId(name)) as [string, string, string, string];
    const room = (id: string): [string, Json] =>
      joined(id, { timeline: [...box.beginning(alice.id), box.say(alice.id, "hi")] });
    queue(alice.token, [room(o), room(b), room(a)]);
    let at = await box.sync(alice.token, ALL);
    expect(at.lists["a"]!.ops![0]!.room_ids).toEqual([a, b, o]);
    await push(alice.token, [
      joined(n, { timeline: [...box.beginning(alice.id, { predecessor: { room_id: o, event_id: "$e" } })] }),
    ]);
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["a"]!.ops).toEqual([
      { op: "DELETE", index: 3 },
      { op: "INSERT", index: 0, room_id: n },
    ]);
    const tombstone = box.state("m.room.tombstone", alice.id, { replacement_room: n });
    await push(alice.token, [joined(o, { timeline: [tombstone] })]);
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["a"]).toEqual({ count: 3, ops: [{ op: "DELETE", index: 3 }] });
    expect(at.rooms[o]!.timeline).toEqual([tombstone]);
  });

  test("[BBX-56] bump event types order a list and are its timestamps", async () => {
    const alice = box.user("alice");
    const [a, b] = [box.roomId("a"), box.roomId("b")];
    const [beginA, beginB] = [box.beginning(alice.id), box.beginning(alice.id)];
    const joinB = beginB[1]!;
    const said = box.say(alice.id, "a speaks");
    const noise = box.event("m.reaction", alice.id, {});
    queue(alice.token, [joined(b, { timeline: beginB }), joined(a, { timeline: [...beginA, said] })]);
    await box.sync(alice.token, ALL);
    await push(alice.token, [joined(b, { timeline: [noise] })]);
    const bump = await box.sync(alice.token, {
      lists: { a: { ...LIST, bump_event_types: ["m.room.message"] }, b: LIST },
    });
    expect(bump.lists["a"]!.ops![0]!.room_ids).toEqual([a, b]);
    expect(bump.rooms[a]!["timestamp"]).toBe(said.origin_server_ts);
    expect(bump.rooms[b]!["timestamp"]).toBe(joinB.origin_server_ts);
    const noise2 = box.event("m.reaction", alice.id, {});
    await push(alice.token, [joined(b, { timeline: [noise2] })]);
    const next = await box.sync(alice.token, {}, { pos: bump.pos });
    expect(next.lists["a"]!.ops).toBeUndefined();
    expect(next.rooms[b]).toMatchObject({ timeline: [noise2], timestamp: joinB.origin_server_ts });
  });
});
