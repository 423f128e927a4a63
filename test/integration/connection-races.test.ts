import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { SyncError } from "#src/errors.ts";
import type { RoomId, UserId } from "#src/protocol/ids.ts";
import type { ConnectionStore, RoomReader } from "#src/ports/stores.ts";
import { userAddress } from "#actors/addresses.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";
import { HeldStore } from "#test/support/held-store.ts";
import { NaiveClient } from "#test/support/naive-client.ts";
import { type RigResponse, SyncRig } from "#test/support/sync-rig.ts";

const encoder = new TextEncoder();
const LIST = { ranges: [[0, 20]], timeline_limit: 10, required_state: [["m.room.name", ""]] };
const DEVICE_LISTS = { extensions: { e2ee: { enabled: true } } };
const changedLists = (response: RigResponse): unknown =>
  (response.extensions["e2ee"]?.["device_lists"] as { changed: string[] } | undefined)?.changed;

describe("a connection", () => {
  let rig: SyncRig;
  let held: HeldStore<RoomReader>;
  let heldConnections: HeldStore<ConnectionStore>;
  let alice: UserId;
  let bob: UserId;

  beforeEach(async () => {
    const stores = makeFakeStores();
    held = new HeldStore(stores.rooms);
    heldConnections = new HeldStore(stores.connections);
    rig = await SyncRig.start({ ...stores, rooms: held.store, connections: heldConnections.store });
    alice = await rig.addUser("alice");
    bob = await rig.addUser("bob");
  });

  afterEach(() => rig.stop());

  const say = (body: string) => rig.event("m.room.message", bob, { body });
  const rename = (name: string) => rig.event("m.room.name", bob, { name }, { stateKey: "" });

  async function makeRoom(roomId: string, members: UserId[] = [alice, bob]): Promise<void> {
    const state = rig.roomState(bob, members, "old name");
    const timeline = [say(`first of ${roomId}`)];
    for (const user of members) await rig.poll(user, [rig.join(roomId, { state, timeline })]);
  }

  const invite = (roomId: string, name: string) =>
    rig.poll(alice, [
      {
        kind: "invite",
        roomId: roomId as RoomId,
        stripped: encoder.encode(JSON.stringify([{ type: "m.room.name", state_key: "", content: { name } }])),
      },
    ]);

  const leave = (roomId: string, sender: UserId) => ({
    kind: "leave" as const,
    roomId: roomId as RoomId,
    state: [],
    isStateAfter: false,
    timeline: [rig.member(alice, "leave", sender)],
    limited: false,
    prevBatch: null,
    accountData: [],
  });

  test("[CON-30] state that changes while it is read from storage is not taken back by the read", async () => {
    await makeRoom("!a");
    const { reached, release } = held.hold("loadState");
    const first = rig.sync(alice, { lists: { all: LIST } });
    await reached;
    await rig.poll(bob, [rig.join("!a", { timeline: [rename("new name")] })]);
    release();
    await first;
    const later = await rig.sync(alice, { lists: { all: LIST }, conn_id: "later" });
    expect(later.rooms["!a"]?.required_state?.map(({ content }) => content)).toEqual([{ name: "new name" }]);
  });

  test("[CON-31] receipts and account data that arrive while the others are read are told", async () => {
    await makeRoom("!a");
    const extensions = { receipts: { enabled: true }, account_data: { enabled: true } };
    const receipts = held.hold("loadReceipts");
    const accountData = held.hold("loadAccountData");
    const first = rig.sync(alice, { lists: { all: LIST }, extensions });
    await Promise.all([receipts.reached, accountData.reached]);
    const receipt = { userId: bob, eventId: "$e9", threadId: "", isPrivate: false, ts: 5 };
    const json = encoder.encode('{"type":"m.tag","content":{"tags":{"u.new":{}}}}');
    await rig.poll(alice, [rig.join("!a", { receipts: [receipt], accountData: [{ type: "m.tag", json }] })]);
    receipts.release();
    accountData.release();
    const second = await rig.sync(alice, {}, { pos: (await first).pos });
    expect(JSON.stringify(second.extensions["receipts"])).toContain("$e9");
    expect(JSON.stringify(second.extensions["account_data"])).toContain("u.new");
  });

  test("[CON-33] a device list that changes while the device is read is told", async () => {
    await makeRoom("!a");
    const { reached, release } = held.hold("loadDevice");
    const first = rig.sync(alice, { lists: { all: LIST }, ...DEVICE_LISTS });
    await reached;
    await rig.poll(alice, [], { deviceListsChanged: ["@carol:hs"] });
    release();
    const second = await rig.sync(alice, {}, { pos: (await first).pos });
    expect(changedLists(second)).toEqual(["@carol:hs"]);
  });

  test("[CON-34] a room joined while the user is read from storage is listed and live", async () => {
    await makeRoom("!a");
    const { reached, release } = held.hold("loadUser");
    const first = rig.sync(alice, { lists: { all: LIST } });
    await reached;
    await makeRoom("!b");
    await rig.poll(alice, [leave("!a", alice)]);
    release();
    const given = await first;
    expect(given.lists["all"]?.ops).toEqual([{ op: "SYNC", range: [0, 0], room_ids: ["!b"] }]);
    await rig.poll(bob, [rig.join("!b", { timeline: [say("live")] })]);
    const second = await rig.sync(alice, {}, { pos: given.pos });
    expect(second.rooms["!b"]?.timeline?.map(({ content }) => content)).toEqual([{ body: "live" }]);
  });

  test("[CON-35] an invite to a room that nobody here has in memory is listed, and stays when others go", async () => {
    await makeRoom("!a");
    await makeRoom("!far", [bob]);
    const first = await rig.sync(alice, { lists: { all: LIST } });
    await invite("!far", "come in");
    const second = await rig.sync(alice, {}, { pos: first.pos });
    expect(second.lists["all"]).toEqual({
      count: 2,
      ops: [
        { op: "DELETE", index: 1 },
        { op: "INSERT", index: 0, room_id: "!far" },
      ],
    });
    expect(second.rooms["!far"]).toMatchObject({ initial: true, name: "come in" });
  });

  test("[CON-36] a user who could not be read is read again for the next request", async () => {
    await makeRoom("!a");
    held.fail("loadUser", new SyncError("storage_unavailable", "made up"));
    const failed = rig.sync(alice, { lists: { all: LIST } }).catch((error: unknown) => error);
    expect(await failed).toMatchObject({ code: "storage_unavailable" });
    expect((await rig.sync(alice, { lists: { all: LIST } })).lists["all"]?.count).toBe(1);
  });

  test("[CON-37] device lists that nobody was told of survive every request of a connection without them", async () => {
    await makeRoom("!a");
    const toDevice = { to_device: { enabled: true } };
    const first = await rig.sync(alice, { lists: { all: LIST }, extensions: toDevice });
    await rig.poll(alice, [], { deviceListsChanged: ["@carol:hs"] });
    await rig.sync(alice, {}, { pos: first.pos, timeoutMs: 1 });
    const second = await rig.sync(alice, {}, { pos: first.pos });
    const third = await rig.sync(alice, DEVICE_LISTS, { pos: second.pos });
    expect(changedLists(third)).toEqual(["@carol:hs"]);
    expect(rig.stores.db.deviceLists.size).toBe(1);
    await rig.sync(alice, {}, { pos: third.pos });
    await rig.nodes.settled();
    expect(rig.stores.db.deviceLists.size).toBe(0);
  });

  test("[CON-38] what an extension missed while it was off is told when it is on again", async () => {
    await makeRoom("!a");
    const all = { e2ee: { enabled: true }, account_data: { enabled: true } };
    const off = { e2ee: { enabled: false }, account_data: { enabled: false } };
    const first = await rig.sync(alice, { lists: { all: LIST }, extensions: all });
    const second = await rig.sync(alice, { extensions: off }, { pos: first.pos });
    const json = encoder.encode('{"type":"m.tag","content":{"tags":{"u.new":{}}}}');
    await rig.poll(alice, [rig.join("!a", { accountData: [{ type: "m.tag", json }] })], {
      deviceListsChanged: ["@carol:hs"],
    });
    const third = await rig.sync(alice, {}, { pos: second.pos });
    expect(third.extensions).toEqual({});
    const fourth = await rig.sync(alice, { extensions: all }, { pos: third.pos });
    expect(changedLists(fourth)).toEqual(["@carol:hs"]);
    expect(JSON.stringify(fourth.extensions["account_data"])).toContain("u.new");
  });

  test("[CON-39] a request that asks to remember too much is refused, and the connection goes on", async () => {
    await makeRoom("!a");
    const lists = (prefix: string) =>
      Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`${prefix}${index}`, LIST]));
    const first = await rig.sync(alice, { lists: lists("a") });
    expect(await rig.syncError(alice, { lists: lists("b") }, first.pos)).toBe("invalid_param");
    await rig.poll(bob, [rig.join("!a", { timeline: [say("live")] })]);
    const second = await rig.sync(alice, {}, { pos: first.pos });
    expect(second.rooms["!a"]?.timeline?.map(({ content }) => content)).toEqual([{ body: "live" }]);
  });

  test("[CON-40] who was kicked while the host was away is told the end, and nothing of what came after", async () => {
    await makeRoom("!a");
    await makeRoom("!b");
    const client = new NaiveClient();
    client.apply(await rig.sync(alice, { lists: { all: LIST } }));
    await rig.nodes.restartHost("sync");
    const kick = rig.member(alice, "leave", bob);
    await rig.poll(bob, [rig.join("!a", { timeline: [kick, rename("secret"), say("secret")] })]);
    const response = await rig.sync(alice, {}, { pos: client.pos });
    expect(response.rooms["!a"]?.timeline?.map(({ event_id: id }) => id)).toEqual([kick.id]);
    expect(JSON.stringify(response)).not.toContain("secret");
  });

  test("[CON-41] state told outside of any timeline while nobody watched sends the room anew", async () => {
    await makeRoom("!a");
    const first = await rig.sync(alice, { lists: { all: LIST } });
    rig.nodes.killHost("sync");
    await rig.nodes.hostUp("sync");
    await rig.poll(alice, [rig.join("!a", { state: [rename("healed")] })]);
    const second = await rig.sync(alice, {}, { pos: first.pos });
    expect(second.rooms["!a"]).toMatchObject({ initial: true, name: "healed" });
  });

  test("[CON-42] a to-device position ahead of the database is none of it: nothing is deleted, all is sent", async () => {
    const toDevice = [{ type: "m.x", sender: bob, json: encoder.encode('{"type":"m.x","sender":"@bob:hs"}') }];
    await makeRoom("!a");
    await rig.poll(alice, [], { toDevice });
    const extensions = { to_device: { enabled: true, since: "e_999999" } };
    const first = await rig.sync(alice, { lists: { all: LIST }, extensions });
    expect(first.extensions["to_device"]?.["events"]).toHaveLength(1);
    expect(rig.stores.db.toDevice).toHaveLength(1);
    const since = first.extensions["to_device"]?.["next_batch"];
    const second = await rig.sync(alice, { extensions: { to_device: { since } } }, { pos: first.pos });
    await rig.nodes.settled();
    expect(second.extensions["to_device"]).toEqual({ next_batch: since });
    expect(rig.stores.db.toDevice).toHaveLength(0);
  });

  test("[CON-43] parameters count from the older response that answered them, also after a crash", async () => {
    for (const name of ["!a", "!b", "!c"]) await makeRoom(name);
    const client = new NaiveClient();
    const ranges = (end: number) => ({ lists: { all: { ranges: [[0, end]] } } });
    client.apply(await rig.sync(alice, { lists: { all: LIST } }));
    await rig.sync(alice, ranges(0), { pos: client.pos });
    // Answered with the response that was lost; what was asked for comes next.
    client.apply(await rig.sync(alice, ranges(1), { pos: client.pos }));
    await rig.nodes.restartHost("sync");
    client.apply(await rig.sync(alice, {}, { pos: client.pos }));
    expect(client.window("all", [[0, 1]])).toEqual(["!c", "!b"]);
    expect(client.problems).toEqual([]);
  });

  test("[CON-44] a user actor that dies while a response is being stored: it is made again, whole and once", async () => {
    await makeRoom("!a");
    await makeRoom("!b");
    const client = new NaiveClient();
    client.apply(await rig.sync(alice, { lists: { all: { ...LIST, ranges: [[0, 0]] } } }));
    const { reached, release } = heldConnections.hold("save");
    await rig.poll(bob, [rig.join("!b", { timeline: [say("one")] })]);
    const second = rig.sync(alice, { lists: { all: { ranges: [[0, 1]] } } }, { pos: client.pos });
    await reached;
    const load = held.hold("loadUser");
    rig.nodes.tell(userAddress(alice), { type: "attach" });
    await load.reached;
    // The answer of the old store arrives while everything is being made anew.
    const timelines = held.hold("loadTimelines");
    load.release();
    await timelines.reached;
    release();
    await rig.nodes.settled();
    timelines.release();
    client.apply(await second);
    await rig.poll(bob, [rig.join("!b", { timeline: [say("two")] })]);
    client.apply(await rig.sync(alice, {}, { pos: client.pos }));
    client.apply(await rig.sync(alice, {}, { pos: client.pos }));
    expect(client.problems).toEqual([]);
    expect(client.window("all", [[0, 1]])).toEqual(["!b", "!a"]);
    const bodies = client.rooms.get("!b")?.timeline.map(({ content }) => (content as { body: string }).body);
    expect(bodies).toEqual(["first of !b", "one", "two"]);
  });

  test("[CON-45] who is kicked while the room is read is shown it as it was, without state", async () => {
    await makeRoom("!a");
    const client = new NaiveClient();
    const { reached, release } = held.hold("loadTimelines");
    const first = rig.sync(alice, { lists: { all: LIST } });
    await reached;
    const kick = rig.member(alice, "leave", bob);
    await rig.poll(bob, [rig.join("!a", { timeline: [kick, rename("secret"), say("secret")] })]);
    release();
    const given = await first;
    client.apply(given);
    expect(given.rooms["!a"]).toMatchObject({ initial: true, name: "old name", joined_count: 2 });
    expect(given.rooms["!a"]?.required_state).toBeUndefined();
    const second = await rig.sync(alice, {}, { pos: given.pos });
    client.apply(second);
    expect(second.rooms["!a"]?.timeline?.map(({ event_id: id }) => id)).toEqual([kick.id]);
    expect(JSON.stringify([given, second])).not.toContain("secret");
    expect(client.lists.get("all")?.count).toBe(0);
    expect(client.problems).toEqual([]);
  });
});
