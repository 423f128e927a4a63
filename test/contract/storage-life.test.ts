import { randomUUID } from "node:crypto";
import { type Server, type Socket, connect, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { DeviceId, RoomNid, UserId } from "#src/protocol/ids.ts";
import {
  connectTestDatabase,
  databaseDeps,
  temporaryDirectory,
  withPglite,
  withPostgres,
} from "#test/support/database.ts";
import { storedEvent, transaction } from "#test/support/stored-samples.ts";
import { freePort } from "#test/support/ports.ts";
import type { Database } from "#db/connection.ts";
import { createConnectionStore } from "#db/connection-repository.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { MIGRATIONS, migrateDatabase } from "#db/migrate.ts";
import { createRoomReader } from "#db/room-repository.ts";
import { raiseHead } from "#db/stream-start.ts";
import { claimSecret, deriveKeys, loadEpoch } from "#db/secrets.ts";

const { logger } = databaseDeps;
/** What a promise is rejected with. */
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    return { resolvedTo: await promise };
  } catch (error) {
    return error;
  }
}
const ROOT = join(import.meta.dir, "../..");

/** Stands between a pool and its server, and can lose what passes. */
class CuttingProxy {
  readonly #target: { host: string; port: number };
  readonly #server: Server;
  readonly #pairs = new Set<[Socket, Socket]>();
  /** Called with what a client sends; "lose-answer" passes it on, then cuts once the server has answered. */
  onRequest: (bytes: Uint8Array) => "pass" | "lose-answer" | "cut" = () => "pass";
  isSwallowing = false;

  constructor(target: { host: string; port: number }) {
    this.#target = target;
    this.#server = createServer((client) => this.#bridge(client));
  }

  async listen(): Promise<number> {
    const port = await freePort();
    await new Promise<void>((resolve) => {
      this.#server.listen(port, "127.0.0.1", resolve);
    });
    return port;
  }

