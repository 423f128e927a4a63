import { describe, expect, test } from "bun:test";
import { FIRST_FILTER, LATER_FILTER } from "#src/homeserver/filters.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { authFailure, transientFailure } from "#test/support/fake-homeserver-port.ts";
import { DEVICE, PollerHarness, USER } from "./harness.ts";

async function running(since: string | null = "s1"): Promise<PollerHarness> {
  const harness = new PollerHarness();
  await harness.login(since);
  await harness.start();
  return harness;
}

const roomBody = (nextBatch: string, rooms: number, fill = 10) => ({
  next_batch: nextBatch,
  rooms: {
    join: Object.fromEntries(
      Array.from({ length: rooms }, (_, i) => [
        `!r${i}:hs`,
        {
          timeline: { events: [{ event_id: `$${i}`, type: "m.x", sender: "@a:hs", content: { x: "x".repeat(fill) } }] },
        },
      ]),
    ),
  },
});

describe("PollerActor: the loop", () => {
  test("[POL-1] resumes from the stored since: first without being held, then as a long poll", async () => {
    const harness = await running("s1");
    const first = harness.homeserver.nextSync();
    expect(first.params).toMatchObject({ since: "s1", timeoutMs: 0, accessToken: "token1", deadlineMs: 1_800_000 });
    first.answer({ next_batch: "s2" });
    await settlePromises();
    const second = harness.homeserver.nextSync();
    expect(second.params).toMatchObject({ since: "s2", timeoutMs: 30_000, deadlineMs: 300_000 });
    expect(harness.homeserver.waitingCount).toBe(0);
    expect(harness.stored.map((batch) => batch.since)).toEqual(["s2"]);
  });

  test("[POL-8] reads its since behind what an earlier life sent to ingest", async () => {
    const harness = new PollerHarness();
    const settled = Promise.withResolvers<unknown>();
    harness.settled = settled.promise;
    await harness.login("s1");
    await harness.start();
    expect(harness.homeserver.waitingCount).toBe(0);
    harness.storedSince = "s2";
    settled.resolve({ ok: true });
    await settlePromises();
    expect(harness.homeserver.nextSync().params.since).toBe("s2");
  });

  test("[POL-7] a deadline shorter than a long poll is stretched", async () => {
    const harness = new PollerHarness();
    harness.config = { ...harness.config, pollDeadlineMs: 5000 };
    await harness.login("s1");
    await harness.start();
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await settlePromises();
    const { timeoutMs, deadlineMs } = harness.homeserver.nextSync().params;
    expect(deadlineMs).toBeGreaterThan(timeoutMs);
  });

  test("[POL-2] does not poll again before the batch is stored and applied", async () => {
    const harness = await running("s1");
    harness.isIngestQuick = false;
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await settlePromises();
    expect(harness.homeserver.waitingCount).toBe(0);
    harness.openAsks.shift()?.resolve();
    await settlePromises();
    expect(harness.homeserver.nextSync().params.since).toBe("s2");
  });

  test("[POL-3] a first sync uses the small filter inline, later polls the uploaded one", async () => {
    const harness = await running(null);
    const first = harness.homeserver.nextSync();
    expect(first.params).toMatchObject({ since: null, filter: FIRST_FILTER });
    first.answer({ next_batch: "s1" });
    await settlePromises();
    // The upload does not hold up the poll that follows.
    const second = harness.homeserver.nextSync();
    expect(second.params.filter).toBe(LATER_FILTER);
    second.answer({ next_batch: "s2" });
    await settlePromises();
    expect(harness.homeserver.nextSync().params.filter).toBe("filter1");
    expect(harness.homeserver.uploadedFilters).toEqual([LATER_FILTER]);
  });

  test("[POL-4] a homeserver that lost its filters gets the filter inline", async () => {
    const harness = await running("s1");
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await settlePromises();
    const named = harness.homeserver.nextSync();
    expect(named.params.filter).toBe("filter1");
    named.fail({ kind: "refused", status: 404, errcode: "M_NOT_FOUND", reason: "status 404" });
    await harness.time.advance(3000);
    expect(harness.homeserver.nextSync().params.filter).toBe(LATER_FILTER);
  });

  test("[POL-5] a body without next_batch starts over without since, held this time", async () => {
    const harness = await running("s1");
    harness.homeserver.nextSync().answer("null");
    await settlePromises();
    expect(harness.stored.at(-1)?.since).toBe("");
    expect(harness.homeserver.nextSync().params).toMatchObject({
      since: null,
      timeoutMs: 30_000,
      filter: FIRST_FILTER,
    });
  });

  test("[POL-6] a homeserver that never holds a poll is not hammered", async () => {
    const harness = await running("s1");
    let polls = 0;
    for (let round = 0; round < 100; round++) {
      while (harness.homeserver.waitingCount > 0) {
        polls++;
        harness.homeserver.nextSync().answer({ next_batch: "s1" });
        await settlePromises();
      }
      await harness.time.advance(100);
    }
    expect(polls).toBeGreaterThan(3);
    expect(polls).toBeLessThan(60);
  });

  test("[POL-56] what differs from the answer before is no spin, though the homeserver gives no since", async () => {
    const harness = await running("s1");
    const startedAt = harness.time.now();
    for (let round = 0; round < 30; round++) {
      harness.homeserver.nextSync().answer({ account_data: { events: [{ type: "m.x", content: { round } }] } });
      await settlePromises();
    }
    expect(harness.homeserver.waitingCount).toBe(1);
    expect(harness.time.now()).toBe(startedAt);
  });

  test("[POL-57] a 200 without a body is asked again soon, and moves nothing", async () => {
    const harness = await running("s1");
    for (let round = 0; round < 3; round++) {
      const poll = harness.homeserver.nextSync();
      expect(poll.params.since).toBe("s1");
      poll.answer("");
      await harness.time.advance(400);
    }
    expect(harness.homeserver.waitingCount).toBe(1);
  });
});

