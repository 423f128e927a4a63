import { randomBytes, randomUUID } from "node:crypto";
import {
  connectTestDatabase,
  databaseDeps,
  type TestServer,
  withPglite,
  withPostgres,
} from "#test/support/database.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";
import { createConnectionStore } from "#db/connection-repository.ts";
import { createDeviceStore } from "#db/device-repository.ts";
import { createIngestStore } from "#db/ingest-repository.ts";
import { migrateDatabase } from "#db/migrate.ts";
import { createRepairStore } from "#db/repair-repository.ts";
import { createRoomReader } from "#db/room-repository.ts";
import { describeStoresContract } from "./stores.contract.ts";
import type { StoresUnderTest } from "./stores-suite.ts";

async function openReal(
  server: Promise<TestServer>,
  options: { maxConnections: number; prepare: boolean },
): Promise<StoresUnderTest> {
  const db = connectTestDatabase(await (await server).createDatabase(), options);
  await migrateDatabase(db, databaseDeps.logger);
  let nowMs = 0;
  return {
    ingest: createIngestStore(db, { makeWriterId: randomUUID }),
    rooms: createRoomReader(db, { clock: { now: () => nowMs } }),
    connections: createConnectionStore(db),
    devices: createDeviceStore(db, { tokenKey: randomBytes(32), logger: databaseDeps.logger }),
    repair: createRepairStore(db, { ...databaseDeps, listens: true }),
    setNow: (value) => {
      nowMs = value;
    },
    close: () => db.close(5000),
  };
}

describeStoresContract("fakes", async () => {
  let nowMs = 0;
  return {
    ...makeFakeStores({ now: () => nowMs }),
    setNow: (value) => {
      nowMs = value;
    },
    close: async () => undefined,
  };
});
describeStoresContract("PostgreSQL", () => openReal(withPostgres(), { maxConnections: 4, prepare: true }));
describeStoresContract("PostgreSQL, one connection", () =>
  openReal(withPostgres(), { maxConnections: 1, prepare: true }),
);
describeStoresContract("PostgreSQL, nothing prepared", () =>
  openReal(withPostgres(), { maxConnections: 2, prepare: false }),
);
describeStoresContract("PGlite", () => openReal(withPglite(), { maxConnections: 4, prepare: true }));
describeStoresContract("PGlite, one connection", () => openReal(withPglite(), { maxConnections: 1, prepare: true }));