  cutAll(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  close(): void {
    this.cutAll();
    this.#server.close();
  }

  #bridge(client: Socket): void {
    const server = connect(this.#target.port, this.#target.host);
    const pair: [Socket, Socket] = [client, server];
    this.#pairs.add(pair);
    let isLosingAnswer = false;
    const cut = (): void => {
      client.destroy();
      server.destroy();
      this.#pairs.delete(pair);
    };
    client.on("data", (bytes: Uint8Array) => {
      const fate = this.onRequest(bytes);
      if (fate === "cut") return cut();
      if (fate === "lose-answer") isLosingAnswer = true;
      if (!this.isSwallowing) server.write(bytes);
    });
    server.on("data", (bytes: Uint8Array) => {
      if (isLosingAnswer) cut();
      else if (!this.isSwallowing) client.write(bytes);
    });
    for (const socket of pair) {
      socket.on("error", cut);
      socket.on("close", cut);
    }
  }
}

/** A loaded machine takes its time. */
const LIMIT_MS = 60_000;
setDefaultTimeout(LIMIT_MS);

describe("storage over its life", () => {
  let connection: string;
  let db: Database;
  const opened: { close(deadlineMs: number): Promise<void> }[] = [];
  const open = (options: Parameters<typeof connectTestDatabase>[1] = {}, to = connection): Database => {
    const made = connectTestDatabase(to, options);
    opened.push(made);
    return made;
  };

  beforeAll(async () => {
    connection = await (await withPostgres()).createDatabase();
    db = open();
    await migrateDatabase(db, logger);
  }, LIMIT_MS);
  afterAll(async () => {
    await Promise.all(opened.map((database) => database.close(1000)));
  });

  /** A pool behind a proxy. */
  async function behindProxy(options: Parameters<typeof connectTestDatabase>[1] = {}) {
    const url = new URL(connection);
    const proxy = new CuttingProxy({ host: url.hostname, port: Number(url.port) });
    url.port = String(await proxy.listen());
    return { proxy, database: open({ maxConnections: 1, ...options }, url.href) };
  }
  const isCommit = (bytes: Uint8Array): boolean => Buffer.from(bytes).includes("cut-here");
  const withMark = (head: number, mark: string) =>
    transaction(head, {
      events: [storedEvent(900, head)],
      sinces: [{ userId: "@cut:x" as UserId, deviceId: "D" as DeviceId, since: mark }],
    });

  test("[STO-66] a start moves the stream to the time of day, so that a restored copy gives out no position twice", async () => {
    const own = await (await withPostgres()).createDatabase();
    const database = open({}, own);
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
      const pools = [0, 1, 2, 3].map(() => open({ maxConnections: 1 }, empty));
      const counts = await Promise.all(pools.map((pool) => migrateDatabase(pool, logger)));
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(MIGRATIONS.length);
    });

    test("[MIG-2] a database of a newer version is refused", async () => {
      const empty = await (await withPostgres()).createDatabase();
      const pool = open({}, empty);
      await migrateDatabase(pool, logger);
      await pool.query("insert into glissade.migrations (id, name) values ($1::int4, 'from the future')", [999]);
      expect(String(await failureOf(migrateDatabase(pool, logger)))).toContain("newer version of Glissade");
    });

    test("[MIG-3] a migration that fails leaves nothing behind", async () => {
      const empty = await (await withPostgres()).createDatabase();
      const pool = open({}, empty);
      await pool.query("create schema glissade");
      expect(await failureOf(migrateDatabase(pool, logger))).toMatchObject({ code: "internal" });
      const tables = await pool.query("select 1 from pg_class where relnamespace = 'glissade'::regnamespace");
      expect(tables).toEqual([]);
      await pool.query("drop schema glissade");
      expect(await migrateDatabase(pool, logger)).toBe(MIGRATIONS.length);
    });

    test("[MIG-4] another program's tables of the same names do not matter", async () => {
      const shared = await (await withPostgres()).createDatabase();
      const pool = open({}, shared);
      await pool.query("create table events (x int)");
      await pool.query("create table rooms (x int)");
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
      const epoch = await loadEpoch(db);
      expect(epoch).toMatch(/^[0-9a-f]{32}$/);
      await claimSecret(db, deriveKeys("first", epoch));
      await claimSecret(db, deriveKeys("first", epoch));
      const refused = claimSecret(db, deriveKeys("second", epoch));
      expect(String(await failureOf(refused))).toContain("SYNCV3_SECRET does not match this database");
    });

    test("[SEC-21] the database holds no access token in the clear", async () => {
      const { tokenKey } = deriveKeys("first", await loadEpoch(db));
      const devices = createDeviceStore(db, { tokenKey, logger });
      await devices.saveToken({
        hash: "h",
        accessToken: "syt_in_the_clear",
        userId: "@a:x" as UserId,
        deviceId: "D" as DeviceId,
        nowMs: 1,
      });
      const [row] = await db.query<{ text: string }>(
        "select encode(sealed, 'escape') || t::text as text from glissade.tokens t",
      );
      expect(row?.text).not.toContain("syt_in");
      const other = createDeviceStore(db, { tokenKey: deriveKeys("second", "x").tokenKey, logger });
      expect(await other.loadDevice("@a:x" as UserId, "D" as DeviceId)).toMatchObject({
        accessToken: null,
        tokenHash: null,
      });
    });
  });

