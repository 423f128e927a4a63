import { describe, expect, test } from "bun:test";
import { settlePromises } from "#test/support/virtual-time.ts";
import { authFailure, transientFailure } from "#test/support/fake-homeserver-port.ts";
import { DEVICE, PollerHarness, USER, roomBody, running } from "./harness.ts";

describe("PollerActor: failures", () => {
  test("[POL-30] backs off longer and longer, never moving since", async () => {
    const harness = await running("s1");
    const delays: number[] = [];
    for (let attempt = 0; attempt < 8; attempt++) {
      const sync = harness.homeserver.nextSync();
      expect(sync.params.since).toBe("s1");
      sync.fail(transientFailure());
      await settlePromises();
      const failedAt = harness.time.now();
      while (harness.homeserver.waitingCount === 0) await harness.time.advance(100);
      delays.push(harness.time.now() - failedAt);
    }
    expect(delays).toEqual([2000, 2000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  });

  test("[POL-31] honours Retry-After", async () => {
    const harness = await running("s1");
    harness.homeserver.nextSync().fail(transientFailure(60_000));
    await harness.time.advance(59_999);
    expect(harness.homeserver.waitingCount).toBe(0);
    await harness.time.advance(3000);
    expect(harness.homeserver.waitingCount).toBe(1);
  });

  test("[POL-32] half a body is asked for again, although its next_batch could be read", async () => {
    const harness = await running("s1");
    harness.homeserver.nextSync().answer('{"next_batch":"s2","rooms":{"join":{"!a:hs":{"timeline":{"events":[');
    await harness.time.advance(10_000);
    expect(harness.stored).toHaveLength(0);
    expect(harness.homeserver.nextSync().params.since).toBe("s1");
    expect(harness.metrics.of("sliding_sync_poller_failed_polls_total", { cause: "unreadable" })).toBe(1);
  });

  test("[POL-33] garbage inside a whole body is skipped and since moves on", async () => {
    const harness = await running("s1");
    const good = JSON.stringify(roomBody("s2", 1));
    harness.homeserver
      .nextSync()
      .answer(good.replace('"join":{', '"join":{"!bad:hs":{"timeline":{"events":[{"x":tru}]}},'));
    await settlePromises();
    const [batch] = harness.stored;
    expect(batch?.since).toBe("s2");
    expect(batch?.rooms.map((room) => room.roomId as string).sort()).toEqual(["!bad:hs", "!r0:hs"]);
    expect(batch?.rejected).toMatchObject([{ roomId: "!bad:hs", section: "join.timeline", reason: "malformed json" }]);
    expect(harness.metrics.of("sliding_sync_poller_rejected_total")).toBe(1);
  });

  test("[POL-34] sends the very same batches again when storage is away", async () => {
    const harness = await running(null);
    harness.isIngestQuick = false;
    const answer = await harness.ensure();
    harness.homeserver.nextSync().answer(roomBody("s1", 30, 100_000));
    await settlePromises();
    const sent: string[][] = [];
    for (let attempt = 0; attempt < 4; attempt++) {
      // Those behind it are given up with it.
      const [ask] = harness.openAsks.splice(0);
      sent.push(ask?.batch.rooms.map((room) => room.roomId) ?? []);
      ask?.reject("storage_unavailable");
      await harness.time.advance(20_000);
    }
    expect(new Set(sent.map((rooms) => rooms.join(" "))).size).toBe(1);
    expect(sent[0]?.length).toBeGreaterThan(1);
    expect(answer()).toBe("storage_unavailable");
    harness.isIngestQuick = true;
    for (const ask of harness.openAsks) ask.resolve();
    await settlePromises();
    expect(harness.stored.flatMap((batch) => batch.rooms)).toHaveLength(30);
    expect(harness.homeserver.nextSync().params.since).toBe("s1");
  });

  test("[POL-35] waits for storage when its device cannot be loaded", async () => {
    const harness = new PollerHarness();
    await harness.login("s1");
    harness.stores.db.isDown = true;
    await harness.start();
    await harness.time.advance(3000);
    expect(harness.homeserver.waitingCount).toBe(0);
    harness.stores.db.isDown = false;
    await harness.time.advance(10_000);
    expect(harness.homeserver.nextSync().params.since).toBe("s1");
  });
});

describe("PollerActor: tokens", () => {
  test("[POL-40] a refused token is forgotten, told, and ends polling", async () => {
    const harness = await running(null);
    const answer = await harness.ensure();
    harness.homeserver.nextSync().fail(authFailure());
    await settlePromises();
    expect(answer()).toBe("unknown_token");
    expect(harness.stores.db.tokens.size).toBe(0);
    expect(harness.told[0]).toMatchObject({
      to: { kind: "gateway" },
      message: { type: "token-expired", tokenHash: "hash-of-token1", userId: USER, deviceId: DEVICE },
    });
    expect(harness.hasStopped).toBe(true);
    expect(harness.stats.pollers).toBe(0);
    expect(JSON.stringify(harness.log.lines)).not.toContain('"token1"');
  });

  test("[POL-41] soft logout is told as such", async () => {
    const harness = await running(null);
    const answer = await harness.ensure();
    harness.homeserver.nextSync().fail(authFailure(true));
    await settlePromises();
    expect(answer()).toBe("soft_logout");
  });

  test("[POL-42] a rotated token resumes the same device from its stored since", async () => {
    const harness = await running("s1");
    harness.homeserver.nextSync().fail(authFailure());
    await settlePromises();
    await harness.login("s1", "token2");
    await harness.tell({ type: "token-changed" });
    expect(harness.homeserver.nextSync().params).toMatchObject({ since: "s1", accessToken: "token2" });
  });

  test("[POL-43] a newer token that is already stored is used at once after a 401", async () => {
    const harness = await running("s1");
    const first = harness.homeserver.nextSync();
    await harness.login("s1", "token2");
    first.fail(authFailure());
    await settlePromises();
    expect(harness.homeserver.nextSync().params.accessToken).toBe("token2");
    expect([...harness.stores.db.tokens.keys()]).toEqual(["hash-of-token2"]);
  });

  test("[POL-44] a newer token is used from the next poll on", async () => {
    const harness = await running("s1");
    const first = harness.homeserver.nextSync();
    await harness.login("s1", "token2");
    await harness.tell({ type: "token-changed" });
    expect(first.isAborted).toBe(false);
    first.answer({ next_batch: "s2" });
    await settlePromises();
    expect(harness.homeserver.nextSync().params.accessToken).toBe("token2");
  });

  test("[POL-45] a refused token stays dead when storage is away at that moment", async () => {
    const harness = await running("s1");
    const sync = harness.homeserver.nextSync();
    harness.stores.db.isDown = true;
    sync.fail(authFailure());
    await harness.time.advance(2000);
    harness.stores.db.isDown = false;
    await harness.time.advance(30_000);
    expect(harness.stores.db.tokens.size).toBe(0);
    expect(harness.homeserver.waitingCount).toBe(0);
    expect(harness.hasStopped).toBe(true);
  });
});
