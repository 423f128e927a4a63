import { describe, expect, test } from "bun:test";
import { FIRST_FILTER, LATER_FILTER } from "#src/homeserver/filters.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { transientFailure } from "#test/support/fake-homeserver-port.ts";
import { DEVICE, PollerHarness, USER, roomBody, running } from "./harness.ts";

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

  test("[POL-113] only the poll behind one that was held to its end is held for less", async () => {
    const harness = await running("s1");
    const timeouts: number[] = [];
    for (const [since, heldMs] of [
      ["s2", 0],
      ["s3", 40],
      ["s4", 30_000],
      ["s5", 40],
      ["s6", 0],
    ] as const) {
      const poll = harness.homeserver.nextSync();
      timeouts.push(poll.params.timeoutMs);
      await harness.time.advance(heldMs);
      poll.answer({ next_batch: since });
      await settlePromises();
    }
    const [first, second, third, behindQuiet, last] = timeouts;
    expect([first, second, third, last]).toEqual([0, 30_000, 30_000, 30_000]);
    expect(behindQuiet).toBeGreaterThan(29_480);
    expect(behindQuiet).toBeLessThan(30_000);
  });

  test("[POL-9] says with what a poll brought where the stream stood when the one before it was stored", async () => {
    const harness = await running("s1");
    for (const since of ["s2", "s3"]) {
      harness.homeserver.nextSync().answer(roomBody(since, 1));
      await settlePromises();
    }
    // Nothing of this one is stored: the next one may well be of what came about since the one before it.
    harness.homeserver.nextSync().answer({ next_batch: "s4" });
    await settlePromises();
    harness.homeserver.nextSync().answer(roomBody("s5", 1));
    await settlePromises();
    expect(harness.stored.map(({ since, polledAt }) => [since, polledAt])).toEqual([
      ["s2", undefined],
      ["s3", 1],
      ["s5", 2],
    ]);
    harness.homeserver.nextSync();
    await harness.crash();
    harness.homeserver.nextSync().answer(roomBody("s6", 1));
    await settlePromises();
    expect(harness.stored.at(-1)?.polledAt).toBeUndefined();
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
    named.fail({ kind: "refused", status: 404, errcode: "M_NOT_FOUND", reason: "status 404", body: "" });
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

  test("[POL-92] a user is seen as their connections say, for as long as they say so, and polls do so at once", async () => {
    const harness = await running("s1");
    harness.homeserver.nextSync().answer({ next_batch: "s2" });
    await settlePromises();
    const beSeen = (connection: string, presence: "online" | "unavailable" | "offline") =>
      harness.tell({ type: "be-seen", connection, presence, forMs: 60_000 });
    /** What the poll of now says, once the one that was hurried is through. */
    const seen = async (): Promise<string[]> => {
      const hurried = harness.homeserver.nextSync();
      expect(hurried.params.timeoutMs).toBe(0);
      hurried.answer({ next_batch: "later" });
      await settlePromises();
      const held = harness.homeserver.nextSync();
      expect(held.params.timeoutMs).toBe(30_000);
      return [hurried.params.presence, held.params.presence];
    };
    expect(harness.homeserver.nextSync().params).toMatchObject({ presence: "offline", timeoutMs: 30_000 });
    await beSeen("a", "unavailable");
    expect(await seen()).toEqual(["unavailable", "unavailable"]);
    await beSeen("b", "online");
    expect(await seen()).toEqual(["online", "online"]);
    // Another process of the same device takes nobody away.
    await beSeen("a", "offline");
    expect(harness.homeserver.syncs).toHaveLength(6);
    await beSeen("b", "offline");
    expect(await seen()).toEqual(["offline", "offline"]);
  });

  test("[POL-93] who says nothing more is left alone from the next poll on", async () => {
    const harness = await running("s1");
    await harness.tell({ type: "be-seen", connection: "a", presence: "online", forMs: 40_000 });
    const first = harness.homeserver.nextSync();
    first.answer({ next_batch: "s2" });
    await settlePromises();
    const held = harness.homeserver.nextSync();
    expect(held.params.presence).toBe("online");
    await harness.time.advance(41_000);
    held.answer({ next_batch: "s3" });
    await settlePromises();
    expect(harness.homeserver.nextSync().params).toMatchObject({ presence: "offline", timeoutMs: 30_000 });
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

  test("[POL-91] draining aborts a long poll", async () => {
    const harness = await running("s1");
    const sync = harness.homeserver.nextSync();
    expect((await harness.drain())()).toBe(true);
    expect(sync.isAborted).toBe(true);
  });
});
