import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type CannedEvent, type Json, type WireResponse, joined } from "#test/support/black-box.ts";
import { until } from "#test/support/until.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const LIST = { ranges: [[0, 20]], timeline_limit: 20 };
const ALL = { lists: { a: LIST } };
const ids = (events: CannedEvent[] | undefined): string[] => (events ?? []).map((event) => event.event_id);

describe("a black box's details", () => {
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

  test("[BBX-140] history that another's join exposes is not taken for news", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("backfill");
    const begin = box.beginning(alice.id);
    const known = [box.say(alice.id, "k1"), box.say(alice.id, "k2")];
    const old = [box.say(alice.id, "o1"), box.say(alice.id, "o2")];
    queue(alice, join(joined(room, { state: begin, timeline: known })));
    const first = await box.sync(alice.token, ALL);
    const own = box.member(bob.id, "join");
    queue(bob, join(joined(room, { state: begin, timeline: [...old, known[0]!, known[1]!, own] })));
    await box.sync(bob.token, ALL);
    const live = await ask(alice, first);
    expect(ids(live.rooms[room]!.timeline)).toEqual([own.event_id]);
    await push(bob, join(joined(room, { timeline: [box.say(alice.id, "o3"), own] })));
    const after = await ask(alice, live);
    expect(after.rooms).toEqual({});
    const anew = await box.sync(alice.token, ALL);
    expect(ids(anew.rooms[room]!.timeline)).toEqual(ids([...known, own]));
  });

  test("[BBX-141] an invite that a member's poll brought is the whole timeline of the invited", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("invite");
    queue(bob, join(fresh(bob, room)));
    await box.sync(bob.token, ALL);
    const invitation = box.member(alice.id, "invite", {}, bob.id);
    await push(
      bob,
      join(joined(room, { timeline: [box.say(bob.id, "before"), invitation, box.say(bob.id, "after")] })),
    );
    queue(alice, {
      rooms: { invite: { [room]: { invite_state: { events: [box.member(bob.id, "join"), invitation] } } } },
    });
    const first = await box.sync(alice.token, { ...ALL, room_subscriptions: { [room]: { timeline_limit: 9 } } });
    expect(first.rooms[room]!.timeline).toEqual([invitation]);
    expect(first.rooms[room]!["invite_state"]).toHaveLength(2);
  });

  test("[BBX-142] a rejected invite of a room without state ends as an empty room", async () => {
    const alice = box.user("alice");
    const room = box.roomId("rejected");
    queue(alice, {
      rooms: {
        invite: {
          [room]: {
            invite_state: {
              events: [
                box.member("@b:localhost", "join", { displayname: "B" }, "@b:localhost"),
                box.member(alice.id, "invite", {}, "@b:localhost"),
              ],
            },
          },
        },
      },
    });
    const first = await box.sync(alice.token, ALL);
    expect(first.rooms[room]!.name).toBe("B");
    const left = box.member(alice.id, "leave");
    await push(alice, { rooms: { leave: { [room]: { timeline: { events: [left] } } } } });
    const at = await ask(alice, first);
    expect(at.lists["a"]).toEqual({ count: 0, ops: [{ op: "DELETE", index: 0 }] });
    expect(at.rooms[room]).toEqual({
      name: "Empty Room",
      timeline: [left],
      notification_count: 0,
      highlight_count: 0,
      invited_count: 0,
      num_live: 1,
    });
  });

  test("[BBX-143] a message and its count in one poll move a room once", async () => {
    const alice = box.user("alice");
    const [a, b] = [box.roomId("a"), box.roomId("b")];
    queue(alice, join(fresh(alice, a), fresh(alice, b)));
    const first = await box.sync(alice.token, {
      lists: { a: { ...LIST, sort: ["by_highlight_count", "by_notification_count", "by_recency"] } },
    });
    await push(
      alice,
      join(
        joined(a, {
          timeline: [box.say("@x:localhost", "you!")],
          unread: { notification_count: 1, highlight_count: 1 },
        }),
      ),
    );
    const at = await ask(alice, first);
    expect(at.lists["a"]!.ops).toEqual([
      { op: "DELETE", index: 1 },
      { op: "INSERT", index: 0, room_id: a },
    ]);
    expect(at.rooms[a]).toMatchObject({ highlight_count: 1, notification_count: 1, num_live: 1 });
    expect(at.rooms[a]!.initial).toBeUndefined();
  });

  test("[BBX-144] the event that moves a room out of view is delivered", async () => {
    const alice = box.user("alice");
    const rooms = ["a", "b", "c"].map((name) => box.roomId(name)) as [string, string, string];
    queue(
      alice,
      join(...rooms.map((id, at) => fresh(alice, id, [box.state("m.room.name", alice.id, { name: `N${at}` })]))),
    );
    const first = await box.sync(alice.token, { lists: { a: { ...LIST, ranges: [[0, 1]], sort: ["by_name"] } } });
    const renamed = box.state("m.room.name", alice.id, { name: "Z" });
    await push(alice, join(joined(rooms[0], { timeline: [renamed] })));
    const at = await ask(alice, first);
    expect(at.lists["a"]!.ops).toEqual([
      { op: "DELETE", index: 0 },
      { op: "INSERT", index: 1, room_id: rooms[2] },
    ]);
    expect(at.rooms[rooms[0]]).toMatchObject({ name: "Z", timeline: [renamed] });
    expect(at.rooms[rooms[2]]).toMatchObject({ initial: true });
    await push(alice, join(joined(rooms[0], { timeline: [box.say(alice.id, "unseen")] })));
    expect((await ask(alice, at)).rooms).toEqual({});
  });

  test("[BBX-145] a room that comes into view live brings its account data, receipts and typing", async () => {
    const alice = box.user("alice");
    const [a, b] = [box.roomId("a"), box.roomId("b")];
    const tag = { type: "m.tag", content: { tags: { "m.x": {} } } };
    const said = box.say(alice.id, "last");
    const receipt = { type: "m.receipt", content: { [said.event_id]: { "m.read": { [alice.id]: { ts: 5 } } } } };
    const typing = { type: "m.typing", content: { user_ids: ["@x:localhost"] } };
    queue(
      alice,
      join(
        joined(a, { timeline: [...box.beginning(alice.id), said], accountData: [tag], ephemeral: [receipt, typing] }),
        fresh(alice, b),
      ),
    );
    const extensions = { account_data: { enabled: true }, receipts: { enabled: true }, typing: { enabled: true } };
    const first = await box.sync(alice.token, { lists: { a: { ranges: [[0, 0]], timeline_limit: 2 } }, extensions });
    expect(first.extensions).toEqual({});
    await push(alice, join(joined(a, { timeline: [box.say(alice.id, "up")] })));
    const at = await ask(alice, first);
    expect(at.extensions).toEqual({
      account_data: { rooms: { [a]: [tag] } },
      receipts: { rooms: { [a]: receipt } },
      typing: { rooms: { [a]: typing } },
    });
  });

  test("[BBX-146] typing comes again with what else happens in the room", async () => {
    const alice = box.user("alice");
    const a = box.roomId("a");
    const typing = { type: "m.typing", content: { user_ids: ["@x:localhost"] } };
    queue(alice, join(fresh(alice, a)));
    const first = await box.sync(alice.token, { ...ALL, extensions: { typing: { enabled: true } } });
    await push(alice, join(joined(a, { ephemeral: [typing] })));
    const at = await ask(alice, first);
    expect(at.extensions).toEqual({ typing: { rooms: { [a]: typing } } });
    await push(alice, join(joined(a, { timeline: [box.say(alice.id, "x")] })));
    const again = await ask(alice, at);
    expect(again.rooms[a]).toBeDefined();
    expect(again.extensions).toEqual({ typing: { rooms: { [a]: typing } } });
  });

  test("[BBX-147] what does not concern a client does not lengthen its wait", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const [a, b] = [box.roomId("a"), box.roomId("b")];
    queue(alice, join(fresh(alice, a), fresh(alice, b)));
    queue(bob, join(fresh(bob, box.roomId("bobs"))));
    await box.sync(bob.token, ALL);
    const first = await box.sync(alice.token, { lists: { a: { ranges: [[0, 0]], sort: ["by_name"] } } });
    const state = { isAnswered: false };
    const waiting = box.ask(alice.token, {}, { pos: first.pos, timeoutMs: 1200 });
    void waiting.finally(() => (state.isAnswered = true)).catch(() => undefined);
    const hidden = first.rooms[a] === undefined ? a : b;
    // If news began the wait anew, it would not end before they do.
    for (let n = 0; n < 1000 && !state.isAnswered; n++) {
      await push(alice, join(joined(hidden, { timeline: [box.say(alice.id, `n${n}`)] })));
    }
    expect(state.isAnswered).toBe(true);
    const answer = await waiting;
    expect(answer.body.rooms).toEqual({});
    expect(answer.tookMs).toBeGreaterThan(1150);
  });

  test("[BBX-148] a client that changes its parameters with every request is not starved of news", async () => {
    const alice = box.user("alice");
    const rooms = Array.from({ length: 10 }, (_, at) => box.roomId(`r${at}`));
    queue(alice, join(...rooms.map((id) => fresh(alice, id))));
    let at = await box.sync(alice.token, {
      lists: { a: { ranges: [[0, 1]], timeline_limit: 1, sort: ["by_recency"] } },
    });
    for (let n = 0; n < 6; n++) {
      const said = box.say(alice.id, `n${n}`);
      await push(alice, join(joined(rooms[n]!, { timeline: [said] })));
      at = await ask(alice, at, { lists: { a: { ranges: [[0, n + 2]] } } });
      expect(at.lists["a"]!.ops!.at(-1)).toEqual({ op: "INSERT", index: 0, room_id: rooms[n]! });
      expect(at.rooms[rooms[n]!]!.timeline!.at(-1)).toEqual(said);
    }
  });

  test("[BBX-149] positions as in the table of the specification", async () => {
    const alice = box.user("alice");
    queue(alice, join(fresh(alice, box.roomId("a"))));
    const body = (letter: string): Json => ({ lists: { [letter]: LIST } });
    const of = async (from: string, letter: string): Promise<string> =>
      (await box.sync(alice.token, body(letter), { pos: from })).pos;
    const p1 = (await box.sync(alice.token, body("z"))).pos;
    const p2 = await of(p1, "a");
    expect(await of(p1, "b")).toBe(p2);
    expect(await of(p1, "c")).toBe(p2);
    const p3 = await of(p2, "c");
    const p4 = await of(p3, "c");
    expect(new Set([p1, p2, p3, p4]).size).toBe(4);
    expect((await box.ask(alice.token, body("c"), { pos: p2 })).body.errcode).toBe("M_UNKNOWN_POS");
    const p5 = await of(p4, "c");
    expect(await of(p4, "c")).toBe(p5);
  });

  test("[BBX-150] events keep their bytes: big numbers, odd escapes, members in their order", async () => {
    const alice = box.user("alice");
    const room = box.roomId("bytes");
    const raw = String.raw`{"z":1.0,"type":"m.\\u0000.x","a":12345678901234567890,"event_id":"$raw-${room.slice(1, 9)}","sender":"${alice.id}","content":{"nul":"\u0000","slash":"\/","e":1e3,"uni":"\u00e9 é","lone":"\ud800"},"origin_server_ts":1800000000000}`;
    const [id, body] = fresh(alice, room);
    const text = JSON.stringify({ next_batch: "s1", ...join([id, body]) });
    box.homeserver.queue(alice.token, text);
    await box.sync(alice.token, ALL);
    const later = JSON.stringify({
      next_batch: "s2",
      ...join(joined(room, { timeline: [{ marker: 1 } as never] })),
    }).replace('{"marker":1}', raw);
    const first = await box.sync(alice.token, ALL);
    await box.homeserver.push(alice.token, later);
    const answer = await box.server.fetch(`/_matrix/client/v3/sync?pos=${first.pos}&timeout=100`, {
      method: "POST",
      headers: { authorization: `Bearer ${alice.token}` },
      body: "{}",
    });
    expect(await answer.text()).toContain(raw);
  });

  test("[BBX-151] to-device messages come whatever since a client brings from another database", async () => {
    const alice = box.user("alice");
    queue(alice, { to_device: { events: [{ type: "m.x", sender: "@b:localhost", content: { n: 1 } }] } });
    const first = await box.sync(alice.token, { extensions: { to_device: { enabled: true, since: "98765" } } });
    expect(first.extensions["to_device"]!["events"]).toHaveLength(1);
  });

  test("[BBX-152] key counts of nothing and empty fallback keys are told at first", async () => {
    const alice = box.user("alice");
    queue(alice, { device_one_time_keys_count: { signed_curve25519: 0 }, device_unused_fallback_key_types: [] });
    const first = await box.sync(alice.token, { extensions: { e2ee: { enabled: true } } });
    expect(first.extensions["e2ee"]).toEqual({
      device_one_time_keys_count: { signed_curve25519: 0 },
      device_unused_fallback_key_types: [],
    });
  });

  test("[BBX-153] the since of a restart is the last one that the homeserver gave", async () => {
    const alice = box.user("alice");
    box.homeserver.queue(alice.token, { next_batch: "given", ...join(fresh(alice, box.roomId("a"))) });
    await box.sync(alice.token, ALL);
    const seen = box.homeserver.pollsOf(alice.token).length;
    await until("more polls", () => box.homeserver.pollsOf(alice.token).length >= seen + 2);
    let before = 0;
    await box.restart(() => {
      before = box.homeserver.pollsOf(alice.token).length;
    });
    await until("the next polls", () => box.homeserver.pollsOf(alice.token).length > before + 1);
    const poll = box.homeserver
      .pollsOf(alice.token)
      .slice(before)
      .find((one) => one.query.get("timeout") === "0");
    expect(poll?.query.get("since")).toBe("given");
  });

  test("[BBX-154] a room joined by a state block shows with its first event, lists of one user leave others' alone", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const [a, n] = [box.roomId("a"), box.roomId("n")];
    queue(alice, join(fresh(alice, a)));
    queue(bob, join(fresh(bob, n)));
    await box.sync(bob.token, ALL);
    const first = await box.sync(alice.token, ALL);
    const own = box.member(alice.id, "join");
    const said = box.say(bob.id, "welcome");
    await push(
      alice,
      join(joined(n, { state: [...box.beginning(bob.id), own], timeline: [said], limited: true, prevBatch: "p" })),
    );
    const at = await ask(alice, first);
    expect(at.lists["a"]).toEqual({
      count: 2,
      ops: [
        { op: "DELETE", index: 1 },
        { op: "INSERT", index: 0, room_id: n },
      ],
    });
    expect(at.rooms[n]).toMatchObject({ initial: true });
    expect(at.rooms[n]!.timeline!.at(-1)).toEqual(said);
  });

  test("[BBX-156] what others' polls bring late from before a join is not for who joined, and lost for nobody else", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("late");
    const begin = box.beginning(alice.id);
    queue(alice, join(joined(room, { timeline: begin })));
    queue(bob, join(fresh(bob, box.roomId("own"))));
    const [a, b] = [await box.sync(alice.token, ALL), await box.sync(bob.token, ALL)];
    const own = box.member(bob.id, "join");
    await push(bob, join(joined(room, { state: begin, timeline: [own] })));
    const joinedNow = await ask(bob, b);
    expect(ids(joinedNow.rooms[room]!.timeline)).toEqual([own.event_id]);
    const [secret, open] = [box.say(alice.id, "secret"), box.say(alice.id, "open")];
    await push(alice, join(joined(room, { timeline: [secret, own, open] })));
    const bobs = await ask(bob, joinedNow);
    expect(bobs.rooms[room]).toMatchObject({ initial: true });
    expect(ids(bobs.rooms[room]!.timeline)).toEqual(ids([own, open]));
    const later = box.say(alice.id, "later");
    await push(alice, join(joined(room, { timeline: [later] })));
    expect(ids((await ask(bob, bobs)).rooms[room]!.timeline)).toEqual([later.event_id]);
    const fromFresh = await box.sync(bob.token, ALL);
    expect(ids(fromFresh.rooms[room]!.timeline)).toEqual(ids([own, open, later]));
    const alices = ids((await ask(alice, a)).rooms[room]!.timeline);
    expect(alices.slice(-4)).toEqual(ids([secret, own, open, later]));
  });

  test("[BBX-155] lists of one shape behave alike, and a second list sends its rooms again", async () => {
    const alice = box.user("alice");
    const rooms = ["a", "b", "c"].map((name) => box.roomId(name));
    queue(alice, join(...rooms.map((id) => fresh(alice, id))));
    const list = { ranges: [[0, 1]], timeline_limit: 1 };
    let at = await box.sync(alice.token, { lists: { a: list, b: list } });
    expect(at.lists["a"]).toEqual(at.lists["b"]);
    await push(alice, join(joined(rooms[0]!, { timeline: [box.say(alice.id, "up")] })));
    at = await ask(alice, at);
    expect(at.lists["a"]).toEqual(at.lists["b"]);
    expect(at.lists["a"]!.ops).toHaveLength(2);
    const other = await ask(alice, at, { lists: { c: { ...list, timeline_limit: 3 } } });
    expect(other.rooms[rooms[0]!]).toMatchObject({ initial: true });
    expect(other.rooms[rooms[0]!]!.timeline).toHaveLength(3);
  });
});
