import { afterEach, describe, expect, test } from "bun:test";
import type { EventFields } from "#src/protocol/events.ts";
import type { UserId } from "#src/protocol/ids.ts";
import { NaiveClient } from "#test/support/naive-client.ts";
import { SyncRig } from "#test/support/sync-rig.ts";

const EVENTS = 50_000;
const PER_POLL = 500;
const ROOMS = 20;
const STORED_PER_ROOM = 200;
/**
 * An event takes about half a kilobyte: kept for the silent client, all of them would take more than 25 MB. Their ids stay, for
 * whoever polls them again, and are some 5 MB.
 */
const ALLOWED_GROWTH_BYTES = 12 * 1024 * 1024;
const LIST = { ranges: [[0, 19]], sort: ["by_recency"], timeline_limit: 10, required_state: [["m.room.name", ""]] };
const LIMIT_MS = 120_000;

let rig: SyncRig | null = null;

afterEach(async () => {
  await rig?.stop();
  rig = null;
});

/** What is in use when all that can be freed is. */
function heapBytes(): number {
  for (let round = 0; round < 3; round += 1) Bun.gc(true);
  return process.memoryUsage().heapUsed;
}

describe("a client that never asks again", () => {
  test(
    "[FAULT-70] costs no memory for what it misses, and goes on with its position",
    async () => {
      const node = await SyncRig.start();
      rig = node;
      const [alice, bob] = [await node.addUser("alice"), await node.addUser("bob")];
      const roomIds = Array.from({ length: ROOMS }, (_, index) => `!r${index}`);
      for (const roomId of roomIds) {
        const state = node.roomState(bob, [bob, alice], roomId);
        for (const user of [alice, bob]) await node.poll(user, [node.join(roomId, { state })]);
      }
      const client = new NaiveClient();
      client.apply(await node.sync(alice, { lists: { all: LIST } }));
      const flow = async (count: number): Promise<void> => {
        for (let sent = 0; sent < count; sent += PER_POLL) {
          const roomId = roomIds[(sent / PER_POLL) % ROOMS] ?? "";
          await node.poll(bob, [node.join(roomId, { timeline: messages(node, bob) })]);
          forget(node);
        }
      };
      await flow(EVENTS / 10);
      const before = heapBytes();
      await flow(EVENTS);
      expect(heapBytes() - before).toBeLessThan(ALLOWED_GROWTH_BYTES);
      client.apply(await node.sync(alice, {}, { pos: client.pos }));
      expect(client.problems).toEqual([]);
      expect(client.window("all", [[0, ROOMS - 1]])).toHaveLength(ROOMS);
      // Of each room it gets the newest events, and can page back from there.
      for (const room of client.rooms.values()) {
        expect(room.head["limited"]).toBe(true);
        expect(room.timeline).toHaveLength(LIST.timeline_limit);
      }
    },
    LIMIT_MS,
  );
});

const messages = (node: SyncRig, sender: UserId): EventFields[] =>
  Array.from({ length: PER_POLL }, (_, index) =>
    node.event("m.room.message", sender, { msgtype: "m.text", body: `message ${index} ${"x".repeat(300)}` }),
  );

/** The database in memory is none of what is measured: it keeps the newest events of each room, more than are ever read. */
function forget({ stores: { db } }: SyncRig): void {
  db.commits.length = 0;
  for (const events of Map.groupBy(db.events.values(), ({ nid }) => nid).values()) {
    for (const { pos, id, stateKey } of events.slice(0, -STORED_PER_ROOM)) {
      if (stateKey !== null) continue;
      db.events.delete(pos);
      db.eventsById.delete(id);
    }
  }
}
