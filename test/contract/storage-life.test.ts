import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { databaseDeps, temporaryDirectory, withPglite, withPostgres } from "#test/support/database.ts";
import { storedEvent, transaction } from "#test/support/stored-samples.ts";
import type { Database } from "#db/connection.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { MIGRATIONS, migrateDatabase } from "#db/migrate.ts";
import { raiseHead } from "#db/stream-start.ts";
import { claimSecret, deriveKeys, loadOrigin } from "#db/secrets.ts";
import { LIMIT_MS, StorageRig, failureOf } from "./storage-rig.ts";

const { logger } = databaseDeps;
const ROOT = join(import.meta.dir, "../..");
setDefaultTimeout(LIMIT_MS);

describe("storage over its life", () => {
  let rig: StorageRig;
  beforeAll(async () => {
    rig = await StorageRig.begin();
  }, LIMIT_MS);
  afterAll(() => rig.end());

  test("[STO-66] a start moves the stream to the time of day, so that a restored copy gives out no position twice", async () => {
    const own = await (await withPostgres()).createDatabase();
    const database = rig.open({}, own);
    await migrateDatabase(database, logger);
    const store = createIngestStore(database, { makeWriterId: randomUUID });
    const headAfter = async (nowMs: number): Promise<number> => {
      await raiseHead(database, nowMs);
      return (await store.loadHead()).head;
    };
    const start = await headAfter(1_800_000_000_000);
    await store.commit(transaction(start + 5, { events: [storedEvent(901, start + 5)] }));
    // A clock that was set back takes nothing back.
    expect(await headAfter(1_700_000_000_000)).toBe(start + 5);
    // The copy was made before those five; what begins a second later is beyond them.
    const restart = await headAfter(1_800_000_001_000);
    expect(restart).toBeGreaterThan(start + 1_000_000);
    expect(Number.isSafeInteger(await headAfter(Date.UTC(2200, 0)))).toBe(true);
  });

  describe("migrations", () => {
    test("[MIG-1] processes that start together migrate once", async () => {
      const empty = await (await withPostgres()).createDatabase();
      const pools = [0, 1, 2, 3].map(() => rig.open({ maxConnections: 1 }, empty));
      const counts = await Promise.all(pools.map((pool) => migrateDatabase(pool, logger)));
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(MIGRATIONS.length);
    });

    test("[MIG-2] a database of a newer version is refused", async () => {
      const empty = await (await withPostgres()).createDatabase();
      const pool = rig.open({}, empty);
      await migrateDatabase(pool, logger);
      await pool.query("insert into glissade_migrations (id, name) values ($1::int4, 'from the future')", [999]);
      expect(String(await failureOf(migrateDatabase(pool, logger)))).toContain("newer version of Glissade");
    });

    test("[MIG-3] a migration that fails leaves nothing behind", async () => {
      const empty = await (await withPostgres()).createDatabase();
      const pool = rig.open({}, empty);
      await pool.query("create view txns as select 1");
      expect(await failureOf(migrateDatabase(pool, logger))).toMatchObject({ code: "unusable_setup" });
      const tables = await pool.query(
        "select 1 from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'",
      );
      expect(tables).toEqual([]);
      await pool.query("drop view txns");
      expect(await migrateDatabase(pool, logger)).toBe(MIGRATIONS.length);
    });

    test("[MIG-4] another program's tables of the same names are left alone; a schema of one's own helps", async () => {
      const shared = await (await withPostgres()).createDatabase();
      const pool = rig.open({}, shared);
      await pool.query("create table events (x int)");
      expect(String(await failureOf(migrateDatabase(pool, logger)))).toContain("tables of another program");
      expect(await pool.query("select count(*)::int4 as n from events")).toEqual([{ n: 0 }]);
      await pool.query("create schema ours");
      const own = rig.open({}, `${shared}?options=-csearch_path%3Dours`);
      expect(await migrateDatabase(own, logger)).toBe(MIGRATIONS.length);
      expect(await own.query("select head from ours.meta")).toHaveLength(1);
    });

    test("[MIG-9] a database in which its user may not make tables, or that cannot hold every text, is refused with advice", async () => {
      const own = await (await withPostgres()).createDatabase();
      const owner = rig.open({}, own);
      const name = `guest_${randomUUID().replaceAll("-", "")}`;
      await owner.query(`create role ${name} login password 'guest'`);
      await owner.query("revoke create on schema public from public");
      const guest = new URL(own);
      Object.assign(guest, { username: name, password: "guest" });
      const refusal = await failureOf(migrateDatabase(rig.open({}, guest.href), logger));
      expect(refusal).toMatchObject({ code: "unusable_setup" });
      expect(String(refusal)).toContain("may not make the tables (permission denied for schema public)");
      expect(String(refusal)).not.toContain("guest");
      await owner.query(`drop role ${name}`);

      const latin = `latin_${randomUUID().replaceAll("-", "")}`;
      await owner.query(`create database ${latin} encoding 'LATIN1' locale 'C' template template0`);
      const other = new URL(own);
      other.pathname = `/${latin}`;
      const pool = rig.open({}, other.href);
      const refused = await failureOf(migrateDatabase(pool, logger));
      expect(refused).toMatchObject({ code: "unusable_setup" });
      expect(String(refused)).toContain("the encoding of the database is LATIN1");
      expect(await pool.query("select 1 from pg_tables where schemaname = 'public'")).toEqual([]);
    });

    test("[MIG-6] a schema that was dropped and made again is an empty database", async () => {
      const pool = rig.open({}, await (await withPostgres()).createDatabase());
      await migrateDatabase(pool, logger);
      await pool.query("drop schema public cascade");
      await pool.query("create schema public");
      expect(await migrateDatabase(pool, logger)).toBe(MIGRATIONS.length);
    });

    test("[MIG-5] the generated SQL is that of the schema, and all of it is embedded", async () => {
      await using directory = await temporaryDirectory();
      const copy = join(directory.path, "migrations");
      Bun.spawnSync({ cmd: ["cp", "-r", join(ROOT, "db/migrations"), copy] });
      const files = (): string[] => readdirSync(copy).filter((name) => name.endsWith(".sql"));
      const before = files();
      expect(before.map((name) => name.replace(".sql", "")).sort()).toEqual(MIGRATIONS.map(({ name }) => name));
      const kit = Bun.spawnSync({
        cmd: [
          process.execPath,
          join(ROOT, "node_modules/drizzle-kit/bin.cjs"),
          "generate",
          "--dialect=postgresql",
          `--schema=${join(ROOT, "db/schema.ts")}`,
          // The tool takes a path relative to where it runs.
          "--out=./migrations",
        ],
        cwd: directory.path,
        env: { ...process.env, NODE_PATH: join(ROOT, "node_modules") },
      });
      expect(kit.stdout.toString()).toContain("No schema changes");
      expect(files()).toEqual(before);
    });
  });

  describe("secret", () => {
    test("[SEC-20] the first secret is remembered and every other refused with advice", async () => {
      const { epoch } = await loadOrigin(rig.db);
      expect(epoch).toMatch(/^[0-9a-f]{32}$/);
      await claimSecret(rig.db, deriveKeys("first", epoch));
      await claimSecret(rig.db, deriveKeys("first", epoch));
      const refused = claimSecret(rig.db, deriveKeys("second", epoch));
      expect(String(await failureOf(refused))).toContain("SYNCV3_SECRET does not match this database");
    });

    test("[SEC-21] the database holds no access token in the clear", async () => {
      const { tokenKey } = deriveKeys("first", (await loadOrigin(rig.db)).epoch);
      const devices = createDeviceStore(rig.db, { tokenKey, logger });
      await devices.saveToken({
        hash: "h",
        accessToken: "syt_in_the_clear",
        userId: "@a:x" as UserId,
        deviceId: "D" as DeviceId,
        nowMs: 1,
      });
      const [row] = await rig.db.query<{ text: string }>(
        "select encode(sealed, 'escape') || t::text as text from tokens t",
      );
      expect(row?.text).not.toContain("syt_in");
      const other = createDeviceStore(rig.db, { tokenKey: deriveKeys("second", "x").tokenKey, logger });
      expect(await other.loadDevice("@a:x" as UserId, "D" as DeviceId)).toMatchObject({
        accessToken: null,
        tokenHash: null,
      });
    });
  });

  test("[EMB-20] several pools share the embedded database without getting in each other's way", async () => {
    const shared = await (await withPglite()).createDatabase();
    const pools = [1, 2, 3, 4].map((maxConnections) => rig.open({ maxConnections }, shared));
    await migrateDatabase(pools[0] as Database, logger);
    await Promise.all(
      pools.flatMap((pool, p) =>
        Array.from({ length: 25 }, async (_, i) => {
          if (i % 2 === 0) {
            await pool.query("insert into filters values ($1::text, $2::text, 'x')", [`@p${p}:x`, String(i)]);
            return;
          }
          const rolledBack = pool.transaction(async (query) => {
            await query("insert into filters values ($1::text, $2::text, 'x')", [`@p${p}:x`, String(i)]);
            const [row] = await query<{ n: number }>(
              "select count(*)::int4 as n from filters where filter_hash = $1::text and user_id = $2::text",
              [String(i), `@p${p}:x`],
            );
            expect(row?.n).toBe(1);
            throw new Error("undo");
          });
          await rolledBack.catch(() => undefined);
        }),
      ),
    );
    const [row] = await (pools[3] as Database).query<{ n: number }>("select count(*)::int4 as n from filters");
    expect(row?.n).toBe(4 * 13);
  });
});
