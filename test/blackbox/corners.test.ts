import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type CannedEvent, type Json, type WireResponse, joined } from "#test/support/black-box.ts";
import { until } from "#test/support/until.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const LIST = { ranges: [[0, 20]], timeline_limit: 20 };
const ALL = { lists: { a: LIST } };
const ids = (events: CannedEvent[] | undefined): string[] => (events ?? []).map((event) => event.event_id);

describe("a black box's corners", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  type User = { id: string; token: string };
  const next = (): string => `s${box.nextTs()}`;
  const join = (...rooms: [string, Json][]): Json => ({ rooms: { join: Object.fromEntries(rooms) } });
  const push = (user: User, body: Json): Promise<void> =>
    box.homeserver.push(user.token, { next_batch: next(), ...body });
  const queue = (user: User, body: Json): void => box.homeserver.queue(user.token, { next_batch: next(), ...body });
  const fresh = (user: User, id: string, more: CannedEvent[] = []): [string, Json] =>
    joined(id, { timeline: [...box.beginning(user.id), ...more, box.say(user.id, "hi")] });
  const ask = (user: User, from: WireResponse, body: Json = {}): Promise<WireResponse> =>
    box.sync(user.token, body, { pos: from.pos });

  test("[BBX-190] of a threaded and an unthreaded receipt on one event the unthreaded one is told", async () => {
    const alice = box.user("alice");
    const room = box.roomId("threads");
    const said = box.say(alice.id, "x");
    const receipts = (thread: string | undefined, ts: number): Json => ({
      type: "m.receipt",
      content: {
        [said.event_id]: {
          "m.read": { "@b:localhost": { ts, ...(thread === undefined ? {} : { thread_id: thread }) } },
        },
      },
    });
    queue(
      alice,
      join(
        joined(room, {
          timeline: [...box.beginning(alice.id), said],
          ephemeral: [receipts("$t", 5), receipts(undefined, 6), receipts("main", 7)],
        }),
      ),
    );
    const first = await box.sync(alice.token, { ...ALL, extensions: { receipts: { enabled: true } } });
    expect(first.extensions["receipts"]).toEqual({
      rooms: {
        [room]: { type: "m.receipt", content: { [said.event_id]: { "m.read": { "@b:localhost": { ts: 6 } } } } },
      },
    });
  });

  test("[BBX-191] another poller speaks for who types when the first one is gone", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("typing");
    const begin = [...box.beginning(alice.id), box.member(bob.id, "join"), box.say(alice.id, "x")];
    const typing = (user: string): Json => ({ type: "m.typing", content: { user_ids: [user] } });
    for (const user of [alice, bob]) queue(user, join(joined(room, { timeline: begin })));
    const firsts = [
      await box.sync(alice.token, ALL),
      await box.sync(bob.token, { ...ALL, extensions: { typing: { enabled: true } } }),
    ];
    await push(alice, join(joined(room, { ephemeral: [typing("@one:x")] })));
    let at = await ask(bob, firsts[1]!);
    expect(at.extensions["typing"]).toEqual({ rooms: { [room]: typing("@one:x") } });
    await push(bob, join(joined(room, { ephemeral: [typing("@two:x")] })));
    at = await ask(bob, at);
    expect(at.extensions).toEqual({});
    box.homeserver.removeToken(alice.token);
    await until("the end of alice's poller", async () => {
      const { status } = await box.ask(alice.token, {}, { pos: firsts[0]!.pos });
      expect(status).toBeOneOf([200, 401]);
      return status === 401;
    });
    await until("somebody who types", async () => {
      await push(bob, join(joined(room, { ephemeral: [typing("@three:x")] })));
      at = await ask(bob, at);
      return at.extensions["typing"] !== undefined;
    });
    expect(at.extensions["typing"]).toEqual({ rooms: { [room]: typing("@three:x") } });
  });

  test("[BBX-192] who is invited to a space sees its children once they join", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const [space, child] = [box.roomId("space"), box.roomId("child")];
    const link = box.state("m.space.child", alice.id, { via: ["localhost"] }, child);
    const begin = [...box.beginning(alice.id, { type: "m.space" }), link];
    const childBegin = [...box.beginning(alice.id), box.member(bob.id, "join")];
    queue(alice, join(joined(space, { timeline: begin }), joined(child, { timeline: childBegin })));
    await box.sync(alice.token, ALL);
    const invitation = box.member(bob.id, "invite", {}, alice.id);
    queue(bob, {
      rooms: {
        join: Object.fromEntries([joined(child, { state: childBegin, timeline: [box.say(alice.id, "x")] })]),
        invite: {
          [space]: {
            invite_state: {
              events: [
                box.state("m.room.create", alice.id, { type: "m.space" }),
                box.member(alice.id, "join"),
                invitation,
              ],
            },
          },
        },
      },
    });
    const lists = {
      s: { ...LIST, filters: { spaces: [space] } },
      i: { ...LIST, filters: { is_invite: true, room_types: ["m.space"] } },
    };
    const first = await box.sync(bob.token, { lists });
    expect([first.lists["s"]!.count, first.lists["i"]!.count]).toEqual([0, 1]);
    const own = box.member(bob.id, "join");
    await push(alice, join(joined(space, { timeline: [invitation, own] })));
    await push(bob, join(joined(space, { state: begin, timeline: [own] })));
    const at = await ask(bob, first);
    expect([at.lists["s"]!.count, at.lists["i"]!.count]).toEqual([1, 0]);
    expect(at.lists["s"]!.ops).toEqual([
      { op: "DELETE", index: 0 },
      { op: "INSERT", index: 0, room_id: child },
    ]);
  });

  test("[BBX-193] a room that cannot be shown costs no progress, and shows when its state comes", async () => {
    const alice = box.user("alice");
    const [bad, good] = [box.roomId("bad"), box.roomId("good")];
    const begin = box.beginning(alice.id);
    box.homeserver.queue(alice.token, {
      next_batch: "moved-on",
      ...join(joined(bad, { state: begin.slice(1), timeline: [box.say(alice.id, "early")] }), fresh(alice, good)),
    });
    const first = await box.sync(alice.token, ALL);
    expect([first.lists["a"]!.count, Object.keys(first.rooms)]).toEqual([1, [good]]);
    await push(alice, join(joined(good, { timeline: [box.say(alice.id, "on")] })));
    expect(box.homeserver.pollsOf(alice.token)[1]!.query.get("since")).toBe("moved-on");
    const said = box.say(alice.id, "late");
    await push(alice, join(joined(bad, { state: begin, timeline: [said] })));
    const at = await ask(alice, first);
    expect(at.lists["a"]!.count).toBe(2);
    expect(at.rooms[bad]).toMatchObject({ initial: true });
    expect(at.rooms[bad]!.timeline!.at(-1)).toEqual(said);
  });

  test("[BBX-194] a live join of somebody else updates counts, names and lazily loaded members once", async () => {
    const alice = box.user("alice");
    const room = box.roomId("joins");
    queue(alice, join(fresh(alice, room)));
    const lazy = {
      ...LIST,
      required_state: [
        ["m.room.member", "$LAZY"],
        ["m.room.member", "$ME"],
      ],
    };
    const first = await box.sync(alice.token, { lists: { a: lazy } });
    expect(first.rooms[room]!.name).toBe("Empty Room");
    const bob = box.member("@bob:x", "join", { displayname: "Bob" });
    await push(alice, join(joined(room, { timeline: [bob] })));
    let at = await ask(alice, first);
    expect(at.rooms[room]).toMatchObject({
      name: "Bob",
      joined_count: 2,
      num_live: 1,
      timeline: [bob],
      required_state: [bob],
    });
    expect(at.rooms[room]!["invited_count"]).toBeUndefined();
    const chris = box.member("@chris:x", "invite", { displayname: "Chris" }, "@bob:x");
    await push(alice, join(joined(room, { timeline: [chris] })));
    at = await ask(alice, at);
    expect(at.rooms[room]).toMatchObject({
      invited_count: 1,
      name: expect.stringMatching(/Bob and Chris|Chris and Bob/) as never,
    });
    expect(at.rooms[room]!["joined_count"]).toBeUndefined();
    await push(
      alice,
      join(joined(room, { timeline: [box.member("@chris:x", "leave", {}, "@bob:x"), box.member("@bob:x", "leave")] })),
    );
    at = await ask(alice, at);
    expect(at.rooms[room]).toMatchObject({ invited_count: 0, joined_count: 1 });
    expect(at.rooms[room]!.name).toStartWith("Empty Room");
    // The same membership again changes no counts.
    await push(alice, join(joined(room, { timeline: [box.member("@bob:x", "leave", { reason: "again" })] })));
    at = await ask(alice, at);
    expect(at.rooms[room]!["joined_count"]).toBeUndefined();
  });

  test("[BBX-195] one of several counts alone leaves the other as it was", async () => {
    const alice = box.user("alice");
    const room = box.roomId("counts");
    queue(
      alice,
      join(joined(room, { timeline: box.beginning(alice.id), unread: { notification_count: 4, highlight_count: 2 } })),
    );
    let at = await box.sync(alice.token, ALL);
    const step = async (unread: Json): Promise<unknown> => {
      await push(alice, join(joined(room, { unread })));
      at = await ask(alice, at);
      return at.rooms[room];
    };
    expect(await step({ notification_count: 5 })).toEqual({ notification_count: 5, highlight_count: 2 });
    expect(await step({ notification_count: 5, highlight_count: 2 })).toBeUndefined();
    expect(await step({ highlight_count: 0 })).toEqual({ notification_count: 5, highlight_count: 0 });
    expect(await step({ notification_count: 0, highlight_count: 0 })).toEqual({
      notification_count: 0,
      highlight_count: 0,
    });
  });

  test("[BBX-196] a room bumped into view has its window's data, and what follows in the same answer", async () => {
    const alice = box.user("alice");
    const [a, b] = [box.roomId("a"), box.roomId("b")];
    const one = box.say(alice.id, "b1");
    queue(alice, join(joined(b, { timeline: [...box.beginning(alice.id), one] }), fresh(alice, a)));
    const first = await box.sync(alice.token, { lists: { a: { ranges: [[0, 0]], timeline_limit: 2 } } });
    expect(Object.keys(first.rooms)).toEqual([a]);
    const more = [box.say(alice.id, "b2"), box.say(alice.id, "b3"), box.say(alice.id, "b4")];
    await push(alice, join(joined(b, { timeline: more })));
    const at = await ask(alice, first);
    expect(at.lists["a"]!.ops).toEqual([
      { op: "DELETE", index: 0 },
      { op: "INSERT", index: 0, room_id: b },
    ]);
    expect(at.rooms[b]).toMatchObject({ initial: true, num_live: 3 });
    expect(ids(at.rooms[b]!.timeline).slice(-3)).toEqual(ids(more));
  });

  test("[BBX-197] a deleted list comes again as a new one, unknown ones and other users' rooms stay out", async () => {
    const alice = box.user("alice");
    const room = box.roomId("a");
    queue(alice, join(fresh(alice, room)));
    let at = await box.sync(alice.token, ALL);
    at = await ask(alice, at, { lists: { a: { deleted: true }, never: { deleted: true } } });
    expect(at.lists).toEqual({});
    at = await ask(alice, at, { lists: { a: { ranges: [[0, 5]], timeline_limit: 1 } } });
    expect(at.lists["a"]).toEqual({ count: 1, ops: [{ op: "SYNC", range: [0, 0], room_ids: [room] }] });
    expect(at.rooms[room]).toMatchObject({ initial: true });
  });

  test("[BBX-198] a subscription and a list together give the most of both", async () => {
    const alice = box.user("alice");
    const room = box.roomId("a");
    queue(alice, join(fresh(alice, room)));
    const first = await box.sync(alice.token, {
      lists: { a: { ranges: [[0, 0]], timeline_limit: 1, required_state: [["m.room.create", ""]] } },
      room_subscriptions: { [room]: { timeline_limit: 3, required_state: [["m.room.join_rules", ""]] } },
    });
    expect(first.rooms[room]!.timeline).toHaveLength(3);
    expect(first.rooms[room]!.required_state!.map(({ type }) => type).sort()).toEqual([
      "m.room.create",
      "m.room.join_rules",
    ]);
    const more = await ask(alice, first, {
      room_subscriptions: { [room]: { timeline_limit: 4, required_state: [["m.room.power_levels", ""]] } },
    });
    expect(more.rooms[room]).toMatchObject({ initial: true });
    expect(more.rooms[room]!.timeline).toHaveLength(4);
    const types = more.rooms[room]!.required_state!.map(({ type }) => type);
    expect(types).toContain("m.room.power_levels");
  });

  test("[BBX-200] whose timeline comes first does not matter: the creation in another one makes the room whole", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("later");
    queue(alice, join(fresh(alice, box.roomId("own"))));
    await box.sync(alice.token, ALL);
    const [inBob, inAlice] = [box.member(bob.id, "join"), box.member(alice.id, "join")];
    queue(bob, join(joined(room, { timeline: [inBob] })));
    const bobs = await box.sync(bob.token, ALL);
    const name = box.state("m.room.name", "@carol:x", { name: "Whole" });
    await push(alice, join(joined(room, { timeline: [...box.beginning("@carol:x"), name, inBob, inAlice] })));
    const whole = { name: "Whole", joined_count: 3 };
    const wanted = { lists: { a: { ...LIST, required_state: [["m.room.create", ""]] } } };
    const alices = await box.sync(alice.token, wanted);
    expect(alices.rooms[room]).toMatchObject({ ...whole, timeline: [inAlice] });
    expect(alices.rooms[room]!.required_state).toHaveLength(1);
    expect((await ask(bob, bobs)).rooms[room]).toMatchObject({ ...whole, initial: true, timeline: [inBob, inAlice] });
  });
});
