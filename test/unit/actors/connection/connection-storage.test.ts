import { describe, expect, test } from "bun:test";
import { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
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
});
