import { afterAll, describe, expect, test } from "bun:test";
import type { Database } from "#db/connection.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { MIGRATIONS, migrateDatabase, requireSchema } from "#db/migrate.ts";
import { databaseDeps, withPglite, withPostgres } from "#test/support/database.ts";
import { ALICE, DEVICE, filled, FreshDatabases, KEY, PHONE, sums } from "#test/support/filled-database.ts";
import { transaction } from "#test/support/stored-samples.ts";
import { LIMIT_MS, failureOf } from "./storage-rig.ts";

const databases = new FreshDatabases();
afterAll(() => databases.close(), LIMIT_MS);
const fresh = (server: typeof withPostgres): Promise<Database> => databases.on(server);

/** A database as an executable before that migration left it, with what it could know. */
const OLDER = `
  alter table devices drop column rooms_due, drop column imported_pos, drop column imported_since,
    drop column paused_ms, drop column since_pos;
  alter table meta drop column imported_pos, drop column secret_rotated_ms, drop column moved_to, drop column moved_ms;
  drop table audit, sticky_events;
  delete from glissade_migrations where id > 4`;

for (const server of [withPostgres, withPglite]) {
  describe(`an older schema with data on ${server === withPostgres ? "PostgreSQL" : "PGlite"}`, () => {
    test(
      "[MIG-7] is brought to this one whatever interrupts it, and everything in it goes on",
      async () => {
        const db = await filled(await fresh(server));
        await db.query("update devices set since_pos = null");
        const before = await sums(db);
        await db.query(OLDER);
        await db.query("create view audit as select 1");
        expect(await failureOf(migrateDatabase(db, databaseDeps.logger))).toMatchObject({ code: "internal" });
        expect(await db.query("select max(id) as id from glissade_migrations")).toEqual([{ id: 5 }]);
        expect(await failureOf(requireSchema(db))).toMatchObject({ message: expect.stringContaining("older schema") });
        await db.query("drop view audit");
        expect(await migrateDatabase(db, databaseDeps.logger)).toBe(MIGRATIONS.length - 6);
        expect(await sums(db)).toEqual(before);
        const devices = createDeviceStore(db, { tokenKey: KEY, logger: databaseDeps.logger });
        expect(await devices.loadDevice(ALICE, PHONE)).toMatchObject({
          since: "s\u001a1",
          roomsAreDue: false,
          pausedMs: null,
          accessToken: "token 2",
        });
        const ingest = createIngestStore(db, { makeWriterId: () => "upgraded" });
        expect((await ingest.loadHead()).head).toBe(2000);
        await ingest.commit(transaction(2001, { sinces: [{ ...DEVICE, since: "s2", pos: 2001 }] }));
        expect((await devices.loadDevice(ALICE, PHONE))?.since).toBe("s2");
      },
      LIMIT_MS,
    );
  });
}
