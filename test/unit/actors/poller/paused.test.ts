import { describe, expect, test } from "bun:test";
import { settlePromises } from "#test/support/virtual-time.ts";
import { DEVICE, PollerHarness, roomBody, running, USER } from "./harness.ts";

const IDLE_MS = 600_000;

async function pause(harness: PollerHarness, pausedMs: number | null = 1): Promise<void> {
  await harness.stores.devices.setPaused(USER, DEVICE, pausedMs);
  await harness.tell({ type: "pause-changed" });
}

describe("PollerActor: paused", () => {
  test("[POL-111] asks nothing, answers those who wait, and goes on where it was", async () => {
    const harness = await running("s1");
    const poll = harness.homeserver.nextSync();
    await pause(harness);
    expect(poll.isAborted).toBe(true);
    expect((await harness.ensure())()).toBe("ok");
    expect((await harness.through())()).toBe("homeserver_unreachable");
    await harness.tell({ type: "poll-now" });
    await harness.tell({ type: "touch" });
    await harness.time.advance(3_600_000);
    expect(harness.homeserver.waitingCount).toBe(0);
    await pause(harness, null);
    expect(harness.homeserver.nextSync().params.since).toBe("s1");
  });

  test("[POL-111] a first sync that is paused answers who waits for it, and what is not stored comes again", async () => {
    const harness = await running(null);
    const answer = await harness.ensure();
    harness.isIngestQuick = false;
    harness.homeserver.nextSync().answer(roomBody("s1", 30, 100_000));
    await settlePromises();
    expect(answer()).toBe("waiting");
    await pause(harness);
    expect(answer()).toBe("ok");
    expect(harness.slots.waiting).toBe(0);
    await pause(harness, null);
    expect(harness.homeserver.nextSync().params.since).toBeNull();
  });

  test("[POL-112] parks when its device is not used, and is paused when it comes back", async () => {
    const harness = new PollerHarness();
    harness.config = { ...harness.config, idleMs: IDLE_MS };
    await harness.login("s1");
    harness.storedSince = "s1";
    await harness.stores.devices.setPaused(USER, DEVICE, 1);
    await harness.start();
    await harness.time.advance(IDLE_MS - 1);
    await harness.tell({ type: "touch" });
    await harness.time.advance(IDLE_MS - 1);
    expect(harness.hasStopped).toBe(false);
    await harness.time.advance(1);
    expect(harness.hasStopped).toBe(true);
    await harness.start();
    expect((await harness.ensure())()).toBe("ok");
    expect(harness.homeserver.waitingCount).toBe(0);
  });
});
