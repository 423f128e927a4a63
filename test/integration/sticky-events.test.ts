import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { DialectName } from "#src/protocol/dialects/dialect.ts";
import { FrontRig } from "#test/support/front-rig.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { type SimplifiedAccount, accountInRooms } from "#test/support/simplified-account.ts";
import { type SimplifiedAnswer, SimplifiedClient } from "#test/support/simplified-client.ts";

const STICKY = "org.matrix.msc4354.sticky_events";
const HOUR_MS = 3_600_000;
const BOB = "@bob:test";

interface StickyBody {
  next_batch: string;
  rooms: Record<string, { events: (WireEvent & { unsigned?: Record<string, unknown> })[] }>;
}

const stickyOf = ({ extensions }: SimplifiedAnswer): StickyBody | undefined =>
  extensions[STICKY] as StickyBody | undefined;

/** Ids by room name. */
const told = (answer: SimplifiedAnswer): Record<string, WireEvent["event_id"][]> | null => {
  const body = stickyOf(answer);
  if (body === undefined) return null;
  return Object.fromEntries(
    Object.entries(body.rooms).map(([roomId, { events }]) => [roomId, events.map(({ event_id: id }) => id)]),
  );
};

describe("sticky events (MSC4354)", () => {
  let rig: FrontRig;

  beforeAll(async () => {
    rig = await FrontRig.start();
  });
  afterAll(() => rig.stop());

  const inRooms = (names: readonly string[], dialect?: DialectName): SimplifiedAccount =>
    accountInRooms(rig, names, dialect);

  /** An event that is sticky for so long, a moment old. */
  const stick = (sender: string, parts: Record<string, unknown> = {}, durationMs: unknown = HOUR_MS): WireEvent =>
    Object.assign(rig.event("org.example.sticky", sender, {}), {
      origin_server_ts: Date.now(),
      msc4354_sticky: { duration_ms: durationMs },
      ...parts,
    });

  const section = (roomId: string, ...events: WireEvent[]): Record<string, unknown> => ({
    rooms: { join: { [roomId]: { msc4354_sticky: { events } } } },
  });
  const timeline = (roomId: string, ...events: WireEvent[]): Record<string, unknown> => ({
    rooms: { join: { [roomId]: { timeline: { events, prev_batch: "p" } } } },
  });

  const all = (more: Record<string, unknown> = {}, window: [number, number] = [0, 0]): Record<string, unknown> => ({
    lists: { all: { ranges: [window], required_state: [], timeline_limit: 1 } },
    extensions: { [STICKY]: { enabled: true, ...more } },
  });

  test("[STE-1] sticky events of all rooms in a list are told, those beside timelines and those in them, oldest first, in view or not", async () => {
    const { me, client, id, room } = inRooms(["a", "b"]);
    await client.sync({});
    const [one, two, three] = [stick(BOB), stick(BOB), stick(id)];
    await rig.poll(me, section(room("a"), one, two));
    await rig.poll(me, timeline(room("a"), three, rig.say(BOB, "and then")));
    await rig.poll(me, timeline(room("b"), rig.say(BOB, "in view")));
    const answer = await client.sync(all(), { pos: null });
    expect(Object.keys(answer.rooms)).toEqual([room("b")]);
    expect(told(answer)).toEqual({ [room("a")]: [one, two, three].map((event) => event.event_id) });
    const [first] = stickyOf(answer)?.rooms[room("a")]?.events ?? [];
    const { unsigned, ...rest } = first ?? {};
    expect(rest).toEqual(one as never);
    const ttlMs = Number(unsigned?.["msc4354_sticky_duration_ttl_ms"]);
    expect(ttlMs).toBeGreaterThan(0);
    expect(ttlMs).toBeLessThanOrEqual(HOUR_MS);
  });

  test("[STE-2] the stable form has it under both names, and answers under the one that was used", async () => {
    const { me, client, room } = inRooms(["a"], "v4");
    await client.sync({});
    await rig.poll(me, section(room("a"), stick(BOB)));
    const lists = { all: { required_state: {}, timeline_limit: 1 } };
    for (const name of [STICKY, "sticky_events"]) {
      const { extensions } = await client.sync({ lists, extensions: { [name]: { enabled: true } } }, { pos: null });
      expect(Object.keys(extensions)).toEqual([name]);
    }
  });

  test.each<[why: string, extension: unknown]>([
    ["it is null", null],
    ["it is no object", []],
    ["`enabled` is null", { enabled: null }],
    ["`enabled` is no boolean", { enabled: 1 }],
    ["`limit` is null", { enabled: true, limit: null }],
    ["`limit` is negative", { enabled: true, limit: -1 }],
    ["`limit` is no integer", { enabled: true, limit: "5" }],
    ["`since` is null", { enabled: true, since: null }],
    ["`since` is empty", { enabled: true, since: "" }],
    ["`since` is a number", { enabled: true, since: 5 }],
    ["`since` is a token of something else", { enabled: true, since: "5" }],
    ["`since` is malformed where it is switched off", { enabled: false, since: "sticky_" }],
  ])("[STE-3] a request is refused where %s", async (_, extension) => {
    for (const dialect of ["simplified", "v4"] as const) {
      const { client } = inRooms(["a"], dialect);
      const { status, json } = await client.request({ extensions: { [STICKY]: extension } });
      expect([status, json["errcode"]]).toEqual([400, "M_BAD_JSON"]);
    }
  });

  test("[STE-4] a token ahead of the server is of no connection that goes on; one that begins gets another, also where there is nothing to tell", async () => {
    const { me, client, room } = inRooms(["a"]);
    await client.sync({});
    const since = `sticky_${Number.MAX_SAFE_INTEGER}`;
    const ahead = await client.request(all({ since }));
    expect([ahead.status, ahead.json["errcode"]]).toEqual([400, "M_UNKNOWN_POS"]);
    expect((await client.request(all({ enabled: false, since }))).status).toBe(200);
    // Who keeps the token and starts over is served.
    const anew = await client.sync(all({ since }), { pos: null });
    expect(stickyOf(anew)).toEqual({ next_batch: expect.stringMatching(/^sticky_\d+$/), rooms: {} });
    const waiting = client.sync(all({ since: stickyOf(anew)?.next_batch }), { timeout: 60_000 });
    await rig.waiting(1);
    const event = stick(BOB);
    await rig.poll(me, section(room("a"), event));
    expect(told(await waiting)).toEqual({ [room("a")]: [event.event_id] });
    const foreign = ["sticky_m42~1.45~2.50", `${since}~1.${since.length}`, "sticky_0"];
    for (const token of foreign)
      expect(told(await client.sync(all({ since: token }), { pos: null }))).toEqual({ [room("a")]: [event.event_id] });
  });

  test("[STE-5] no more than `limit` come at once, and the rest with the next requests, which do not wait", async () => {
    const { me, client, room } = inRooms(["a", "b"]);
    await client.sync({});
    const events = Array.from({ length: 5 }, () => stick(BOB));
    const [a, b, c, d, e] = events.map(({ event_id: id }) => id);
    await rig.poll(me, {
      rooms: {
        join: {
          [room("a")]: { msc4354_sticky: { events: [events[0], events[1]] } },
          [room("b")]: { msc4354_sticky: { events: events.slice(2) } },
        },
      },
    });
    const first = await client.sync(all({ limit: 2 }), { pos: null });
    expect(told(first)).toEqual({ [room("a")]: [a, b] });
    const second = await client.sync(all({ limit: 2, since: stickyOf(first)?.next_batch }), { timeout: 60_000 });
    expect(told(second)).toEqual({ [room("b")]: [c, d] });
    const third = await client.sync(all({ limit: 2, since: stickyOf(second)?.next_batch }), { timeout: 60_000 });
    expect(told(third)).toEqual({ [room("b")]: [e] });
    expect(told(await client.sync(all({ limit: 2, since: stickyOf(third)?.next_batch })))).toBeNull();
    expect(told(await client.sync(all({ limit: 0 }), { pos: null }))).toBeNull();
  });

  test("[STE-6] a token says what its client has, whatever connection it comes from", async () => {
    const { me, client, room } = inRooms(["a"]);
    await client.sync({});
    await rig.poll(me, section(room("a"), stick(BOB)));
    const since = stickyOf(await client.sync(all(), { pos: null }))?.next_batch;
    const later = stick(BOB);
    await rig.poll(me, section(room("a"), later));
    const other = new SimplifiedClient(rig, me);
    expect(told(await other.sync({ ...all({ since }), conn_id: "other" }))).toEqual({ [room("a")]: [later.event_id] });
  });

  test("[STE-7] one that arrives beside a timeline ends a wait; where there is nothing to tell the key is absent", async () => {
    const { me, client, room } = inRooms(["a", "b"]);
    const first = await client.sync(all());
    expect(told(first)).toBeNull();
    const waiting = client.sync(all(), { timeout: 60_000 });
    await rig.waiting(1);
    const event = stick(BOB);
    await rig.poll(me, section(room("a"), event));
    const answer = await waiting;
    expect(told(answer)).toEqual({ [room("a")]: [event.event_id] });
    expect(answer.rooms).toEqual({});
    const next = await client.sync(all({ since: stickyOf(answer)?.next_batch }));
    expect(next.extensions).toEqual({});
  });

  test("[STE-8] what the timeline of the same response holds is not told twice, and a room with nothing else stays", async () => {
    const { me, client, room } = inRooms(["a"]);
    await client.sync({});
    const [old, shown] = [stick(BOB), stick(BOB)];
    await rig.poll(me, section(room("a"), old));
    await rig.poll(me, timeline(room("a"), shown));
    const first = await client.sync(all(), { pos: null });
    expect(first.rooms[room("a")]?.timeline?.map(({ event_id: id }) => id)).toEqual([shown.event_id]);
    expect(told(first)).toEqual({ [room("a")]: [old.event_id] });
    const next = stick(BOB);
    await rig.poll(me, timeline(room("a"), next));
    expect(told(await client.sync(all({ since: stickyOf(first)?.next_batch })))).toEqual({ [room("a")]: [] });
  });

  test("[STE-9] nobody is told sticky events of rooms that they are not in, or of users whom they ignore", async () => {
    const { me, client, id, room } = inRooms(["a", "b"]);
    await client.sync({});
    const [spam, kept] = [stick("@spam:test"), stick(BOB)];
    await rig.poll(me, section(room("a"), spam, kept));
    await rig.poll(me, section(room("b"), stick(BOB)));
    const content = { ignored_users: { "@spam:test": {} } };
    await rig.poll(me, { account_data: { events: [{ type: "m.ignored_user_list", content }] } });
    const left = rig.event("m.room.member", "@mod:test", { membership: "leave" }, id);
    await rig.poll(me, { rooms: { leave: { [room("b")]: { timeline: { events: [left] } } } } });
    const answer = await client.sync(all({}, [0, 9]), { pos: null });
    expect(answer.lists?.["all"]?.count).toBe(2);
    expect(told(answer)).toEqual({ [room("a")]: [kept.event_id] });
  });

  test("[STE-10] who joins a room is told what is sticky there, however long ago it came", async () => {
    const { me, client, id, room } = inRooms(["a"]);
    const other = inRooms(["shared"]);
    const shared = other.room("shared");
    await other.client.sync({});
    const before = stick(BOB);
    await rig.poll(other.me, section(shared, before));
    const first = await client.sync(all());
    await rig.poll(me, section(room("a"), stick(BOB)));
    const since = stickyOf(await client.sync(all()))?.next_batch;
    expect(told(first)).toBeNull();
    const create = rig.event("m.room.create", BOB, { room_version: "11" }, "");
    const join = rig.event("m.room.member", id, { membership: "join" }, id);
    const joined = { state: { events: [create] }, timeline: { events: [join], limited: true, prev_batch: "p" } };
    await rig.poll(me, { rooms: { join: { [shared]: joined } } });
    expect(told(await client.sync(all({ since })))).toEqual({ [shared]: [before.event_id] });
  });

  test("[STE-11] one that was redacted is told no more, be it in a timeline or beside it", async () => {
    const { me, client, room } = inRooms(["a"]);
    await client.sync({});
    const [beside, inside] = [stick(BOB), stick(BOB)];
    await rig.poll(me, section(room("a"), beside));
    await rig.poll(me, timeline(room("a"), inside));
    const redact = (target: WireEvent): WireEvent =>
      Object.assign(rig.event("m.room.redaction", BOB, { redacts: target.event_id }), { redacts: target.event_id });
    await rig.poll(me, timeline(room("a"), redact(beside), redact(inside)));
    expect(told(await client.sync(all(), { pos: null }))).toBeNull();
    // A poller that lags brings it once more.
    await rig.poll(me, section(room("a"), beside));
    expect(told(await client.sync(all(), { pos: null }))).toBeNull();
  });

  test("[STE-12] an event that does not say so, whose time is up, or that came redacted is not sticky", async () => {
    const { me, client, room } = inRooms(["a"]);
    await client.sync({});
    const redaction = Object.assign(rig.event("m.room.redaction", BOB, { redacts: "$early" }), { redacts: "$early" });
    await rig.poll(me, timeline(room("a"), redaction));
    const ttl = (left: number): Record<string, unknown> => ({ unsigned: { msc4354_sticky_duration_ttl_ms: left } });
    const odd = [
      stick(BOB, {}, "1000"),
      stick(BOB, {}, -1),
      stick(BOB, {}, 0),
      stick(BOB, {}, null),
      stick(BOB, { msc4354_sticky: "yes" }),
      stick(BOB, { msc4354_sticky: undefined }),
      stick(BOB, { origin_server_ts: Date.now() - 2 * HOUR_MS }, 10 * HOUR_MS),
      stick(BOB, ttl(0)),
      stick(BOB, { event_id: "$early" }),
    ];
    const fine = [
      stick(BOB, { origin_server_ts: Date.now() + 10 * HOUR_MS }, 10 * HOUR_MS),
      // The homeserver knows when it got it.
      stick(BOB, { origin_server_ts: 0, ...ttl(HOUR_MS / 2) }),
    ];
    await rig.poll(me, section(room("a"), ...odd, ...fine));
    const answer = await client.sync(all(), { pos: null });
    expect(told(answer)).toEqual({ [room("a")]: fine.map(({ event_id: id }) => id) });
    const left = stickyOf(answer)?.rooms[room("a")]?.events.map(({ unsigned }) =>
      Number(unsigned?.["msc4354_sticky_duration_ttl_ms"]),
    );
    expect(left?.[0]).toBeLessThanOrEqual(HOUR_MS);
    expect(left?.[1]).toBeLessThanOrEqual(HOUR_MS / 2);
  });

  test("[STE-13] an answer that was lost is made anew", async () => {
    const { me, client, room } = inRooms(["a"]);
    const { pos } = await client.sync(all());
    const event = stick(BOB);
    await rig.poll(me, section(room("a"), event));
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(told(await client.sync(all(), { pos, timeout: 60_000 }))).toEqual({ [room("a")]: [event.event_id] });
    }
  });

  test("[STE-14] what a token passed over because its room was in no list is told when the room is in one, on whatever connection", async () => {
    const { me, client, room } = inRooms(["a", "b"]);
    await client.sync({});
    const tagged = { rooms: { join: { [room("b")]: { account_data: { events: [tag("m.favourite")] } } } } };
    await rig.poll(me, tagged);
    const [one, other] = [stick(BOB), stick(BOB)];
    await rig.poll(me, section(room("a"), one));
    const oneList = (filters: unknown, since?: string): Record<string, unknown> => ({
      lists: { some: { ranges: [[0, 0]], required_state: [], timeline_limit: 1, filters } },
      extensions: { [STICKY]: { enabled: true, ...(since === undefined ? {} : { since }) } },
    });
    await rig.poll(me, section(room("b"), other));
    const first = await client.sync(oneList({ tags: ["m.favourite"] }), { pos: null });
    expect(told(first)).toEqual({ [room("b")]: [other.event_id] });
    const since = stickyOf(first)?.next_batch;
    expect(told(await client.sync(oneList({ tags: ["m.favourite"] }, since)))).toBeNull();
    const connections = [
      { connId: "", on: client },
      { connId: "other", on: new SimplifiedClient(rig, me) },
    ];
    for (const { connId, on } of connections) {
      const answer = await on.sync({ conn_id: connId, ...oneList({}, since) }, { timeout: 60_000 });
      expect(told(answer)).toEqual({ [room("a")]: [one.event_id] });
      const next = stickyOf(answer)?.next_batch;
      expect(told(await on.sync({ conn_id: connId, ...oneList({}, next) }))).toBeNull();
    }
  });

  test("[STE-15] with a room that a client has not seen before come its sticky events, told before or not", async () => {
    const { me, client, room } = inRooms(["a", "b"]);
    await client.sync({});
    const event = stick(BOB);
    await rig.poll(me, section(room("a"), event));
    const first = await client.sync(all(), { pos: null });
    expect(Object.keys(first.rooms)).toEqual([room("b")]);
    const since = stickyOf(first)?.next_batch;
    const second = await client.sync(all({ since }, [0, 1]));
    expect(second.rooms[room("a")]).toMatchObject({ initial: true });
    expect(told(second)).toEqual({ [room("a")]: [event.event_id] });
    const known = stickyOf(second)?.next_batch;
    expect(told(await client.sync(all({ since: known }, [0, 1])))).toBeNull();
    // Who starts over with a token from before the room was there gets them too, and with a later one does not.
    expect(told(await client.sync(all({ since }, [0, 1]), { pos: null }))).toEqual({ [room("a")]: [event.event_id] });
    expect(told(await client.sync(all({ since: known }), { pos: null }))).toBeNull();
    expect(told(await client.sync(all({ since: known }, [0, 1])))).toBeNull();
  });

  test("[STE-16] how long an event is sticky is told as of the moment, in timelines too, and not stored with it", async () => {
    const { me, client, room } = inRooms(["a"]);
    await client.sync({});
    const ttl = { unsigned: { age: 7, msc4354_sticky_duration_ttl_ms: 9_999_999 } };
    const [live, over] = [stick(BOB, ttl), stick(BOB, { ...ttl, origin_server_ts: 0, msc4354_sticky: undefined })];
    await rig.poll(me, timeline(room("a"), over, live));
    const lists = { all: { ranges: [[0, 0]], required_state: [], timeline_limit: 2 } };
    const { rooms } = await client.sync({ lists }, { pos: null });
    const left = rooms[room("a")]?.timeline?.map(({ unsigned }) => unsigned as Record<string, number>);
    expect(left?.[0]).toEqual({ age: 7 });
    expect(Object.keys(left?.[1] ?? {}).toSorted()).toEqual(["age", "msc4354_sticky_duration_ttl_ms"]);
    expect(left?.[1]?.["msc4354_sticky_duration_ttl_ms"]).toBeLessThanOrEqual(HOUR_MS);
  });

  test("[STE-17] an event comes once, however many polls bring it, and in whatever part of them", async () => {
    const { me, client, room } = inRooms(["a"]);
    await client.sync({});
    const event = stick(BOB);
    await rig.poll(me, section(room("a"), event));
    const first = await client.sync(all(), { pos: null });
    await rig.poll(me, section(room("a"), event));
    await rig.poll(me, timeline(room("a"), event));
    expect(told(await client.sync(all({ since: stickyOf(first)?.next_batch })))).toBeNull();
    expect(told(await client.sync(all(), { pos: null }))).toEqual({ [room("a")]: [] });
  });

  test("[STE-18] the older dialect knows no sticky events", async () => {
    const { me, room } = inRooms(["a"]);
    await rig.sync(me, {});
    await rig.poll(me, section(room("a"), stick(BOB)));
    const { extensions } = await rig.sync(me, { ...all(), extensions: { [STICKY]: { enabled: true } } });
    expect(extensions).toEqual({});
  });

  const tag = (name: string): Record<string, unknown> => ({ type: "m.tag", content: { tags: { [name]: {} } } });
});
