import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomNid, UserId } from "#src/protocol/ids.ts";
import type { IngestStore, RetentionPlace, RetentionStore, RoomReader } from "#src/ports/stores.ts";
import type { Database } from "#db/connection.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { createRetentionStore } from "#db/retention-repository.ts";
import { createRoomReader } from "#db/room-repository.ts";
import { connectTestDatabase, databaseDeps, withPglite, withPostgres } from "#test/support/database.ts";
import { roomMeta, stateRowOf, storedEvent, transaction, userRoom } from "#test/support/stored-samples.ts";
import { LIMIT_MS } from "./storage-rig.ts";

const ALICE = "@alice:x" as UserId;
const DEVICE = { userId: ALICE, deviceId: "D" as DeviceId };
const room = (nid: number): RoomNid => nid as RoomNid;
const COMMITS = 60;
const PER_COMMIT = 5;
const LAST = 100_000;
const KEEP = { ours: 120, others: 40 };

for (const server of [withPostgres, withPglite]) {
  describe(`retention on ${server === withPostgres ? "PostgreSQL" : "PGlite"}`, () => {
    let db: Database;
    let ingest: IngestStore;
    let reader: RoomReader;
    let retention: RetentionStore;
    const topics: StoredEvent[] = [];

    /** Polls that each bring some events; the first of a poll has its token, some have state among them. */
    async function talk(nid: number, from: number): Promise<void> {
      for (let commit = 0; commit < COMMITS; commit += 1) {
        const first = from + commit * PER_COMMIT;
        const events = Array.from({ length: PER_COMMIT }, (_, index) => {
          const isTopic = commit % 10 === 3 && index === 2;
          return storedEvent(nid, first + index, {
            prevBatch: index === 0 ? `t${first}` : null,
            ...(isTopic ? { type: "m.room.topic", stateKey: "" } : {}),
          });
        });
        const state = events.filter(({ stateKey }) => stateKey !== null);
        topics.push(...state);
        await ingest.commit(
          transaction(first + PER_COMMIT - 1, { events, state: state.map((event) => stateRowOf(event)) }),
        );
      }
    }

    async function walk(
      keep: Parameters<RetentionStore["trim"]>[1] = KEEP,
    ): Promise<{ events: number; receipts: number }> {
      const removed = { events: 0, receipts: 0 };
      for (let from: RetentionPlace | null | undefined; from !== null;) {
        const { events, receipts, next } = await retention.trim(from ?? null, keep);
        removed.events += events;
        removed.receipts += receipts;
        from = next;
      }
      return removed;
    }

    const timeline = async (nid: number, limit: number, upTo = LAST): ReturnType<RoomReader["loadTimelines"]> =>
      reader.loadTimelines([{ nid: room(nid), upTo, limit }]);

    beforeAll(async () => {
      db = connectTestDatabase(await (await server()).createDatabase(), { prepare: false });
      await migrateDatabase(db, databaseDeps.logger);
      ingest = createIngestStore(db, { makeWriterId: () => "tests" });
      reader = createRoomReader(db, databaseDeps);
      retention = createRetentionStore(db);
      await ingest.loadHead();
      const member = (nid: number, pos: number, userId: string, membership: "join" | "leave"): StoredEvent =>
        storedEvent(nid, pos, {
          type: "m.room.member",
          stateKey: userId,
          sender: userId,
          membership,
          inTimeline: false,
        });
      const members = [member(1, 1, ALICE, "join"), member(1, 2, "@stays:y", "join"), member(1, 3, "@left:y", "leave")];
      const receipt = (nid: number, userId: string, pos: number) => ({
        nid: room(nid),
        userId: userId as UserId,
        eventId: "$e",
        threadId: "",
        isPrivate: false,
        ts: 1,
        pos,
      });
      await ingest.commit(
        transaction(50, {
          rooms: [1, 2, 3].map((nid) => ({ meta: roomMeta(nid), isNew: true })),
          events: members,
          state: members.map((event) => stateRowOf(event)),
          userRooms: [userRoom(ALICE, 1, { membership: "join" }), userRoom(ALICE, 2, { membership: "leave" })],
          receipts: [
            receipt(1, ALICE, 10),
            receipt(1, "@stays:y", 11),
            receipt(1, "@left:y", 12),
            receipt(2, "@stays:y", 13),
          ],
          sinces: [{ ...DEVICE, since: "s", pos: 50 }],
        }),
      );
      await talk(1, 1000);
      await talk(2, 2000);
      await ingest.commit(transaction(3000, { events: [storedEvent(3, 3000)] }));
    }, LIMIT_MS);
    afterAll(() => db.close(1000), LIMIT_MS);

    test("[OPR-50] with nothing to keep by, events stay; receipts of who is gone, and of rooms of nobody here, go", async () => {
      expect(await walk(null)).toEqual({ events: 0, receipts: 2 });
      const left = await reader.loadReceipts([room(1), room(2)]);
      expect(left.map(({ userId }) => userId).toSorted()).toEqual([ALICE, "@stays:y"]);
    });

    test("[OPR-51] the newest events of each room stay, fewer where nobody of ours is; what stays begins with a gap and a token", async () => {
      const { events } = await walk();
      expect(events).toBeGreaterThan(300);
      for (const [nid, kept] of [
        [1, KEEP.ours],
        [2, KEEP.others],
      ] as const) {
        const [chunk] = await timeline(nid, 1000);
        expect(chunk?.events.length).toBeGreaterThanOrEqual(kept);
        expect(chunk?.events.length).toBeLessThan(kept + 2 * PER_COMMIT);
        expect(chunk?.hasMore).toBe(false);
        const [first] = chunk?.events ?? [];
        expect(first?.gapBefore).toBe(true);
        expect(first?.prevBatch).toBe(`t${first?.pos}`);
        expect(chunk?.events.slice(1).some(({ gapBefore }) => gapBefore)).toBe(false);
      }
      expect((await timeline(3, 10))[0]?.events).toHaveLength(1);
      const [few] = await timeline(1, 10);
      expect(few).toMatchObject({ hasMore: true });
      expect(few?.events[0]?.gapBefore).toBe(false);
    });

    test("[OPR-52] state stays, current or not, and an old event of it is still known", async () => {
      const current = await reader.loadState(
        [1, 2].map((nid) => ({ nid: room(nid), entries: [["m.room.topic", ""]] as const })),
      );
      expect(current).toHaveLength(2);
      const ids = topics.map(({ id }) => id);
      expect(await ingest.knownEvents(ids)).toEqual(new Set(ids));
      // State may fall back to an event of long ago.
      const [oldest] = topics;
      if (oldest === undefined) throw new Error("there are topics");
      await ingest.commit(transaction(4000, { state: [stateRowOf(oldest, { pos: 4000 })] }));
      const [back] = await reader.loadState([{ nid: room(1), entries: [["m.room.topic", ""]] }]);
      expect(back?.id).toBe(oldest.id);
    });

    test("[OPR-53] who reads from before what stays is told of a gap at every place that is left", async () => {
      const [before] = await timeline(2, 50, 2100);
      expect(before?.events[0]?.gapBefore).toBe(true);
      expect(before?.events.length).toBeLessThanOrEqual(PER_COMMIT);
      expect(before?.hasMore).toBe(false);
    });

    test("[OPR-54] walked again nothing goes, and a redaction leaves the gap", async () => {
      expect(await walk()).toEqual({ events: 0, receipts: 0 });
      const [chunk] = await timeline(1, 1000);
      const first = chunk?.events[0];
      if (first === undefined) throw new Error("there are events");
      await ingest.commit(transaction(4001, { redacted: [{ ...first, json: new Uint8Array(Buffer.from("{}")) }] }));
      const again = (await timeline(1, 1000))[0]?.events[0];
      expect(again).toMatchObject({ id: first.id, gapBefore: true });
      expect(again?.json).toHaveLength(2);
    });

    test("[OPR-57] the embedded database uses the space of removed rows again, PostgreSQL sees to that itself", async () => {
      const own = createRetentionStore(db, server === withPglite);
      const deliver = async (from: number): Promise<number> => {
        await db.query(
          `insert into to_device select ${from} + n, '@u:x', 'D', convert_to(repeat(md5(n::text), 20), 'UTF8')
           from generate_series(1, 2000) n`,
        );
        await db.query("delete from to_device");
        await db.query(server === withPglite ? "select pg_stat_force_next_flush()" : "select 1");
        const [size] = await db.query<{ bytes: number }>("select pg_relation_size('to_device') as bytes");
        return size?.bytes ?? 0;
      };
      if (server === withPostgres) {
        await deliver(0);
        expect(await own.clearUp()).toBeNull();
        return;
      }
      while ((await own.clearUp()) !== null);
      const first = await deliver(0);
      expect(await own.clearUp()).toEqual({ table: "to_device" });
      expect(await own.clearUp()).toBeNull();
      expect(await deliver(10_000)).toBeLessThanOrEqual(first);
    });

    test("[STE-31] sticky events that have expired go, a few at a time, and the others stay", async () => {
      const head = await reader.loadHead();
      const sticky = Array.from({ length: 1203 }, (_, index) => ({
        nid: room(1),
        id: `$s${index}` as EventId,
        sender: ALICE,
        pos: head + index + 1,
        expiresMs: index < 1200 ? 10 : 30,
        json: new Uint8Array(0),
      }));
      await ingest.commit(transaction(head + sticky.length, { sticky }));
      expect(await retention.expireSticky(10)).toBe(0);
      expect(await retention.expireSticky(20)).toBe(1200);
      expect(await reader.loadSticky([room(1)], 0)).toHaveLength(3);
      expect(await retention.expireSticky(31)).toBe(3);
    });
  });
}
