import { createHash } from "node:crypto";
import { accessSync, constants, mkdirSync, realpathSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SyncError } from "#src/errors.ts";
import type { Logger, Timers } from "#src/ports/basics.ts";
import { openDatabase } from "./embedded-engine.ts";
import { answers, lockDirectory } from "./embedded-lock.ts";
import { EmbeddedServer } from "./embedded-server.ts";

const SOCKET_FILE = ".s.PGSQL.5432";
/** `sun_path` holds 108 bytes, its end included. */
const SOCKET_PATH_LIMIT_BYTES = 107;

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
  /** As in `SessionDeps`. */
  idleOwnerLimitMs?: number;
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
      throw new SyncError("unusable_setup", `${directory} belongs to somebody else: use a shorter SYNCV3_DATA`);
    }
  }
  return directory;
}

/** How to connect to the embedded database of a data directory, once it runs. */
export function embeddedConnection(dataDir: string): string {
  const quoted = socketDirectory(dataDir).replace(/[\\']/g, "\\$&");
  return `host='${quoted}' port=5432 user=postgres dbname=postgres sslmode=disable`;
}

/** True while a process serves the embedded database of a data directory. */
export const isEmbeddedServed = (dataDir: string, timers: Timers): Promise<boolean> =>
  answers(join(socketDirectory(dataDir), SOCKET_FILE), timers);

function makeDataDirectory(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.W_OK);
  } catch (error) {
    throw new SyncError(
      "unusable_setup",
      `${dataDir} is not a directory that can be written: make it one, or choose another (SYNCV3_DATA)`,
      { cause: error },
    );
  }
}

/** Starts PostgreSQL inside this host, on `dataDir`, reachable by a unix socket that only our own user may open. */
export async function startEmbeddedDatabase(options: EmbeddedOptions): Promise<EmbeddedDatabase> {
  const { dataDir, timers, logger, idleOwnerLimitMs } = options;
  makeDataDirectory(dataDir);
  const socketPath = join(prepareSocketDirectory(dataDir), SOCKET_FILE);
  const unlock = await lockDirectory(join(dataDir, "lock"), socketPath, timers);
  try {
    const db = await openDatabase(join(dataDir, "database"), logger);
    // The engine gives out a view of a buffer that it uses again.
    const backend = { execute: async (messages: Uint8Array) => (await db.execProtocolRaw(messages)).slice() };
    const server = await EmbeddedServer.listen(socketPath, backend, { timers, logger, idleOwnerLimitMs });
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
