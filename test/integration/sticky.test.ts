import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import type { RigResponse } from "#test/support/sync-rig.ts";

const ALICE = "@alice:test";
const LIST = { ranges: [[0, 1]], timeline_limit: 1, required_state: [["m.room.name", ""]] };

describe("sticky parameters over HTTP", () => {
  let rig: FrontRig;
  let alice: Session;
  let pos: string;

  beforeEach(async () => {
    rig = await FrontRig.start();
    alice = rig.account("alice", rig.joined(ALICE, ["c", "b", "a"]));
  });

  afterEach(() => rig.stop());

  async function start(body: Record<string, unknown> = { lists: { k: LIST } }): Promise<RigResponse> {
    const answer = await rig.sync(alice, body);
    pos = answer.pos;
    return answer;
  }

  async function next(body: Record<string, unknown> = {}): Promise<RigResponse> {
    const answer = await rig.sync(alice, body, { pos });
    pos = answer.pos;
    return answer;
  }

  const list = (parts: Record<string, unknown>) => next({ lists: { k: parts } });
  const state = (answer: RigResponse, name: string) =>
    answer.rooms[`!${name}:test`]?.required_state?.map(({ type }) => type);
  const rooms = (answer: RigResponse) => Object.keys(answer.rooms).sort();

  describe("lists", () => {
    test("[STK-21] what is null, absent, 0 or not mentioned stays", async () => {
      await start({ lists: { k: LIST, other: { ...LIST, ranges: [[0, 0]] } } });
      const nothing = {
        ranges: null,
        sort: null,
        required_state: null,
        slow_get_all_rooms: null,
        include_old_rooms: null,
        filters: null,
        bump_event_types: null,
        include_heroes: null,
        timeline_limit: 0,
        deleted: null,
      };
      for (const parts of [nothing, {}, null]) {
        const answer = await next({ lists: { k: parts } });
        expect(answer.lists).toEqual({ k: { count: 3 }, other: { count: 3 } });
        expect(answer.rooms).toEqual({});
      }
      await rig.poll(alice, rig.message(ALICE, "c", "up"));
      const live = await next();
      expect(live.lists["k"]?.ops).toEqual([
        { op: "DELETE", index: 1 },
        { op: "INSERT", index: 0, room_id: "!c:test" },
      ]);
      expect(live.lists["other"]?.ops).toEqual([
        { op: "DELETE", index: 0 },
        { op: "INSERT", index: 0, room_id: "!c:test" },
      ]);
      expect(state(live, "c")).toEqual(["m.room.name"]);
      expect(live.rooms["!c:test"]?.timeline).toHaveLength(1);
    });

    test("[STK-22] a list without sort, or with an empty one, is by recency, also later", async () => {
      const ops = [{ op: "SYNC", range: [0, 1], room_ids: ["!a:test", "!b:test"] }];
      expect((await start()).lists["k"]?.ops as unknown).toEqual(ops);
      expect((await start({ lists: { k: { ...LIST, sort: [] } } })).lists["k"]?.ops as unknown).toEqual(ops);
      expect((await list({ sort: ["by_name"] })).lists["k"]?.ops as unknown).toEqual([
        { op: "INVALIDATE", range: [0, 1] },
        ...ops,
      ]);
      await rig.poll(alice, rig.message(ALICE, "c", "up"));
      await next();
      expect((await list({ sort: [] })).lists["k"]?.ops).toEqual([
        { op: "INVALIDATE", range: [0, 1] },
        { op: "SYNC", range: [0, 1], room_ids: ["!c:test", "!a:test"] },
      ]);
    });

    test("[STK-23] empty ranges and filters replace: all that was shown goes, all that was filtered comes", async () => {
      await start({ lists: { k: { ...LIST, filters: { room_name_like: "b" } } } });
      expect((await next()).lists["k"]).toEqual({ count: 1 });
      expect((await list({ filters: { is_dm: false } })).lists["k"]?.count).toBe(3);
      expect((await list({ filters: { room_name_like: "a" } })).lists["k"]).toMatchObject({ count: 1 });
      expect((await list({ filters: {} })).lists["k"]).toMatchObject({
        count: 3,
        ops: [
          { op: "INVALIDATE", range: [0, 0] },
          { op: "SYNC", range: [0, 1], room_ids: ["!a:test", "!b:test"] },
        ],
      });
      expect((await list({ ranges: [] })).lists["k"]).toEqual({
        count: 3,
        ops: [{ op: "INVALIDATE", range: [0, 1] }],
      });
    });

    test("[STK-24] a larger timeline, or other state, is sent at once and stays; an empty required_state is one", async () => {
      await start();
      await rig.poll(alice, rig.message(ALICE, "a", "more"));
      await next();
      const larger = await list({ timeline_limit: 5 });
      expect(rooms(larger)).toEqual(["!a:test", "!b:test"]);
      expect(larger.rooms["!a:test"]).toMatchObject({ initial: true });
      expect(larger.rooms["!a:test"]?.timeline).toHaveLength(2);
      const other = await list({ required_state: [["m.room.create", ""]] });
      expect([state(other, "a"), state(other, "b")]).toEqual([["m.room.create"], ["m.room.create"]]);
      await list({ required_state: [] });
      const shown = await list({ ranges: [[0, 2]] });
      expect(rooms(shown)).toEqual(["!c:test"]);
      expect(state(shown, "c")).toBeUndefined();
    });

    test("[STK-25] a deleted list is in no response and can come back; an unknown one that is deleted is none", async () => {
      await start({ lists: { k: LIST, other: LIST } });
      const answer = await next({ lists: { k: { deleted: true }, unknown: { deleted: true, ranges: [[0, 9]] } } });
      expect(answer.lists).toEqual({ other: { count: 3 } });
      expect(Object.keys((await next()).lists)).toEqual(["other"]);
      const back = await next({ lists: { k: { ranges: [[0, 0]] } } });
      expect(back.lists["k"]).toEqual({
        count: 3,
        ops: [{ op: "SYNC", range: [0, 0], room_ids: ["!a:test"] }],
      });
      expect(back.rooms["!a:test"]?.timeline).toBeUndefined();
    });
  });

  describe("subscriptions", () => {
    const one = { timeline_limit: 1, required_state: [["m.room.name", ""]] };
    const subscribe = (config: unknown, more: Record<string, unknown> = {}) =>
      next({ room_subscriptions: { "!c:test": config }, ...more });

    test("[STK-26] a subscription stays; the same again is nothing, another one replaces it whole", async () => {
      await start({ room_subscriptions: { "!c:test": one, "!b:test": one } });
      expect((await subscribe(one)).rooms).toEqual({});
      expect((await subscribe({ ...one, include_heroes: true })).rooms).toEqual({});
      await rig.poll(alice, rig.message(ALICE, "c", "live"));
      expect((await next()).rooms["!c:test"]).toMatchObject({ num_live: 1 });
      const larger = await subscribe({ timeline_limit: 5 });
      expect(rooms(larger)).toEqual(["!c:test"]);
      expect(larger.rooms["!c:test"]).toMatchObject({ initial: true });
      expect(larger.rooms["!c:test"]?.timeline).toHaveLength(2);
      expect(state(larger, "c")).toBeUndefined();
      const nothing = await subscribe(null);
      expect(nothing.rooms["!c:test"]).toMatchObject({ initial: true });
      expect(nothing.rooms["!c:test"]?.timeline).toBeUndefined();
    });

    test("[STK-27] unsubscribing ends it, and comes after the subscriptions of the same request", async () => {
      await start({ room_subscriptions: { "!b:test": one } });
      const both = {
        room_subscriptions: { "!c:test": one, "!b:test": one },
        unsubscribe_rooms: ["!c:test", "!b:test"],
      };
      expect((await next(both)).rooms).toEqual({});
      for (const name of ["c", "b"]) await rig.poll(alice, rig.message(ALICE, name, "live"));
      expect((await next({ unsubscribe_rooms: ["!c:test", "nonsense", ""] })).rooms).toEqual({});
      expect((await subscribe(one)).rooms["!c:test"]).toMatchObject({ initial: true });
      expect((await next({ unsubscribe_rooms: ["!c:test"] })).rooms).toEqual({});
      const again = await subscribe(one);
      expect(again.rooms["!c:test"]).toMatchObject({ initial: true, timeline: [{ content: { body: "live" } }] });
    });

    test("[STK-28] a room that a list shows stays shown when its subscription ends", async () => {
      await start({ lists: { k: LIST }, room_subscriptions: { "!a:test": one } });
      await next({ unsubscribe_rooms: ["!a:test"] });
      await rig.poll(alice, rig.message(ALICE, "a", "live"));
      expect((await next()).rooms["!a:test"]).toMatchObject({ num_live: 1 });
    });

    test("[STK-29] rooms one is not in are silent, until one is; they may leave again", async () => {
      const answer = await start({ room_subscriptions: { "!later:test": one, "!never:test": one, nonsense: one } });
      expect(answer.rooms).toEqual({});
      await rig.poll(alice, rig.joined(ALICE, ["later"]));
      expect((await next()).rooms).toMatchObject({ "!later:test": { initial: true, name: "later" } });
    });
  });

  describe("extensions", () => {
    const told = (n: number) => [{ type: "m.x", content: { n } }];
    const tell = (n: number) => rig.poll(alice, { account_data: { events: told(n) } });

    test("[STK-30] each stays as it is until it is mentioned; null keeps, false switches off", async () => {
      await start({ extensions: { account_data: { enabled: true }, e2ee: { enabled: false } } });
      for (const [n, extensions] of [null, {}, { account_data: null }, { account_data: { enabled: null } }].entries()) {
        await tell(n);
        expect((await next({ extensions })).extensions).toEqual({ account_data: { global: told(n) } });
      }
      await next({ extensions: { account_data: { enabled: false } } });
      await tell(9);
      expect((await next()).extensions).toEqual({});
      const on = await next({ extensions: { account_data: { enabled: true } } });
      expect(on.extensions).toEqual({ account_data: { global: told(9) } });
    });

    test("[STK-31] without lists and rooms everything in view is meant; null keeps what was named", async () => {
      const type = (name: string, userId: string) => {
        const events = [{ type: "m.typing", content: { user_ids: [userId] } }];
        return rig.poll(alice, { rooms: { join: { [`!${name}:test`]: { ephemeral: { events } } } } });
      };
      const typed = async () => Object.keys(((await next()).extensions["typing"]?.["rooms"] as object) ?? {});
      await start({ lists: { k: LIST }, extensions: { typing: { enabled: true, lists: null, rooms: null } } });
      await type("a", "@one:test");
      expect(await typed()).toEqual(["!a:test"]);
      await next({ extensions: { typing: { lists: [], rooms: ["!b:test"] } } });
      await next({ extensions: { typing: { lists: null, rooms: null } } });
      for (const name of ["a", "b"]) await type(name, "@two:test");
      expect(await typed()).toEqual(["!b:test"]);
    });

    test("[STK-32] to_device keeps limit and since: who stops sending since goes on acknowledging the last one", async () => {
      const message = (n: number) => ({ type: "m.x", sender: ALICE, content: { n } });
      await start({ extensions: { to_device: { enabled: true, limit: 2 } } });
      await rig.poll(alice, { to_device: { events: [1, 2, 3].map(message) } });
      const numbers = (answer: RigResponse) =>
        (answer.extensions["to_device"]?.["events"] as { content: { n: number } }[] | undefined)?.map(
          ({ content }) => content.n,
        );
      const one = await next();
      expect(numbers(one)).toEqual([1, 2]);
      const since = one.extensions["to_device"]?.["next_batch"];
      expect(numbers(await next({ extensions: { to_device: { since: "", limit: 0 } } }))).toEqual([1, 2]);
      expect(numbers(await next({ extensions: { to_device: { since } } }))).toEqual([3]);
      expect(numbers(await next())).toEqual([3]);
    });
  });

  test("[STK-33] txn_id and conn_id are of one request", async () => {
    const one = await rig.sync(alice, { conn_id: "c", txn_id: "t", lists: { k: LIST } });
    expect(one.txn_id).toBe("t");
    expect((await rig.request(alice, { body: {}, pos: one.pos })).json["errcode"]).toBe("M_UNKNOWN_POS");
    const two = await rig.sync(alice, { conn_id: "c", txn_id: "" }, { pos: one.pos });
    expect(two.txn_id).toBeUndefined();
    expect(Object.keys(two)).not.toContain("txn_id");
  });

  test("[STK-34] requests as matrix-js-sdk sends them: whole at first, then ranges and since alone, rooms by the way", async () => {
    const extensions = {
      to_device: { limit: 100, enabled: true },
      account_data: { enabled: true },
      typing: { enabled: true },
      receipts: { enabled: true },
      e2ee: { enabled: true },
    };
    const all = {
      ranges: [[0, 0]],
      sort: ["by_recency"],
      timeline_limit: 1,
      filters: {},
      required_state: [
        ["m.room.create", ""],
        ["m.room.member", "$ME"],
      ],
    };
    const one = await start({ lists: { all }, extensions });
    const since = one.extensions["to_device"]?.["next_batch"];
    const delta = { lists: { all: { ranges: [[0, 0]] } }, extensions: { to_device: { since } } };
    await rig.poll(alice, rig.message(ALICE, "a", "live"));
    expect((await next(delta)).rooms["!a:test"]).toMatchObject({ num_live: 1 });
    const subscribed = await next({
      ...delta,
      room_subscriptions: { "!c:test": { timeline_limit: 20, required_state: [["*", "*"]] } },
      txn_id: "m1700000000000.0",
    });
    expect(subscribed.txn_id).toBe("m1700000000000.0");
    expect(state(subscribed, "c")?.length).toBe(3);
    expect(rooms(await next({ ...delta, lists: { all: { ranges: [[0, 1]] } } }))).toEqual(["!b:test"]);
    expect((await next({ ...delta, unsubscribe_rooms: ["!c:test"] })).rooms).toEqual({});
    // After a 400 everything is sent again, without pos, and with the since it has.
    const again = await start({
      lists: { all },
      extensions: { ...extensions, to_device: { limit: 100, enabled: true, since } },
    });
    expect(again.lists["all"]?.ops).toHaveLength(1);
  });
});
