import type { Mac } from "#src/protocol/pos.ts";
import type { Logger, Timers, Clock } from "#src/ports/basics.ts";
import type { ConnectionStore, DeviceStore, IngestStore, RoomReader } from "#src/ports/stores.ts";

/** How a host reaches the database; plain data, put into `HostInit.options`. */
export interface StorageOptions {
  /** Connection string of PostgreSQL; null = the embedded database in `dataDir`. */
  database: string | null;
  secret: string | null;
  dataDir: string;
  /** Connections this host may hold. */
  connections: number;
  idleTimeoutMs: number | null;
}

/** The database as a host uses it. */
export interface Storage {
  ingest: IngestStore;
  rooms: RoomReader;
  connections: ConnectionStore;
  devices: DeviceStore;
  /** Seals what a `pos` claims. */
  mac: Mac;
  /** Random id made with the database. */
  epoch: string;
  /** Rejects when the database does not answer in time. */
  ping(deadlineMs: number): Promise<void>;
  close(): Promise<void>;
}

export interface StorageDeps {
  clock: Clock;
  timers: Timers;
  logger: Logger;
}
