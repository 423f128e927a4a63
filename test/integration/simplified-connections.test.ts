import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import { type SimplifiedAccount, accountInRooms } from "#test/support/simplified-account.ts";
import { SimplifiedClient, stateOf, timelineOf } from "#test/support/simplified-client.ts";

const STATE = [
  ["m.room.name", ""],
  ["m.room.member", "$ME"],
];
const list = (ranges: [number, number][], conn_id = ""): Record<string, unknown> => ({
  conn_id,
  lists: { all: { ranges, required_state: STATE, timeline_limit: 2 } },
});
const DEVICE = { conn_id: "encryption", extensions: { to_device: { enabled: true }, e2ee: { enabled: true } } };

describe("connections of simplified sliding sync", () => {
  let rig: FrontRig;

  beforeAll(async () => {
    rig = await FrontRig.start();
  });
  afterAll(() => rig.stop());

  const inRooms = (names: readonly string[]): SimplifiedAccount => accountInRooms(rig, names);
  const say = (id: string, roomId: string, ...bodies: string[]): Record<string, unknown> => ({
    rooms: { join: { [roomId]: { timeline: { events: bodies.map((body) => rig.say(id, body)) } } } },
  });

  test("[SSS-22] requests about no room do not end each other's positions or waits", async () => {
    const { me } = inRooms(["a"]);
    const main = new SimplifiedClient(rig, me);
    const push = new SimplifiedClient(rig, me);
    const first = await main.sync(DEVICE);
    await push.sync(DEVICE);
    const waits = [main.sync(DEVICE, { timeout: 20_000 }), push.sync(DEVICE, { timeout: 20_000 })];
    await rig.waiting(2);
    await rig.poll(me, { to_device: { events: [{ type: "m.test", sender: "@bob:test", content: { n: 1 } }] } });
    for (const answer of await Promise.all(waits)) {
      expect(answer.extensions["to_device"]?.["events"]).toMatchObject([{ content: { n: 1 } }]);
    }
    const old = await main.sync(DEVICE, { pos: first.pos });
    expect(old.extensions["to_device"]?.["events"]).toMatchObject([{ content: { n: 1 } }]);
  });

  test("[SSS-23] a position about no room is told from then on what changed, and nothing twice", async () => {
    const { me } = inRooms(["a"]);
    const client = new SimplifiedClient(rig, me);
    await client.sync(DEVICE);
    await rig.poll(me, { device_lists: { changed: ["@bob:test"], left: [] } });
    expect((await client.sync(DEVICE)).extensions["e2ee"]).toMatchObject({
      device_lists: { changed: ["@bob:test"], left: [] },
    });
    expect((await client.sync(DEVICE)).extensions["e2ee"]).toMatchObject({ device_lists: { changed: [], left: [] } });
    const account = { conn_id: "encryption", extensions: { account_data: { enabled: true } } };
    await rig.poll(me, { account_data: { events: [{ type: "m.direct", content: {} }] } });
    expect((await client.sync(account)).extensions["account_data"]?.["global"]).toMatchObject([{ type: "m.direct" }]);
    expect((await client.sync(account)).extensions["account_data"]?.["global"]).toEqual([]);
  });

  test("[SSS-24] a connection that asked about no room may begin to, from its position on", async () => {
    const { me, room } = inRooms(["a"]);
    const client = new SimplifiedClient(rig, me);
    await client.sync({});
    expect((await client.sync(list([[0, 0]]))).rooms[room("a")]).toMatchObject({ initial: true });
    expect((await client.sync(list([[0, 0]]))).rooms).toEqual({});
  });

  test("[SSS-25] after a restart a position goes on: rooms that are known to be held are told what is new", async () => {
    const { me, id, room } = inRooms(["a", "b", "c"]);
    const client = new SimplifiedClient(rig, me);
    const device = new SimplifiedClient(rig, me);
    await device.sync(DEVICE);
    await client.sync(list([[0, 2]]));
    await client.sync(list([[0, 2]]));
    await client.sync(list([[0, 0]]));
    await rig.poll(me, say(id, room("c"), "c stays on top"));
    await client.sync(list([[0, 0]]));
    await rig.node.shutDown();
    await rig.node.boot();
    const back = await client.sync(list([[0, 2]]));
    expect(back.rooms).toEqual({});
    await rig.poll(me, say(id, room("a"), "after"));
    const next = await client.sync(list([[0, 2]]));
    expect(timelineOf(next.rooms[room("a")])).toEqual(["after"]);
    expect(next.rooms[room("a")]).not.toHaveProperty("initial");
    expect((await device.sync(DEVICE)).extensions["to_device"]).toHaveProperty("events", []);
  });

  test.each(["simplified", "v4"] as const)(
    "[SSS-95] a response that was not acknowledged before a restart is gone on from, or lost as any other (%p)",
    async (form) => {
      const { me, id, room } = inRooms(["a", "b"]);
      const asked = (timeline_limit = 1): Record<string, unknown> => {
        const window = form === "v4" ? { range: [0, 9], required_state: {} } : { ranges: [[0, 9]], required_state: [] };
        return { lists: { all: { ...window, timeline_limit } } };
      };
      const client = new SimplifiedClient(rig, me, form);
      const restart = async (): Promise<void> => {
        await rig.node.shutDown();
        await rig.node.boot();
        await new SimplifiedClient(rig, me, form).sync({ conn_id: "awake" });
      };
      await client.sync(asked());
      await restart();
      await rig.poll(me, say(id, room("a"), "after"));
      const { rooms } = await client.sync(asked());
      expect(Object.keys(rooms)).toEqual([room("a")]);
      expect(rooms[room("a")]).toMatchObject({ num_live: 1 });
      expect(rooms[room("a")]).not.toHaveProperty("initial");
      await restart();
      expect((await client.sync(asked())).rooms).toEqual({});
      // What came with an answer that was lost is told again, whatever was written down of it.
      const acknowledged = client.pos ?? null;
      await rig.poll(me, say(id, room("b"), "lost"));
      await client.sync(asked(2));
      await restart();
      const again = (await client.sync(asked(2), { pos: acknowledged })).rooms;
      expect(timelineOf(again[room("b")]).at(-1)).toBe("lost");
      expect(again[room("a")]).toHaveProperty(form === "v4" ? "expanded_timeline" : "unstable_expanded_timeline");
    },
  );

  test.each(["simplified", "v4"] as const)(
    "[SSS-106] answers that were lost one after the other before a restart leave what the client holds as it was (%p)",
    async (form) => {
      const { me, id, room } = inRooms(["a", "b"]);
      const asked = (timeline_limit: number): Record<string, unknown> => {
        const window = form === "v4" ? { range: [0, 9], required_state: {} } : { ranges: [[0, 9]], required_state: [] };
        return { lists: { all: { ...window, timeline_limit } } };
      };
      const client = new SimplifiedClient(rig, me, form);
      const { pos } = await client.sync(asked(1));
      for (const limit of [2, 3, 4]) {
        await rig.poll(me, say(id, room("a"), `lost ${limit}`));
        const lost = await client.sync(asked(limit), { pos });
        expect(timelineOf(lost.rooms[room("a")]).at(-1)).toBe(`lost ${limit}`);
      }
      await rig.node.shutDown();
      await rig.node.boot();
      const { rooms } = await client.sync(asked(1), { pos });
      expect(Object.keys(rooms)).toEqual([room("a")]);
      expect(rooms[room("a")]).not.toHaveProperty("initial");
      expect(timelineOf(rooms[room("a")]).at(-1)).toBe("lost 4");
    },
  );

  test.each(["simplified", "v4"] as const)(
    "[SSS-109] of several answers to one position an earlier one may be gone on from, and nothing is missing then (%p)",
    async (form) => {
      const { me, id, room } = inRooms(["a", "b"]);
      const window = form === "v4" ? { range: [0, 9], required_state: {} } : { ranges: [[0, 9]], required_state: [] };
      const asked = { lists: { all: { ...window, timeline_limit: 9 } } };
      const client = new SimplifiedClient(rig, me, form);
      const { pos } = await client.sync(asked);
      await rig.poll(me, say(id, room("a"), "one"));
      const arrived = await client.sync(asked, { pos });
      await rig.poll(me, say(id, room("b"), "two"));
      const lost = await client.sync(asked, { pos });
      expect(Object.keys(lost.rooms).toSorted()).toEqual([room("a"), room("b")]);
      await rig.poll(me, say(id, room("a"), "three"));
      const { rooms } = await client.sync(asked, { pos: arrived.pos });
      expect(timelineOf(rooms[room("a")]).at(-1)).toBe("three");
      expect(timelineOf(rooms[room("b")]).at(-1)).toBe("two");
      expect(rooms[room("b")]).not.toHaveProperty("initial");
    },
  );

  test("[SSS-26] what was said while the server was away is told after it is back", async () => {
    const { me, id, room } = inRooms(["a", "b"]);
    const client = new SimplifiedClient(rig, me);
    await client.sync(list([[0, 1]]));
    await client.sync(list([[0, 1]]));
    await rig.node.shutDown();
    await rig.node.boot();
    const other = new SimplifiedClient(rig, me);
    await other.sync(list([[0, 1]], "other"));
    const renamed = rig.event("m.room.name", id, { name: "renamed" }, "");
    await rig.poll(me, { rooms: { join: { [room("a")]: { timeline: { events: [renamed, rig.say(id, "away")] } } } } });
    const { rooms } = await client.sync(list([[0, 1]]));
    expect(Object.keys(rooms)).toEqual([room("a")]);
    expect(rooms[room("a")]).not.toHaveProperty("initial");
    expect(rooms[room("a")]).toMatchObject({ name: "renamed" });
    expect(stateOf(rooms[room("a")])).toEqual(["m.room.name|"]);
  });

  test("[SSS-27] connections of one device under the same id in other dialects are other connections", async () => {
    const { me, room } = inRooms(["a"]);
    const unstable = new SimplifiedClient(rig, me);
    const stable = new SimplifiedClient(rig, me, "v4");
    const v4 = { lists: { all: { required_state: {}, timeline_limit: 1 } } };
    await unstable.sync(list([[0, 0]]));
    const classic = await rig.sync(me, { lists: { all: { ranges: [[0, 0]] } } });
    expect((await stable.sync(v4)).rooms[room("a")]).toMatchObject({ initial: true });
    expect((await unstable.sync(list([[0, 0]]))).rooms).toEqual({});
    expect((await stable.sync(v4)).rooms).toEqual({});
    expect((await rig.sync(me, {}, { pos: classic.pos })).lists["all"]).toEqual({ count: 1 });
  });

  test("[SSS-50] processes that share a connection id are each told whose devices changed", async () => {
    const { me } = inRooms(["a"]);
    const [main, push] = [new SimplifiedClient(rig, me), new SimplifiedClient(rig, me)];
    await main.sync(DEVICE);
    await push.sync(DEVICE);
    for (const user of ["@bob:test", "@carl:test"]) {
      await rig.poll(me, { device_lists: { changed: [user], left: [] } });
      await main.sync(DEVICE);
      await main.sync(DEVICE);
    }
    expect((await push.sync(DEVICE)).extensions["e2ee"]).toMatchObject({
      device_lists: { changed: ["@bob:test", "@carl:test"], left: [] },
    });
  });

  test("[SSS-74] a process that is too far behind the others starts over, and misses nothing without knowing", async () => {
    const { me } = inRooms(["a"]);
    const [main, push] = [new SimplifiedClient(rig, me), new SimplifiedClient(rig, me)];
    await main.sync(DEVICE);
    await push.sync(DEVICE);
    const names = (from: number, to: number): string[] =>
      Array.from({ length: to - from }, (_, index) => `@u${from + index}:test`);
    await rig.poll(me, { device_lists: { changed: names(0, 400), left: [] } });
    await main.sync(DEVICE);
    await rig.poll(me, { device_lists: { changed: names(400, 800), left: [] } });
    await main.sync(DEVICE);
    await main.sync(DEVICE);
    for (const isRestarted of [false, true]) {
      if (isRestarted) {
        await rig.node.shutDown();
        await rig.node.boot();
      }
      const { status, json } = await push.request(DEVICE);
      expect([status, json["errcode"]]).toEqual([400, "M_UNKNOWN_POS"]);
      expect((await main.sync(DEVICE)).extensions["e2ee"]).toMatchObject({ device_lists: { changed: [], left: [] } });
    }
    await push.sync(DEVICE, { pos: null });
    await rig.poll(me, { device_lists: { changed: ["@late:test"], left: [] } });
    for (const client of [main, push]) {
      const { extensions } = await client.sync(DEVICE);
      expect(extensions["e2ee"]).toMatchObject({ device_lists: { changed: ["@late:test"], left: [] } });
    }
  });

  test("[SSS-75] who starts over asking how many rooms there are ends no connection, and may go on from there", async () => {
    const { me, id, room } = inRooms(["a", "b"]);
    const [client, counting] = [new SimplifiedClient(rig, me), new SimplifiedClient(rig, me)];
    await client.sync(list([[0, 0]]));
    const count = { lists: { all: { required_state: [], timeline_limit: 1 } } };
    expect((await counting.sync(count)).lists).toEqual({ all: { count: 2, ops: [] } });
    await rig.poll(me, { rooms: { join: { [room("a")]: { timeline: { events: [rig.say(id, "new")] } } } } });
    expect(Object.keys((await client.sync(list([[0, 0]]))).rooms)).toEqual([room("a")]);
    expect((await counting.sync(count)).rooms).toEqual({});
    // Whoever asks for rooms then takes the connection over.
    expect(Object.keys((await counting.sync(list([[0, 0]]))).rooms)).toEqual([room("a")]);
    expect((await client.request(list([[0, 0]]))).json["errcode"]).toBe("M_UNKNOWN_POS");
  });

  test("[SSS-51] names, members and counts that change behind a restart are told of rooms of which nothing else is asked", async () => {
    const { me, id, room } = inRooms(["a", "b"]);
    const bare = { lists: { all: { ranges: [[0, 9]], required_state: [], timeline_limit: 0 } } };
    const client = new SimplifiedClient(rig, me);
    await client.sync(bare);
    await client.sync(bare);
    await rig.node.shutDown();
    await rig.node.boot();
    expect((await client.sync(bare)).rooms).toEqual({});
    const renamed = rig.event("m.room.name", id, { name: "renamed" }, "");
    const unread = { notification_count: 3, highlight_count: 1 };
    await rig.poll(me, {
      rooms: {
        join: { [room("a")]: { timeline: { events: [renamed] } }, [room("b")]: { unread_notifications: unread } },
      },
    });
    expect((await client.sync(bare)).rooms).toMatchObject({ [room("a")]: { name: "renamed" }, [room("b")]: unread });
  });

  test("[SSS-55] however many requests about no room a device has waiting, none of them ends a connection or another request", async () => {
    const { me } = inRooms(["a"]);
    const client = new SimplifiedClient(rig, me);
    await client.sync(list([[0, 0]]));
    const others = Array.from({ length: 30 }, () => new SimplifiedClient(rig, me));
    for (const other of others) await other.sync(DEVICE);
    const waits = others.map((other) => other.sync(DEVICE, { timeout: 20_000 }));
    await rig.waiting(others.length);
    await client.sync(list([[0, 0]]));
    await rig.poll(me, { to_device: { events: [{ type: "m.test", sender: "@bob:test", content: {} }] } });
    for (const { extensions } of await Promise.all(waits)) expect(extensions["to_device"]?.["events"]).toHaveLength(1);
  });
});
