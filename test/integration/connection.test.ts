import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { UserId } from "#src/protocol/ids.ts";
import { NaiveClient } from "#test/support/naive-client.ts";
import { SyncRig } from "#test/support/sync-rig.ts";
import { until } from "#test/support/until.ts";

const LIST = {
  ranges: [[0, 20]],
  sort: ["by_recency"],
  timeline_limit: 10,
  required_state: [
    ["m.room.create", ""],
    ["m.room.member", "$ME"],
  ],
};

describe("connection", () => {
  let rig: SyncRig;
  let alice: UserId;
  let bob: UserId;

  beforeEach(async () => {
    rig = await SyncRig.start();
    alice = await rig.addUser("alice");
    bob = await rig.addUser("bob");
  });

  afterEach(() => rig.stop());

  const say = (sender: string, body: string) => rig.event("m.room.message", sender, { body, msgtype: "m.text" });

  async function makeRooms(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const state = rig.roomState(bob, [bob, alice], name);
      const timeline = [say(bob, `first of ${name}`)];
      for (const user of [alice, bob])
        await rig.poll(user, [rig.join(`!${name}`, { state, timeline, prevBatch: `p-${name}` })]);
    }
  }

  test("[CON-1] the first response has the list in recency order and whole rooms", async () => {
    await makeRooms(["a", "b", "c"]);
    const response = await rig.sync(alice, { lists: { all: LIST } });
    expect(response.lists["all"]).toEqual({
      count: 3,
      ops: [{ op: "SYNC", range: [0, 2], room_ids: ["!c", "!b", "!a"] }],
    });
    expect(response.rooms["!c"]).toMatchObject({
      initial: true,
      name: "c",
      joined_count: 2,
      prev_batch: "p-c",
      limited: true,
      timeline: [{ content: { body: "first of c" } }],
    });
    expect(response.rooms["!c"]?.required_state?.map(({ type }) => type)).toEqual(["m.room.create", "m.room.member"]);
  });

  test("[CON-2] a parked request is answered by a live event, which moves its room", async () => {
    await makeRooms(["a", "b", "c"]);
    const first = await rig.sync(alice, { lists: { all: LIST } });
    const parked = rig.sync(alice, {}, { pos: first.pos, timeoutMs: 600_000 });
    await rig.nodes.settled();
    await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, "hello")] })]);
    const live = await parked;
    expect(live.lists["all"]?.ops).toEqual([
      { op: "DELETE", index: 2 },
      { op: "INSERT", index: 0, room_id: "!a" },
    ]);
    expect(live.rooms["!a"]).toMatchObject({ num_live: 1, timeline: [{ content: { body: "hello" } }] });
    expect(live.rooms["!a"]?.initial).toBeUndefined();
  });

  test("[CON-3] a repeated request gets the same response; an acknowledged position is unknown", async () => {
    await makeRooms(["a"]);
    const first = await rig.sync(alice, { lists: { all: LIST } });
    await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, "one")] })]);
    const second = await rig.sync(alice, {}, { pos: first.pos });
    expect(await rig.sync(alice, {}, { pos: first.pos })).toEqual(second);
    await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, "two")] })]);
    const third = await rig.sync(alice, {}, { pos: second.pos });
    expect(third.rooms["!a"]?.timeline).toMatchObject([{ content: { body: "two" } }]);
    expect(await rig.syncError(alice, {}, first.pos)).toBe("unknown_pos");
  });

  test("[CON-4] a host that crashes costs no connection and no event, and nothing comes twice", async () => {
    await makeRooms(["a", "b"]);
    const client = new NaiveClient();
    client.apply(await rig.sync(alice, { lists: { all: LIST } }));
    await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, "before")] })]);
    client.apply(await rig.sync(alice, {}, { pos: client.pos }));
    await rig.nodes.restartHost("sync");
    await rig.poll(bob, [rig.join("!b", { timeline: [say(bob, "after")] })]);
    client.apply(await rig.sync(alice, {}, { pos: client.pos }));
    expect(client.problems).toEqual([]);
    expect(client.window("all", [[0, 1]])).toEqual(["!b", "!a"]);
    const bodies = (roomId: string) =>
      client.rooms.get(roomId)?.timeline.map((event) => (event["content"] as { body: string }).body);
    expect(bodies("!a")).toEqual(["first of a", "before"]);
    expect(bodies("!b")).toEqual(["first of b", "after"]);
  });

  test("[CON-111] a request with a position of before a crash gets the same response as often as it is repeated", async () => {
    await makeRooms(["a", "b"]);
    const first = await rig.sync(alice, { lists: { all: LIST } });
    await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, "one")] })]);
    await rig.nodes.restartHost("sync");
    const answer = await rig.sync(alice, {}, { pos: first.pos });
    expect(answer.rooms["!a"]?.timeline).toMatchObject([{ content: { body: "one" } }]);
    await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, "two")] })]);
    expect(await rig.sync(alice, {}, { pos: first.pos })).toEqual(answer);
    await rig.nodes.restartHost("sync");
    const anew = await rig.sync(alice, {}, { pos: first.pos });
    expect(anew.rooms["!a"]?.timeline).toMatchObject([{ content: { body: "one" } }, { content: { body: "two" } }]);
    expect(await rig.sync(alice, {}, { pos: first.pos })).toEqual(anew);
    const next = await rig.sync(alice, {}, { pos: anew.pos });
    expect(next.rooms).toEqual({});
    expect(await rig.syncError(alice, {}, first.pos)).toBe("unknown_pos");
  });

  test("[CON-112] crashes one upon the other do not have rooms sent whole that the client is known to hold", async () => {
    await makeRooms(["a", "b"]);
    let { pos } = await rig.sync(alice, { lists: { all: LIST } });
    const isWritten = (): boolean => [...rig.stores.db.connections.values()].some(({ cursors }) => cursors !== null);
    await until("what the client holds to be written down", isWritten);
    for (const body of ["one", "two", "three"]) {
      await rig.nodes.restartHost("sync");
      await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, body)] })]);
      const answer = await rig.sync(alice, {}, { pos });
      expect(answer.rooms["!a"]?.initial).toBeUndefined();
      expect(answer.rooms["!a"]?.timeline).toMatchObject([{ content: { body } }]);
      pos = answer.pos;
    }
    // The response is lost with the server that made it.
    await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, "four")] })]);
    await rig.sync(alice, {}, { pos });
    await rig.nodes.restartHost("sync");
    const again = await rig.sync(alice, {}, { pos });
    expect(again.rooms["!a"]?.initial).toBeUndefined();
    expect(again.rooms["!a"]?.timeline).toMatchObject([{ content: { body: "four" } }]);
  });

  test("[CON-5] a position that was tampered with, or of another connection, is unknown", async () => {
    await makeRooms(["a"]);
    const first = await rig.sync(alice, { lists: { all: LIST } });
    const other = await rig.sync(bob, { lists: { all: LIST } });
    expect(await rig.syncError(alice, {}, `${first.pos}x`)).toBe("unknown_pos");
    expect(await rig.syncError(alice, {}, other.pos)).toBe("unknown_pos");
  });

  test("[CON-6] a request that is cancelled and repeated loses nothing", async () => {
    await makeRooms(["a"]);
    const first = await rig.sync(alice, { lists: { all: LIST } });
    const given = rig.sync(alice, {}, { pos: first.pos, timeoutMs: 600_000, requestId: 77 });
    await rig.nodes.settled();
    rig.cancel(alice, 77);
    expect((await given).rooms).toEqual({});
    await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, "missed")] })]);
    const again = await rig.sync(alice, {}, { pos: first.pos });
    expect(again.rooms["!a"]?.timeline).toMatchObject([{ content: { body: "missed" } }]);
  });

  test("[CON-81] a new request cuts the running one short: that is answered first, with a pos of its own, and so is the new one", async () => {
    await makeRooms(["a", "b"]);
    const first = await rig.sync(alice, { lists: { all: { ...LIST, ranges: [[0, 0]] } } });
    const cut = rig.sync(alice, { txn_id: "cut" }, { pos: first.pos, timeoutMs: 600_000 });
    await rig.nodes.settled();
    const wider = { lists: { all: { ranges: [[0, 1]] } }, txn_id: "wider" };
    const second = await rig.sync(alice, wider, { pos: first.pos, timeoutMs: 600_000 });
    expect(await cut).toEqual(second);
    expect(second).toMatchObject({ txn_id: "cut", rooms: {}, lists: { all: { count: 2 } } });
    expect(second.pos).not.toBe(first.pos);
    const third = await rig.sync(alice, { txn_id: "after" }, { pos: second.pos, timeoutMs: 600_000 });
    expect(third.txn_id).toBe("wider");
    expect(third.lists["all"]?.ops).toEqual([{ op: "SYNC", range: [1, 1], room_ids: ["!a"] }]);
    expect((await rig.sync(alice, { txn_id: "after" }, { pos: third.pos })).txn_id).toBe("after");
  });

  test("[CON-82] a request that cannot be served disturbs the running one in nothing", async () => {
    await makeRooms(["a"]);
    const old = await rig.sync(alice, { lists: { all: LIST } });
    const first = await rig.sync(alice, { lists: { all: LIST } });
    const second = await rig.sync(alice, { unsubscribe_rooms: ["!x"] }, { pos: first.pos });
    const third = await rig.sync(alice, {}, { pos: second.pos });
    const parked = rig.sync(alice, { txn_id: "parked" }, { pos: third.pos, timeoutMs: 600_000 });
    await rig.nodes.settled();
    for (const pos of ["0", "made up", old.pos, first.pos]) {
      expect(await rig.syncError(alice, {}, pos)).toBe("unknown_pos");
    }
    await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, "live")] })]);
    expect(await parked).toMatchObject({ txn_id: "parked", rooms: { "!a": { num_live: 1 } } });
  });

  test("[CON-7] a room outside the window that is bumped into it comes whole", async () => {
    await makeRooms(["a", "b", "c"]);
    const first = await rig.sync(alice, { lists: { all: { ...LIST, ranges: [[0, 0]] } } });
    await rig.poll(bob, [rig.join("!a", { timeline: [say(bob, "up")] })]);
    const second = await rig.sync(alice, {}, { pos: first.pos });
    expect(second.lists["all"]?.ops).toEqual([
      { op: "DELETE", index: 0 },
      { op: "INSERT", index: 0, room_id: "!a" },
    ]);
    expect(second.rooms["!a"]).toMatchObject({ initial: true, num_live: 1 });
    expect(second.rooms["!a"]?.timeline).toHaveLength(2);
  });

  test("[CON-8] what one user may not see is not sent: events after a leave", async () => {
    await makeRooms(["a"]);
    const first = await rig.sync(alice, { lists: { all: LIST } });
    const leave = rig.member(alice, "leave");
    await rig.poll(bob, [rig.join("!a", { timeline: [leave, say(bob, "secret")] })]);
    await rig.poll(alice, [
      {
        kind: "leave",
        roomId: "!a" as never,
        state: [],
        isStateAfter: false,
        timeline: [leave],
        limited: false,
        prevBatch: null,
        accountData: [],
      },
    ]);
    const second = await rig.sync(alice, {}, { pos: first.pos });
    expect(second.lists["all"]).toEqual({ count: 0, ops: [{ op: "DELETE", index: 0 }] });
    expect(second.rooms["!a"]?.timeline?.map(({ type }) => type)).toEqual(["m.room.member"]);
    expect(JSON.stringify(second)).not.toContain("secret");
  });

  test("[CON-10] rooms that leave a list at once are told last ones first, which every client reads alike", async () => {
    await makeRooms(["a", "b", "c", "d"]);
    const client = new NaiveClient();
    client.apply(await rig.sync(alice, { lists: { all: { ...LIST, ranges: [[0, 9]] } } }));
    for (const roomId of ["!b", "!d"]) {
      await rig.poll(alice, [
        {
          kind: "leave",
          roomId: roomId as never,
          state: [],
          isStateAfter: false,
          timeline: [rig.member(alice, "leave")],
          limited: false,
          prevBatch: null,
          accountData: [],
        },
      ]);
    }
    const response = await rig.sync(alice, {}, { pos: client.pos });
    expect(response.lists["all"]).toEqual({
      count: 2,
      ops: [
        { op: "DELETE", index: 2 },
        { op: "DELETE", index: 0 },
      ],
    });
    client.apply(response);
    expect(client.window("all", [[0, 9]])).toEqual(["!c", "!a"]);
  });

  test("[CON-9] unread counts, tags, typing, receipts and account data come live", async () => {
    await makeRooms(["a"]);
    const extensions = { account_data: { enabled: true }, receipts: { enabled: true }, typing: { enabled: true } };
    const first = await rig.sync(alice, { lists: { all: LIST }, extensions });
    const typing = {
      json: new TextEncoder().encode('{"type":"m.typing","content":{"user_ids":["@bob:hs"]}}'),
      userIds: [bob],
    };
    await rig.poll(alice, [
      rig.join("!a", {
        typing,
        notificationCount: 3,
        highlightCount: 1,
        receipts: [{ userId: bob, eventId: "$e4", threadId: "", isPrivate: false, ts: 5 }],
        accountData: [
          { type: "m.tag", json: new TextEncoder().encode('{"type":"m.tag","content":{"tags":{"u.x":{}}}}') },
        ],
      }),
    ]);
    const second = await rig.sync(alice, {}, { pos: first.pos });
    expect(second.rooms["!a"]).toEqual({ notification_count: 3, highlight_count: 1 });
    expect(second.extensions["typing"]).toEqual({
      rooms: { "!a": { type: "m.typing", content: { user_ids: ["@bob:hs"] } } },
    });
    expect(second.extensions["receipts"]).toMatchObject({
      rooms: { "!a": { content: { $e4: { "m.read": { "@bob:hs": { ts: 5 } } } } } },
    });
    expect(second.extensions["account_data"]).toEqual({
      rooms: { "!a": [{ type: "m.tag", content: { tags: { "u.x": {} } } }] },
    });
  });
});
