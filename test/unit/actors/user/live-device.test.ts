import { beforeEach, describe, expect, test } from "bun:test";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { DeviceSnapshot } from "#src/ports/stores.ts";
import { LiveDevice } from "#actors/user/live-device.ts";
import { ReaderPositions } from "#actors/user/reader-positions.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";

const [A, B, C] = ["a", "b", "c"] as ConnId[] as [ConnId, ConnId, ConnId];

describe("ReaderPositions", () => {
  test("[TOD-13] what all have is the least of those awake and asleep; one that is new begins at the most", () => {
    const positions = new ReaderPositions();
    expect([positions.takenByAll, positions.of(A)]).toEqual([0, null]);
    positions.adopt(new Map([[B, 10]]));
    positions.acknowledged(A, 30);
    expect(positions.takenByAll).toBe(10);
    expect(positions.begin(C)).toBe(30);
    expect(positions.begin(B)).toBe(10);
    positions.ended(B);
    expect(positions.takenByAll).toBe(30);
    // Who went back to an older place is waited for there.
    positions.acknowledged(A, 20);
    expect([positions.takenByAll, positions.begin(A)]).toEqual([20, 20]);
  });

  test("[TOD-14] what is stored of a connection counts while it sleeps, and goes with it", () => {
    const positions = new ReaderPositions();
    positions.acknowledged(A, 30);
    positions.adopt(
      new Map([
        [A, 5],
        [B, 10],
      ]),
    );
    expect([positions.of(A), positions.of(B)]).toEqual([30, 10]);
    positions.fellAsleep(A);
    positions.fellAsleep(C);
    expect(positions.of(A)).toBe(30);
    // Both expired meanwhile.
    positions.adopt(new Map());
    expect([positions.of(A), positions.of(B), positions.takenByAll]).toEqual([null, null, 0]);
  });
});

describe("LiveDevice", () => {
  let snapshot: DeviceSnapshot;
  let deleted: string[];
  let device: LiveDevice;
  let loads: number;

  beforeEach(() => {
    snapshot = {
      otkCounts: null,
      fallbackKeyTypes: null,
      otkCountsPos: 0,
      fallbackKeyTypesPos: 0,
      deviceLists: [{ target: "@x:hs", change: "changed", pos: 15 }],
      deviceListsFrom: 0,
      toDevicePos: 20,
      connections: [{ connId: B, toDevicePos: 10, deviceListsPos: null }],
    };
    deleted = [];
    loads = 0;
    const { rooms } = makeFakeStores();
    device = new LiveDevice(
      "@a:hs" as UserId,
      "D" as DeviceId,
      Object.assign(rooms, {
        loadDevice: async () => {
          loads += 1;
          return snapshot;
        },
        deleteToDevice: async (_user: string, _device: string, upTo: number) => void deleted.push(`messages ${upTo}`),
        deleteDeviceLists: async (_user: string, _device: string, upTo: number) => void deleted.push(`lists ${upTo}`),
      }),
    );
  });

  test("[TOD-19] a connection that is taken up has read what it had, before its device is in memory", () => {
    device.wasReading(A, { toDevicePos: 5, deviceListsPos: null });
    expect(device.reading(A)).toEqual({ toDevicePos: 5, deviceListsPos: null });
    void device.acknowledgeToDevice(A, 7);
    device.wasReading(A, { toDevicePos: 5, deviceListsPos: 3 });
    expect(device.reading(A)).toEqual({ toDevicePos: 7, deviceListsPos: 3 });
  });

  test("[TOD-15] nothing is deleted before it is known which connections there are", async () => {
    expect(device.acknowledgeToDevice(A, 18)).toBeNull();
    await device.ensure();
    await device.acknowledgeToDevice(A, 18);
    expect(deleted).toEqual(["messages 10"]);
    expect(device.acknowledgeToDevice(A, 20)).toBeNull();
    device.ended(B, { toDevice: true, deviceLists: true });
    await device.acknowledgeToDevice(A, 20);
    expect(deleted).toEqual(["messages 10", "messages 20"]);
  });

  test("[TOD-16] what a reader could have got before this memory began counts as sent", async () => {
    await device.ensure();
    expect(device.sentUpTo).toBe(20);
    device.toDeviceSent(25);
    device.toDeviceSent(22);
    expect(device.sentUpTo).toBe(25);
  });

  test("[E2EE-6] keys and lists are read again when they have changed, and not otherwise", async () => {
    await device.ensure();
    expect(device.ensure()).toBeNull();
    device.messageCame(30);
    expect([device.ensure(), device.toDevicePos]).toEqual([null, 30]);
    device.changed();
    await device.ensure();
    expect(loads).toBe(2);
    await device.acknowledgeDeviceLists(A, 14);
    expect(deleted).toEqual([]);
    await device.acknowledgeDeviceLists(A, 15);
    expect([deleted, device.snapshot?.deviceLists]).toEqual([["lists 15"], []]);
    expect(device.hasDeviceListsAfter(0)).toBe(true);
  });

  test("[E2EE-7] where somebody may not have what is deleted, it is known from where on all is there", async () => {
    const changes = [11, 12, 13].map((pos) => ({ target: `@${pos}:hs`, change: "changed" as const, pos }));
    snapshot = { ...snapshot, deviceLists: changes };
    await device.ensure();
    await device.acknowledgeDeviceLists(A, 13, 2);
    expect(device.snapshot?.deviceLists.map(({ pos }) => pos)).toEqual([12, 13]);
    expect([10, 11, 12].map((pos) => device.hasDeviceListsAfter(pos))).toEqual([false, true, true]);
    await device.acknowledgeDeviceLists(A, 13);
    expect([12, 13].map((pos) => device.hasDeviceListsAfter(pos))).toEqual([false, true]);
  });
});
