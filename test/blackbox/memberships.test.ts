import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type CannedEvent, type Json, joined } from "#test/support/black-box.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const LIST = { ranges: [[0, 20]], timeline_limit: 20 };
const ALL = { lists: { a: LIST } };
const ids = (events: CannedEvent[] | undefined): string[] => (events ?? []).map((event) => event.event_id);

describe("a black box's memberships", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  type User = { id: string; token: string };
  const next = (): string => `s${box.nextTs()}`;
  const push = (user: User, rooms: Json): Promise<void> =>
    box.homeserver.push(user.token, { next_batch: next(), rooms });
  const queue = (user: User, rooms: Json): void => box.homeserver.queue(user.token, { next_batch: next(), rooms });
  const join = (...rooms: [string, Json][]): Json => ({ join: Object.fromEntries(rooms) });
  const invite = (room: string, events: CannedEvent[]): Json => ({ invite: { [room]: { invite_state: { events } } } });
  const leave = (room: string, events: CannedEvent[]): Json => ({ leave: { [room]: { timeline: { events } } } });
  const ofRoom = (user: User, room: string, more: CannedEvent[] = []): [string, Json] =>
    joined(room, { timeline: [...box.beginning(user.id), ...more, box.say(user.id, "hi")] });

  test("[BBX-60] an invite has its stripped state and nothing of the room, even when the room is known here", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("invited");
    const name = box.state("m.room.name", alice.id, { name: "Known later" });
    const bobInvited = box.member(bob.id, "invite", { is_direct: true }, alice.id);
    queue(alice, join(ofRoom(alice, room, [box.member("@c:localhost", "join")])));
    await box.sync(alice.token, ALL);
    const stripped = [
      box.state("m.room.create", alice.id, {}),
      box.member(alice.id, "join", { displayname: "Alice", avatar_url: "mxc://localhost/alice" }),
      box.state("m.room.join_rules", alice.id, { join_rule: "invite" }),
      bobInvited,
    ];
    queue(bob, invite(room, stripped));
    const first = await box.sync(bob.token, { lists: { a: { ...LIST, required_state: [["*", "*"]] } } });
    expect(first.lists["a"]!.count).toBe(1);
    expect(first.rooms[room]).toMatchObject({
      initial: true,
      name: "Alice",
      is_dm: true,
      avatar: "mxc://localhost/alice",
      invite_state: stripped as never,
      highlight_count: 1,
      notification_count: 0,
      joined_count: 1,
      invited_count: 1,
    });
    expect(first.rooms[room]!.required_state).toBeUndefined();
    expect(first.rooms[room]!.timeline).toBeUndefined();
    await push(alice, join(joined(room, { timeline: [name, box.say(alice.id, "not for bob")] })));
    const still = await box.sync(bob.token, {}, { pos: first.pos });
    expect(still.rooms).toEqual({});
    const fresh = await box.sync(bob.token, ALL);
    expect(fresh.rooms[room]).toMatchObject({ name: "Alice", joined_count: 1 });
    expect(fresh.rooms[room]!.timeline).toBeUndefined();
  });

  test("[BBX-61] invites come live, and go when rejected, once", async () => {
    const alice = box.user("alice");
    const [a, b, c, i] = ["a", "b", "c", "i"].map((name) => box.roomId(name)) as [string, string, string, string];
    queue(alice, join(ofRoom(alice, c), ofRoom(alice, b), ofRoom(alice, a)));
    let at = await box.sync(alice.token, { lists: { a: { ...LIST, ranges: [[0, 1]] } } });
    const stripped = [
      box.state("m.room.name", "@bob:localhost", { name: "Invited" }),
      box.member(alice.id, "invite", {}, "@bob:localhost"),
    ];
    await push(alice, invite(i, stripped));
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["a"]).toEqual({
      count: 4,
      ops: [
        { op: "DELETE", index: 1 },
        { op: "INSERT", index: 0, room_id: i },
      ],
    });
    expect(at.rooms[i]).toMatchObject({
      initial: true,
      name: "Invited",
      highlight_count: 1,
      invite_state: stripped as never,
    });
    const rejected = box.member(alice.id, "leave");
    await push(alice, leave(i, [rejected]));
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["a"]).toEqual({
      count: 3,
      ops: [
        { op: "DELETE", index: 0 },
        { op: "INSERT", index: 1, room_id: b },
      ],
    });
    expect(at.rooms[b]).toMatchObject({ initial: true });
    expect(at.rooms[i]).toMatchObject({ timeline: [rejected], invited_count: 0, highlight_count: 0 });
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.rooms).toEqual({});
    expect((await box.sync(alice.token, ALL)).lists["a"]!.count).toBe(3);
  });

  test("[BBX-62] an accepted invite becomes a room, with lists by is_invite", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("accepted");
    queue(bob, join(ofRoom(bob, room)));
    await box.sync(bob.token, ALL);
    queue(alice, join(ofRoom(alice, box.roomId("other"))));
    const lists = {
      inv: { ...LIST, filters: { is_invite: true } },
      not: { ...LIST, filters: { is_invite: false } },
    };
    let at = await box.sync(alice.token, { lists });
    expect([at.lists["inv"]!.count, at.lists["not"]!.count]).toEqual([0, 1]);
    const invitation = box.member(alice.id, "invite", {}, bob.id);
    await push(bob, join(joined(room, { timeline: [invitation] })));
    await push(alice, invite(room, [box.member(bob.id, "join"), invitation]));
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["inv"]).toEqual({
      count: 1,
      ops: [
        { op: "DELETE", index: 0 },
        { op: "INSERT", index: 0, room_id: room },
      ],
    });
    const own = box.member(alice.id, "join", {}, alice.id, { unsigned: { prev_content: { membership: "invite" } } });
    const said = box.say(bob.id, "welcome");
    await push(alice, join(joined(room, { state: [...box.beginning(bob.id)], timeline: [own, said] })));
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["inv"]).toEqual({ count: 0, ops: [{ op: "DELETE", index: 0 }] });
    expect(at.lists["not"]!.count).toBe(2);
    expect(at.lists["not"]!.ops).toEqual([
      { op: "DELETE", index: 1 },
      { op: "INSERT", index: 0, room_id: room },
    ]);
    expect(at.rooms[room]).toMatchObject({ initial: true, highlight_count: 0, joined_count: 2, invited_count: 0 });
    expect(at.rooms[room]!["invite_state"]).toBeUndefined();
    expect(ids(at.rooms[room]!.timeline).slice(-2)).toEqual([own.event_id, said.event_id]);
  });

  test("[BBX-63] leaving, being kicked and being banned: the last event once, nothing after it, no listing", async () => {
    for (const how of ["leave", "kick", "ban"] as const) {
      const [alice, bob] = [box.user("alice"), box.user("bob")];
      const [room, other] = [box.roomId(how), box.roomId("other")];
      queue(bob, join(ofRoom(bob, room, [box.member(alice.id, "join")])));
      await box.sync(bob.token, ALL);
      queue(alice, join(ofRoom(alice, other), ofRoom(bob, room, [box.member(alice.id, "join")])));
      const first = await box.sync(alice.token, { ...ALL, room_subscriptions: { [room]: { timeline_limit: 1 } } });
      expect(first.lists["a"]!.count).toBe(2);
      const end =
        how === "leave"
          ? box.member(alice.id, "leave")
          : box.member(alice.id, how === "ban" ? "ban" : "leave", {}, bob.id);
      await push(bob, join(joined(room, { timeline: [end, box.say(bob.id, "behind her back")] })));
      await push(alice, leave(room, [end]));
      const at = await box.sync(alice.token, {}, { pos: first.pos });
      expect([how, at.lists["a"]!.count]).toEqual([how, 1]);
      expect(ids(at.rooms[room]!.timeline)).toEqual([end.event_id]);
      await push(bob, join(joined(room, { timeline: [box.say(bob.id, "more")], unread: { notification_count: 1 } })));
      const after = await box.sync(alice.token, { lists: { a: { ...LIST, timeline_limit: 5 } } }, { pos: at.pos });
      expect(after.rooms[room]).toBeUndefined();
      const fresh = await box.sync(alice.token, { ...ALL, room_subscriptions: { [room]: { timeline_limit: 9 } } });
      expect(fresh.lists["a"]!.count).toBe(1);
      expect(fresh.rooms[room]).toBeUndefined();
      const back = box.member(alice.id, "join");
      await push(bob, join(joined(room, { timeline: [back] })));
      await push(alice, join(joined(room, { timeline: [back] })));
      const rejoined = await box.sync(alice.token, {}, { pos: fresh.pos });
      expect(rejoined.lists["a"]!.count).toBe(2);
      expect(rejoined.rooms[room]).toMatchObject({ initial: true });
      expect(JSON.stringify(rejoined.rooms[room])).not.toContain("behind her back");
    }
  });

  test("[BBX-64] a ban of somebody who never was there is unseen by them", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("preban");
    queue(bob, join(ofRoom(bob, room)));
    queue(alice, join(ofRoom(alice, box.roomId("own"))));
    await box.sync(bob.token, ALL);
    const first = await box.sync(alice.token, ALL);
    await push(bob, join(joined(room, { timeline: [box.member(alice.id, "ban", {}, bob.id)] })));
    const at = await box.sync(alice.token, {}, { pos: first.pos });
    expect([at.lists["a"]!.count, at.rooms]).toEqual([1, {}]);
    const fresh = await box.sync(alice.token, { ...ALL, room_subscriptions: { [room]: { timeline_limit: 5 } } });
    expect([fresh.lists["a"]!.count, fresh.rooms[room]]).toEqual([1, undefined]);
  });

  test("[BBX-65] who joins sees from their join on, live and anew", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("joining");
    const hidden = box.state("m.room.history_visibility", bob.id, { history_visibility: "joined" });
    const begin = [...box.beginning(bob.id), hidden];
    queue(bob, join(joined(room, { timeline: [...begin, box.say(bob.id, "early")] })));
    queue(alice, join(ofRoom(alice, box.roomId("own"))));
    await box.sync(bob.token, ALL);
    let at = await box.sync(alice.token, ALL);
    const own = box.member(alice.id, "join");
    const said = box.say(bob.id, "late");
    await push(bob, join(joined(room, { timeline: [own, said] })));
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["a"]).toEqual({
      count: 2,
      ops: [
        { op: "DELETE", index: 1 },
        { op: "INSERT", index: 0, room_id: room },
      ],
    });
    expect(at.rooms[room]).toMatchObject({ initial: true, joined_count: 2 });
    expect(ids(at.rooms[room]!.timeline)).toEqual([own.event_id, said.event_id]);
    const fresh = await box.sync(alice.token, ALL);
    expect(ids(fresh.rooms[room]!.timeline)).toEqual([own.event_id, said.event_id]);
    // The creator's stay begins with their join, not with the creation.
    const bobs = await box.sync(bob.token, ALL);
    expect(bobs.rooms[room]!.timeline![0]).toEqual(begin[1]);
  });

  test("[BBX-66] a retracted invite, and an invite again", async () => {
    const alice = box.user("alice");
    const room = box.roomId("again");
    queue(
      alice,
      invite(room, [box.member("@bob:localhost", "join"), box.member(alice.id, "invite", {}, "@bob:localhost")]),
    );
    let at = await box.sync(alice.token, ALL);
    expect(at.lists["a"]!.count).toBe(1);
    const retracted = box.member(alice.id, "leave", {}, "@bob:localhost");
    await push(alice, leave(room, [retracted]));
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["a"]).toEqual({ count: 0, ops: [{ op: "DELETE", index: 0 }] });
    await push(
      alice,
      invite(room, [box.member("@bob:localhost", "join"), box.member(alice.id, "invite", {}, "@bob:localhost")]),
    );
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["a"]!.count).toBe(1);
    expect(at.rooms[room]).toMatchObject({ initial: true, highlight_count: 1 });
    await box.restart();
    const after = await box.sync(alice.token, ALL);
    expect(after.rooms[room]).toMatchObject({ initial: true, highlight_count: 1 });
  });

  test("[BBX-67] a new state block for a known room shows its new state, and disconnects nobody", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("reset");
    const begin = [
      ...box.beginning(alice.id),
      box.member(bob.id, "join"),
      box.state("m.room.name", alice.id, { name: "Old" }),
    ];
    queue(alice, join(joined(room, { state: begin, timeline: [box.say(alice.id, "one")] })));
    queue(bob, join(joined(room, { state: begin, timeline: [box.say(alice.id, "two")] })));
    const [a, b] = [await box.sync(alice.token, ALL), await box.sync(bob.token, ALL)];
    expect([a.rooms[room]!.name, b.rooms[room]!.name]).toEqual(["Old", "Old"]);
    const changed = [box.state("m.room.name", alice.id, { name: "New" }), box.member(bob.id, "leave", {}, alice.id)];
    await push(
      alice,
      join(joined(room, { state: changed, timeline: [box.say(alice.id, "three")], limited: true, prevBatch: "p" })),
    );
    const nextA = await box.sync(alice.token, {}, { pos: a.pos });
    expect(nextA.rooms[room]).toMatchObject({ name: "New", joined_count: 1 });
    const nextB = await box.sync(bob.token, {}, { pos: b.pos });
    expect(nextB.lists["a"]!.count).toBe(0);
    expect(JSON.stringify(nextB)).not.toContain("three");
  });

  test("[BBX-68] spaces: their children for who is in both, live in both directions, nothing to others", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const [space, in1, in2, out, hidden] = ["space", "in1", "in2", "out", "hidden"].map((name) => box.roomId(name)) as [
      string,
      string,
      string,
      string,
      string,
    ];
    const child = (room: string, isChild = true): CannedEvent =>
      box.state("m.space.child", alice.id, isChild ? { via: ["localhost"] } : {}, room);
    const ofSpace = joined(space, {
      timeline: [
        ...box.beginning(alice.id, { type: "m.space" }),
        child(in1),
        child("!nowhere:localhost"),
        child(hidden),
      ],
    });
    queue(bob, join(ofRoom(bob, hidden)));
    await box.sync(bob.token, ALL);
    queue(alice, join(ofSpace, ofRoom(alice, in1), ofRoom(alice, in2), ofRoom(alice, out)));
    const lists = {
      s: { ...LIST, filters: { spaces: [space] } },
      t: { ...LIST, filters: { room_types: ["m.space"] } },
      n: { ...LIST, filters: { not_room_types: ["m.space"] } },
      u: { ...LIST, filters: { room_types: [null] } },
    };
    let at = await box.sync(alice.token, { lists });
    expect(at.lists["s"]).toEqual({ count: 1, ops: [{ op: "SYNC", range: [0, 0], room_ids: [in1] }] });
    expect([at.lists["t"]!.count, at.lists["n"]!.count, at.lists["u"]!.count]).toEqual([1, 3, 3]);
    await push(alice, join(joined(space, { timeline: [child(in2)] })));
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["s"]!.count).toBe(2);
    expect(at.lists["s"]!.ops!.at(-1)).toMatchObject({ op: "INSERT", room_id: in2 });
    await push(alice, join(joined(space, { timeline: [child(in1, false)] })));
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.lists["s"]!.count).toBe(1);
    expect(at.lists["s"]!.ops!.map(({ op }) => op)).toEqual(["DELETE"]);
    const bobs = await box.sync(bob.token, { lists });
    expect([bobs.lists["s"]!.count, Object.keys(bobs.rooms)]).toEqual([0, [hidden]]);
    const stranger = await box.sync(bob.token, { room_subscriptions: { [space]: { timeline_limit: 5 } } });
    expect(stranger.rooms).toEqual({});
  });

  test("[BBX-69] filters change live: dm, encrypted, tags, name", async () => {
    const alice = box.user("alice");
    const [a, b] = [box.roomId("a"), box.roomId("b")];
    queue(
      alice,
      join(
        ofRoom(alice, a, [box.state("m.room.name", alice.id, { name: "Apples" })]),
        ofRoom(alice, b, [box.state("m.room.name", alice.id, { name: "Bananas" })]),
      ),
    );
    const filters = {
      dm: { is_dm: true },
      enc: { is_encrypted: true },
      plain: { is_encrypted: false },
      tag: { tags: ["m.favourite"] },
      nottag: { not_tags: ["m.favourite"] },
      name: { room_name_like: "PPLE" },
    };
    const lists = Object.fromEntries(
      Object.entries(filters).map(([key, filter]) => [key, { ...LIST, timeline_limit: 1, filters: filter }]),
    );
    let at = await box.sync(alice.token, { lists });
    const counts = (): Json => Object.fromEntries(Object.entries(at.lists).map(([key, list]) => [key, list.count]));
    expect(counts()).toEqual({ dm: 0, enc: 0, plain: 2, tag: 0, nottag: 2, name: 1 });
    const step = async (body: Json): Promise<Json> => {
      await box.homeserver.push(alice.token, { next_batch: next(), ...body });
      at = await box.sync(alice.token, {}, { pos: at.pos });
      return counts();
    };
    expect(
      await step({
        rooms: join(
          joined(a, { timeline: [box.state("m.room.encryption", alice.id, { algorithm: "m.megolm.v1.aes-sha2" })] }),
        ),
      }),
    ).toMatchObject({ enc: 1, plain: 1 });
    expect(at.lists["enc"]!.ops).toEqual([
      { op: "DELETE", index: 0 },
      { op: "INSERT", index: 0, room_id: a },
    ]);
    expect(at.rooms[a]).toMatchObject({ initial: true });
    const tag = (tags: Json): Json => ({
      rooms: join(joined(b, { accountData: [{ type: "m.tag", content: { tags } }] })),
    });
    expect(await step(tag({ "m.favourite": { order: 0.5 } }))).toMatchObject({ tag: 1, nottag: 1 });
    expect(at.lists["tag"]!.ops).toEqual([
      { op: "DELETE", index: 0 },
      { op: "INSERT", index: 0, room_id: b },
    ]);
    expect(await step(tag({}))).toMatchObject({ tag: 0, nottag: 2 });
    expect(at.lists["tag"]!.ops).toEqual([{ op: "DELETE", index: 0 }]);
    expect(
      await step({ account_data: { events: [{ type: "m.direct", content: { "@x:localhost": [b] } }] } }),
    ).toBeDefined();
    expect(
      await step({ rooms: join(joined(b, { timeline: [box.state("m.room.name", alice.id, { name: "Pineapple" })] })) }),
    ).toMatchObject({ dm: 1, name: 2 });
    expect(
      await step({ rooms: join(joined(a, { timeline: [box.state("m.room.name", alice.id, { name: "Cherries" })] })) }),
    ).toMatchObject({ name: 1 });
  });
});
