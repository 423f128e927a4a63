import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, joined, response } from "#test/support/black-box.ts";

const UNSTABLE_PATH = "/_matrix/client/unstable/org.matrix.msc3575/sync";
/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const LIST = { ranges: [[0, 20]], timeline_limit: 10 };
/** So long that a test would rather fail than wait for its end. */
const LONG_MS = 40_000;

describe("a black box's front", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  /** A user with rooms of their own, oldest first. */
  async function withRooms(name: string, count: number): Promise<{ id: string; token: string; rooms: string[] }> {
    const user = box.user(name);
    const rooms = Array.from({ length: count }, (_, at) => box.roomId(`${name}-${at}-`));
    box.homeserver.queue(
      user.token,
      response(
        rooms.map((room) => joined(room, { timeline: [...box.beginning(user.id), box.say(user.id, "hello")] })),
        { next_batch: "s1" },
      ),
    );
    return { ...user, rooms };
  }

  test("[BBX-1] paths, methods, CORS and server.json are those of the Go proxy", async () => {
    expect((await box.server.fetch("/idonotexist")).status).toBe(404);
    const about = await box.server.fetch("/client/server.json");
    expect(about.headers.get("content-type")).toStartWith("application/json");
    const { server, version } = (await about.json()) as Record<string, string>;
    expect(server).toBe(box.homeserver.url);
    expect(version).toMatch(/^\d+\.\d+\.\d+ \(.*\)$/);
    for (const path of ["/_matrix/client/v3/sync", UNSTABLE_PATH]) {
      const options = await box.server.fetch(path, { method: "OPTIONS" });
      expect(options.status).toBe(200);
      expect(await options.text()).toBe("");
      expect(options.headers.get("access-control-allow-origin")).toBe("*");
      expect(options.headers.get("access-control-allow-methods")).toContain("POST");
      expect(options.headers.get("access-control-allow-headers")).toContain("Authorization");
      expect((await box.server.fetch(path, { method: "PUT", body: "{}" })).status).toBe(405);
      expect((await box.server.fetch(`${path}/`, { method: "POST", body: "{}" })).status).toBe(404);
    }
  });

  test("[BBX-2] refusals have the status, code and text that clients know", async () => {
    const { token } = await withRooms("errors", 1);
    const first = await box.sync(token, { lists: { a: LIST } });
    const ask = (body: Parameters<BlackBox["ask"]>[1], asking = {}, of: string | null = token) =>
      box.ask(of, body, asking);
    expect(await ask({}, {}, null)).toMatchObject({
      status: 401,
      body: { error: "HTTP 401 : missing Authorization header" },
    });
    expect(await ask({}, {}, "nobodys")).toMatchObject({
      status: 401,
      body: { errcode: "M_UNKNOWN_TOKEN", error: "HTTP 401 : /whoami returned HTTP 401" },
    });
    for (const pos of ["98765", "abc", "0x", "-1"]) {
      expect(await ask({}, { pos })).toMatchObject({
        status: 400,
        body: { errcode: "M_UNKNOWN_POS", error: "HTTP 400 : session expired" },
      });
    }
    const wrong = [
      "{",
      '{"lists":5}',
      '{"lists":{"a":{"ranges":[[0,"x"]]}}}',
      '{"lists":{"a":{"ranges":[[0,1.5]]}}}',
      '{"lists":{"a":{"ranges":[[5,1]]}}}',
      '{"lists":{"a":{"ranges":[[-1,1]]}}}',
      '{"lists":{"a":{"ranges":[[7]]}}}',
      '{"lists":{"a":{"ranges":[[0,3],[3,5]]}}}',
      `{"conn_id":"${"c".repeat(17)}"}`,
      `{"txn_id":"${"t".repeat(65)}"}`,
    ];
    for (const body of wrong) expect([body, (await ask(body, { pos: first.pos })).status]).toEqual([body, 400]);
    expect((await ask({}, { pos: first.pos, timeoutMs: "soon" })).status).toBe(400);
    // None of it has hurt the connection.
    expect((await ask({}, { pos: first.pos })).status).toBe(200);
  });

  test("[BBX-3] nulls, zeros, empty strings, short tuples and strange cases are as if not given", async () => {
    const { token, rooms } = await withRooms("tolerant", 3);
    const { body, headers } = await box.ask(token, { lists: { a: LIST } });
    expect(headers.get("content-type")).toStartWith("application/json");
    expect(Object.keys(body).sort()).toEqual(["extensions", "lists", "pos", "rooms"]);
    expect(typeof body.pos).toBe("string");
    expect(body.extensions).toEqual({});
    expect(body.lists).toEqual({
      a: { count: 3, ops: [{ op: "SYNC", range: [0, 2], room_ids: [...rooms].reverse() }] },
    });
    for (const empty of ["", "null", "{}"]) {
      const answer = await box.ask(token, empty);
      expect([empty, answer.status, answer.body.lists, answer.body.rooms]).toEqual([empty, 200, {}, {}]);
    }
    const odd = await box.ask(
      token,
      '{"LISTS":{"b":{"Ranges":[[],[1,2,9]],"required_state":[["m.room.create"]],"x":1}}} trailing',
    );
    expect(odd.body.lists["b"]?.ops).toEqual([
      { op: "SYNC", range: [0, 0], room_ids: [rooms[2]!] },
      { op: "SYNC", range: [1, 2], room_ids: [rooms[1]!, rooms[0]!] },
    ]);
    expect(odd.body.rooms[rooms[0]!]?.required_state).toHaveLength(1);
    const none = await box.sync(token, { lists: { c: {} } });
    expect(none.lists).toEqual({ c: { count: 3 } });
    expect((await box.ask(token, '{"lists":{"d":null}}')).body.lists).toEqual({ d: { count: 3 } });
  });

  test("[BBX-4] the txn_id is that of the request that is answered", async () => {
    const { token } = await withRooms("echo", 1);
    const first = await box.sync(token, { txn_id: "one", lists: { a: LIST } });
    expect(first.txn_id).toBe("one");
    const second = await box.sync(token, { txn_id: "two" }, { pos: first.pos });
    expect(second.txn_id).toBe("two");
    // The same again is a retry: what was answered before is answered again.
    const again = await box.sync(token, { txn_id: "three" }, { pos: first.pos });
    expect([again.pos, again.txn_id]).toEqual([second.pos, "two"]);
    // Something else asked from the same pos: first what has not been acknowledged, then its own.
    const other = await box.sync(token, { txn_id: "four", lists: { b: LIST } }, { pos: first.pos });
    expect([other.pos, other.txn_id]).toEqual([second.pos, "two"]);
    const own = await box.sync(token, { txn_id: "five", lists: { b: LIST } }, { pos: second.pos });
    expect([own.txn_id, own.lists["b"]?.count]).toEqual(["four", 1]);
    expect((await box.sync(token, {}, { pos: own.pos })).txn_id).toBeUndefined();
    expect((await box.ask(token, {}, { pos: first.pos })).body.errcode).toBe("M_UNKNOWN_POS");
  });

  test("[BBX-5] an idle request lasts as long as its timeout says and answers counts alone", async () => {
    const { token } = await withRooms("idle", 2);
    const first = await box.sync(token, { lists: { a: LIST } });
    const idle = await box.ask(token, {}, { pos: first.pos, timeoutMs: 600 });
    expect(idle.body).toMatchObject({ lists: { a: { count: 2 } }, rooms: {}, extensions: {} });
    expect(idle.body.lists["a"]?.ops).toBeUndefined();
    expect(idle.body.pos).not.toBe(first.pos);
    expect(idle.tookMs).toBeGreaterThan(590);
    expect(idle.tookMs).toBeLessThan(LONG_MS / 2);
    const empty = box.user("lonely");
    box.homeserver.queue(empty.token, response([], { next_batch: "s" }));
    const lonely = await box.ask(empty.token, { lists: { a: LIST } }, { timeoutMs: 300 });
    expect(lonely.body.lists).toEqual({ a: { count: 0 } });
  });

  test("[BBX-6] a newer request ends the one that waits, which is answered 200", async () => {
    const { token } = await withRooms("impatient", 1);
    const first = await box.sync(token, { lists: { a: LIST } });
    const waiting = box.ask(token, {}, { pos: first.pos, timeoutMs: LONG_MS });
    await box.waiting(1);
    const newer = await box.ask(token, { lists: { b: LIST } }, { pos: first.pos, timeoutMs: 50 });
    const ended = await waiting;
    expect([ended.status, newer.status]).toEqual([200, 200]);
    expect(ended.tookMs).toBeLessThan(LONG_MS / 2);
    const fresh = box.ask(token, {}, { pos: newer.body.pos, timeoutMs: LONG_MS });
    await box.waiting(1);
    const replaced = await box.sync(token, { lists: { a: LIST } });
    expect(await fresh).toMatchObject({ status: 200 });
    expect((await fresh).tookMs).toBeLessThan(LONG_MS / 2);
    expect((await box.ask(token, {}, { pos: newer.body.pos })).body.errcode).toBe("M_UNKNOWN_POS");
    expect(replaced.lists["a"]?.count).toBe(1);
  });

  test("[BBX-7] connections of one device are independent", async () => {
    const user = await withRooms("several", 2);
    const { token, rooms } = user;
    const one = await box.sync(token, { conn_id: "one", lists: { a: LIST } });
    const two = await box.sync(token, { conn_id: "two", lists: { a: { ranges: [[0, 0]], timeline_limit: 1 } } });
    expect((await box.ask(token, { conn_id: "one" }, { pos: two.pos })).body.errcode).toBe("M_UNKNOWN_POS");
    await box.homeserver.push(
      token,
      response([joined(rooms[0]!, { timeline: [box.say(user.id, "live")] })], { next_batch: "s2" }),
    );
    const oneNext = await box.sync(token, { conn_id: "one" }, { pos: one.pos });
    const twoNext = await box.sync(token, { conn_id: "two" }, { pos: two.pos });
    expect(oneNext.rooms[rooms[0]!]?.timeline).toHaveLength(1);
    expect(oneNext.rooms[rooms[0]!]?.initial).toBeUndefined();
    expect(twoNext.rooms[rooms[0]!]).toMatchObject({ initial: true });
    expect(twoNext.lists["a"]?.ops).toEqual([
      { op: "DELETE", index: 0 },
      { op: "INSERT", index: 0, room_id: rooms[0]! },
    ]);
  });

  test("[BBX-8] a request that is overtaken keeps its place: its answer first, then that of the other", async () => {
    const { token, rooms } = await withRooms("overtaken", 1);
    const first = await box.sync(token, { txn_id: "t1", lists: { a: LIST } });
    const waiting = box.ask(token, { txn_id: "t2" }, { pos: first.pos, timeoutMs: LONG_MS });
    await box.waiting(1);
    const other = await box.sync(token, { txn_id: "t3", lists: { b: LIST } }, { pos: first.pos, timeoutMs: 500 });
    const overtaken = await waiting;
    expect([overtaken.status, overtaken.body.txn_id, overtaken.tookMs < LONG_MS / 2]).toEqual([200, "t2", true]);
    expect([other.pos, other.txn_id]).toEqual([overtaken.body.pos, "t2"]);
    const own = await box.sync(token, { txn_id: "t4" }, { pos: other.pos, timeoutMs: 300 });
    expect(own.txn_id).toBe("t3");
    expect(own.lists["b"]).toEqual({ count: 1, ops: [{ op: "SYNC", range: [0, 0], room_ids: rooms }] });
    expect((await box.ask(token, {}, { pos: first.pos })).body.errcode).toBe("M_UNKNOWN_POS");
  });
});
