import type { UserId } from "#src/protocol/ids.ts";
import { describe, expect, test } from "bun:test";
import { DEVICE_FILTER, FIRST_FILTER, roomsFilter } from "#src/homeserver/filters.ts";
import type { DeviceId } from "#src/protocol/ids.ts";
import { Companions } from "#actors/poller/companions.ts";
import { transientFailure } from "#test/support/fake-homeserver-port.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { DEVICE, PollerHarness, roomBody, USER } from "./harness.ts";

const OTHER = "OTHER" as DeviceId;

async function secondDevice(): Promise<PollerHarness> {
  const harness = new PollerHarness();
  harness.companions.isWell(USER, OTHER);
  await harness.login(null);
  await harness.start();
  return harness;
}

const limitOf = (filter: string): number =>
  (JSON.parse(filter) as { room: { timeline: { limit: number } } }).room.timeline.limit;

describe("PollerActor: a second device", () => {
  test("[POL-60] asks for no rooms at first, has the other one brought up to date, then asks for everything since then", async () => {
    const harness = await secondDevice();
    const first = harness.homeserver.nextSync();
    expect(first.params).toMatchObject({ since: null, timeoutMs: 0, filter: DEVICE_FILTER });
    expect(JSON.parse(DEVICE_FILTER)).toMatchObject({ room: { rooms: [], timeline: { limit: 1 } } });
    first.answer({ next_batch: "s1", to_device: { events: [{ type: "m.x", sender: "@a:hs", content: {} }] } });
    await settlePromises();
    expect(harness.stored[0]).toMatchObject({ since: "s1", rooms: [], roomsAreDue: true });
    expect(harness.companions.other(USER, OTHER)).toBe(null);
    expect(harness.throughs.map(({ to }) => JSON.parse(to) as unknown)).toEqual([[USER, OTHER]]);
    const second = harness.homeserver.nextSync();
    expect(second.params).toMatchObject({ since: "s1", timeoutMs: 30_000 });
    second.answer({ next_batch: "s2", to_device: { events: [{ type: "m.x", sender: "@a:hs", content: {} }] } });
    await settlePromises();
    expect(harness.stored[1]).toMatchObject({ since: "s2", roomsAreDue: true });
    harness.throughs[0]?.stored();
    await settlePromises();
    harness.homeserver.nextSync().answer(roomBody("s3", 1));
    await settlePromises();
    expect(harness.stored[2]?.roomsAreDue).toBeUndefined();
    expect(harness.companions.other(USER, OTHER)).toBe(DEVICE);
    expect(harness.throughs).toHaveLength(1);
    expect(second.params.filter).not.toContain("rooms");
    expect(limitOf(second.params.filter)).toBe(50);
    expect(harness.stored[0]?.toDevice).toHaveLength(1);
  });

  test("[POL-61] is answered when the other one is up to date, or after a moment, and needs no slot", async () => {
    const harness = await secondDevice();
    harness.slots.request("@other1:hs" as UserId);
    harness.slots.request("@other2:hs" as UserId);
    const answer = await harness.ensure();
    expect(answer()).toBe("waiting");
    expect(harness.homeserver.waitingCount).toBe(1);
    await harness.time.advance(250);
    expect(answer()).toBe("ok");
    expect(harness.homeserver.waitingCount).toBe(1);
    const prompt = await secondDevice();
    const soon = await prompt.ensure();
    prompt.homeserver.nextSync().answer({ next_batch: "s1" });
    await settlePromises();
    expect(soon()).toBe("waiting");
    prompt.throughs[0]?.stored();
    await settlePromises();
    expect(soon()).toBe("ok");
  });

  test("[POL-68] whoever waits patiently for a poll does not cut the one under way short", async () => {
    const harness = new PollerHarness();
    await harness.login("s1");
    await harness.start();
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await settlePromises();
    const held = harness.homeserver.nextSync();
    const answer = await harness.through({ isPatient: true });
    expect(held.isAborted).toBe(false);
    held.answer({ next_batch: "s3" });
    await settlePromises();
    expect(answer()).toBe("waiting");
    harness.homeserver.nextSync().answer({ next_batch: "s4" });
    await settlePromises();
    expect(answer()).toBe("ok");
  });

  test("[POL-67] where the other one fails to get up to date, the rooms are read beside its own data", async () => {
    const harness = await secondDevice();
    const answer = await harness.ensure();
    harness.homeserver.nextSync().answer({ next_batch: "s1" });
    await settlePromises();
    const held = harness.homeserver.nextSync();
    expect(held.params).toMatchObject({ since: "s1", timeoutMs: 30_000 });
    harness.throughs[0]?.failed();
    await settlePromises();
    expect(held.isAborted).toBe(true);
    const rooms = harness.homeserver.nextSync();
    expect(rooms.params).toMatchObject({ since: null, filter: roomsFilter("s1") });
    expect(answer()).toBe("waiting");
    rooms.answer(roomBody("s9", 1));
    await settlePromises();
    expect(answer()).toBe("ok");
    expect(harness.stored[1]).toMatchObject({ since: "s1", rooms: [{ roomId: "!r0:hs" }] });
    expect(harness.homeserver.nextSync().params).toMatchObject({ since: "s1", timeoutMs: 30_000 });
  });

  test("[POL-62] a device alone, or beside one that fails, asks for its rooms and is waited for", async () => {
    const harness = new PollerHarness();
    harness.companions.isWell(USER, OTHER);
    harness.companions.isUnwell(USER, OTHER);
    await harness.login(null);
    await harness.start();
    expect(harness.homeserver.nextSync().params.filter).toBe(FIRST_FILTER);
    expect(limitOf(FIRST_FILTER)).toBe(1);
    expect((await harness.ensure())()).toBe("waiting");
  });

  test("[POL-63] a poller vouches for others from its first stored poll until one fails or it ends", async () => {
    const harness = new PollerHarness();
    await harness.login(null);
    await harness.start();
    const isCovered = (): boolean => harness.companions.cover(USER, OTHER);
    expect(isCovered()).toBe(false);
    harness.homeserver.nextSync().answer({ next_batch: "s1" });
    await settlePromises();
    expect(isCovered()).toBe(true);
    expect(harness.companions.cover(USER, DEVICE)).toBe(false);
    harness.homeserver.nextSync().fail(transientFailure());
    await settlePromises();
    expect(isCovered()).toBe(false);
    await harness.time.advance(10_000);
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await settlePromises();
    expect(isCovered()).toBe(true);
    await harness.drain();
    expect(isCovered()).toBe(false);
  });

  test("[POL-64] the first poll of a device that has synced before but got no token is a whole one", async () => {
    const harness = await secondDevice();
    harness.homeserver.nextSync().answer("null");
    await settlePromises();
    harness.throughs[0]?.stored();
    await settlePromises();
    expect(harness.homeserver.nextSync().params).toMatchObject({ since: null, filter: FIRST_FILTER });
  });
});

