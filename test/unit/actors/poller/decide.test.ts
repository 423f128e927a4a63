import { expect, test } from "bun:test";
import { retryDelayMs } from "#actors/poller/decide.ts";

const told = (fraction: number): number => retryDelayMs("transient", 1, 60_000, { next: () => fraction });

test("[POL-36] devices that are all told the same Retry-After come back one after the other, none before it", () => {
  expect([0, 0.25, 0.5, 1].map(told)).toEqual([60_000, 60_500, 61_000, 62_000]);
  // Where the own delay is longer than what was asked for, it holds.
  expect(retryDelayMs("transient", 20, 1000, { next: () => 0.5 })).toBe(30_000);
});
