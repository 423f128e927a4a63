import { randomUUID } from "node:crypto";
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
import { createRepairStore } from "#db/repair-repository.ts";
import { createRetentionStore } from "#db/retention-repository.ts";
import { createRoomReader } from "#db/room-repository.ts";
import { raiseHead } from "#db/stream-start.ts";
import { connectionsBeforeRotation, type Rotation } from "#db/secret-rotation.ts";
import { claimSecret, deriveKeys, loadOrCreateSecret, loadOrigin, type SecretKeys } from "#db/secrets.ts";
import { prepareDatabase } from "./prepare-database.ts";
import { untilReachable } from "./until-reachable.ts";

/** No statement takes longer; what is retried is retried by who asked. */
const STATEMENT_DEADLINE_MS = 20_000;
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
  /** What the start is busy with, for who waits for it. */
  busyWith?: (what: string | null) => void;
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
  const { secret, oldSecret = null, dataDir } = options;
  const connection = options.database ?? embeddedConnection(dataDir);
  // One host does it, before the others begin.
  const rotation = role.migrate
    ? await prepareDatabase({ connection, secret, oldSecret, dataDir }, { busyWith: () => {}, ...deps })
    : null;
  const database = connectDatabase(
    {
      connection,
      maxConnections: options.connections,
      idleTimeoutMs: options.idleTimeoutMs ?? 0,
      deadlineMs: STATEMENT_DEADLINE_MS,
      prepare: true,
      applicationName: "glissade",
    },
    deps,
  );
  try {
    const { epoch, importedPos } = await untilReachable(deps, () => loadOrigin(database));
    const before = oldSecret === null ? null : deriveKeys(oldSecret, epoch);
    const keys = withBefore(deriveKeys(secret ?? loadOrCreateSecret(dataDir), epoch), before);
    await claimSecret(database, keys);
    if (role.isStart === true && before !== null) await tellOfRotation(database, rotation, deps.logger);
    if (role.isStart === true) await untilReachable(deps, () => raiseHead(database, deps.clock.now()));
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