describe("PollerActor: those who wait", () => {
  test("[POL-10] ensure-polling is answered at once when a since is stored", async () => {
    const harness = await running("s1");
    expect((await harness.ensure())()).toBe("ok");
  });

  test("[POL-11] ensure-polling waits for the first sync to be applied", async () => {
    const harness = await running(null);
    harness.isIngestQuick = false;
    const answer = await harness.ensure();
    harness.homeserver.nextSync().answer(roomBody("s1", 1));
    await settlePromises();
    expect(answer()).toBe("waiting");
    harness.openAsks.shift()?.resolve();
    await settlePromises();
    expect(answer()).toBe("ok");
  });

  test("[POL-12] a first sync that keeps failing is told, and goes on trying", async () => {
    const harness = await running(null);
    const answer = await harness.ensure();
    for (let attempt = 0; attempt < 4; attempt++) {
      expect(answer()).toBe("waiting");
      harness.homeserver.nextSync().fail(transientFailure());
      await harness.time.advance(60_000);
    }
    expect(answer()).toBe("homeserver_unreachable");
    harness.homeserver.nextSync().answer({ next_batch: "s1" });
    await settlePromises();
    expect((await harness.ensure())()).toBe("ok");
  });

  test("[POL-13] an unknown device is an unknown token", async () => {
    const harness = new PollerHarness();
    expect((await harness.ensure())()).toBe("unknown_token");
    expect(harness.homeserver.syncs).toHaveLength(0);
    expect(harness.hasStopped).toBe(true);
  });
});

