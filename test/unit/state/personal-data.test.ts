import { beforeEach, describe, expect, test } from "bun:test";
import type { RoomNid } from "#src/protocol/ids.ts";
import type { PollBatch, PolledToDevice } from "#src/protocol/poll-batch.ts";
import { pollerKey } from "#src/state/ingest-context.ts";
import { isOnlySinces } from "#src/state/ingest-reducer.ts";
import { IngestWorld, roomUpdate, userUpdate } from "#test/support/ingest-world.ts";
import { bytesOf, joinSection, leaveSection, memberEvent, pollBatch, polledReceipt } from "#test/support/polls.ts";

const ALICE = "@alice:hs";
const BOB = "@bob:hs";
const ROOM = "!room:hs";

let world: IngestWorld;
beforeEach(async () => {
  world = new IngestWorld();
  const timeline = [memberEvent("$alice", ALICE, "join"), memberEvent("$bob", BOB, "join")];
  await world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline })] }));
  await world.apply(pollBatch(BOB, { rooms: [joinSection(ROOM, { timeline })] }));
});

const poll = (userId: string, part: Partial<PollBatch> & { device?: string }) => world.apply(pollBatch(userId, part));
const inRoom = (userId: string, part: Parameters<typeof joinSection>[1]) =>
  poll(userId, { rooms: [joinSection(ROOM, part)] });
const message = (type: string, content: Record<string, unknown>): PolledToDevice => ({
  type,
  sender: BOB,
  json: bytesOf({ type, sender: BOB, content }),
});

describe("receipts", () => {
  test("[PERS-1] only a receipt that moved is stored, private ones as private", async () => {
    const receipts = [polledReceipt(BOB, "$1"), polledReceipt(ALICE, "$1", { isPrivate: true })];
    const first = await inRoom(ALICE, { receipts });
    expect(first.transaction.receipts.map(({ isPrivate }) => isPrivate)).toEqual([false, true]);
    expect(roomUpdate(first, ROOM).receipts).toHaveLength(2);
    expect(isOnlySinces((await inRoom(BOB, { receipts })).transaction)).toBe(true);
    await inRoom(ALICE, { receipts: [polledReceipt(BOB, "$2", { ts: 5 })] });
    await inRoom(BOB, { receipts: [polledReceipt(BOB, "$1", { ts: 4 })] });
    const stored = [...world.stores.db.receipts.values()].find(({ userId }) => userId === BOB);
    expect(stored).toMatchObject({ eventId: "$2" });
  });
});

describe("typing", () => {
  const typing = (...userIds: string[]) => ({
    json: bytesOf({ type: "m.typing", content: { user_ids: userIds } }),
    userIds,
  });

  test("[PERS-2] the first poller speaks for a room until it stops; equal reports are dropped", async () => {
    const first = await inRoom(ALICE, { typing: typing("@x:hs") });
    expect(roomUpdate(first, ROOM).typing?.userIds).toEqual(["@x:hs"]);
    expect(isOnlySinces(first.transaction)).toBe(true);
    expect((await inRoom(ALICE, { typing: typing("@x:hs") })).updates.rooms).toEqual([]);
    expect((await inRoom(BOB, { typing: typing() })).updates.rooms).toEqual([]);
    world.memory.release(pollerKey(ALICE, "DEV"));
    expect((await inRoom(BOB, { typing: typing("@x:hs") })).updates.rooms).toEqual([]);
    expect(roomUpdate(await inRoom(BOB, { typing: typing() }), ROOM).typing?.userIds).toEqual([]);
    expect((await inRoom(ALICE, { typing: typing("@y:hs") })).updates.rooms).toEqual([]);
  });

  test("[PERS-3] a poller whose user leaves the room no longer speaks for it", async () => {
    await inRoom(ALICE, { typing: typing("@x:hs") });
    await poll(ALICE, { rooms: [leaveSection(ROOM, { timeline: [memberEvent("$gone", ALICE, "leave")] })] });
    expect(roomUpdate(await inRoom(BOB, { typing: typing("@z:hs") }), ROOM).typing?.userIds).toEqual(["@z:hs"]);
  });
});

