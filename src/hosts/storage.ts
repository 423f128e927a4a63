import { randomUUID } from "node:crypto";
import { SyncError } from "#src/errors.ts";
import type { StreamPos } from "#src/protocol/ids.ts";
import type { Mac } from "#src/protocol/pos.ts";
import type { Clock, Logger, Timers } from "#src/ports/basics.ts";
import type { AdminStore } from "#src/ports/admin-store.ts";
import type { RepairStore } from "#src/ports/repair.ts";
import type { ConnectionStore, DeviceStore, IngestStore, RetentionStore, RoomReader } from "#src/ports/stores.ts";
import { createAdminStore } from "#db/admin-repository.ts";
import { connectDatabase, type Database } from "#db/connection.ts";
import { createConnectionStore } from "#db/connection-repository.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { embeddedConnection } from "#db/embedded.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { createRepairStore } from "#db/repair-repository.ts";
import { createRetentionStore } from "#db/retention-repository.ts";
import { createRoomReader } from "#db/room-repository.ts";
import { raiseHead } from "#db/stream-start.ts";
import { connectionsBeforeRotation, type Rotation, settleSecret } from "#db/secret-rotation.ts";
import { deriveKeys, loadOrCreateSecret, loadOrigin, type SecretKeys } from "#db/secrets.ts";

/** No statement takes longer; what is retried is retried by who asked. */
const STATEMENT_DEADLINE_MS = 20_000;
/** How often a database that is not there yet is tried again at start. */
const START_RETRY_MS = 500;
/** A database that starts together with us is waited for. */
const START_WAIT_MS = 90_000;
const CLOSE_DEADLINE_MS = 1000;

/** How a host reaches the database; plain data, put into `HostInit.options`. */
export interface StorageOptions {
  /** Connection string of PostgreSQL; null = the embedded database in `dataDir`. */
  database: string | null;
  secret: string | null;
  /** The one before it; absent or null = none. */
  oldSecret?: string | null;
  dataDir: string;
  /** Connections this host may hold. */
  connections: number;
  /** And one more, over which it is notified; absent = no. */
  listens?: boolean;
  idleTimeoutMs: number | null;
}

/** The database as a host uses it. */
export interface Storage {
  ingest: IngestStore;
  rooms: RoomReader;
  connections: ConnectionStore;
  devices: DeviceStore;
  retention: RetentionStore;
  repair: RepairStore;
  admin: AdminStore;
  /** Seals what a `pos` claims. */
  mac: Mac;
  /** Random id made with the database. */
  epoch: string;
  /** To-device positions up to here are those of a database that was taken over; 0 = none was. */
  importedPos: StreamPos;
  /** Rejects when the database does not answer in time. */
  ping(deadlineMs: number): Promise<void>;
  close(): Promise<void>;
}

export interface StorageDeps {
  clock: Clock;
  timers: Timers;
  logger: Logger;
}

/**
 * Opens the database for one host. `migrate`: brings it to this executable's schema first; one host does that. `isStart`: and
 * the process has just begun.
 */
export async function openStorage(
  options: StorageOptions,
  deps: StorageDeps,
  role: { migrate: boolean; isStart?: boolean },
): Promise<Storage> {
  const database = connectDatabase(
    {
      connection: options.database ?? embeddedConnection(options.dataDir),
      maxConnections: options.connections,
      idleTimeoutMs: options.idleTimeoutMs ?? 0,
      deadlineMs: STATEMENT_DEADLINE_MS,
      prepare: true,
      applicationName: "glissade",
    },
    deps,
  );
  try {
    if (role.migrate) await patiently(deps, () => migrateDatabase(database, deps.logger));
    const { epoch, importedPos } = await patiently(deps, () => loadOrigin(database));
    const { secret, oldSecret = null, dataDir } = options;
    const before = oldSecret === null ? null : deriveKeys(oldSecret, epoch);
    const keys = withBefore(deriveKeys(secret ?? loadOrCreateSecret(dataDir), epoch), before);
    // One host does it, before the others begin.
    const rotation = await settleSecret(database, keys, role.migrate ? before : null, deps.clock.now());
    if (role.isStart === true && before !== null) await tellOfRotation(database, rotation, deps.logger);
    if (role.isStart === true) await patiently(deps, () => raiseHead(database, deps.clock.now()));
    return {
      ...storageOf(database, { epoch, importedPos }, keys, { ...deps, listens: options.listens === true }),
      connections: createConnectionStore(database, options.database === null),
      retention: createRetentionStore(database, options.database === null),
    };
  } catch (error) {
    await database.close(CLOSE_DEADLINE_MS);
    throw error;
  }
}

/** What was sealed with the secret before is still believed. */
const withBefore = (keys: SecretKeys, before: SecretKeys | null): SecretKeys =>
  before === null ? keys : { ...keys, mac: Object.assign(keys.mac, { before: before.mac }) };

/** Says whether the secret before is still needed. */
async function tellOfRotation(database: Database, rotation: Rotation | null, logger: Logger): Promise<void> {
  if (rotation !== null) {
    logger.info({ tokens: rotation.resealed, damaged: rotation.damaged }, "secret replaced, tokens sealed anew");
  }
  const before = await connectionsBeforeRotation(database);
  if (before === null) return;
  const fields = { replaced_at: new Date(before.atMs).toISOString(), connections: before.connections };
  if (before.connections === 0) logger.info(fields, "the secret before is not needed any more");
  else logger.info(fields, "the secret before is needed until these connections come back or expire");
}

function storageOf(
  database: Database,
  origin: Pick<Storage, "epoch" | "importedPos">,
  keys: ReturnType<typeof deriveKeys>,
  deps: StorageDeps & { listens: boolean },
): Omit<Storage, "connections" | "retention"> {
  return {
    ingest: createIngestStore(database, { makeWriterId: randomUUID }),
    rooms: createRoomReader(database, deps),
    devices: createDeviceStore(database, { tokenKey: keys.tokenKey, logger: deps.logger }),
    repair: createRepairStore(database, deps),
    admin: createAdminStore(database),
    mac: keys.mac,
    ...origin,
    ping: (deadlineMs) => database.ping(deadlineMs),
    close: () => database.close(CLOSE_DEADLINE_MS),
  };
}

/** A database that cannot be reached is tried again for a while; everything else is told at once. */
async function patiently<T>(deps: StorageDeps, work: () => Promise<T>): Promise<T> {
  const startedMs = deps.clock.mono();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const isAway = error instanceof SyncError && error.code === "storage_unavailable";
      if (!isAway || deps.clock.mono() - startedMs > START_WAIT_MS) throw error;
      deps.logger.warn({ attempt, reason: error.message }, "the database cannot be reached, trying again");
    }
    await new Promise<void>((resolve) => {
      deps.timers.after(START_RETRY_MS, resolve);
    });
  }
}
