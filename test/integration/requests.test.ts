import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import { NaiveClient, type WireOp } from "#test/support/naive-client.ts";

const LIST = { ranges: [[0, 9]], timeline_limit: 5, required_state: [["m.room.name", ""]] };
/** So long that only news end it. */
const LONG = 100_000;
/** Long enough to be told from no wait at all, in the hastened time of the node. */
const SHORT = 2000;

const roomIds = (...names: string[]): string[] => names.map((name) => `!${name}:test`);
const synced = (start: number, ...names: string[]): WireOp => ({
  op: "SYNC",
  range: [start, start + names.length - 1],
  room_ids: roomIds(...names),
});

describe("requests over HTTP", () => {
  let rig: FrontRig;
  let alice: Session;
  let aliceId: string;

  beforeEach(async () => {
    rig = await FrontRig.start();
    aliceId = "@alice:test";
    alice = rig.account("alice", rig.joined(aliceId, ["c", "b", "a"]));
  });

  afterEach(() => rig.stop());

  const first = (list: Record<string, unknown> = LIST) => rig.sync(alice, { lists: { all: list } });

  describe("positions", () => {
    test("[CON-83] retries and changes of mind are answered as in the worked table of the Go proxy", async () => {
      const body = { a: { unsubscribe_rooms: ["!a"] }, b: { unsubscribe_rooms: ["!b"] }, c: {} };
      const ask = async (pos: string, which: keyof typeof body) => (await rig.sync(alice, body[which], { pos })).pos;
      const p1 = (await first()).pos;
      const p2 = await ask(p1, "a");
      expect(await ask(p1, "b")).toBe(p2);
      expect(await ask(p1, "c")).toBe(p2);
      const p3 = await ask(p2, "c");
      const p4 = await ask(p3, "c");
      expect(await ask(p1, "c")).toBe(p3);
      expect(await rig.request(alice, { body: body.c, pos: p2 })).toMatchObject({
        status: 400,
        json: { errcode: "M_UNKNOWN_POS", error: "HTTP 400 : session expired" },
      });
      expect(await ask(p3, "c")).toBe(p4);
      const p5 = await ask(p4, "c");
      expect(await ask(p4, "c")).toBe(p5);
      expect(new Set([p1, p2, p3, p4, p5]).size).toBe(5);
    });

    test("[CON-84] a repeated request gets the same bytes, whatever its timeout, its txn_id and the order of its keys", async () => {
      const { pos } = await first();
      const lists = { all: { ranges: [[0, 0]] }, other: LIST };
      const given = await rig.sync(alice, { txn_id: "t", lists }, { pos });
      const again = { lists: { other: LIST, all: { ranges: [[0, 0]] } }, txn_id: "u" };
      expect(await rig.sync(alice, again, { pos, timeout: LONG })).toEqual(given);
      expect(given.txn_id).toBe("t");
    });

    test("[CON-85] a lost response comes before what was asked for since, which comes with its own txn_id next", async () => {
      const { pos } = await first({ ...LIST, ranges: [[0, 0]] });
      const lost = await rig.sync(alice, { txn_id: "one", lists: { all: { ranges: [[0, 1]] } } }, { pos });
      const again = await rig.sync(alice, { txn_id: "two", lists: { all: { ranges: [[0, 2]] } } }, { pos });
      expect(again).toEqual(lost);
      const next = await rig.sync(alice, {}, { pos: again.pos });
      expect(next).toMatchObject({ txn_id: "two", lists: { all: { ops: [synced(2, "c")] } } });
    });

    test("[CON-86] what the client's last response was made of is not sent again, and every list is in each", async () => {
      const given = await rig.sync(alice, { lists: { all: LIST, none: { timeline_limit: 1 } } });
      expect(given.lists["none"]).toEqual({ count: 3 });
      const next = await rig.sync(alice, {}, { pos: given.pos });
      expect(next).toEqual({
        pos: next.pos,
        lists: { all: { count: 3 }, none: { count: 3 } },
        rooms: {},
        extensions: {},
      });
      expect(next.pos).not.toBe(given.pos);
    });

    test("[CON-87] connections of one device live apart: lists, positions, subscriptions", async () => {
      const one = await first();
      const two = await rig.sync(alice, {
        conn_id: "two",
        lists: { other: { ...LIST, ranges: [[0, 0]] } },
        room_subscriptions: { "!c:test": { timeline_limit: 1 } },
      });
      expect(Object.keys(two.lists)).toEqual(["other"]);
      expect(Object.keys(two.rooms).sort()).toEqual(roomIds("a", "c"));
      await rig.poll(alice, rig.message(aliceId, "c", "hello"));
      const other = { body: { conn_id: "two" }, pos: one.pos };
      expect((await rig.request(alice, other)).json["errcode"]).toBe("M_UNKNOWN_POS");
      const nextOne = await rig.sync(alice, {}, { pos: one.pos });
      const nextTwo = await rig.sync(alice, { conn_id: "two" }, { pos: two.pos });
      expect(Object.keys(nextOne.lists)).toEqual(["all"]);
      for (const { rooms } of [nextOne, nextTwo])
        expect(rooms["!c:test"]?.timeline?.at(-1)).toMatchObject({ content: { body: "hello" } });
    });

    test("[CON-88] starting over ends what was there: the old pos is unknown, everything comes again", async () => {
      const old = await first();
      const anew = await first();
      expect(anew.rooms).toEqual(old.rooms);
      expect((await rig.request(alice, { pos: old.pos })).json["errcode"]).toBe("M_UNKNOWN_POS");
      expect((await rig.sync(alice, {}, { pos: anew.pos })).lists["all"]?.count).toBe(3);
    });

    test("[CON-89] a request that is refused changes neither pos nor parameters, and loses nothing", async () => {
      const given = await first();
      const parked = rig.sync(alice, { txn_id: "parked" }, { pos: given.pos, timeout: LONG });
      await rig.waiting(1);
      const { pos } = given;
      const refused = [
        { pos, body: "{" },
        { pos, body: "[]" },
        { pos, body: { lists: { all: { ranges: [[3, 1]] } } } },
        { pos, body: { lists: { all: { sort: ["by_luck"] } } } },
        { pos, body: { lists: { all: { timeline_limit: "x" } } } },
        { pos, body: { conn_id: "x".repeat(17) } },
        { pos, timeout: "soon" },
        { pos: "1" },
        { timeout: "1.5", body: {} },
        { pos, body: { lists: { big: { ranges: [[0, 1]], filters: { tags: Array(101).fill("x") } } } } },
      ];
      for (const request of refused) expect((await rig.request(alice, request)).status).toBe(400);
      for (const token of [null, ""]) expect((await rig.request(alice, { pos, token })).status).toBe(401);
      await rig.poll(alice, rig.message(aliceId, "b", "live"));
      const answer = await parked;
      expect(answer).toMatchObject({ txn_id: "parked", rooms: { "!b:test": { num_live: 1 } } });
      expect(Object.keys(answer.lists)).toEqual(["all"]);
      expect((await rig.sync(alice, {}, { pos: answer.pos })).lists["all"]).toEqual({ count: 3 });
    });

    test("[CON-106] a request that failed inside is processed afresh when it is repeated, and nothing is lost", async () => {
      const { pos } = await first({ ...LIST, ranges: [[0, 0]] });
      await rig.poll(alice, rig.message(aliceId, "a", "live"));
      const body = { txn_id: "t", lists: { all: { ranges: [[0, 1]] } } };
      // Tried twice before the client is told.
      for (let tries = 0; tries < 2; tries += 1) rig.node.metrics.crashAt("sliding_sync_api_setup_duration_secs");
      const failed = await rig.request(alice, { body, pos, timeout: LONG });
      expect(failed).toMatchObject({
        status: 503,
        json: { errcode: "M_UNKNOWN", error: "HTTP 503 : Internal server error" },
      });
      expect(Number(failed.headers.get("retry-after"))).toBeGreaterThan(0);
      const client = new NaiveClient();
      const answer = await rig.sync(alice, body, { pos, timeout: LONG });
      client.apply(answer);
      expect(answer.txn_id).toBe("t");
      expect(client.window("all", [[0, 1]])).toEqual(roomIds("a", "b"));
      expect(answer.rooms["!a:test"]?.timeline?.at(-1)).toMatchObject({ content: { body: "live" } });
    });
  });

  describe("cut short", () => {
    test("[CON-90] a new request is answered with the one it cut short, under one pos, and then with its own", async () => {
      const { pos } = await first({ ...LIST, ranges: [[0, 0]] });
      const cut = rig.sync(alice, { txn_id: "cut" }, { pos, timeout: LONG });
      await rig.waiting(1);
      const wider = { txn_id: "wider", lists: { all: { ranges: [[0, 1]] } } };
      const second = await rig.sync(alice, wider, { pos, timeout: LONG });
      expect(second).toMatchObject({ txn_id: "cut", lists: { all: { count: 3 } }, rooms: {} });
      expect(await cut).toEqual(second);
      const third = await rig.sync(alice, {}, { pos: second.pos, timeout: LONG });
      expect(third).toMatchObject({ txn_id: "wider", lists: { all: { ops: [synced(1, "b")] } } });
    });

    test("[CON-91] the same request again while it waits: both get the one response at once", async () => {
      const { pos } = await first();
      const request = { txn_id: "t" };
      const waiting = rig.sync(alice, request, { pos, timeout: LONG });
      await rig.waiting(1);
      const repeated = await rig.sync(alice, request, { pos, timeout: LONG });
      expect(await waiting).toEqual(repeated);
      await rig.poll(alice, rig.message(aliceId, "a", "live"));
      expect((await rig.sync(alice, {}, { pos: repeated.pos })).rooms["!a:test"]).toMatchObject({ num_live: 1 });
    });

    test("[CON-92] a client that hangs up and asks for something else gets it at once", async () => {
      const { pos } = await first({ ...LIST, ranges: [[0, 0]] });
      const controller = new AbortController();
      const hungUp = rig.sync(alice, {}, { pos, timeout: LONG, signal: controller.signal }).catch(() => "gone");
      await rig.waiting(1);
      controller.abort();
      expect(await hungUp).toBe("gone");
      await rig.waiting(0);
      const body = { txn_id: "m1", room_subscriptions: { "!c:test": { timeline_limit: 1 } } };
      const answer = await rig.sync(alice, body, { pos, timeout: LONG });
      expect(answer).toMatchObject({ txn_id: "m1", rooms: { "!c:test": { initial: true } } });
    });

    test("[CON-93] one that hangs up and repeats its request waits again, and misses nothing", async () => {
      const { pos } = await first();
      const controller = new AbortController();
      const hungUp = rig.sync(alice, {}, { pos, timeout: LONG, signal: controller.signal }).catch(() => "gone");
      await rig.waiting(1);
      controller.abort();
      await hungUp;
      await rig.waiting(0);
      const again = rig.sync(alice, {}, { pos, timeout: LONG });
      await rig.waiting(1);
      await rig.poll(alice, rig.message(aliceId, "a", "live"));
      expect((await again).rooms["!a:test"]).toMatchObject({ num_live: 1 });
    });

    test("[CON-94] starting over answers the waiting request with what there is", async () => {
      const { pos } = await first();
      const waiting = rig.sync(alice, { txn_id: "old" }, { pos, timeout: LONG });
      await rig.waiting(1);
      const anew = await first();
      expect(await waiting).toMatchObject({ txn_id: "old", lists: { all: { count: 3 } }, rooms: {} });
      expect((await rig.request(alice, { pos: (await waiting).pos })).status).toBe(400);
      expect(anew.lists["all"]?.ops).toEqual([synced(0, "a", "b", "c")]);
    });
  });

  describe("waiting", () => {
    /** How long it took, as the node feels it. */
    async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
      const startedMs = performance.now();
      const value = await work();
      return { value, ms: (performance.now() - startedMs) * HASTE };
    }

    const HASTE = 20;

    test("[CON-95] the time that is up is a response as any other: counts, no operations, a new pos", async () => {
      const { pos } = await first();
      const { value, ms } = await timed(() => rig.sync(alice, { txn_id: "t" }, { pos, timeout: SHORT }));
      expect(ms).toBeGreaterThanOrEqual(SHORT * 0.9);
      expect(value).toEqual({
        pos: value.pos,
        txn_id: "t",
        lists: { all: { count: 3 } },
        rooms: {},
        extensions: {},
      });
      expect(value.pos).not.toBe(pos);
    });

    test("[CON-96] without rooms the first request waits its time, and is ended by an invite", async () => {
      const bob = rig.account("bob");
      const request = { lists: { all: LIST }, extensions: { e2ee: { enabled: true }, to_device: { enabled: true } } };
      const { value, ms } = await timed(() => rig.sync(bob, request, { timeout: SHORT }));
      expect(ms).toBeGreaterThanOrEqual(SHORT * 0.9);
      expect(value.lists).toEqual({ all: { count: 0 } });
      const anew = rig.sync(bob, request, { timeout: LONG });
      await rig.waiting(1);
      const member = rig.event("m.room.member", aliceId, { membership: "invite" }, "@bob:test");
      await rig.poll(bob, { rooms: { invite: { "!new:test": { invite_state: { events: [member] } } } } });
      expect((await anew).lists["all"]).toMatchObject({ count: 1 });
    });

    test("[CON-97] what does not concern the connection does not extend its time", async () => {
      const given = await rig.sync(alice, { room_subscriptions: { "!a:test": { timeline_limit: 1 } } });
      const startedMs = performance.now();
      const waiting = rig.sync(alice, {}, { pos: given.pos, timeout: SHORT });
      const ended = waiting.then(() => "ended");
      const elsewhere = async (at: number): Promise<string> => {
        await rig.poll(alice, rig.message(aliceId, "b", `elsewhere ${at}`));
        return "waits";
      };
      let news = 0;
      while (news < 500 && (await Promise.race([ended, elsewhere(news)])) === "waits") news += 1;
      // It was the time that ended it, not the end of the news.
      expect(news).toBeLessThan(500);
      expect((await waiting).rooms).toEqual({});
      expect((performance.now() - startedMs) * HASTE).toBeGreaterThanOrEqual(SHORT * 0.9);
    });

    test("[CON-98] timeout 0 is answered at once, one that is huge is bounded, a small or negative one is a tenth of a second", async () => {
      let { pos } = await first();
      for (const timeout of ["0", "-1", "1", "-99999999999999999999"]) {
        const { value, ms } = await timed(() => rig.sync(alice, {}, { pos, timeout }));
        // The time that holds without one is ten seconds.
        expect(ms).toBeLessThan(9000);
        pos = value.pos;
      }
      const waiting = rig.sync(alice, {}, { pos, timeout: "99999999999999999999999" });
      await rig.waiting(1);
      await rig.poll(alice, rig.message(aliceId, "a", "live"));
      expect((await waiting).rooms["!a:test"]).toMatchObject({ num_live: 1 });
    });

    test("[CON-99] a client that changes its parameters with every request is told live events all the same", async () => {
      let { pos } = await first({ ...LIST, ranges: [[0, 0]] });
      for (let end = 1; end <= 4; end += 1) {
        await rig.poll(alice, rig.message(aliceId, "a", `live ${end}`));
        const answer = await rig.sync(alice, { lists: { all: { ranges: [[0, end]] } } }, { pos, timeout: LONG });
        expect(answer.rooms["!a:test"]?.timeline).toMatchObject([{ content: { body: `live ${end}` } }]);
        pos = answer.pos;
      }
    });

    test("[CON-100] an extension ends the wait when it has something to say, and only when it is enabled", async () => {
      const given = await rig.sync(alice, {
        lists: { all: LIST },
        extensions: { typing: { enabled: true }, to_device: { enabled: true } },
      });
      const waiting = rig.sync(alice, {}, { pos: given.pos, timeout: SHORT });
      await rig.waiting(1);
      const receipt = {
        type: "m.receipt",
        content: { "$event-1": { "m.read": { [aliceId]: { ts: 1 } } } },
      };
      await rig.poll(alice, { rooms: { join: { "!a:test": { ephemeral: { events: [receipt] } } } } });
      await rig.poll(alice, { account_data: { events: [{ type: "m.x", content: {} }] } });
      const silent = await waiting;
      expect(silent).toMatchObject({ rooms: {}, extensions: { to_device: { next_batch: expect.any(String) } } });
      expect(Object.keys(silent.extensions)).toEqual(["to_device"]);
      const next = rig.sync(alice, {}, { pos: silent.pos, timeout: LONG });
      await rig.waiting(1);
      const typing = { type: "m.typing", content: { user_ids: [aliceId] } };
      await rig.poll(alice, { rooms: { join: { "!b:test": { ephemeral: { events: [typing] } } } } });
      expect((await next).extensions["typing"]).toEqual({ rooms: { "!b:test": typing } });
    });
  });

  describe("limits", () => {
    test("[CON-101] a device that keeps making connections loses the one it has not used for longest, at once", async () => {
      const connect = (at: number) => rig.sync(alice, { conn_id: `c${at}`, lists: { all: LIST } });
      const ask = (at: number, pos: string) => rig.request(alice, { body: { conn_id: `c${at}` }, pos, timeout: 0 });
      const oldest = await connect(0);
      const second = await connect(1);
      const third = await connect(2);
      for (let at = 3; at < 20; at += 1) await connect(at);
      const again = await ask(0, oldest.pos);
      expect(again.status).toBe(200);
      const parked = rig.request(alice, { body: { conn_id: "c1" }, pos: second.pos, timeout: LONG });
      await rig.waiting(1);
      await connect(20);
      expect((await ask(2, third.pos)).json["errcode"]).toBe("M_UNKNOWN_POS");
      expect((await ask(0, String(again.json["pos"]))).status).toBe(200);
      await rig.poll(alice, rig.message(aliceId, "a", "live"));
      expect((await parked).json).toMatchObject({ rooms: { "!a:test": { num_live: 1 } } });
    });

    test("[CON-102] one that lost its connection is told so, also while it waits, and starts over", async () => {
      const connect = (at: number) => rig.sync(alice, { conn_id: `c${at}`, lists: { all: LIST } });
      const oldest = await connect(0);
      const parked = rig.request(alice, { body: { conn_id: "c0" }, pos: oldest.pos, timeout: LONG });
      await rig.waiting(1);
      for (let at = 1; at <= 20; at += 1) await connect(at);
      const unknown = { status: 400, json: { errcode: "M_UNKNOWN_POS" } };
      expect(await parked).toMatchObject(unknown);
      expect(await rig.request(alice, { body: { conn_id: "c0" }, pos: oldest.pos })).toMatchObject(unknown);
      expect((await connect(0)).lists["all"]?.count).toBe(3);
    });

    test("[REQ-18] bodies that are made to be costly are answered like any other", async () => {
      const { pos } = await first();
      const repeat = (text: string, times: number) => text.repeat(times);
      const bodies: [string, number][] = [
        [`${repeat('{"a":', 160_000)}1${repeat("}", 160_000)}`, 200],
        [`{"lists":{"all":${repeat('{"filters":', 80_000)}{}${repeat("}", 80_000)}}}`, 200],
        [`{"lists":${repeat("[", 500_000)}${repeat("]", 500_000)}}`, 400],
        [repeat('{"a":', 160_000), 400],
        [`{}${repeat("x", 1_000_000)}`, 200],
        [`{"a":"${repeat("\\", 900_000)}`, 400],
        [`{"lists":{"all":{"timeline_limit":${repeat("9", 1_000_000)}}}}`, 400],
        [`{"lists":{"all":{"ranges":[${repeat("[0,0],", 150_000)}[0,0]]}}}`, 400],
        [`[${repeat("1.5,", 200_000)}1]`, 400],
      ];
      for (const [body, status] of bodies) {
        const answer = await rig.request(alice, { body, pos, timeout: 0 });
        expect([body.slice(0, 40), answer.status]).toEqual([body.slice(0, 40), status]);
      }
    });

    test("[REQ-16] what is too much is refused with what a client understands, and the connection goes on", async () => {
      const { pos } = await first();
      const many = (count: number, make: (at: number) => unknown) => Array.from({ length: count }, (_, at) => make(at));
      const named = (count: number, prefix: string, value: unknown) =>
        Object.fromEntries(many(count, (at) => [`${prefix}${at}`, value]) as [string, unknown][]);
      const tooMuch: unknown[] = [
        { txn_id: "x".repeat(65) },
        { conn_id: "é".repeat(9) },
        { lists: named(101, "l", {}) },
        { lists: { ["x".repeat(65)]: {} } },
        { lists: { all: { ranges: many(101, (at) => [at, at]) } } },
        { lists: { all: { sort: many(101, () => "by_name") } } },
        { lists: { all: { required_state: many(1001, (at) => ["m", `${at}`]) } } },
        { lists: { all: { filters: { not_tags: many(101, String) } } } },
        { lists: { all: { filters: { room_name_like: "x".repeat(1025) } } } },
        { room_subscriptions: named(1001, "!", {}) },
        { unsubscribe_rooms: many(1001, (at) => `!${at}`) },
        { extensions: { typing: { rooms: many(1001, (at) => `!${at}`) } } },
        { extensions: { typing: { lists: many(101, String) } } },
        { extensions: { to_device: { since: "x".repeat(1025) } } },
      ];
      for (const body of tooMuch) {
        const { status, json } = await rig.request(alice, { body, pos });
        expect([status, json["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
        expect(json["error"]).toMatch(/^HTTP 400 : .* > \d+$/);
      }
      const large = await rig.request(alice, { body: `{"x":"${"a".repeat(1024 * 1024)}"}`, pos });
      expect([large.status, large.json["errcode"]]).toEqual([413, "M_TOO_LARGE"]);
      await rig.poll(alice, rig.message(aliceId, "a", "live"));
      expect((await rig.sync(alice, {}, { pos })).rooms["!a:test"]).toMatchObject({ num_live: 1 });
    });
  });
});
