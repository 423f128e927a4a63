import { describe, expect, test } from "bun:test";
import { Barrier } from "#actors/directory/barrier.ts";

describe("Barrier", () => {
  test("[BAR-1] opens once, when the last one has left", () => {
    let openedCount = 0;
    const barrier = new Barrier(() => {
      openedCount += 1;
    });
    barrier.enter();
    barrier.enter();
    barrier.leave();
    barrier.enter();
    barrier.leave();
    barrier.leave();
    expect(openedCount).toBe(0);
    barrier.leave();
    expect(openedCount).toBe(1);
  });
});