  describe("commits and lost connections", () => {
    test("[CMT-1] a commit whose answer is lost is found out to be stored", async () => {
      const { proxy, database } = await behindProxy();
      const ingest = createIngestStore(database, { makeWriterId: randomUUID });
      const { head } = await ingest.loadHead();
      proxy.onRequest = (bytes) => (isCommit(bytes) ? "lose-answer" : "pass");
      await ingest.commit(withMark(head + 1, "cut-here"));
      proxy.onRequest = () => "pass";
      await ingest.commit(withMark(head + 2, "after"));
      const reader = createRoomReader(db, databaseDeps);
      const [chunk] = await reader.loadTimelines([{ nid: 900 as RoomNid, upTo: head + 2, limit: 10 }]);
      expect(chunk?.events.map(({ pos }) => pos).slice(-2)).toEqual([head + 1, head + 2]);
      proxy.close();
    });

    test("[CMT-2] a commit that never arrived is told, and may be repeated", async () => {
      const { proxy, database } = await behindProxy();
      const ingest = createIngestStore(database, { makeWriterId: randomUUID });
      const { head } = await ingest.loadHead();
      const tx = withMark(head + 1, "cut-here");
      proxy.onRequest = (bytes) => (isCommit(bytes) ? "cut" : "pass");
      expect(await failureOf(ingest.commit(tx))).toMatchObject({ code: "storage_unavailable" });
      proxy.onRequest = () => "pass";
      await ingest.commit(tx);
      await ingest.commit(tx);
      expect(await createRoomReader(db, databaseDeps).loadHead()).toBe(head + 1);
      proxy.close();
    });

    test("[CMT-3] a stored commit is not repeated when the database was away while that was found out", async () => {
      const { proxy, database } = await behindProxy();
      const ingest = createIngestStore(database, { makeWriterId: randomUUID });
      const { head } = await ingest.loadHead();
      const tx = withMark(head + 1, "cut-here");
      let isAway = false;
      proxy.onRequest = (bytes) => {
        if (isAway) return "cut";
        if (!isCommit(bytes)) return "pass";
        isAway = true;
        return "lose-answer";
      };
      expect(await failureOf(ingest.commit(tx))).toMatchObject({ code: "storage_unavailable" });
      expect(await createRoomReader(db, databaseDeps).loadHead()).toBe(head + 1);
      isAway = false;
      proxy.onRequest = () => "pass";
      await ingest.commit(structuredClone(tx));
      await ingest.commit(withMark(head + 2, "next"));
      const [row] = await db.query<{ n: number }>(
        "select sum(event_count)::int4 as n from glissade.events where first_pos = $1::int8",
        [head + 1],
      );
      expect(row?.n).toBe(1);
      proxy.close();
    });

    test("[CMT-4] of two writers the one that came first can no longer write", async () => {
      const first = createIngestStore(db, { makeWriterId: randomUUID });
      const { head } = await first.loadHead();
      const second = createIngestStore(db, { makeWriterId: randomUUID });
      await second.loadHead();
      expect(await failureOf(first.commit(withMark(head + 1, "first")))).toMatchObject({ code: "internal" });
      expect(String(await failureOf(first.commit(withMark(head + 1, "first"))))).toContain("taken over writing");
      await second.commit(withMark(head + 1, "second"));
      expect(await createRoomReader(db, databaseDeps).loadHead()).toBe(head + 1);
    });

    test("[CMT-5] nothing of a refused commit is stored", async () => {
      const ingest = createIngestStore(db, { makeWriterId: randomUUID });
      const { head } = await ingest.loadHead();
      const twice = {
        userId: "@t:x" as UserId,
        deviceId: "D" as DeviceId,
        pos: head + 1,
        type: "m",
        sender: "@s:x",
        json: new Uint8Array(),
      };
      const bad = transaction(head + 2, { events: [storedEvent(901, head + 1)], toDevice: [twice, twice] });
      expect(await failureOf(ingest.commit(bad))).toMatchObject({ code: "internal" });
      expect(await ingest.knownEvents([storedEvent(901, head + 1).id])).toEqual(new Set());
      await ingest.commit(transaction(head + 1, { events: [storedEvent(902, head + 1)] }));
    });

    test("[CMT-6] the quarantine keeps the newest rows only", async () => {
      const ingest = createIngestStore(db, { makeWriterId: randomUUID });
      const { head } = await ingest.loadHead();
      const rejected = (i: number) => ({
        userId: "@q:x" as UserId,
        deviceId: "D" as DeviceId,
        nowMs: i,
        roomId: null,
        section: "rooms\0",
        reason: `reason ${i}`,
        sample: "",
      });
      for (let from = 0; from < 2600; from += 400) {
        const quarantine = Array.from({ length: 400 }, (_, i) => rejected(from + i));
        await ingest.commit(transaction(head, { quarantine }));
      }
      const [row] = await db.query<{ n: number; newest: number; oldest: number }>(
        "select count(*)::int4 as n, max(seen_ms) as newest, min(seen_ms) as oldest from glissade.quarantine",
      );
      expect(row).toEqual({ n: 1000, newest: 2799, oldest: 1800 });
    });
  });