describe("PollerActor: first syncs", () => {
  test("[POL-20] wait for a slot, which later polls do not need", async () => {
    const harness = new PollerHarness();
    const taken = [harness.slots.request(), harness.slots.request()];
    await harness.login(null);
    await harness.start();
    expect(harness.homeserver.waitingCount).toBe(0);
    taken[0]?.release();
    await settlePromises();
    harness.homeserver.nextSync().answer({ next_batch: "s1" });
    await settlePromises();
    expect(harness.homeserver.nextSync().params.since).toBe("s1");
    // Its slot is free again.
    const other = harness.slots.request();
    await other.granted;
    expect(harness.slots.waiting).toBe(0);
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

  test("[POL-53] draining waits for all batches under way, and sends no more", async () => {
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

describe("PollerActor: idle and hurried", () => {
  test("[POL-50] parks without requests, in the middle of a long poll, and resumes on touch", async () => {
    const harness = new PollerHarness();
    harness.config = { ...harness.config, idleMs: 45_000 };
    await harness.login("s1");
    await harness.start();
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await harness.time.advance(30_000);
    harness.homeserver.nextSync().answer({ next_batch: "s3" });
    await settlePromises();
    const last = harness.homeserver.nextSync();
    await harness.time.advance(15_000);
    expect(last.isAborted).toBe(true);
    expect(harness.hasStopped).toBe(true);
    expect(harness.told.at(-1)?.message).toMatchObject({ type: "poller-stopped", userId: USER, deviceId: DEVICE });
    expect(harness.stats.requests).toBe(0);
    expect(harness.time.pendingCount).toBe(0);
    await harness.tell({ type: "touch" });
    // Nothing came with s3, so it was not stored: the homeserver is asked again from s2.
    expect(harness.homeserver.nextSync().params).toMatchObject({ since: "s2", timeoutMs: 0 });
  });

  test("[POL-54] polls that bring nothing are not stored, but for their since every few minutes and new key counts", async () => {
    const harness = await running("s0");
    const answer = async (since: string, keys: object): Promise<void> => {
      await harness.time.advance(30_000);
      harness.homeserver.nextSync().answer({ next_batch: since, device_one_time_keys_count: keys });
      await settlePromises();
    };
    const stored = (): (string | null)[] => harness.stored.map((batch) => batch.since);
    await answer("s1", { a: 1 });
    await answer("s2", { a: 1 });
    await answer("s3", { a: 1 });
    expect(stored()).toEqual(["s1"]);
    await answer("s4", { a: 2 });
    expect(stored()).toEqual(["s1", "s4"]);
    await harness.time.advance(5 * 60_000 - 30_000);
    await answer("s5", { a: 2 });
    expect(stored()).toEqual(["s1", "s4", "s5"]);
    expect(harness.homeserver.nextSync().params.since).toBe("s5");
  });

  test("[POL-51] a touched poller stays awake", async () => {
    const harness = new PollerHarness();
    harness.config = { ...harness.config, idleMs: 20_000 };
    await harness.login("s1");
    await harness.start();
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await harness.time.advance(15_000);
    await harness.tell({ type: "touch" });
    await harness.time.advance(15_000);
    expect(harness.hasStopped).toBe(false);
  });

  test("[POL-52] poll-now cuts a long poll short", async () => {
    const harness = await running("s1");
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await settlePromises();
    const held = harness.homeserver.nextSync();
    await harness.tell({ type: "poll-now" });
    expect(held.isAborted).toBe(true);
    const hurried = harness.homeserver.nextSync();
    expect(hurried.params).toMatchObject({ since: "s2", timeoutMs: 0 });
    hurried.answer({ next_batch: "s3" });
    await settlePromises();
    expect(harness.homeserver.nextSync().params).toMatchObject({ since: "s3", timeoutMs: 30_000 });
    expect(harness.stats.requests).toBe(1);
  });

  test("[POL-53] draining waits for the batch under way and starts nothing new", async () => {
    const harness = await running("s1");
    harness.isIngestQuick = false;
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await settlePromises();
    const isDrained = await harness.drain();
    expect(isDrained()).toBe(false);
    harness.openAsks.shift()?.resolve();
    await settlePromises();
    expect(isDrained()).toBe(true);
    expect(harness.homeserver.waitingCount).toBe(0);
  });

  test("[POL-54] draining aborts a long poll", async () => {
    const harness = await running("s1");
    const sync = harness.homeserver.nextSync();
    expect((await harness.drain())()).toBe(true);
    expect(sync.isAborted).toBe(true);
  });
});
