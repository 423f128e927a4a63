import { expect, test } from "bun:test";
import { isFullyHeld, longPollMs, retryDelayMs } from "#actors/poller/decide.ts";

const told = (fraction: number): number => retryDelayMs("transient", 1, 60_000, { next: () => fraction });

test("[POL-36] devices that are all told the same Retry-After come back one after the other, none before it", () => {
  expect([0, 0.25, 0.5, 1].map(told)).toEqual([60_000, 60_500, 61_000, 62_000]);
  // Where the own delay is longer than what was asked for, it holds.
  expect(retryDelayMs("transient", 20, 1000, { next: () => 0.5 })).toBe(30_000);
});

test("[POL-113] polls of quiet devices end together, each half a second early at most; all others are held for 30 s", () => {
  const starts = Array.from({ length: 400 }, (_, index) => 1_000_000 + index * 5.3);
  expect(new Set(starts.map((startMs) => longPollMs(startMs, false)))).toEqual(new Set([30_000]));
  const ends = starts.map((startMs) => startMs + longPollMs(startMs, true));
  for (const [index, endMs] of ends.entries()) {
    expect(endMs - starts[index]!).toBeGreaterThan(29_480);
    expect(endMs - starts[index]!).toBeLessThanOrEqual(30_000);
  }
  // Two seconds of starts: five ends, to the millisecond.
  expect(new Set(ends.map((endMs) => Math.floor(endMs))).size).toBeLessThanOrEqual(6);
  // What is sent when they ended, a little late, ends together again.
  const again = ends.map((endMs, index) => endMs + (index % 7) + longPollMs(endMs + (index % 7), true));
  expect(new Set(again.map((endMs) => Math.floor(endMs))).size).toBeLessThanOrEqual(6);
  expect([isFullyHeld(30_000, 30_002), isFullyHeld(30_000, 29_000), isFullyHeld(0, 3)]).toEqual([true, false, false]);
});