  describe("connections to the database", () => {
    test("[DBC-10] a pool goes on by itself after its connections were cut", async () => {
      const { proxy, database } = await behindProxy({ maxConnections: 3 });
      await Promise.all([1, 2, 3].map(() => database.ping(5000)));
      proxy.cutAll();
      const connections = createConnectionStore(database);
      const tryLoad = () => connections.load("@a:x" as UserId, "D" as DeviceId, "c" as never);
      // Each dead connection may cost one call, until the news of its end has arrived.
      const failures: unknown[] = [];
      let found: unknown = "not read";
      while (found === "not read" && failures.length <= 3) {
        found = await tryLoad().catch((error: unknown) => {
          failures.push(error);
          return "not read";
        });
      }
      expect(found).toBeNull();
      for (const failure of failures) expect(failure).toMatchObject({ code: "storage_unavailable" });
      proxy.close();
    });

    test("[DBC-16] a connection that is cut within a transaction costs that transaction alone", async () => {
      const { proxy, database } = await behindProxy();
      for (let time = 0; time < 3; time += 1) {
        await database.ping(5000).catch(() => undefined);
        proxy.onRequest = (bytes) => (Buffer.from(bytes).includes("cut-here") ? "cut" : "pass");
        const cut = database.snapshot(async (query) => {
          await query("select $1::int4", [1]);
          await query("select $1::text", ["cut-here"]);
        });
        expect(await failureOf(cut)).toMatchObject({ code: "storage_unavailable" });
        proxy.onRequest = () => "pass";
        // What the driver puts off to the next round of the event loop must not fail there.
        await new Promise((resolve) => setImmediate(resolve));
      }
      await database.ping(5000);
      proxy.close();
    });

    test("[DBC-11] a server that does not answer is given up on in time, and used again when it answers", async () => {
      const { proxy, database } = await behindProxy({ deadlineMs: 300 });
      await database.ping(5000);
      proxy.isSwallowing = true;
      const startedMs = performance.now();
      expect(await failureOf(database.query("select $1::int4", [1]))).toMatchObject({ code: "storage_unavailable" });
      expect(performance.now() - startedMs).toBeLessThan(2000);
      proxy.isSwallowing = false;
      await database.ping(5000);
      proxy.close();
    });

    test("[DBC-12] a wrong password or database is told, without the password", async () => {
      const url = new URL(connection);
      url.password = "hunter2";
      const wrong = open({ maxConnections: 1 }, url.href);
      const error = await wrong.ping(5000).catch((caught: unknown) => caught);
      expect(error).toMatchObject({ code: "storage_unavailable" });
      expect(Bun.inspect(error)).toContain("password authentication failed");
      expect(Bun.inspect(error)).not.toContain("hunter2");
      const other = new URL(connection);
      other.pathname = "/nowhere";
      expect(String(await failureOf(open({ maxConnections: 1 }, other.href).ping(5000)))).toContain(
        'database "nowhere" does not exist',
      );
    });

    test("[DBC-13] a closed pool refuses", async () => {
      const closed = open();
      await closed.ping(5000);
      await closed.close(1000);
      expect(await failureOf(closed.ping(5000))).toMatchObject({ code: "storage_unavailable" });
    });

    test("[DBC-14] a snapshot sees one moment", async () => {
      const seen = await db.snapshot(async (query) => {
        const [before] = await query<{ n: number }>("select count(*)::int4 as n from glissade.filters");
        await db.query("insert into glissade.filters values ('@snap:x', $1::text, '1')", [randomUUID()]);
        const [after] = await query<{ n: number }>("select count(*)::int4 as n from glissade.filters");
        return [before?.n, after?.n];
      });
      expect(seen[0]).toBe(seen[1] ?? -1);
      expect(await failureOf(db.snapshot((query) => query("delete from glissade.filters")))).toMatchObject({
        code: "storage_unavailable",
      });
    });

    test("[DBC-15] saving connections does not wait for the disk", async () => {
      const plan = await db.query<{ "QUERY PLAN": string }>(
        "explain verbose select n from (select set_config('synchronous_commit', 'off', true)) s (v), unnest('{1}'::int[]) n where s.v = 'off'",
      );
      expect(plan.map((row) => row["QUERY PLAN"]).join("\n")).toContain("set_config");
      const [setting] = await db.query<{ synchronous_commit: string }>("show synchronous_commit");
      expect(setting?.synchronous_commit).toBe("on");
    });
  });

  test("[EMB-20] several pools share the embedded database without getting in each other's way", async () => {
    const shared = await (await withPglite()).createDatabase();
    const pools = [1, 2, 3, 4].map((maxConnections) => open({ maxConnections }, shared));
    await migrateDatabase(pools[0] as Database, logger);
    await Promise.all(
      pools.flatMap((pool, p) =>
        Array.from({ length: 25 }, async (_, i) => {
          if (i % 2 === 0) {
            await pool.query("insert into glissade.filters values ($1::text, $2::text, 'x')", [`@p${p}:x`, String(i)]);
            return;
          }
          const rolledBack = pool.transaction(async (query) => {
            await query("insert into glissade.filters values ($1::text, $2::text, 'x')", [`@p${p}:x`, String(i)]);
            const [row] = await query<{ n: number }>(
              "select count(*)::int4 as n from glissade.filters where filter_hash = $1::text and user_id = $2::text",
              [String(i), `@p${p}:x`],
            );
            expect(row?.n).toBe(1);
            throw new Error("undo");
          });
          await rolledBack.catch(() => undefined);
        }),
      ),
    );
    const [row] = await (pools[3] as Database).query<{ n: number }>("select count(*)::int4 as n from glissade.filters");
    expect(row?.n).toBe(4 * 13);
  });
});
