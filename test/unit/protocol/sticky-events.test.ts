import { describe, expect, test } from "bun:test";
import type { RoomNid } from "#src/protocol/ids.ts";
import {
  compareStickyPlaces,
  isStickyToken,
  NOTHING_TOLD,
  readStickyToken,
  STICKY_START,
  type StickyPlace,
  stickyDuration,
  stickyToken,
  stickyUntil,
  stickyUpTo,
} from "#src/protocol/sticky-events.ts";

const HOUR_MS = 3_600_000;
const NOW = 10 * HOUR_MS;

describe("sticky events", () => {
  test("[STE-22] the time counts from the sending or, where that is ahead, from the arrival, and is an hour at most", () => {
    const until = (durationMs: number, ts: number, ttlMs: number | null = null): number =>
      stickyUntil({ durationMs: stickyDuration(durationMs) ?? 0, ttlMs }, ts, NOW) - NOW;
    expect(until(60_000, NOW)).toBe(60_000);
    expect(until(60_000, NOW - 20_000)).toBe(40_000);
    expect(until(60_000, NOW + 20_000)).toBe(60_000);
    expect(until(99 * HOUR_MS, NOW)).toBe(HOUR_MS);
    expect(until(60_000, NOW - 90_000)).toBe(-30_000);
    // The homeserver says what is left, by its own clock.
    expect(until(60_000, NOW - 90_000, 5000)).toBe(5000);
    expect(until(60_000, NOW, 90_000)).toBe(60_000);
  });

  test.each([[-1], [1.5], [Number.NaN], ["1000"], [null], [undefined], [2 ** 60], [true]])(
    "[STE-23] a duration of %p is none",
    (value) => {
      expect(stickyDuration(value)).toBeNull();
    },
  );

  test("[STE-24] tokens lead back to what they say, and places are in order", () => {
    const places = [STICKY_START, { at: 5, pos: 3 }, { at: 5, pos: 5 }, stickyUpTo(5), { at: 6, pos: 1 }];
    expect(places.toSorted(compareStickyPlaces)).toEqual(places);
    const rooms = (...nids: number[]): ReadonlyMap<RoomNid, StickyPlace> =>
      new Map(nids.map((nid) => [nid as RoomNid, places[nid % places.length] ?? STICKY_START]));
    const tokens = places.flatMap((place) => [
      { ...NOTHING_TOLD, place },
      { place, untold: rooms(1, 22, 1_000_003), unseen: rooms() },
      { place, untold: rooms(), unseen: rooms(3, 40) },
      { place, untold: rooms(7), unseen: rooms(7, 8) },
    ]);
    for (const token of tokens) {
      expect(readStickyToken(stickyToken(token))).toEqual(token);
      expect(isStickyToken(stickyToken(token))).toBe(true);
    }
    expect(stickyToken({ ...NOTHING_TOLD, place: stickyUpTo(7) })).toBe("sticky_7");
    expect(readStickyToken("sticky_m7~1.3")).toEqual(NOTHING_TOLD);
    const malformed = ["", "7", "sticky_", "sticky_x", "sticky_1.", "sticky_-1", "sticky_1.2.3", " sticky_1"];
    malformed.push("sticky_1~", "sticky_1~5", "sticky_1~5.", "sticky_1~5.6.7.8", "sticky_1!5.6~", "sticky_1~A.1");
    for (const token of malformed) expect(isStickyToken(token)).toBe(false);
  });

  test("[STE-34] a token names no more than a thousand rooms of a kind", () => {
    const many = new Map(
      Array.from({ length: 1001 }, (_, nid) => [nid as RoomNid, { at: 2 ** 52, pos: 2 ** 52 + nid }]),
    );
    const token = stickyToken({ ...NOTHING_TOLD, untold: many, unseen: many });
    expect(isStickyToken(token)).toBe(true);
    const { untold, unseen } = readStickyToken(token);
    expect([untold.size, unseen.size]).toEqual([1000, 1000]);
  });
});
