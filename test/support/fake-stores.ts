import type { RepairStore } from "#src/ports/repair.ts";
import type { Clock } from "#src/ports/basics.ts";
import type { ConnectionStore, DeviceStore, IngestStore, RoomReader } from "#src/ports/stores.ts";
import { FakeConnectionStore } from "./fake-connection-store.ts";
import { FakeDatabase } from "./fake-database.ts";
import { FakeDeviceStore } from "./fake-device-store.ts";
import { FakeIngestStore } from "./fake-ingest-store.ts";
import { FakeRepairStore } from "./fake-repair-store.ts";
import { FakeRoomReader } from "./fake-room-reader.ts";

/** The stores in memory, over one `FakeDatabase`. */
export interface FakeStores {
  db: FakeDatabase;
  ingest: IngestStore;
  rooms: RoomReader;
  connections: ConnectionStore;
  devices: DeviceStore;
  repair: RepairStore;
}

/** Makes stores that keep everything in memory; they pass the contract suite of the real ones. */
export function makeFakeStores(clock: Pick<Clock, "now"> = { now: () => 0 }): FakeStores {
  const db = new FakeDatabase();
  return {
    db,
    ingest: new FakeIngestStore(db),
    rooms: new FakeRoomReader(db, clock),
    connections: new FakeConnectionStore(db),
    devices: new FakeDeviceStore(db),
    repair: new FakeRepairStore(db),
  };
}
