import { describe, expect, test } from "bun:test";
import type { EventId } from "#src/protocol/ids.ts";
import { EventLog } from "#actors/ingest/event-log.ts";
import { GenerationalCache } from "#actors/ingest/generational-cache.ts";
import { startStep } from "#actors/ingest/ingest-tracing.ts";
import { pollBatch, bytesOf } from "#test/support/polls.ts";
import { quarantined, splitBatch } from "#actors/ingest/work.ts";

const id = (n: number): EventId => `$${n}` as EventId;

describe("memory", () => {
  test("[ING-26] a cache never holds more than its limit, and keeps what is used", () => {
    const cache = new GenerationalCache<number, number>(10);
    for (let n = 0; n < 100; n++) {
      cache.set(n, n);
      expect(cache.get(0)).toBe(0);
      expect(cache.size).toBeLessThanOrEqual(11);
    }
    expect(cache.get(50)).toBeUndefined();
    cache.delete(0);
    expect(cache.get(0)).toBeUndefined();
  });

  test("[ING-27] the event log holds every event above its floor", () => {
    const log = new EventLog(10, 100);
    expect(log.floor).toBe(100);
    for (let n = 101; n <= 200; n++) {
      log.add(id(n), n);
      for (let pos = log.floor + 1; pos <= n; pos++) expect(log.has(id(pos))).toBe(true);
    }
    expect(log.has(id(101))).toBe(false);
    expect(log.floor).toBeGreaterThan(180);
    const { floor } = log;
    for (let n = 0; n < 4; n++) log.remember(id(n));
    expect(log.floor).toBeGreaterThanOrEqual(floor);
  });
});

describe("parts of a batch", () => {
  test("[ING-28] cutting to the end loses nothing, keeps order, and ends with the token", () => {
    const message = (n: number) => ({ type: "m.test", sender: "@x:hs", json: bytesOf(n) });
    const batch = pollBatch("@a:hs", {
      since: "s1",
      toDevice: [1, 2, 3].map(message),
      accountData: [{ type: "m.direct", json: bytesOf({}) }],
      deviceListsLeft: ["@y:hs"],
      otkCounts: "{}",
      rejected: [{ roomId: null, section: "rooms", reason: "test", sample: "" }],
      rooms: ["!1", "!2", "!3"].map((roomId) => ({ kind: "invite", roomId: roomId as never, stripped: bytesOf([]) })),
    });
    const open = [batch];
    const parts = [];
    for (let part = open.shift(); part !== undefined; part = open.shift()) {
      const cut = splitBatch(part);
      if (cut === null) parts.push(part);
      else open.unshift(...cut);
    }
    expect(parts.flatMap(({ rooms }) => rooms.map(({ roomId }) => roomId as string))).toEqual(["!1", "!2", "!3"]);
    expect(parts.flatMap(({ toDevice }) => toDevice)).toEqual(batch.toDevice);
    expect(parts.flatMap(({ accountData }) => accountData)).toEqual(batch.accountData);
    expect(parts.flatMap(({ deviceListsLeft }) => deviceListsLeft)).toEqual(["@y:hs"]);
    expect(parts.filter(({ otkCounts }) => otkCounts !== null)).toHaveLength(1);
    expect(parts.map(({ since }) => since).filter((since) => since !== null)).toEqual(["s1"]);
    expect(parts.at(-1)?.since).toBe("s1");
  });

  test("[ING-29] what is kept of a given up part is bounded and has no NUL in its identifiers", () => {
    const room = { kind: "invite", roomId: "!\0" as never, stripped: new Uint8Array(5000) } as const;
    const record = quarantined(pollBatch("@a:hs", { since: null, rooms: [room] }), "test");
    expect(record?.rejected[0]).toMatchObject({ roomId: "!\uFFFD", section: "invite", reason: "test" });
    expect(atob(record?.rejected[0]?.sample ?? "")).toHaveLength(2048);
    expect(quarantined(pollBatch("@a:hs"), "test")).toBeNull();
  });
});

test("[ING-30] a group of which no poll is recorded has no span", () => {
  expect(startStep("ingest.commit", [null, "00-garbage-01"], {})).toBeNull();
  expect(startStep("ingest.commit", [null, `00-${"a".repeat(32)}-${"b".repeat(16)}-01`], {})).not.toBeNull();
});
