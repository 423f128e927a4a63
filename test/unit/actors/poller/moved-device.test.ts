import type { UserId } from "#src/protocol/ids.ts";
import { describe, expect, test } from "bun:test";
import { DEVICE_FILTER, FIRST_FILTER, LATER_FILTER, roomsFilter } from "#src/homeserver/filters.ts";
import type { DeviceId } from "#src/protocol/ids.ts";
import { transientFailure } from "#test/support/fake-homeserver-port.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { PollerHarness, USER, roomBody } from "./harness.ts";

const OTHER = "OTHER" as DeviceId;
const toDevice = (n: number) => ({ events: [{ type: "m.x", sender: "@a:hs", content: { n } }] });

async function moved(since = "old"): Promise<PollerHarness> {
  const harness = new PollerHarness();
  await harness.imported(since);
  await harness.start();
  return harness;
}

describe("PollerActor: a device that came with its since and without rooms", () => {
  test("[POL-100] reads its own data from its since on, then all rooms beside it, then goes on from its own", async () => {
    const harness = await moved();
    const own = harness.homeserver.nextSync();
    expect(own.params).toMatchObject({ since: "old", filter: DEVICE_FILTER, timeoutMs: 0 });
    own.answer({ ...roomBody("s1", 1), to_device: toDevice(1), device_lists: { changed: ["@b:hs"] } });
    await settlePromises();
    const [first] = harness.stored;
    expect(first).toMatchObject({ since: "s1", deviceListsChanged: ["@b:hs"], rooms: [], roomsAreDue: true });
    expect(first?.toDevice).toHaveLength(1);

    const rooms = harness.homeserver.nextSync();
    expect(rooms.params).toMatchObject({ since: null, filter: roomsFilter("s1"), timeoutMs: 0, deadlineMs: 1_800_000 });
    // The homeserver keeps what is not acknowledged: it comes again with a poll that names no since.
    const accountData = { events: [{ type: "m.direct", content: {} }] };
    rooms.answer({ ...roomBody("s9", 2), to_device: toDevice(1), account_data: accountData });
    await settlePromises();
    const second = harness.stored[1];
    expect(second).toMatchObject({ since: "s1", isFirstSync: true, toDevice: [], deviceListsChanged: [] });
    // Where the rooms end is not where the device is.
    expect(second?.roomsEnd).toBe("s9");
    expect(second?.roomsAreDue).toBeUndefined();
    expect(second?.rooms).toHaveLength(2);
    expect(second?.accountData).toHaveLength(1);

    const next = harness.homeserver.nextSync();
    expect(next.params).toMatchObject({ since: "s1", timeoutMs: 30_000, filter: LATER_FILTER });
    next.answer({ next_batch: "s2", to_device: toDevice(2) });
    await settlePromises();
    expect(harness.stored[2]).toMatchObject({ since: "s2" });
  });

  test("[POL-101] clients wait for the rooms, in a slot of first syncs, and nobody is covered before", async () => {
    const harness = await moved();
    const through = await harness.through();
    const held = [harness.slots.request("@other1:hs" as UserId), harness.slots.request("@other2:hs" as UserId)];
    const answer = await harness.ensure();
    harness.homeserver.nextSync().answer({ next_batch: "s1" });
    await settlePromises();
    expect(harness.homeserver.waitingCount).toBe(0);
    expect(harness.companions.cover(USER, OTHER)).toBe(false);
    held[0]?.release();
    await settlePromises();
    expect(answer()).toBe("waiting");
    harness.homeserver.nextSync().answer(roomBody("s9", 1));
    await settlePromises();
    expect(answer()).toBe("ok");
    expect(harness.companions.cover(USER, OTHER)).toBe(true);
    // Everything the homeserver had is here with the first poll that brings all.
    expect(through()).toBe("waiting");
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await settlePromises();
    expect(through()).toBe("ok");
  });

  test("[POL-102] beside a device that brings the rooms it reads only its own data, once that one is up to date", async () => {
    const harness = new PollerHarness();
    harness.companions.isWell(USER, OTHER);
    await harness.imported("old");
    await harness.start();
    const answer = await harness.ensure();
    harness.homeserver.nextSync().answer({ next_batch: "s1", to_device: toDevice(1) });
    await settlePromises();
    expect(harness.stored[0]?.roomsAreDue).toBe(true);
    harness.throughs[0]?.stored();
    await settlePromises();
    expect(answer()).toBe("ok");
    expect(harness.homeserver.nextSync().params).toMatchObject({ since: "s1", timeoutMs: 30_000 });
  });

  test("[POL-103] a failure or a crash between the two begins with its own data again, from where that is", async () => {
    const harness = await moved();
    harness.homeserver.nextSync().answer({ next_batch: "s1", to_device: toDevice(1) });
    await settlePromises();
    harness.homeserver.nextSync().fail(transientFailure());
    await settlePromises();
    await harness.imported("s1");
    await harness.crash();
    const own = harness.homeserver.nextSync();
    expect(own.params).toMatchObject({ since: "s1", filter: DEVICE_FILTER });
    own.answer({ next_batch: "s2" });
    await settlePromises();
    expect(harness.homeserver.nextSync().params).toMatchObject({ since: null, filter: roomsFilter("s2") });
  });

  test("[POL-104] the question for its rooms is one that nobody asked before there was its since", async () => {
    expect(JSON.parse(roomsFilter("s1"))).toEqual({
      presence: { not_types: ["*", "s1"] },
      room: (JSON.parse(FIRST_FILTER) as { room: object }).room,
    });
    expect(new Set([FIRST_FILTER, roomsFilter("s1"), roomsFilter("s2")]).size).toBe(3);
  });
});
