import { describe, expect, test } from "bun:test";
import type { UserId } from "#src/protocol/ids.ts";
import { AwaitedBoard } from "#actors/directory/awaited-board.ts";
import { PollingDevices } from "#actors/ingest/polling-devices.ts";

const MINUTE_MS = 60_000;

describe("PollingDevices", () => {
  test("[TXN-18] a device is polled until its poller stops, or has been silent for longer than any poller is", () => {
    const polling = new PollingDevices();
    polling.heard("@a:hs", "ONE", 0);
    polling.heard("@a:hs", "TWO", 3 * MINUTE_MS);
    expect([...polling.of("@a:hs", 4 * MINUTE_MS)]).toEqual(["ONE" as never, "TWO" as never]);
    expect([...polling.of("@a:hs", 7 * MINUTE_MS)]).toEqual(["TWO" as never]);
    polling.stopped("@a:hs", "TWO");
    polling.stopped("@nobody:hs", "TWO");
    expect(polling.of("@a:hs", 3 * MINUTE_MS).size).toBe(1);
    expect(polling.of("@nobody:hs", 0).size).toBe(0);
  });

  test("[TXN-19] users whose pollers died with their host are forgotten", () => {
    const polling = new PollingDevices();
    for (let user = 0; user < 1000; user += 1) polling.heard(`@${user}:hs`, "D", 0);
    polling.heard("@late:hs", "D", 10 * MINUTE_MS);
    expect(polling.of("@7:hs", 0).size).toBe(0);
    expect(polling.of("@late:hs", 10 * MINUTE_MS).size).toBe(1);
  });
});

describe("AwaitedBoard", () => {
  const update = (parts: { awaited?: number[]; cleared?: number[]; txns?: number[] }, userId = "@a:hs") => ({
    userId: userId as UserId,
    rooms: [],
    accountData: [],
    toDevice: [],
    deviceChanges: [],
    txns: (parts.txns ?? []).map((n) => ({ deviceId: "D" as never, eventId: `$${n}`, txnId: "t" })),
    awaited: (parts.awaited ?? []).map((pos) => ({ nid: 1 as never, eventId: `$${pos}`, pos })),
    cleared: (parts.cleared ?? []).map((n) => `$${n}`),
    firstSyncDone: [],
  });
  const waiting = (board: AwaitedBoard, nowMs: number, userId = "@a:hs"): number[] =>
    board.of(userId as UserId, nowMs).map(({ pos }) => pos);

  test("[TXN-20] who becomes active is told what waits of their own, for as long as it waits", () => {
    const board = new AwaitedBoard();
    board.note([update({ awaited: [1, 2, 3, 4] }), update({ awaited: [5] }, "@b:hs")], 0);
    board.note([update({ cleared: [2] }), update({ txns: [3] })], 500);
    expect(waiting(board, 500)).toEqual([1, 4]);
    expect(waiting(board, 500, "@b:hs")).toEqual([5]);
    expect(waiting(board, 1000)).toEqual([]);
    board.note([update({ awaited: Array.from({ length: 1200 }, (_, index) => 10 + index) })], 900);
    expect(waiting(board, 900)).toHaveLength(1000);
    board.note([], 5000);
    expect(waiting(board, 0)).toEqual([]);
  });
});
