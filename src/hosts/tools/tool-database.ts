import { existsSync } from "node:fs";
import { join } from "node:path";
import { SyncError } from "#src/errors.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { createLogger } from "#src/telemetry/logger.ts";
import { connectDatabase, type Database } from "#db/connection.ts";
import { parseConnectionString } from "#db/connection-string.ts";
import { embeddedConnection, isEmbeddedServed, startEmbeddedDatabase } from "#db/embedded.ts";
import { refuseWhileServed } from "#db/tools/exclusive.ts";

/** Which database: PostgreSQL by its connection string, or the embedded one of a directory. */
export type DatabasePlace = { database: string; dataDir: null } | { database: null; dataDir: string };

/** A database as a command uses it. */
export interface ToolDatabase {
  readonly db: Database;
  readonly isEmbedded: boolean;
  /** A server runs on it. Not known of PostgreSQL unless it was asked to be alone. */
  readonly isServed: boolean;
  close(): Promise<void>;
}

/** How a command uses it. */
export interface ToolUse {
  /** Shown to whoever looks at the database's connections. */
  name: string;
  /** Refused while a server runs on it. */
  isAlone: boolean;
  /** An embedded database is made where there is none. */
  isMade?: boolean;
}

/** Statements over whole tables take their time; what hangs ends all the same. */
const STATEMENT_DEADLINE_MS = 3_600_000;
const CLOSE_DEADLINE_MS = 2000;

/** The database of a server's configuration. */
export const placeOf = ({ database, dataDir }: { database: string | null; dataDir: string }): DatabasePlace =>
  database === null ? { database: null, dataDir } : { database, dataDir: null };

/** A database as it may be shown to anybody: where it is, and nothing of who opens it. */
export function placeName(place: DatabasePlace): string {
  if (place.database === null) return place.dataDir;
  const { hosts, database } = parseConnectionString(place.database);
  const at = hosts.map(({ host, port }) => (port === null ? host : `${host}:${port}`)).join(",");
  return `PostgreSQL ${[at, database].filter((part) => part !== null && part !== "").join("/")}`.trim();
}

/** Opens a database for a command. An embedded one that no server runs is started in this process. */
export async function openToolDatabase(place: DatabasePlace, use: ToolUse): Promise<ToolDatabase> {
  return place.database === null ? openEmbedded(place.dataDir, use) : openPostgres(place.database, use);
}

const DEPS = { clock: systemClock, timers: systemTimers, logger: createLogger({ level: "error", host: "main:0" }) };

const toolName = (name: string): string => `glissade ${name}`;

const connectTool = (connection: string, name: string): Database =>
  connectDatabase(
    {
      connection,
      maxConnections: 1,
      idleTimeoutMs: 0,
      deadlineMs: STATEMENT_DEADLINE_MS,
      prepare: false,
      applicationName: toolName(name),
    },
    DEPS,
  );

/** Servers look rows up by key, and plan that once; commands go over whole tables. */
const planAnew = (db: Database): Promise<unknown> => db.query("set plan_cache_mode = auto");

async function openPostgres(connection: string, { name, isAlone }: ToolUse): Promise<ToolDatabase> {
  const db = connectTool(connection, name);
  const close = (): Promise<void> => db.close(CLOSE_DEADLINE_MS);
  try {
    if (isAlone) await refuseWhileServed(db, toolName(name));
    await planAnew(db);
    return { db, isEmbedded: false, isServed: false, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** True where there is a database to open. */
export const isThere = (place: DatabasePlace): boolean =>
  place.database !== null || existsSync(join(place.dataDir, "database"));

async function openEmbedded(dataDir: string, { name, isAlone, isMade }: ToolUse): Promise<ToolDatabase> {
  if (isMade !== true && !isThere({ database: null, dataDir })) {
    throw new SyncError("invalid_param", `there is no embedded database in ${dataDir} (SYNCV3_DATA)`);
  }
  const isServed = existsSync(dataDir) && (await isEmbeddedServed(dataDir, systemTimers));
  if (isServed && isAlone) {
    const advice = "stop it, and start it again when this is done";
    throw new SyncError("invalid_param", `Glissade is running on the embedded database in ${dataDir}: ${advice}`);
  }
  // Nobody else waits for it: a command may read from elsewhere in the middle of a transaction.
  const server = isServed
    ? null
    : await startEmbeddedDatabase({ dataDir, ...DEPS, idleOwnerLimitMs: STATEMENT_DEADLINE_MS });
  const db = connectTool(embeddedConnection(dataDir), name);
  if (!isServed) await planAnew(db);
  return {
    db,
    isEmbedded: true,
    isServed,
    close: async () => {
      await db.close(CLOSE_DEADLINE_MS);
      await server?.close();
    },
  };
}
