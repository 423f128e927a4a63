import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { SeenRequest, Session } from "#test/support/homeserver.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { SimplifiedClient, stateOf, timelineOf } from "#test/support/simplified-client.ts";

type Page = { chunk: unknown[]; start?: string; end?: string };
type Answer = (seen: SeenRequest) => Response | Promise<Response>;

describe("history that the homeserver has and we do not", () => {
  let rig: FrontRig;
  let accounts = 0;
  const answers = new Map<string, Answer>();
  const asked: SeenRequest[] = [];

  beforeAll(async () => {
    // A response waits for a second: no less, on a machine that is busy.
    rig = await FrontRig.start({ haste: 1 });
    rig.node.homeserver.onRequest((seen) => {
      const room = /\/rooms\/([^/]+)\/messages$/.exec(seen.pathname)?.[1];
      if (room === undefined) return undefined;
      asked.push(seen);
      return answers.get(decodeURIComponent(room))?.(seen);
    });
  });
  afterAll(() => rig.stop());

  interface Stage {
    me: Session;
    client: SimplifiedClient;
    id: string;
    room: string;
    say: (...bodies: string[]) => WireEvent[];
    /** Plays the room's history, newest first. */
    history: (page: Page | Answer) => void;
    asked: () => SeenRequest[];
    /** The classic sync of a room with these events in its timeline. */
    poll: (events: readonly WireEvent[], more?: Record<string, unknown>) => Promise<void>;
  }

  /** A user in one room of which one message is known. */
  const inRoom = (): Stage => {
    accounts += 1;
    const name = `h${accounts}`;
    const id = `@${name}:test`;
    const room = `!${name}:test`;
    const me = rig.account(name, rig.joined(id, [name]));
    return {
      me,
      client: new SimplifiedClient(rig, me),
      id,
      room,
      say: (...bodies) => bodies.map((body) => rig.say(id, body)),
      history: (page) => answers.set(room, typeof page === "function" ? page : () => Response.json(page)),
      asked: () => asked.filter(({ pathname }) => pathname.includes(encodeURIComponent(room))),
      poll: (events, more) => rig.poll(me, { rooms: { join: { [room]: { timeline: { events, ...more } } } } }),
    };
  };
  const open = (room: string, limit: number, state: string[][] = []): Record<string, unknown> => ({
    room_subscriptions: { [room]: { required_state: state, timeline_limit: limit } },
  });
  const list = (limit: number): Record<string, unknown> => ({
    lists: { all: { ranges: [[0, 9]], required_state: [], timeline_limit: limit } },
  });

  test("[HIS-1] a room that is opened shows older events from the homeserver before those at hand, oldest first", async () => {
    const { me, client, room, say, history, asked: seen } = inRoom();
    const older = say("1", "2", "3");
    history({ chunk: older.toReversed(), start: "s", end: "before-1" });
    const { rooms } = await client.sync(open(room, 4));
    expect(timelineOf(rooms[room])).toEqual(["1", "2", "3", `first of ${room.slice(1, -5)}`]);
    expect(rooms[room]).toMatchObject({ initial: true, limited: true, prev_batch: "before-1", num_live: 0 });
    expect(seen().map(({ query, accessToken }) => [query, accessToken])).toEqual([
      [{ dir: "b", from: `p-${room.slice(1, -5)}`, limit: "3" }, me.accessToken],
    ]);
  });

  test("[HIS-2] a higher timeline limit is met the same way, and nothing of it is live", async () => {
    const { client, room, say, history, poll } = inRoom();
    await client.sync(list(1));
    await poll(say("live"));
    await client.sync(list(1));
    history({ chunk: say("1", "2").toReversed(), start: "s", end: "e" });
    const { rooms } = await client.sync({ ...list(1), ...open(room, 20) });
    expect(timelineOf(rooms[room])).toEqual(["1", "2", `first of ${room.slice(1, -5)}`, "live"]);
    expect(rooms[room]).toMatchObject({
      unstable_expanded_timeline: true,
      num_live: 0,
      limited: true,
      prev_batch: "e",
    });
    expect(rooms[room]).not.toHaveProperty("initial");
  });

  /** A room of which one poll brought thirty messages, once its client has it with a limit of one. */
  const burst = async (stage: Stage): Promise<WireEvent[]> => {
    const { me, client, room, say } = stage;
    await client.sync(list(1));
    const events = say(...Array.from({ length: 30 }, (_, index) => `${index + 1}`));
    const rooms = { join: { [room]: { timeline: { events, prev_batch: "before-1" } } } };
    await rig.poll(me, { next_batch: "behind-30", rooms });
    return events;
  };
  const numbers = (from: number, to: number): string[] =>
    Array.from({ length: to - from + 1 }, (_, index) => `${from + index}`);

  test("[HIS-37] where a limit falls within what came in one piece, the homeserver tells the token of there", async () => {
    const stage = inRoom();
    const events = await burst(stage);
    stage.history({ chunk: events.slice(10).toReversed(), start: "behind-30", end: "before-11" });
    const { rooms } = await stage.client.sync(list(20));
    expect(timelineOf(rooms[stage.room])).toEqual(numbers(11, 30));
    expect(rooms[stage.room]).toMatchObject({ limited: true, prev_batch: "before-11" });
    expect(stage.asked().map(({ query }) => query)).toEqual([{ dir: "b", from: "behind-30", limit: "20" }]);
  });

  test("[HIS-38] where it does not, or tells of something else, the timeline begins where there is a token", async () => {
    const refusing = inRoom();
    await burst(refusing);
    refusing.history(() => Response.json({ errcode: "M_FORBIDDEN", error: "no" }, { status: 403 }));
    const elsewhere = inRoom();
    const events = await burst(elsewhere);
    elsewhere.history({ chunk: events.slice(9).toReversed(), start: "behind-30", end: "before-10" });
    for (const { client, room, asked: seen } of [refusing, elsewhere]) {
      const { rooms } = await client.sync(list(20));
      expect(timelineOf(rooms[room])).toEqual(numbers(1, 30));
      expect(rooms[room]).toMatchObject({ limited: true, prev_batch: "before-1" });
      expect(seen().length).toBe(1);
    }
  });

  test("[HIS-38] so it does for news, which wait for nobody", async () => {
    const stage = inRoom();
    stage.history({ chunk: [], start: "s", end: "e" });
    await stage.client.sync(list(20));
    const before = stage.asked().length;
    const waiting = stage.client.sync(list(20), { timeout: 20_000 });
    await rig.waiting(1);
    const events = stage.say(...numbers(1, 30));
    await rig.poll(stage.me, {
      next_batch: "behind-30",
      rooms: { join: { [stage.room]: { timeline: { events, prev_batch: "before-1" } } } },
    });
    const entry = (await waiting).rooms[stage.room];
    expect([timelineOf(entry), stage.asked().length]).toEqual([numbers(1, 30), before]);
  });

  test("[HIS-39] a few events may come twice: of them nobody is asked", async () => {
    const stage = inRoom();
    await burst(stage);
    const { rooms } = await stage.client.sync(list(8));
    expect(timelineOf(rooms[stage.room])).toEqual(numbers(23, 30));
    expect(rooms[stage.room]).toMatchObject({ limited: true, prev_batch: "behind-30" });
    expect(stage.asked()).toEqual([]);
  });

  test("[HIS-3] the homeserver is not asked when enough is at hand, nor by MSC3575", async () => {
    const { me, client, room, asked: seen } = inRoom();
    await client.sync(open(room, 1));
    await client.sync(list(1));
    await rig.sync(me, open(room, 20));
    expect(seen()).toEqual([]);
  });

  test("[HIS-4] at the start of the room nothing is limited", async () => {
    const { client, room, id, say, history } = inRoom();
    const create = rig.event("m.room.create", id, {}, "");
    history({ chunk: [...say("1"), create], start: "s", end: "e" });
    expect((await client.sync(open(room, 9))).rooms[room]).toMatchObject({ limited: false });
    const other = inRoom();
    other.history({ chunk: other.say("1"), start: "s" });
    const ended = (await other.client.sync(open(other.room, 9))).rooms[other.room];
    expect(ended).toMatchObject({ limited: false });
    expect(ended).not.toHaveProperty("prev_batch");
    const empty = inRoom();
    empty.history({ chunk: [], start: "s" });
    const bare = (await empty.client.sync(open(empty.room, 9))).rooms[empty.room];
    expect(bare?.timeline?.length).toBe(1);
    expect(bare).toMatchObject({ limited: false });
  });

  test("[HIS-5] answers that overlap with what is at hand, or with themselves, show each event once", async () => {
    const { client, room, say, history } = inRoom();
    const [one, two] = say("1", "2");
    const before = await client.sync(open(room, 1));
    const held = before.rooms[room]?.timeline ?? [];
    history({ chunk: [...held, two, two, one], start: "s", end: "e" });
    const { rooms } = await client.sync(open(room, 9));
    expect(timelineOf(rooms[room])).toEqual(["1", "2", `first of ${room.slice(1, -5)}`]);
  });

  test("[HIS-6] malformed events are left out; a token of before them is not given", async () => {
    const { client, room, say, history } = inRoom();
    const [one] = say("1");
    history({ chunk: [7, one, { type: "m.room.message" }], start: "s", end: "e" });
    const { rooms } = await client.sync(open(room, 9));
    expect(timelineOf(rooms[room])[0]).toBe("1");
    expect(rooms[room]).toMatchObject({ limited: true, prev_batch: `p-${room.slice(1, -5)}` });
  });

  test("[HIS-7] what is personal in them is cut, and messages of ignored users are left out", async () => {
    const { me, client, room, say, history } = inRoom();
    const [mine] = say("mine");
    const spam = rig.say("@troll:test", "spam");
    const joined = rig.event("m.room.member", "@troll:test", { membership: "join" }, "@troll:test");
    history({
      chunk: [{ ...mine, unsigned: { age: 1, transaction_id: "t", membership: "join" } }, spam, joined],
      start: "s",
      end: "e",
    });
    await client.sync(open(room, 1));
    const ignored = { type: "m.ignored_user_list", content: { ignored_users: { "@troll:test": {} } } };
    await rig.poll(me, { account_data: { events: [ignored] } });
    const { rooms } = await client.sync(open(room, 9));
    const [first, second] = rooms[room]?.timeline ?? [];
    expect(first).toMatchObject({ type: "m.room.member", sender: "@troll:test" });
    expect(second).toEqual({ ...mine, unsigned: { age: 1 } } as never);
    expect(rooms[room]?.timeline?.length).toBe(3);
  });

  test("[HIS-8] members of those who speak in them come along where members are loaded lazily", async () => {
    const { me, client, room, history } = inRoom();
    await client.sync(list(1));
    const bob = rig.event("m.room.member", "@bob:test", { membership: "join" }, "@bob:test");
    await rig.poll(me, { rooms: { join: { [room]: { state: { events: [bob] } } } } });
    await client.sync(list(1));
    history({ chunk: [rig.say("@bob:test", "old")], start: "s", end: "e" });
    const { rooms } = await client.sync(open(room, 9, [["m.room.member", "$LAZY"]]));
    expect(stateOf(rooms[room])).toContain("m.room.member|@bob:test");
  });

  test("[HIS-9] what was read serves retries and other connections, until something in the room is redacted", async () => {
    const { me, client, room, id, say, history, asked: seen, poll } = inRoom();
    const [old] = say("old");
    history({ chunk: [old], start: "s", end: "e" });
    const again = new SimplifiedClient(rig, me, "v4");
    await client.sync(open(room, 9));
    await again.sync({ room_subscriptions: { [room]: { required_state: {}, timeline_limit: 9 } } }, { pos: null });
    const repeated = await client.sync(open(room, 9), { pos: null });
    expect(timelineOf(repeated.rooms[room])[0]).toBe("old");
    expect(seen().length).toBe(1);
    await poll([rig.event("m.room.redaction", id, { redacts: old?.event_id })]);
    history({ chunk: [{ ...old, content: {} }], start: "s", end: "e" });
    // Of as many events as before, one more is at hand.
    const after = await client.sync(open(room, 10), { pos: null });
    expect(timelineOf(after.rooms[room])[0]).toBe("");
    expect(seen().length).toBe(2);
  });

  test("[HIS-10] a slow homeserver holds a response up for a moment at most, and its answer serves the next one", async () => {
    const { client, room, say, history, asked: seen } = inRoom();
    const old = say("old");
    const slow = Promise.withResolvers<void>();
    history(async () => {
      await slow.promise;
      return Response.json({ chunk: old, start: "s", end: "e" });
    });
    await client.sync(list(1));
    const late = await client.sync({ ...list(1), ...open(room, 9) });
    expect(timelineOf(late.rooms[room])).toEqual([`first of ${room.slice(1, -5)}`]);
    expect(late.rooms[room]).toMatchObject({ limited: true, prev_batch: `p-${room.slice(1, -5)}` });
    const cached = (): number => rig.node.metrics.gauges.get("history_cached_bytes")?.() ?? 0;
    const before = cached();
    slow.resolve();
    await rig.node.until(() => cached() > before);
    const retried = await client.sync(open(room, 9), { pos: null });
    expect(timelineOf(retried.rooms[room])[0]).toBe("old");
    expect(seen().length).toBe(1);
  });

  test("[HIS-11] a homeserver that refuses, limits or fails leaves the response as it is, and is left in peace", async () => {
    const failures: [number, Record<string, unknown>][] = [
      [403, { errcode: "M_FORBIDDEN" }],
      [404, { errcode: "M_NOT_FOUND" }],
      [429, { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 60_000 }],
      [500, {}],
      [401, { errcode: "M_UNKNOWN_TOKEN" }],
    ];
    for (const [status, body] of failures) {
      const { client, room, history, asked: seen } = inRoom();
      history(() => Response.json(body, { status }));
      const { rooms } = await client.sync(open(room, 9));
      expect(rooms[room]?.timeline?.length).toBe(1);
      expect(rooms[room]).toMatchObject({ limited: true, prev_batch: `p-${room.slice(1, -5)}` });
      await client.sync(open(room, 10), { pos: null });
      expect([status, seen().length]).toEqual([status, 1]);
    }
    for (const garbage of ["", "[]", '{"chunk":{}}', '{"chunk":[{]}', '{"end":"e"}']) {
      const { client, room, history } = inRoom();
      history(() => new Response(garbage));
      expect((await client.sync(open(room, 9))).rooms[room]?.timeline?.length).toBe(1);
    }
  });

  test("[HIS-12] a long poll that something wakes does not wait for the homeserver", async () => {
    const { me, client, room, history, asked: seen } = inRoom();
    history(() => Response.json({ chunk: [], start: "s" }));
    const name = `late${accounts}`;
    await client.sync(list(9));
    const before = seen().length;
    const waiting = client.sync(list(9), { timeout: 20_000 });
    await rig.waiting(1);
    await rig.poll(me, rig.joined(me.account.userId, [name]));
    const { rooms } = await waiting;
    expect(rooms[`!${name}:test`]).toMatchObject({ initial: true, limited: true });
    expect(asked.filter(({ pathname }) => pathname.includes(name))).toEqual([]);
    expect([room, seen().length]).toEqual([room, before]);
  });

  test("[HIS-13] only rooms that are looked at are read, and not too many for one response", async () => {
    accounts += 1;
    const names = Array.from({ length: 30 }, (_, index) => `many${accounts}-${index}`);
    const id = `@many${accounts}:test`;
    const me = rig.account(`many${accounts}`, rig.joined(id, names));
    for (const name of names)
      answers.set(`!${name}:test`, () => Response.json({ chunk: [rig.say(id, `old ${name}`)], start: "s", end: "e" }));
    const client = new SimplifiedClient(rig, me);
    const { rooms } = await client.sync({
      lists: { all: { ranges: [[0, 29]], required_state: [], timeline_limit: 5 } },
    });
    const filled = names.filter((name) => rooms[`!${name}:test`]?.timeline?.length === 2);
    // The most recent ones are listed first.
    expect(filled).toEqual(names.slice(10));
    const last = names[0] ?? "";
    const opened = await client.sync({
      room_subscriptions: { [`!${last}:test`]: { required_state: [], timeline_limit: 6 } },
    });
    expect(timelineOf(opened.rooms[`!${last}:test`])[0]).toBe(`old ${last}`);
  });

  test("[HIS-14] across a gap nothing is missing: what is before it comes from the homeserver", async () => {
    const { client, room, say, history, poll } = inRoom();
    await client.sync(open(room, 1));
    await poll(say("after"), { limited: true, prev_batch: "gap" });
    await client.sync(open(room, 1));
    history((seen) => Response.json({ chunk: say(`before ${seen.query["from"]}`), start: "s", end: "e" }));
    const { rooms } = await client.sync(open(room, 3));
    expect(timelineOf(rooms[room])).toEqual(["before gap", "after"]);
    expect(rooms[room]?.prev_batch).toBe("e");
  });
});
