import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type Json, type WireResponse, joined } from "#test/support/black-box.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const LIST = { ranges: [[0, 20]], timeline_limit: 20 };
const ALL = { lists: { a: LIST } };

describe("a black box's extensions", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  type User = { id: string; token: string };
  const next = (): string => `s${box.nextTs()}`;
  const push = (user: User, body: Json): Promise<void> =>
    box.homeserver.push(user.token, { next_batch: next(), ...body });
  const queue = (user: User, body: Json): void => box.homeserver.queue(user.token, { next_batch: next(), ...body });
  const room = (user: User, id: string): [string, Json] =>
    joined(id, { timeline: [...box.beginning(user.id), box.say(user.id, "hi")] });
  const withExtension = (name: string, more: Json = {}): Json => ({
    extensions: { [name]: { enabled: true, ...more } },
  });
  const dm = (n: number, type = "m.custom", content: Json = { n }): Json => ({
    type,
    sender: "@bob:localhost",
    content,
  });
  const bodies = (answer: WireResponse): unknown =>
    (answer.extensions["to_device"]?.["events"] as Json[] | undefined)?.map((event) => (event["content"] as Json)["n"]);

  test("[BBX-80] to-device messages come until they are acknowledged, in order, in portions", async () => {
    const alice = box.user("alice");
    queue(alice, { to_device: { events: Array.from({ length: 5 }, (_, n) => dm(n)) } });
    const ask = (more: Json, from?: WireResponse): Promise<WireResponse> =>
      box.sync(alice.token, withExtension("to_device", more), from === undefined ? {} : { pos: from.pos });
    let at = await ask({ limit: 3 });
    expect(bodies(at)).toEqual([0, 1, 2]);
    at = await ask({}, at);
    expect(bodies(at)).toEqual([0, 1, 2]);
    const since = (): Json => ({ since: at.extensions["to_device"]!["next_batch"] });
    at = await ask(since(), at);
    expect(bodies(at)).toEqual([3, 4]);
    at = await ask(since(), at);
    expect(bodies(at)).toBeUndefined();
    expect(typeof at.extensions["to_device"]!["next_batch"]).toBe("string");
    await push(alice, { to_device: { events: [dm(5)] } });
    at = await ask({}, at);
    expect(bodies(at)).toEqual([5]);
    expect((at.extensions["to_device"]!["events"] as Json[])[0]).toEqual(dm(5));
    const anew = await ask({});
    expect(bodies(anew)).toEqual([5]);
    const other = await ask({ since: anew.extensions["to_device"]!["next_batch"] });
    expect(bodies(other)).toBeUndefined();
    const odd = await ask({ since: "not one of ours" });
    expect(odd.pos).toBeDefined();
  });

  test("[BBX-81] a waiting request is answered by a to-device message", async () => {
    const alice = box.user("alice");
    queue(alice, {});
    const first = await box.sync(alice.token, withExtension("to_device"));
    const waiting = box.ask(alice.token, {}, { pos: first.pos, timeoutMs: 40_000 });
    await box.waiting(1);
    await push(alice, { to_device: { events: [dm(1)] } });
    const answer = await waiting;
    expect([bodies(answer.body), answer.tookMs < 20_000]).toEqual([[1], true]);
  });

  test("[BBX-82] a cancelled key request is not sent, a sent one is cancelled", async () => {
    const alice = box.user("alice");
    const request = (id: string, action: string): Json =>
      dm(0, "m.room_key_request", { action, request_id: id, requesting_device_id: "X" });
    queue(alice, {
      to_device: {
        events: [
          request("a", "request"),
          request("a", "request_cancellation"),
          request("b", "request"),
          request("c", "request"),
        ],
      },
    });
    const first = await box.sync(alice.token, withExtension("to_device"));
    const told = (answer: WireResponse): unknown =>
      (answer.extensions["to_device"]?.["events"] as { content: Json }[] | undefined)?.map(({ content }) =>
        [content["request_id"], content["action"]].join(" "),
      );
    expect(told(first)).toEqual(["b request", "c request"]);
    await push(alice, { to_device: { events: [request("b", "request_cancellation"), request("d", "request")] } });
    await push(alice, { to_device: { events: [request("d", "request_cancellation")] } });
    const second = await box.sync(alice.token, withExtension("to_device"), { pos: first.pos });
    expect(told(second)).toEqual(["b request", "c request", "b request_cancellation"]);
  });

  test("[BBX-83] to-device messages survive a restart, once acknowledged they stay away", async () => {
    const alice = box.user("alice");
    queue(alice, { to_device: { events: [dm(0), dm(1)] } });
    const first = await box.sync(alice.token, withExtension("to_device", { limit: 1 }));
    const since = first.extensions["to_device"]!["next_batch"];
    const second = await box.sync(alice.token, withExtension("to_device", { since }), { pos: first.pos });
    expect(bodies(second)).toEqual([1]);
    await box.restart();
    const after = await box.sync(alice.token, withExtension("to_device", { since }));
    expect(bodies(after)).toEqual([1]);
    const goes = await box.ask(alice.token, withExtension("to_device", { since }), { pos: second.pos });
    expect(goes.status === 200 || goes.body.errcode === "M_UNKNOWN_POS").toBe(true);
  });

  test("[BBX-84] key counts, fallback keys and device lists", async () => {
    const alice = box.user("alice");
    queue(alice, {
      device_one_time_keys_count: { signed_curve25519: 50 },
      device_unused_fallback_key_types: ["signed_curve25519"],
      device_lists: { changed: ["@bob:localhost"], left: ["@c:localhost"] },
    });
    let at = await box.sync(alice.token, withExtension("e2ee"));
    expect(at.extensions["e2ee"]).toMatchObject({
      device_one_time_keys_count: { signed_curve25519: 50 },
      device_unused_fallback_key_types: ["signed_curve25519"],
    });
    const step = async (body: Json | null): Promise<Json | undefined> => {
      if (body !== null) await push(alice, body);
      at = await box.sync(alice.token, {}, { pos: at.pos });
      return at.extensions["e2ee"];
    };
    await step(null);
    expect(await step(null)).toBeUndefined();
    const counts = {
      device_one_time_keys_count: { signed_curve25519: 49 },
      device_unused_fallback_key_types: ["signed_curve25519"],
    };
    expect(await step(counts)).toEqual({ device_one_time_keys_count: { signed_curve25519: 49 } });
    expect(await step(counts)).toBeUndefined();
    expect(await step({ ...counts, device_unused_fallback_key_types: [] })).toEqual({
      device_unused_fallback_key_types: [],
    });
    expect(await step({ ...counts, device_unused_fallback_key_types: ["signed_curve25519"] })).toEqual({
      device_unused_fallback_key_types: ["signed_curve25519"],
    });
    await push(alice, { device_lists: { left: ["@x:localhost"] } });
    await push(alice, { device_lists: { changed: ["@x:localhost", "@y:localhost"] } });
    const lists = await step({ device_lists: { changed: ["@y:localhost"], left: ["@z:localhost"] } });
    expect((lists!["device_lists"] as { changed: string[] }).changed.sort()).toEqual(["@x:localhost", "@y:localhost"]);
    expect(lists!["device_lists"]).toMatchObject({ left: ["@z:localhost"] });
    expect(lists!["device_one_time_keys_count"]).toBeUndefined();
    // Lost: a new connection is told again what the last one was last told.
    const anew = await box.sync(alice.token, withExtension("e2ee"));
    expect(anew.extensions["e2ee"]).toMatchObject({
      device_one_time_keys_count: { signed_curve25519: 49 },
      device_unused_fallback_key_types: ["signed_curve25519"],
    });
    expect((anew.extensions["e2ee"]!["device_lists"] as { changed: string[] }).changed.sort()).toEqual([
      "@x:localhost",
      "@y:localhost",
    ]);
    const acked = await box.sync(alice.token, {}, { pos: anew.pos });
    expect(acked.extensions["e2ee"]?.["device_lists"]).toBeUndefined();
  });

  test("[BBX-85] device list changes come in the order first new, then no more", async () => {
    const alice = box.user("alice");
    queue(alice, {});
    let at = await box.sync(alice.token, withExtension("e2ee"));
    for (const n of [1, 2, 3]) {
      await push(alice, { device_lists: { changed: [`@u${n}:localhost`] } });
      at = await box.sync(alice.token, {}, { pos: at.pos });
      expect(at.extensions["e2ee"]).toEqual({ device_lists: { changed: [`@u${n}:localhost`], left: [] } });
    }
  });

  test("[BBX-86] account data: global at first, of rooms with them, both live, scoped", async () => {
    const alice = box.user("alice");
    const [a, b] = [box.roomId("a"), box.roomId("b")];
    const global = (n: number): Json => ({ type: "m.custom", content: { n, big: 1 } });
    const ofRoom = (n: number): Json => ({ type: "m.of.room", content: { n } });
    const [, roomA] = room(alice, a);
    const [, roomB] = room(alice, b);
    queue(alice, {
      account_data: { events: [global(1)] },
      rooms: {
        join: {
          [a]: { ...roomA, account_data: { events: [ofRoom(1)] } },
          [b]: { ...roomB, account_data: { events: [ofRoom(2)] } },
        },
      },
    });
    let at = await box.sync(alice.token, { ...ALL, ...withExtension("account_data") });
    expect(at.extensions["account_data"]).toEqual({
      global: [global(1)],
      rooms: { [a]: [ofRoom(1)], [b]: [ofRoom(2)] },
    });
    await push(alice, { account_data: { events: [global(2), global(3)] } });
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.extensions["account_data"]).toEqual({ global: [global(3)] });
    await push(alice, { rooms: { join: Object.fromEntries([joined(a, { accountData: [ofRoom(3)] })]) } });
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.extensions["account_data"]).toEqual({ rooms: { [a]: [ofRoom(3)] } });
    await push(alice, {
      account_data: { events: [global(3)] },
      rooms: { join: Object.fromEntries([joined(a, { accountData: [ofRoom(3)] })]) },
    });
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.extensions).toEqual({});
    const scoped = await box.sync(alice.token, {
      lists: { x: { ranges: [[0, 0]] }, y: { ranges: [[0, 1]] } },
      ...withExtension("account_data", { lists: ["x", "nope"], rooms: [] }),
    });
    expect(Object.keys(scoped.extensions["account_data"]!["rooms"] as Json)).toHaveLength(1);
  });

  test("[BBX-87] receipts: own ones all, others' on the events shown, private ones for their owner, live", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const id = box.roomId("receipts");
    const old = box.say(alice.id, "old");
    const recent = box.say(alice.id, "recent");
    const receipt = (event: string, type: string, user: string, ts: number, thread?: string): Json => ({
      type: "m.receipt",
      content: { [event]: { [type]: { [user]: { ts, ...(thread === undefined ? {} : { thread_id: thread }) } } } },
    });
    const begin = [...box.beginning(alice.id), box.member(bob.id, "join"), old, recent];
    queue(bob, {
      rooms: {
        join: Object.fromEntries([
          joined(id, { timeline: begin, ephemeral: [receipt(recent.event_id, "m.read.private", bob.id, 9)] }),
        ]),
      },
    });
    await box.sync(bob.token, ALL);
    queue(alice, {
      rooms: {
        join: Object.fromEntries([
          joined(id, {
            timeline: begin,
            ephemeral: [
              {
                type: "m.receipt",
                content: {
                  [old.event_id]: { "m.read": { [alice.id]: { ts: 1 }, "@c:localhost": { ts: 2 } } },
                  [recent.event_id]: { "m.read": { [bob.id]: { ts: 3 } }, "m.read.private": { [alice.id]: { ts: 4 } } },
                },
              },
            ],
          }),
        ]),
      },
    });
    let at = await box.sync(alice.token, {
      lists: { a: { ...LIST, timeline_limit: 1 } },
      ...withExtension("receipts"),
    });
    expect(at.extensions["receipts"]).toEqual({
      rooms: {
        [id]: {
          type: "m.receipt",
          content: {
            [old.event_id]: { "m.read": { [alice.id]: { ts: 1 } } },
            [recent.event_id]: { "m.read": { [bob.id]: { ts: 3 } }, "m.read.private": { [alice.id]: { ts: 4 } } },
          },
        },
      },
    });
    await push(bob, {
      rooms: {
        join: Object.fromEntries([
          joined(id, {
            ephemeral: [
              receipt(old.event_id, "m.read.private", bob.id, 10),
              receipt(recent.event_id, "m.read", "@c:localhost", 11),
              receipt(old.event_id, "m.read", "@d:localhost", 12, "$thread"),
            ],
          }),
        ]),
      },
    });
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.extensions["receipts"]).toEqual({
      rooms: {
        [id]: {
          type: "m.receipt",
          content: {
            [recent.event_id]: { "m.read": { "@c:localhost": { ts: 11 } } },
            [old.event_id]: { "m.read": { "@d:localhost": { ts: 12, thread_id: "$thread" } } },
          },
        },
      },
    });
    expect(at.rooms).toEqual({});
    await push(alice, {
      rooms: {
        join: Object.fromEntries([joined(id, { ephemeral: [receipt(recent.event_id, "m.read", "@c:localhost", 11)] })]),
      },
    });
    at = await box.sync(alice.token, {}, { pos: at.pos });
    expect(at.extensions).toEqual({});
  });

  test("[BBX-88] typing: live, with an empty list too, from one poller at a time", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const id = box.roomId("typing");
    const begin = [...box.beginning(alice.id), box.member(bob.id, "join"), box.say(alice.id, "x")];
    const typing = (...users: string[]): Json => ({ type: "m.typing", content: { user_ids: users } });
    const types = (user: User, ...users: string[]): Promise<void> =>
      push(user, { rooms: { join: Object.fromEntries([joined(id, { ephemeral: [typing(...users)] })]) } });
    queue(alice, {
      rooms: { join: Object.fromEntries([joined(id, { timeline: begin, ephemeral: [typing("@x:localhost")] })]) },
    });
    queue(bob, { rooms: { join: Object.fromEntries([joined(id, { timeline: begin })]) } });
    let at = await box.sync(alice.token, { ...ALL, ...withExtension("typing") });
    expect(at.extensions["typing"]).toEqual({ rooms: { [id]: typing("@x:localhost") } });
    await box.sync(bob.token, ALL);
    const step = async (): Promise<Json> => {
      at = await box.sync(alice.token, {}, { pos: at.pos });
      return at.extensions["typing"] ?? {};
    };
    await types(bob, "@ignored:localhost");
    expect(await step()).toEqual({});
    await types(alice, "@y:localhost", "@z:localhost");
    expect(await step()).toEqual({ rooms: { [id]: typing("@y:localhost", "@z:localhost") } });
    await types(alice);
    expect(await step()).toEqual({ rooms: { [id]: typing() } });
    expect(at.rooms).toEqual({});
  });

  test("[BBX-89] extensions enabled late, disabled, scoped to rooms and lists", async () => {
    const alice = box.user("alice");
    const [a, b] = [box.roomId("a"), box.roomId("b")];
    queue(alice, {
      rooms: { join: Object.fromEntries([room(alice, b), room(alice, a)]) },
      to_device: { events: [dm(1)] },
    });
    let at = await box.sync(alice.token, {
      lists: { x: { ranges: [[0, 0]] }, y: { ranges: [[0, 1]] } },
      room_subscriptions: { [b]: {} },
    });
    expect(at.extensions).toEqual({});
    at = await box.sync(alice.token, withExtension("to_device"), { pos: at.pos });
    expect(bodies(at)).toEqual([1]);
    at = await box.sync(
      alice.token,
      { extensions: { to_device: { enabled: false }, typing: { enabled: true, lists: ["x"], rooms: [] } } },
      { pos: at.pos },
    );
    expect(at.extensions["to_device"]).toBeUndefined();
    const type = async (id: string): Promise<string[]> => {
      await push(alice, {
        rooms: {
          join: Object.fromEntries([
            joined(id, { ephemeral: [{ type: "m.typing", content: { user_ids: [`@${box.nextTs()}:localhost`] } }] }),
          ]),
        },
      });
      at = await box.sync(alice.token, {}, { pos: at.pos });
      return Object.keys((at.extensions["typing"]?.["rooms"] as Json | undefined) ?? {});
    };
    const first = at.lists["x"]!.count;
    expect(first).toBe(2);
    expect([await type(a), await type(b)]).toEqual([[a], []]);
    at = await box.sync(alice.token, withExtension("typing", { lists: [], rooms: ["*"] }), { pos: at.pos });
    expect([await type(a), await type(b)]).toEqual([[], [b]]);
    at = await box.sync(alice.token, withExtension("typing", { lists: ["*"], rooms: [] }), { pos: at.pos });
    expect([await type(a), await type(b)]).toEqual([[a], [b]]);
    at = await box.sync(alice.token, withExtension("typing", { lists: [], rooms: [a] }), { pos: at.pos });
    expect(await type(b)).toEqual([]);
  });
});
