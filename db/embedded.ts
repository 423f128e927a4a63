import { createHash } from "node:crypto";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { SyncError } from "#src/errors.ts";
import type { Logger, Timers } from "#src/ports/basics.ts";
// By path: the package does not export these, and the executable embeds only what is imported.
import initdbWasm from "../node_modules/@electric-sql/pglite/dist/initdb.wasm" with { type: "file" };
import engineData from "../node_modules/@electric-sql/pglite/dist/pglite.data" with { type: "file" };
import engineWasm from "../node_modules/@electric-sql/pglite/dist/pglite.wasm" with { type: "file" };
import { lockDirectory } from "./embedded-lock.ts";
import { EmbeddedServer } from "./embedded-server.ts";

/** Major version of PostgreSQL that the embedded engine is; its files cannot be read by another. */
const ENGINE_VERSION = "18";
const SOCKET_FILE = ".s.PGSQL.5432";
/** `sun_path` holds 108 bytes, its end included. */
const SOCKET_PATH_LIMIT_BYTES = 107;

/** Session settings, the same for all clients: they share one session. */
const SESSION_SETTINGS = "set plan_cache_mode = force_generic_plan";
const ENGINE_SETTINGS = ["shared_buffers = 32MB", "max_wal_size = 128MB", "min_wal_size = 32MB", "jit = off"];

/** The embedded database, while it runs. */
export interface EmbeddedDatabase {
  /** For `connectDatabase`, from any host of this machine's user. */
  connection: string;
  close(): Promise<void>;
}

export interface EmbeddedOptions {
  dataDir: string;
  timers: Timers;
  logger: Logger;
}

/** The directory of the socket: the data directory, or one under the temporary directory when that path is too long. */
function socketDirectory(dataDir: string): string {
  const resolved = realpathSync(dataDir);
  if (Buffer.byteLength(join(resolved, SOCKET_FILE)) <= SOCKET_PATH_LIMIT_BYTES) return resolved;
  const name = createHash("sha256").update(resolved).digest("hex").slice(0, 16);
  return join(tmpdir(), `glissade-${name}`);
}

function prepareSocketDirectory(dataDir: string): string {
  const directory = socketDirectory(dataDir);
  if (directory !== realpathSync(dataDir)) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { uid, mode } = statSync(directory);
    // The temporary directory is everybody's: a directory made by somebody else could be a trap.
    if (uid !== process.getuid?.() || (mode & 0o077) !== 0) {
      throw new SyncError("invalid_param", `${directory} belongs to somebody else: use a shorter SYNCV3_DATA`);
    }
  }
  return directory;
}

/** How to connect to the embedded database of a data directory, once it runs. */
export function embeddedConnection(dataDir: string): string {
  const quoted = socketDirectory(dataDir).replace(/[\\']/g, "\\$&");
  return `host='${quoted}' port=5432 user=postgres dbname=postgres sslmode=disable`;
}

async function readAsset(path: string): Promise<ArrayBuffer> {
  return Bun.file(path).arrayBuffer();
}

interface EngineAssets {
  engine: WebAssembly.Module;
  initdb: WebAssembly.Module;
  data: Blob;
}

async function loadAssets(): Promise<EngineAssets> {
  const [engine, initdb, data] = await Promise.all([
    readAsset(engineWasm).then((bytes) => WebAssembly.compile(bytes)),
    readAsset(initdbWasm).then((bytes) => WebAssembly.compile(bytes)),
    readAsset(engineData),
  ]);
  return { engine, initdb, data: new Blob([data]) };
}

const openEngine = (directory: string, { engine, initdb, data }: EngineAssets): Promise<PGlite> =>
  PGlite.create({
    dataDir: directory,
    pgliteWasmModule: engine,
    initdbWasmModule: initdb,
    fsBundle: data,
    relaxedDurability: false,
    postgresqlconf: ENGINE_SETTINGS,
  });

/** A new database is made aside and moved to its place when it is complete: a start that was killed leaves no half of one. */
async function openDatabase(directory: string): Promise<PGlite> {
  const assets = await loadAssets();
  if (existsSync(directory)) {
    checkEngineVersion(directory);
  } else {
    const draft = `${directory}.new`;
    rmSync(draft, { recursive: true, force: true });
    mkdirSync(draft, { recursive: true, mode: 0o700 });
    await (await openEngine(draft, assets)).close();
    renameSync(draft, directory);
  }
  const db = await openEngine(directory, assets);
  await db.exec(SESSION_SETTINGS);
  return db;
}

function checkEngineVersion(directory: string): void {
  const found = readFileSync(join(directory, "PG_VERSION"), "utf8").trim();
  if (found === ENGINE_VERSION) return;
  throw new SyncError(
    "internal",
    `the database in ${directory} was made by an executable with PostgreSQL ${found} inside, this one has ` +
      `${ENGINE_VERSION}: start the version of Glissade that made it, or move the directory away to begin anew`,
  );
}

function makeDataDirectory(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.W_OK);
  } catch (error) {
    throw new SyncError(
      "invalid_param",
      `${dataDir} is not a directory that can be written: make it one, or choose another (SYNCV3_DATA)`,
      { cause: error },
    );
  }
}

/** Starts PostgreSQL inside this host, on `dataDir`, reachable by a unix socket that only our own user may open. */
export async function startEmbeddedDatabase(options: EmbeddedOptions): Promise<EmbeddedDatabase> {
  const { dataDir, timers, logger } = options;
  makeDataDirectory(dataDir);
  const socketPath = join(prepareSocketDirectory(dataDir), SOCKET_FILE);
  const unlock = await lockDirectory(join(dataDir, "lock"), socketPath, timers);
  try {
    const db = await openDatabase(join(dataDir, "database"));
    // The engine gives out a view of a buffer that it uses again.
    const backend = { execute: async (messages: Uint8Array) => (await db.execProtocolRaw(messages)).slice() };
    const server = await EmbeddedServer.listen(socketPath, backend, { timers, logger });
    logger.info({ path: dataDir }, "embedded database ready");
    let closing: Promise<void> | null = null;
    const close = async (): Promise<void> => {
      await server.close();
      await db.close();
      unlock();
    };
    return {
      connection: embeddedConnection(dataDir),
      close: () => (closing ??= close()),
    };
  } catch (error) {
    unlock();
    if (error instanceof SyncError) throw error;
    throw new SyncError("internal", `the embedded database in ${dataDir} cannot be opened`, { cause: error });
  }
}
