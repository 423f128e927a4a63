import { describe, expect, test } from "bun:test";
import { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import { CONNECTION_TOUCH_MS, ConnectionRecord } from "#actors/connection/connection-record.ts";
import { ParamsHistory } from "#actors/connection/stored-params.ts";

describe("ConnectionRecord", () => {
  const record = () => new ConnectionRecord("@a:hs" as UserId, "D" as DeviceId, "" as ConnId);
  const reading = { toDevicePos: 7, deviceListsPos: null };
  const reader = { connId: "" as ConnId, device: { reading: () => reading } };
  const awake = { incarnation: "i", engine: new ConnectionEngine(1, 5), params: new ParamsHistory(), reader };

  test("[CON-70] what is stored is not stored again, but for the sign that the connection is in use", () => {
    const rows = record();
    expect(rows.next(awake, 1000)).toMatchObject({ incarnation: "i", lastUsedMs: 1000, ...reading });
    expect(rows.next(awake, 2000)).toBeNull();
    expect(rows.next(awake, 1000 + CONNECTION_TOUCH_MS)).toMatchObject({ lastUsedMs: 1000 + CONNECTION_TOUCH_MS });
    rows.forget();
    expect(rows.next(awake, 1001 + CONNECTION_TOUCH_MS)).not.toBeNull();
  });

  test("[CON-74] new parameters are stored alone as long as what is stored of the rest proves the same", () => {
    const rows = record();
    const engine = new ConnectionEngine(1, 5);
    const connection = { ...awake, engine };
    expect(rows.nextParams(connection, 0)?.cursors).not.toBeNull();
    expect(rows.nextParams(connection, 0)).toMatchObject({ incarnation: "i", params: "[]", cursors: null, ...reading });
    expect(rows.nextParams({ ...connection, incarnation: "j" }, 0)?.cursors).not.toBeNull();
    expect(rows.nextParams({ ...connection, incarnation: "j" }, 0)?.cursors).toBeNull();
    engine.generation += 1;
    expect(rows.nextParams({ ...connection, incarnation: "j" }, 0)?.cursors).not.toBeNull();
    rows.forget();
    expect(rows.nextParams({ ...connection, incarnation: "j" }, 0)?.cursors).not.toBeNull();
  });

  test("[CON-75] new parameters alone cost nothing for the rooms that the client holds", () => {
    const rows = record();
    let snapshots = 0;
    const since = new Map<string, number>();
    const engine = {
      version: 5,
      generation: 5,
      extensionSince: (name: string) => since.get(name) ?? null,
      snapshot: () => {
        snapshots += 1;
        return { generation: 5, rooms: [], extensions: [] };
      },
    };
    rows.nextParams({ ...awake, engine }, 0);
    expect(rows.nextParams({ ...awake, engine }, 0)?.cursors).toBeNull();
    expect(snapshots).toBe(1);
    since.set("receipts", 3);
    expect(rows.nextParams({ ...awake, engine }, 0)?.cursors).not.toBeNull();
    expect(snapshots).toBe(2);
  });

  test("[CON-71] a room given up since makes what is stored prove nothing", () => {
    const rows = record();
    const engine = new ConnectionEngine(1, 5);
    rows.next({ ...awake, engine }, 0);
    expect(rows.isOutdated(engine)).toBe(false);
    engine.generation += 1;
    expect(rows.isOutdated(engine)).toBe(true);
  });
});
