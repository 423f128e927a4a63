import type { UserId } from "#src/protocol/ids.ts";
import { describe, expect, test } from "bun:test";
import { settlePromises } from "#test/support/virtual-time.ts";
import { transientFailure } from "#test/support/fake-homeserver-port.ts";
import { PollerHarness, roomBody, running } from "./harness.ts";

describe("PollerActor: first syncs", () => {
  test("[POL-20] wait for a slot, which later polls do not need", async () => {
    const harness = new PollerHarness();
    const taken = [harness.slots.request("@other1:hs" as UserId), harness.slots.request("@other2:hs" as UserId)];
    await harness.login(null);
    await harness.start();
    expect(harness.homeserver.waitingCount).toBe(0);
    taken[0]?.release();
    await settlePromises();
    harness.homeserver.nextSync().answer({ next_batch: "s1" });
    await settlePromises();
    expect(harness.homeserver.nextSync().params.since).toBe("s1");
    // Its slot is free again.
    const other = harness.slots.request("@other3:hs" as UserId);
    await other.granted;
    expect(harness.slots.waiting).toBe(0);
  });

  test("[POL-110] one user has one at a time, and holds up nobody else meanwhile", async () => {
    const { slots } = new PollerHarness();
    const granted: string[] = [];
    const request = (name: string, user: string) => {
      const slot = slots.request(user as UserId);
      void slot.granted.then(() => granted.push(name));
      return slot;
    };
    const first = request("first of a", "@a:hs");
    const second = request("second of a", "@a:hs");
    const third = request("third of a", "@a:hs");
    request("first of b", "@b:hs");
    await settlePromises();
    expect(granted).toEqual(["first of a", "first of b"]);
    second.release();
    first.release();
    await settlePromises();
    expect(granted).toEqual(["first of a", "first of b", "third of a"]);
    third.release();
    expect(slots.waiting).toBe(0);
  });

  test("[POL-21] are cut into batches of whole rooms, the last of which carries since", async () => {
    const harness = await running(null);
    harness.homeserver.nextSync().answer(roomBody("s1", 30, 100_000));
    await settlePromises();
    expect(harness.stored.length).toBeGreaterThan(2);
    expect(harness.stored.map((batch) => batch.since)).toEqual([
      ...Array.from({ length: harness.stored.length - 1 }, () => null),
      "s1",
    ]);
    expect(harness.stored.flatMap((batch) => batch.rooms).map((room) => room.roomId)).toHaveLength(30);
    expect(new Set(harness.stored.flatMap((batch) => batch.rooms).map((room) => room.roomId)).size).toBe(30);
  });

  test("[POL-23] a few batches are under way at once, but the last alone", async () => {
    const harness = await running(null);
    harness.isIngestQuick = false;
    harness.homeserver.nextSync().answer(roomBody("s1", 50, 100_000));
    await settlePromises();
    let answered = 0;
    for (let open = harness.openAsks.length; open > 0; open = harness.openAsks.length) {
      expect(open).toBeLessThanOrEqual(3);
      if (answered === 0) expect(open).toBe(3);
      const isLast = harness.openAsks.some(({ batch }) => batch.since !== null);
      if (isLast) expect(open).toBe(1);
      harness.openAsks.shift()?.resolve();
      answered += 1;
      await settlePromises();
    }
    expect(answered).toBe(5);
    expect(harness.stored.map(({ since }) => since)).toEqual([null, null, null, null, "s1"]);
    expect(new Set(harness.stored.flatMap(({ rooms }) => rooms).map(({ roomId }) => roomId)).size).toBe(50);
    expect(harness.homeserver.nextSync().params.since).toBe("s1");
  });

  test("[POL-55] poll-through is answered behind a poll begun after it, however the one under way ends", async () => {
    const harness = await running("s1");
    const first = harness.homeserver.nextSync();
    const answer = await harness.through();
    first.answer({ next_batch: "s2" });
    await settlePromises();
    expect(answer()).toBe("waiting");
    const second = harness.homeserver.nextSync();
    expect(second.params).toMatchObject({ since: "s2", timeoutMs: 0 });
    second.answer({ next_batch: "s3" });
    await settlePromises();
    expect(answer()).toBe("ok");
    const long = harness.homeserver.nextSync();
    const again = await harness.through();
    expect(long.isAborted).toBe(true);
    const hurried = harness.homeserver.nextSync();
    expect(hurried.params).toMatchObject({ since: "s3", timeoutMs: 0 });
    for (let attempt = 0; attempt < 4; attempt++) {
      (attempt === 0 ? hurried : harness.homeserver.nextSync()).fail(transientFailure());
      await harness.time.advance(60_000);
    }
    expect(again()).toBe("homeserver_unreachable");
  });

  test("[FWD-51] early polls, however many, lose nothing of what the homeserver says and take nothing twice", async () => {
    const harness = await running("s1");
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await settlePromises();
    // While it waits, while it asks, and while its answer is stored.
    const held = harness.homeserver.nextSync();
    for (let times = 0; times < 3; times++) await harness.tell({ type: "poll-now" });
    expect(held.isAborted).toBe(true);
    held.answer({ next_batch: "never" });
    await settlePromises();
    harness.isIngestQuick = false;
    const hurried = harness.homeserver.nextSync();
    hurried.answer({ next_batch: "s3", account_data: { events: [{ type: "m.x", content: {} }] } });
    await settlePromises();
    await harness.tell({ type: "poll-now" });
    expect(harness.homeserver.waitingCount).toBe(0);
    harness.openAsks.shift()?.resolve();
    await settlePromises();
    expect(harness.homeserver.nextSync().params).toMatchObject({ since: "s3", timeoutMs: 0 });
    expect(harness.stored.map(({ since }) => since)).toEqual(["s2", "s3"]);
  });

  test("[FWD-52] an early poll does not keep a device's poller from being parked", async () => {
    const harness = new PollerHarness();
    harness.config = { ...harness.config, idleMs: 60_000 };
    await harness.login("s1");
    await harness.start();
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await harness.time.advance(50_000);
    harness.homeserver.nextSync();
    await harness.tell({ type: "poll-now" });
    harness.homeserver.nextSync().answer({ next_batch: "s3" });
    await harness.time.advance(10_000);
    expect(harness.hasStopped).toBe(true);
  });

  test("[POL-90] draining waits for all batches under way, and sends no more", async () => {
    const harness = await running(null);
    harness.isIngestQuick = false;
    harness.homeserver.nextSync().answer(roomBody("s1", 50, 100_000));
    await settlePromises();
    const isDrained = await harness.drain();
    for (let left = 3; left > 0; left -= 1) {
      expect(harness.openAsks).toHaveLength(left);
      expect(isDrained()).toBe(false);
      harness.openAsks.shift()?.resolve();
      await settlePromises();
    }
    expect(isDrained()).toBe(true);
    expect(harness.stored.map(({ since }) => since)).toEqual([null, null, null]);
  });

  test("[POL-22] a crash in the middle starts over without since", async () => {
    const harness = await running(null);
    harness.isIngestQuick = false;
    harness.homeserver.nextSync().answer(roomBody("s1", 30, 100_000));
    await settlePromises();
    harness.openAsks.shift()?.resolve();
    await settlePromises();
    await harness.crash();
    expect(harness.homeserver.nextSync().params).toMatchObject({ since: null, timeoutMs: 0 });
    expect(harness.stats.pollers).toBe(1);
    expect(harness.stats.requests).toBe(1);
  });
});
