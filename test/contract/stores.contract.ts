import { afterAll, beforeAll, describe } from "bun:test";
import { describeConnectionStore } from "./connection-store.contract.ts";
import { describeDeviceStore } from "./device-store.contract.ts";
import { describeIngestStore } from "./ingest-store.contract.ts";
import { describeRepairStore } from "./repair-store.contract.ts";
import { describeRoomReader } from "./room-reader.contract.ts";
import { StoresSuite, type StoresUnderTest } from "./stores-suite.ts";

/** A loaded machine takes its time to start a database server. */
const SERVER_START_LIMIT_MS = 120_000;

/** What every implementation of the stores does. */
export function describeStoresContract(name: string, open: () => Promise<StoresUnderTest>): void {
  describe(`stores: ${name}`, () => {
    const suite = new StoresSuite();
    beforeAll(() => suite.open(open()), SERVER_START_LIMIT_MS);
    afterAll(() => suite.stores.close());
    describeIngestStore(suite);
    describeRoomReader(suite);
    describeDeviceStore(suite);
    describeRepairStore(suite);
    describeConnectionStore(suite);
  });
}
