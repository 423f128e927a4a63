import { describe, expect, test } from "bun:test";
import type { CursorSnapshot } from "#src/protocol/engine/proof.ts";
import type { RememberedSnapshot } from "#src/protocol/engine/remembered-snapshot.ts";
import { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import type { ConnId, DeviceId, RoomNid, UserId } from "#src/protocol/ids.ts";
import { ConnectionStorage } from "#actors/connection/connection-storage.ts";
import type { ConnectionMessage } from "#actors/connection/messages.ts";
import { ParamsHistory } from "#actors/connection/stored-params.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import { FakeConnectionStore } from "#test/support/fake-connection-store.ts";
import { FakeDatabase } from "#test/support/fake-database.ts";

describe("ConnectionStorage", () => {
  const key = ["@a:hs" as UserId, "D" as DeviceId, "c" as ConnId] as const;
  const awake = (isSoonWritten: boolean) => ({
    incarnation: "i",
    engine: Object.assign(new ConnectionEngine(1, 5), { isSoonWritten }),
    params: new ParamsHistory(),
    reader: { connId: key[2], device: { reading: () => ({ toDevicePos: null, deviceListsPos: null }) } },
  });
  const make = (isKept = true): { storage: ConnectionStorage; store: FakeConnectionStore } => {
    const store = new FakeConnectionStore(new FakeDatabase());
    const context = { clock: { now: () => 1000 } } as unknown as ActorContext<ConnectionMessage>;
    return { storage: new ConnectionStorage(context, store, key, isKept), store };
  };

  test("[SSS-96] new rooms are stored before their response leaves, where little has to be written", async () => {
    const { storage, store } = make();
    const none = { isNewParams: false, hasInitialRooms: false };
    expect(storage.saveBefore(awake(true), none)).toBeNull();
    expect(storage.saveBefore(awake(false), { ...none, hasInitialRooms: true })).toBeNull();
    await storage.saveBefore(awake(true), { ...none, hasInitialRooms: true });
    expect((await store.load(...key))?.cursors).toContain("generation");
    expect(storage.saveBefore(awake(true), { ...none, hasInitialRooms: true })).toBeNull();
    await storage.saveBefore(awake(false), { ...none, isNewParams: true });
    expect((await store.load(...key))?.params).toBe("[]");
    expect(make(false).storage.saveBefore(awake(true), { isNewParams: true, hasInitialRooms: true })).toBeNull();
  });
  test("[SSS-107] rooms that were new when they were written are written again before a response of another generation leaves", () => {
    const { storage } = make();
    const room = (nid: number): RememberedSnapshot["rooms"][number] => [nid as RoomNid, 0, null, null, null];
    const engine = { version: 1, generation: 5, isSoonWritten: true, held: [room(1)], changed: [room(1), room(2)] };
    const snapshot = (): CursorSnapshot => ({
      generation: 5,
      rooms: [],
      extensions: [],
      remembered: {
        seq: engine.version,
        streamPos: engine.generation,
        configs: [],
        rooms: engine.held,
        pending: { seq: 9, generation: engine.generation, rooms: engine.changed, gone: [], extensions: [] },
      },
    });
    const written = { ...awake(true), engine: Object.assign(engine, { snapshot, extensionSince: () => null }) };
    const saves = (hasInitialRooms = false): boolean =>
      storage.saveBefore(written, { isNewParams: false, hasInitialRooms }) !== null;
    expect([saves(true), saves()]).toEqual([true, false]);
    engine.version += 1;
    expect(saves()).toBe(false);
    engine.generation += 1;
    expect([saves(), saves()]).toEqual([true, false]);
    // What is merely told its news is proven all the same.
    engine.held = [room(1), room(2)];
    expect(saves(true)).toBe(true);
    engine.version += 1;
    engine.generation += 1;
    expect(saves()).toBe(false);
  });
});
