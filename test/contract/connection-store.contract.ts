import { describe, expect, test } from "bun:test";
import type { ConnId, DeviceId } from "#src/protocol/ids.ts";
import type { ConnectionStore } from "#src/ports/stores.ts";
import { ALICE, PHONE, type StoresSuite } from "./stores-suite.ts";

/** Stored connections. */
export function describeConnectionStore(suite: StoresSuite): void {
  describe("connections", () => {
    const connection = (connId: string, overrides: Partial<Parameters<ConnectionStore["save"]>[0]> = {}) => ({
      userId: ALICE,
      deviceId: PHONE,
      connId: connId as ConnId,
      incarnation: "i1",
      params: '{"lists":{}}',
      cursors: "[]",
      toDevicePos: null,
      deviceListsPos: null,
      lastUsedMs: 1000,
      ...overrides,
    });

    test("[STO-64] a device knows how far its connections have read", async () => {
      const deviceId = "READER" as DeviceId;
      await suite.stores.connections.save(connection("a", { deviceId, toDevicePos: 7 }));
      await suite.stores.connections.save(connection("b", { deviceId, deviceListsPos: 2 ** 40 }));
      await suite.stores.connections.save(connection("a", { deviceId, toDevicePos: 9, deviceListsPos: 3 }));
      const { connections } = await suite.stores.rooms.loadDevice(ALICE, deviceId);
      expect(connections.toSorted((a, b) => (a.connId < b.connId ? -1 : 1))).toEqual([
        { connId: "a" as ConnId, toDevicePos: 9, deviceListsPos: 3 },
        { connId: "b" as ConnId, toDevicePos: null, deviceListsPos: 2 ** 40 },
      ]);
      expect(await suite.stores.connections.load(ALICE, deviceId, "b" as ConnId)).toEqual(
        connection("b", { deviceId, deviceListsPos: 2 ** 40 }),
      );
    });

    test("[STO-60] a connection is kept, replaced and removed", async () => {
      const load = (connId: string) => suite.stores.connections.load(ALICE, PHONE, connId as ConnId);
      expect(await load("c")).toBeNull();
      await suite.stores.connections.save(connection("c"));
      await suite.stores.connections.save(connection("c", { cursors: '{"quote":"\'\\""}', lastUsedMs: 2000 }));
      expect(await load("c")).toEqual(connection("c", { cursors: '{"quote":"\'\\""}', lastUsedMs: 2000 }));
      await suite.stores.connections.delete(ALICE, PHONE, "c" as ConnId);
      expect(await load("c")).toBeNull();
    });

    test("[STO-65] new parameters leave what else is stored of the same incarnation", async () => {
      const load = () => suite.stores.connections.load(ALICE, PHONE, "p" as ConnId);
      await suite.stores.connections.save(connection("p", { cursors: null }));
      expect(await load()).toEqual(connection("p", { cursors: null }));
      await suite.stores.connections.save(connection("p", { cursors: "[1]" }));
      await suite.stores.connections.save(connection("p", { params: "{}", cursors: null }));
      expect(await load()).toEqual(connection("p", { params: "{}", cursors: "[1]" }));
      await Promise.all(
        ["[2]", null].map((cursors) =>
          suite.stores.connections.save(connection("p", { params: `${cursors}`, cursors })),
        ),
      );
      expect(await load()).toEqual(connection("p", { params: "null", cursors: "[2]" }));
      await suite.stores.connections.save(connection("p", { incarnation: "i2", cursors: null }));
      expect(await load()).toEqual(connection("p", { incarnation: "i2", cursors: null }));
    });

    test("[STO-61] of saves at the same time the last one wins, and all are stored", async () => {
      const saves = Array.from({ length: 1200 }, (_, i) =>
        suite.stores.connections.save(connection(`many-${i % 600}`, { cursors: String(i) })),
      );
      await Promise.all(saves);
      expect((await suite.stores.connections.load(ALICE, PHONE, "many-599" as ConnId))?.cursors).toBe("1199");
      expect((await suite.stores.connections.load(ALICE, PHONE, "many-0" as ConnId))?.cursors).toBe("600");
    });

    test("[STO-62] connections that nobody uses expire", async () => {
      await suite.stores.connections.expire(Number.MAX_SAFE_INTEGER, 1);
      await suite.stores.connections.save(connection("old", { lastUsedMs: 10 }));
      await suite.stores.connections.save(connection("new", { lastUsedMs: 20 }));
      expect(await suite.stores.connections.expire(20, 10)).toBe(1);
      expect(await suite.stores.connections.load(ALICE, PHONE, "old" as ConnId)).toBeNull();
      expect(await suite.stores.connections.load(ALICE, PHONE, "new" as ConnId)).not.toBeNull();
    });

    test("[STO-63] a device keeps the connections it used last", async () => {
      await suite.stores.connections.expire(Number.MAX_SAFE_INTEGER, 1);
      for (const [index, name] of ["first", "second", "third"].entries()) {
        await suite.stores.connections.save(connection(name, { lastUsedMs: 10 + index }));
      }
      expect(await suite.stores.connections.expire(0, 2)).toBe(1);
      expect(await suite.stores.connections.load(ALICE, PHONE, "first" as ConnId)).toBeNull();
      expect(await suite.stores.connections.load(ALICE, PHONE, "third" as ConnId)).not.toBeNull();
    });
  });
}
