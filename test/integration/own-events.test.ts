import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { EventFields } from "#src/protocol/events.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { INGEST } from "#actors/addresses.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";
import { NaiveClient } from "#test/support/naive-client.ts";
import { type RigResponse, SyncRig } from "#test/support/sync-rig.ts";

const LIST = { ranges: [[0, 20]], sort: ["by_recency"], timeline_limit: 10 };
const REQUEST = { lists: { all: LIST } };
const PHONE = "PHONE" as DeviceId;
const LAPTOP = "LAPTOP" as DeviceId;
/** Slow enough that what happens in one test falls within the time an own event waits. */
const HASTE = 2;
/** Longer than an own event waits. */
const PATIENT_MS = 60_000;

describe("own events", () => {
  let rig: SyncRig;
  let alice: UserId;
  let bob: UserId;

  beforeEach(async () => {
    rig = await SyncRig.start(makeFakeStores(), HASTE);
    alice = await rig.addUser("alice");
    bob = await rig.addUser("bob");
    const state = rig.roomState(bob, [bob, alice], "a");
    await rig.poll(bob, [rig.join("!a", { state, timeline: [say(bob, "first")], prevBatch: "p" })]);
    await rig.poll(bob, [
      rig.join("!b", { state: rig.roomState(bob, [bob, alice], "b"), timeline: [say(bob, "other")] }),
    ]);
    for (const deviceId of [PHONE, LAPTOP]) await rig.poll(alice, [], { deviceId });
  });

  afterEach(() => rig.stop());

  function say(sender: string, body: string): EventFields {
    return rig.event("m.room.message", sender, { body, msgtype: "m.text" });
  }
  const brings = (user: UserId, events: EventFields[], deviceId?: DeviceId, roomId = "!a"): Promise<void> =>
    rig.poll(user, [rig.join(roomId, { timeline: events })], deviceId === undefined ? {} : { deviceId });
  const withTxn = (event: EventFields, txnId = "txn1"): EventFields => ({ ...event, txnId });
  const bodies = (response: RigResponse, roomId = "!a"): unknown[] =>
    (response.rooms[roomId]?.timeline ?? []).map((event) => [
      (event["content"] as { body: string }).body,
      (event["unsigned"] as { transaction_id?: string } | undefined)?.transaction_id,
    ]);
  const ask = (pos: string | null, deviceId: DeviceId, timeoutMs = 0): Promise<RigResponse> =>
    rig.sync(alice, pos === null ? REQUEST : {}, { pos, deviceId, timeoutMs });

  test("[TXN-1] comes once, with its transaction id, whoever's poller saw it first", async () => {
    const first = await ask(null, PHONE);
    const parked = ask(first.pos, PHONE, PATIENT_MS);
    await rig.nodes.settled();
    const hello = say(alice, "hello");
    await brings(bob, [hello]);
    await brings(alice, [withTxn(hello)], PHONE);
    const live = await parked;
    expect(bodies(live)).toEqual([["hello", "txn1"]]);
    expect(live.lists["all"]?.ops).toEqual([
      { op: "DELETE", index: 1 },
      { op: "INSERT", index: 0, room_id: "!a" },
    ]);
    await brings(alice, [withTxn(hello)], PHONE);
    expect((await ask(live.pos, PHONE)).rooms).toEqual({});
  });

  test("[TXN-2] only the sending device is told the transaction id, live and in a first timeline", async () => {
    const first = await ask(null, LAPTOP);
    const hello = say(alice, "hello");
    await brings(alice, [withTxn(hello)], PHONE);
    expect(bodies(await ask(first.pos, LAPTOP))).toEqual([["hello", undefined]]);
    expect(bodies(await ask(null, PHONE))).toEqual([
      ["first", undefined],
      ["hello", "txn1"],
    ]);
    expect(bodies(await rig.sync(bob, REQUEST))).toEqual([
      ["first", undefined],
      ["hello", undefined],
    ]);
  });

  test("[TXN-3] nobody else waits", async () => {
    const first = await rig.sync(bob, REQUEST);
    await brings(bob, [say(alice, "hello")]);
    expect(bodies(await rig.sync(bob, {}, { pos: first.pos }))).toEqual([["hello", undefined]]);
  });

  test("[TXN-4] while one waits, the room's later events wait behind it, and other rooms do not", async () => {
    const first = await ask(null, PHONE);
    const hello = say(alice, "hello");
    await brings(bob, [say(bob, "before"), hello, say(bob, "after")]);
    await brings(bob, [say(bob, "elsewhere")], undefined, "!b");
    const second = await ask(first.pos, PHONE);
    expect(bodies(second, "!a")).toEqual([["before", undefined]]);
    expect(bodies(second, "!b")).toEqual([["elsewhere", undefined]]);
    await brings(alice, [withTxn(hello)], PHONE);
    const third = await ask(second.pos, PHONE);
    expect(bodies(third)).toEqual([
      ["hello", "txn1"],
      ["after", undefined],
    ]);
    expect(third.rooms["!a"]?.["num_live"]).toBe(2);
  });

  test("[TXN-5] waits no longer once every polling device of the sender has brought it without one", async () => {
    const first = await ask(null, PHONE);
    const hello = say(alice, "hello");
    await brings(bob, [hello]);
    await brings(alice, [hello], PHONE);
    const second = await ask(first.pos, PHONE);
    expect(second.rooms).toEqual({});
    await brings(alice, [hello], LAPTOP);
    expect(bodies(await ask(second.pos, PHONE))).toEqual([["hello", undefined]]);
  });

  test("[TXN-6] a sole device that brings it without a transaction id does not wait", async () => {
    await rig.poll(bob, [rig.join("!a", {})]);
    const first = await rig.sync(bob, REQUEST);
    await brings(bob, [say(bob, "from a program")]);
    expect(bodies(await rig.sync(bob, {}, { pos: first.pos }))).toEqual([["from a program", undefined]]);
  });

  test("[TXN-7] waits for a bounded time, and what comes too late repeats nothing", async () => {
    const first = await ask(null, PHONE);
    const hello = say(alice, "hello");
    await brings(bob, [hello]);
    const live = await ask(first.pos, PHONE, PATIENT_MS);
    expect(bodies(live)).toEqual([["hello", undefined]]);
    await brings(alice, [withTxn(hello)], PHONE);
    expect((await ask(live.pos, PHONE)).rooms).toEqual({});
  });

  test("[TXN-8] a connection that begins while one waits is given it later, once", async () => {
    const hello = say(alice, "hello");
    const laptop = await ask(null, LAPTOP);
    await brings(bob, [hello]);
    const first = await ask(null, PHONE);
    expect(bodies(first)).toEqual([["first", undefined]]);
    await brings(alice, [withTxn(hello)], PHONE);
    const second = await ask(first.pos, PHONE);
    expect(bodies(second)).toEqual([["hello", "txn1"]]);
    expect(second.rooms["!a"]?.initial).toBeUndefined();
    expect(bodies(await ask(laptop.pos, LAPTOP))).toEqual([["hello", undefined]]);
  });

  test("[TXN-9] a state event of one's own does not wait", async () => {
    const first = await ask(null, PHONE);
    await brings(bob, [rig.event("m.room.topic", alice, { topic: "t" }, { stateKey: "" })]);
    expect((await ask(first.pos, PHONE)).rooms["!a"]?.timeline).toMatchObject([{ content: { topic: "t" } }]);
  });

  test("[TXN-10] an own event that waits when a host crashes is not lost", async () => {
    const client = new NaiveClient();
    client.apply(await ask(null, PHONE));
    await brings(bob, [say(alice, "hello")]);
    await brings(bob, [say(bob, "elsewhere")], undefined, "!b");
    client.apply(await ask(client.pos, PHONE));
    await rig.nodes.restartHost("sync");
    client.apply(await ask(client.pos, PHONE));
    const seen = client.rooms.get("!a")?.timeline.map((event) => (event["content"] as { body: string }).body);
    expect(seen).toEqual(["first", "hello"]);
    expect(client.problems).toEqual([]);
  });

  test("[TXN-11] a user who leaves waits no longer for what was sent before", async () => {
    const first = await ask(null, PHONE);
    const [hello, leave] = [say(alice, "bye"), rig.member(alice, "leave")];
    await brings(bob, [hello]);
    const second = await ask(first.pos, PHONE);
    expect(second.rooms).toEqual({});
    await brings(bob, [leave]);
    const third = await ask(second.pos, PHONE);
    expect(third.rooms["!a"]?.timeline?.map(({ event_id: id }) => id as string)).toEqual([hello.id, leave.id]);
  });

  test("[TXN-12] a device whose poller stopped is not waited for", async () => {
    for (const deviceId of [PHONE, LAPTOP]) {
      rig.nodes.tell(INGEST, { type: "poller-stopped", userId: alice, deviceId });
    }
    const first = await ask(null, PHONE);
    await brings(bob, [say(alice, "hello")]);
    expect(bodies(await ask(first.pos, PHONE))).toEqual([["hello", undefined]]);
  });
});