describe("account data", () => {
  const datum = (value: unknown) => ({ type: "m.direct", json: bytesOf({ type: "m.direct", content: value }) });

  test("[PERS-4] what several devices repeat is stored once, the last of a group wins", async () => {
    const first = await world.apply(
      pollBatch(ALICE, { accountData: [datum(1), datum(2)] }),
      pollBatch(ALICE, { device: "TWO", accountData: [datum(2)] }),
    );
    expect(first.transaction.accountData.map(({ json }) => json)).toEqual([datum(2).json]);
    expect(userUpdate(first, ALICE).accountData).toMatchObject([{ roomNid: null, type: "m.direct" }]);
    expect(isOnlySinces((await poll(ALICE, { device: "THREE", accountData: [datum(2)] })).transaction)).toBe(true);
    expect((await poll(BOB, { accountData: [datum(2)] })).transaction.accountData).toHaveLength(1);
  });

  test("[PERS-5] room account data belongs to its room", async () => {
    const { updates, transaction } = await inRoom(ALICE, { accountData: [{ type: "m.tag", json: bytesOf({}) }] });
    const nid: RoomNid = world.meta(ROOM).nid;
    expect(transaction.accountData).toMatchObject([{ roomNid: nid, userId: ALICE }]);
    expect(updates.users[0]?.accountData).toMatchObject([{ roomNid: nid }]);
  });
});

describe("devices", () => {
  test("[PERS-6] to-device messages are stored in order, equal ones too", async () => {
    const messages = [message("m.a", {}), message("m.a", {}), message("m.b", {})];
    const { transaction, updates } = await poll(ALICE, { toDevice: messages });
    expect(transaction.toDevice.map(({ type }) => type)).toEqual(["m.a", "m.a", "m.b"]);
    expect(updates.users[0]?.toDevice).toMatchObject([{ deviceId: "DEV", pos: transaction.toDevice[2]?.pos }]);
  });

  test("[PERS-7] a key request cancelled in the same poll is dropped with its cancellation", async () => {
    const request = (action: string, id: string) =>
      message("m.room_key_request", { action, request_id: id, requesting_device_id: "D" });
    const { transaction } = await poll(ALICE, {
      toDevice: [
        request("request_cancellation", "0"),
        request("request", "1"),
        request("request", "2"),
        request("request_cancellation", "1"),
      ],
    });
    expect(transaction.toDevice.map(({ json }) => json)).toEqual([
      request("request_cancellation", "0").json,
      request("request", "2").json,
    ]);
  });

  test("[PERS-8] the last word on each target counts, and changed beats left in one poll", async () => {
    const { transaction } = await world.apply(
      pollBatch(ALICE, { deviceListsChanged: ["@x:hs"], deviceListsLeft: ["@x:hs", "@y:hs"] }),
      pollBatch(BOB, { deviceListsLeft: ["@x:hs"] }),
    );
    expect(transaction.deviceLists).toMatchObject([
      { userId: ALICE, target: "@x:hs", change: "changed" },
      { userId: ALICE, target: "@y:hs", change: "left" },
      { userId: BOB, target: "@x:hs", change: "left" },
    ]);
  });

  test("[PERS-9] key counts are written when they differ, an explicit empty list included", async () => {
    const first = await poll(ALICE, { otkCounts: '{"a":1}', fallbackKeyTypes: "[]" });
    expect(first.transaction.deviceKeys).toMatchObject([{ otkCounts: '{"a":1}', fallbackKeyTypes: "[]" }]);
    expect(isOnlySinces((await poll(ALICE, { otkCounts: '{"a":1}', fallbackKeyTypes: "[]" })).transaction)).toBe(true);
    const changed = await poll(ALICE, { otkCounts: '{"a":2}', fallbackKeyTypes: "[]" });
    expect(changed.transaction.deviceKeys).toMatchObject([{ otkCounts: '{"a":2}', fallbackKeyTypes: null }]);
    expect(isOnlySinces((await poll(ALICE, {})).transaction)).toBe(true);
  });

  test("[PERS-24] the newest token of a device is stored", async () => {
    const { transaction } = await world.apply(pollBatch(ALICE, { since: "a" }), pollBatch(ALICE, { since: "b" }));
    expect(transaction.sinces).toMatchObject([{ since: "b" }]);
  });
});