describe("PollerActor: tokens", () => {
  test("[POL-46] a token that nobody used is dropped with the answer under way; another one stays in use", async () => {
    const harness = new PollerHarness();
    await harness.login("s1");
    await harness.start();
    const sync = harness.homeserver.nextSync();
    await harness.tell({ type: "token-unused", tokenHash: "hash-of-another" });
    expect(sync.isAborted).toBe(false);
    await harness.tell({ type: "token-unused", tokenHash: "hash-of-token1" });
    expect(sync.isAborted).toBe(true);
    sync.answer({ next_batch: "s2" });
    await settlePromises();
    expect(harness.stored).toEqual([]);
    expect(harness.hasStopped).toBe(true);
    await harness.login("s1", "token2");
    expect((await harness.ensure())()).toBe("ok");
    expect(harness.homeserver.nextSync().params).toMatchObject({ since: "s1", accessToken: "token2" });
  });

  test("[POL-65] companions count each device once and forget it", () => {
    const companions = new Companions();
    companions.isWell(USER, DEVICE);
    companions.isWell(USER, DEVICE);
    expect(companions.cover(USER, DEVICE)).toBe(false);
    expect(companions.cover(USER, OTHER)).toBe(true);
    companions.isUnwell(USER, DEVICE);
    expect(companions.cover(USER, OTHER)).toBe(false);
  });
});
