import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { systemTimers } from "#src/system.ts";
import { connectTestDatabase, databaseDeps, temporaryDirectory } from "#test/support/database.ts";
import { storedEvent, transaction } from "#test/support/stored-samples.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { lockDirectory } from "#db/embedded-lock.ts";
import { embeddedConnection, startEmbeddedDatabase } from "#db/embedded.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { createRoomReader } from "#db/room-repository.ts";

const { logger } = databaseDeps;
const LIMIT_MS = 180_000;
const start = (dataDir: string) => startEmbeddedDatabase({ dataDir, timers: systemTimers, logger });

/**
 * A process of its own that opens the database, commits without pause and says how far it is:
 * `embedded-writer.ts DIRECTORY`, built or not.
 */
const WRITER = join(import.meta.dir, "../support/embedded-writer.ts");

async function runWriter(command: string[], dataDir: string, commitsWanted: number): Promise<number> {
  await using writer = Bun.spawn({ cmd: [...command, dataDir], stdout: "pipe", stderr: "inherit" });
  let last = 0;
  let text = "";
  for await (const bytes of writer.stdout) {
    text += Buffer.from(bytes).toString();
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    last = Math.max(last, ...lines.map(Number));
    // What it says before the signal reaches it counts: the pipe is read to its end.
    if (last >= commitsWanted) writer.kill("SIGKILL");
  }
  await writer.exited;
  expect(last).toBeGreaterThanOrEqual(commitsWanted);
  return last;
}

async function headOf(dataDir: string): Promise<number> {
  const embedded = await start(dataDir);
  const db = connectTestDatabase(embedded.connection, { maxConnections: 1 });
  const head = await createRoomReader(db, databaseDeps).loadHead();
  await db.close(1000);
  await embedded.close();
  return head;
}

describe("embedded database", () => {
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let dataDir: string;
  beforeAll(async () => {
    directory = await temporaryDirectory();
    dataDir = join(directory.path, "it's data");
  });
  afterAll(() => directory[Symbol.asyncDispose]());

  test(
    "[EMB-30] what is stored is there after a stop and a start",
    async () => {
      const first = await start(dataDir);
      expect(first.connection).toBe(embeddedConnection(dataDir));
      const db = connectTestDatabase(first.connection);
      await migrateDatabase(db, logger);
      const ingest = createIngestStore(db, { makeWriterId: randomUUID });
      await ingest.commit(
        transaction(1, {
          events: [storedEvent(1, 1)],
          sinces: [{ userId: "@a:x" as UserId, deviceId: "D" as DeviceId, since: "s", pos: 1 }],
        }),
      );
      await db.close(1000);
      await first.close();
      await first.close();
      expect(existsSync(join(dataDir, "lock"))).toBe(false);
      expect(await headOf(dataDir)).toBe(1);
    },
    LIMIT_MS,
  );

  test(
    "[EMB-31] only its owner may reach it, and no second process may open it",
    async () => {
      const embedded = await start(dataDir);
      expect(statSync(join(dataDir, ".s.PGSQL.5432")).mode & 0o777).toBe(0o600);
      expect(statSync(join(dataDir, "database")).mode & 0o077).toBe(0);
      const second = await start(dataDir).catch((error: unknown) => error);
      expect(second).toMatchObject({ code: "internal" });
      expect(String(second)).toContain("already uses this data directory");
      await embedded.close();
    },
    LIMIT_MS,
  );

  test(
    "[EMB-32] a killed process has lost nothing it was told was stored, and its lock does not matter",
    async () => {
      for (const commits of [50, 120]) {
        const before = existsSync(dataDir) ? await headOf(dataDir) : 0;
        const acknowledged = await runWriter([process.execPath, WRITER], dataDir, before + commits);
        expect(existsSync(join(dataDir, "lock"))).toBe(true);
        const head = await headOf(dataDir);
        // The last one may be stored without its answer having been seen.
        expect(head - acknowledged).toBeWithin(0, 50);
      }
    },
    LIMIT_MS,
  );

  test(
    "[EMB-33] it runs from inside an executable",
    async () => {
      await using built = await temporaryDirectory();
      const executable = join(built.path, "writer");
      const compiled = Bun.spawnSync({
        cmd: [
          process.execPath,
          "build",
          "--compile",
          "--minify",
          "--bytecode",
          "--format=esm",
          WRITER,
          `--outfile=${executable}`,
        ],
        cwd: built.path,
      });
      expect(compiled.exitCode).toBe(0);
      const fresh = join(built.path, "data");
      const acknowledged = await runWriter([executable], fresh, 20);
      expect(await headOf(fresh)).toBeGreaterThanOrEqual(acknowledged);
    },
    LIMIT_MS,
  );

  test(
    "[EMB-35] what a start that was killed had begun to write stands in nobody's way",
    async () => {
      const head = await headOf(dataDir);
      for (const left of ["", "42\n", "no number\n"]) {
        writeFileSync(join(dataDir, "database/postmaster.pid"), left);
        writeFileSync(join(dataDir, "database/postgresql.conf"), "shared_buff");
        expect(await headOf(dataDir)).toBe(head);
      }
    },
    LIMIT_MS,
  );

  test("[EMB-34] files of another engine version are refused with advice", async () => {
    await using other = await temporaryDirectory();
    mkdirSync(join(other.path, "database"));
    writeFileSync(join(other.path, "database", "PG_VERSION"), "17\n");
    const error = await start(other.path).catch((caught: unknown) => caught);
    expect(String(error)).toContain("PostgreSQL 17");
    expect(existsSync(join(other.path, "lock"))).toBe(false);
  });
});

describe("lockDirectory", () => {
  const lockIn = (path: string) => lockDirectory(join(path, "lock"), join(path, "socket"), systemTimers);

  test("[EMB-40] a file of a dead process, of another machine or of nonsense is replaced", async () => {
    await using directory = await temporaryDirectory();
    const { pid } = Bun.spawnSync({ cmd: ["true"] });
    for (const stale of [
      "",
      "nonsense",
      JSON.stringify({ pid, realm: "", started: "1" }),
      JSON.stringify({ pid: 1, realm: "elsewhere", started: "1" }),
    ]) {
      writeFileSync(join(directory.path, "lock"), stale);
      const unlock = await lockIn(directory.path);
      unlock();
      expect(existsSync(join(directory.path, "lock"))).toBe(false);
    }
  });

  test("[EMB-41] a living process keeps it, one that got its number later does not", async () => {
    await using directory = await temporaryDirectory();
    await using other = Bun.spawn({ cmd: ["sleep", "30"] });
    const stat = await Bun.file(`/proc/${other.pid}/stat`).text();
    const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
    const unlock = await lockIn(directory.path);
    const own = (await Bun.file(join(directory.path, "lock")).json()) as { realm: string };
    unlock();
    writeFileSync(join(directory.path, "lock"), JSON.stringify({ pid: other.pid, realm: own.realm, started }));
    const refused = await lockIn(directory.path).catch((error: unknown) => error);
    expect(String(refused)).toContain(`process ${other.pid} already uses`);
    writeFileSync(join(directory.path, "lock"), JSON.stringify({ pid: other.pid, realm: own.realm, started: "1" }));
    (await lockIn(directory.path))();
  });
});
