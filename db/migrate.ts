import { SyncError } from "#src/errors.ts";
import type { Logger } from "#src/ports/basics.ts";
import type { Database, Query } from "./connection.ts";
import { driverCode } from "./driver-error.ts";
import init from "./migrations/0000_init.sql" with { type: "text" };
import deviceReaders from "./migrations/0002_device_readers.sql" with { type: "text" };
import storageParameters from "./migrations/0001_storage_parameters.sql" with { type: "text" };
import repairs from "./migrations/0003_repairs.sql" with { type: "text" };
import tokenlessDevices from "./migrations/0004_tokenless_devices.sql" with { type: "text" };
import operators from "./migrations/0006_operators.sql" with { type: "text" };
import movedDatabases from "./migrations/0005_moved_databases.sql" with { type: "text" };
import sincePositions from "./migrations/0007_since_positions.sql" with { type: "text" };
import stickyEvents from "./migrations/0008_sticky_events.sql" with { type: "text" };
import movedAway from "./migrations/0009_moved_away.sql" with { type: "text" };

interface Migration {
  id: number;
  name: string;
  sql: string;
}

/** In order; embedded in the executable. Append only. */
export const MIGRATIONS: readonly Migration[] = [
  { id: 0, name: "0000_init", sql: init },
  { id: 1, name: "0001_storage_parameters", sql: storageParameters },
  { id: 2, name: "0002_device_readers", sql: deviceReaders },
  { id: 3, name: "0003_repairs", sql: repairs },
  { id: 4, name: "0004_tokenless_devices", sql: tokenlessDevices },
  { id: 5, name: "0005_moved_databases", sql: movedDatabases },
  { id: 6, name: "0006_operators", sql: operators },
  { id: 7, name: "0007_since_positions", sql: sincePositions },
  { id: 8, name: "0008_sticky_events", sql: stickyEvents },
  { id: 9, name: "0009_moved_away", sql: movedAway },
];

/** Any number, but always this one: whoever migrates this database holds it. */
const ADVISORY_LOCK = 5_718_254_931;

/** Id of the newest applied migration; -1 = an empty database. */
async function appliedUpTo(query: Query): Promise<number> {
  const [table] = await query<{ exists: boolean }>("select to_regclass('glissade_migrations') is not null as exists");
  if (table?.exists !== true) return -1;
  const [row] = await query<{ newest: number }>(
    "select coalesce(max(id), -1)::int4 as newest from glissade_migrations",
  );
  return row?.newest ?? -1;
}

function checkNotNewer(newest: number): void {
  const known = MIGRATIONS.length - 1;
  if (newest <= known) return;
  throw new SyncError(
    "unusable_setup",
    `the database was made by a newer version of Glissade (schema ${newest}, this executable knows up to ${known}): ` +
      "start that version or a later one, or restore a backup from before the upgrade",
  );
}

/** Refuses a database of another schema than this executable's: for who only reads it. */
export async function requireSchema(db: Database): Promise<void> {
  const newest = await appliedUpTo((text, params) => db.query(text, params));
  checkNotNewer(newest);
  if (newest === -1) throw new SyncError("invalid_param", "this is no database of Glissade: it has none of its tables");
  if (newest < MIGRATIONS.length - 1) {
    throw new SyncError(
      "invalid_param",
      "the database is at an older schema: start this version of Glissade on it once",
    );
  }
}

/** What a migration that is due is about to do. */
export interface MigrationProgress {
  name: string;
  /** Which one of all there are, from 1. */
  index: number;
  count: number;
  /** Another process migrates this database. */
  isWaiting: boolean;
}

/** A table of this name that is somebody else's: nothing of it is touched. */
const DUPLICATE_TABLE = "42P07";
/** Since PostgreSQL 15 nobody but the owner of a database may make tables in it. */
const INSUFFICIENT_PRIVILEGE = "42501";

async function runMigration(query: Query, { id, sql }: Migration): Promise<void> {
  try {
    await query(sql);
  } catch (error) {
    const code = driverCode(error);
    if (id === 0 && code === DUPLICATE_TABLE) {
      const advice =
        "the database holds tables of another program: give Glissade a database of its own, or a schema " +
        "(create it, and add options=-csearch_path=NAME to SYNCV3_DB)";
      throw new SyncError("unusable_setup", advice);
    }
    if (code !== INSUFFICIENT_PRIVILEGE || !(error instanceof Error)) throw error;
    const advice = `the user of SYNCV3_DB may not make the tables (${error.message}): make it the owner of the database and of what is in it`;
    throw new SyncError("unusable_setup", advice);
  }
}

/** What other encodings have no character for could not be stored, and its poll would be repeated for ever. */
async function checkEncoding(query: Query): Promise<void> {
  const [row] = await query<{ encoding: string }>("select current_setting('server_encoding') as encoding");
  if (row === undefined || row.encoding === "UTF8") return;
  throw new SyncError(
    "unusable_setup",
    `the encoding of the database is ${row.encoding}: not every message can be stored. ` +
      "Create another one: createdb --encoding=UTF8 --template=template0",
  );
}

/**
 * Brings the database to the schema of this executable, each step in a transaction of its own. Processes that start at
 * the same time take turns. Returns how many migrations were applied; `onProgress` is told of each before it begins.
 */
export async function migrateDatabase(
  db: Database,
  logger: Logger,
  onProgress: (progress: MigrationProgress) => void = () => undefined,
): Promise<number> {
  let appliedCount = 0;
  for (const migration of MIGRATIONS) {
    const about = { name: migration.name, index: migration.id + 1, count: MIGRATIONS.length };
    const isApplied = await db.transaction(async (query) => {
      const [lock] = await query<{ taken: boolean }>("select pg_try_advisory_xact_lock($1::int8) as taken", [
        ADVISORY_LOCK,
      ]);
      if (lock?.taken !== true) {
        onProgress({ ...about, isWaiting: true });
        await query("select pg_advisory_xact_lock($1::int8)", [ADVISORY_LOCK]);
      }
      const newest = await appliedUpTo(query);
      checkNotNewer(newest);
      if (newest >= migration.id) return false;
      onProgress({ ...about, isWaiting: false });
      if (newest === -1) await checkEncoding(query);
      await runMigration(query, migration);
      await query("insert into glissade_migrations (id, name) values ($1::int4, $2::text)", [
        migration.id,
        migration.name,
      ]);
      return true;
    });
    if (!isApplied) continue;
    appliedCount++;
    logger.info({ migration: migration.name }, "database migrated");
  }
  return appliedCount;
}
