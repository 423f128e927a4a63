import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { restore } from "#src/hosts/tools/backup-host.ts";
import { port } from "#src/hosts/tools/port-host.ts";
import { reopen } from "#src/hosts/tools/reopen-host.ts";
import { statsText } from "#src/hosts/tools/stats-host.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Database } from "#db/connection.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { MIGRATIONS, migrateDatabase, requireSchema } from "#db/migrate.ts";
import { readStats } from "#db/tools/stats.ts";
import { TABLES } from "#db/tools/tables.ts";
import { vacuumTables } from "#db/tools/vacuum.ts";
import { connectTestDatabase, databaseDeps, withPglite, withPostgres } from "#test/support/database.ts";
import { roomMeta, storedEvent, transaction } from "#test/support/stored-samples.ts";
import { LIMIT_MS, failureOf } from "./storage-rig.ts";

const ALICE = "@alice:x" as UserId;
const PHONE = "PHONE" as DeviceId;
const encoder = new TextEncoder();

for (const server of [withPostgres, withPglite]) {
  describe(`db stats and db vacuum on ${server === withPostgres ? "PostgreSQL" : "PGlite"}`, () => {
    let db: Database;
    beforeAll(async () => {
      db = connectTestDatabase(await (await server()).createDatabase(), { prepare: false });
      await migrateDatabase(db, databaseDeps.logger);
      const ingest = createIngestStore(db, { makeWriterId: () => "tests" });
      await ingest.loadHead();
      const events = Array.from({ length: 300 }, (_, index) => storedEvent(index < 250 ? 1 : 2, index + 1));
      const device = { userId: ALICE, deviceId: PHONE };
      await ingest.commit(
        transaction(1000, {
          rooms: [1, 2].map((nid) => ({ meta: roomMeta(nid), isNew: true })),
          events,
          toDevice: [{ ...device, type: "m.x", sender: "@b:x", json: encoder.encode("{}"), pos: 400 }],
          deviceLists: [{ ...device, target: "@b:x", change: "changed", pos: 401 }],
          sinces: [{ ...device, since: "s1", pos: 1 }],
        }),
      );
    }, LIMIT_MS);
    afterAll(() => db.close(1000), LIMIT_MS);

    test("[OPR-11] says how large what is: tables with indexes, kinds, the largest rooms, devices for which something waits", async () => {
      const stats = await readStats(db);
      expect(stats.tables.map(({ name }) => name).toSorted()).toEqual([...TABLES].toSorted());
      expect(stats.totalBytes).toBe(stats.tables.reduce((sum, { bytes, indexBytes }) => sum + bytes + indexBytes, 0));
      const events = stats.tables.find(({ name }) => name === "events");
      expect(events?.bytes).toBeGreaterThan(0);
      expect(events?.indexes.map(({ name }) => name).toSorted()).toEqual(["events_id_hashes", "events_pkey"]);
      const kinds = Object.fromEntries(stats.kinds.map(({ kind, count }) => [kind, count]));
      expect(kinds).toMatchObject({ "timeline events": 300, "to-device messages": 1, "device-list changes": 1 });
      expect(stats.rooms.map(({ events: count }) => count)).toEqual([250, 50]);
      expect(stats.backlog).toEqual([{ userId: ALICE, deviceId: PHONE, messages: 1, bytes: 2, deviceLists: 1 }]);
      expect(stats).toMatchObject({ devices: 1, users: 1, devicesWithBacklog: 1, roomsDue: 0, rotation: null });
      expect(statsText(stats)).toContain(`${ALICE} ${PHONE}`);
    });

    test("[OPR-13] a database at an older schema, or without one, is refused with advice", async () => {
      await requireSchema(db);
      await db.query("update glissade_migrations set id = -5 where id = (select max(id) from glissade_migrations)");
      expect(await failureOf(requireSchema(db))).toMatchObject({
        message: expect.stringContaining("start this version"),
      });
      await db.query("update glissade_migrations set id = 1000 where id = -5");
      expect(await failureOf(requireSchema(db))).toMatchObject({ message: expect.stringContaining("newer version") });
      await db.query(`update glissade_migrations set id = ${MIGRATIONS.length - 1} where id = 1000`);
    });

    test("[OPR-12] a vacuum goes over every table, and gives back what was deleted", async () => {
      // PostgreSQL's own may be first.
      await db.query("alter table quarantine set (autovacuum_enabled = off)");
      await db.query(
        "insert into quarantine (seen_ms, user_id, device_id, section, reason, sample) select 1, '', '', '', '', repeat('x', 1000) from generate_series(1, 2000)",
      );
      await db.query("delete from quarantine");
      const done = await Array.fromAsync(vacuumTables(db, true));
      expect(done.map(({ name }) => name)).toEqual([...TABLES]);
      const quarantine = done.find(({ name }) => name === "quarantine");
      expect(quarantine?.bytes).toBeLessThan((quarantine?.bytesBefore ?? 0) / 10);
      await Array.fromAsync(vacuumTables(db, false));
      expect((await readStats(db)).kinds[0]?.count).toBe(300);
    });
  });
}

const storage = {
  database: null,
  secret: null,
  oldSecret: null,
  importSecret: null,
  dataDir: "/nowhere/at-all",
  maxConnections: 1,
  idleTimeoutMs: null,
};
const say = { out: () => undefined, err: () => undefined };

test("[OPR-26] what looks like a connection string is taken for no directory, and not quoted", async () => {
  for (const text of ["pgsql://u:hunter2@h/x", "postgres//u:hunter2@h/x", "postgres:u:hunter2@h/x", "u:hunter2@h/x"]) {
    const failure = await failureOf(port({ storage }, text, say));
    expect(failure).toMatchObject({ message: expect.stringContaining("no connection string and no directory") });
    expect(String(failure)).not.toContain("hunter2");
  }
  for (const text of ["data/postgres", "postgresql/data", "./a b"]) {
    expect(await failureOf(port({ storage }, text, say))).toMatchObject({
      message: expect.stringContaining("no embedded database in /nowhere/at-all"),
    });
  }
});

test("[OPR-66] a backup that cannot be read is named by its whole path", async () => {
  expect(await failureOf(restore({ storage }, "no/such-file", say))).toMatchObject({
    code: "invalid_param",
    message: expect.stringMatching(/^\/.*\/no\/such-file cannot be used/),
  });
});

test(
  "[OPR-65] a database that a move has not yet filled is not called one that can be used as it is",
  async () => {
    const connection = await (await withPostgres()).createDatabase();
    const db = connectTestDatabase(connection, { prepare: false });
    await migrateDatabase(db, databaseDeps.logger);
    const said: string[] = [];
    const again = (): Promise<void> =>
      reopen({ storage: { ...storage, database: connection } }, { ...say, out: (text) => void said.push(text) });
    await again();
    expect(said).toEqual([expect.stringContaining("can be used as it is")]);
    await db.query("delete from meta");
    expect(await failureOf(again())).toMatchObject({ message: expect.stringContaining("being moved to (db port)") });
    expect(said).toHaveLength(1);
    await db.close(1000);
  },
  LIMIT_MS,
);
