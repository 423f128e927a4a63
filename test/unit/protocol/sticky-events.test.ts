import { describe, expect, test } from "bun:test";
import {
  compareStickyPlaces,
  isStickyToken,
  readStickyToken,
  STICKY_START,
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

  test("[STE-24] tokens lead back to their places, and places are in order", () => {
    const places = [STICKY_START, { at: 5, pos: 3 }, { at: 5, pos: 5 }, stickyUpTo(5), { at: 6, pos: 1 }];
    expect(places.map((place) => readStickyToken(stickyToken(place)))).toEqual(places);
    expect(places.toSorted(compareStickyPlaces)).toEqual(places);
    expect(places.map(stickyToken).every(isStickyToken)).toBe(true);
    expect(stickyToken(stickyUpTo(7))).toBe("sticky_7");
    expect(readStickyToken("sticky_m7~1.3")).toEqual(STICKY_START);
    for (const token of ["", "7", "sticky_", "sticky_x", "sticky_1.", "sticky_-1", "sticky_1.2.3", " sticky_1"])
      expect(isStickyToken(token)).toBe(false);
  });
});
