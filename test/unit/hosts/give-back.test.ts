import { describe, expect, test } from "bun:test";
import { giveBackAfterWork } from "#src/hosts/give-back.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const LOOK_MS = 5000;

/** A thread whose work the test does. */
function watched() {
  const time = new VirtualTime();
  const thread = { cpu: 100, collections: 0 };
  const ports = { cpuMs: () => thread.cpu, collect: () => void (thread.collections += 1) };
  const stop = giveBackAfterWork(ports, time);
  const work = async (cpuMs: number): Promise<number> => {
    thread.cpu += cpuMs;
    await time.advance(LOOK_MS);
    return thread.collections;
  };
  return { work, stop, time };
}

describe("giveBackAfterWork", () => {
  test("[GIV-1] collects once when a stretch of work is over, not during it and not again", async () => {
    const { work } = watched();
    expect(await work(2000)).toBe(0);
    expect(await work(800)).toBe(0);
    expect(await work(20)).toBe(1);
    expect(await work(0)).toBe(1);
    expect(await work(1000)).toBe(1);
    expect(await work(20)).toBe(2);
  });

  test("[GIV-1] clients that wait are no work, however long they wait", async () => {
    const { work } = watched();
    for (let look = 0; look < 200; look++) expect(await work(90)).toBe(0);
  });

  test("[GIV-1] a thread that ends looks no more", async () => {
    const { stop, time } = watched();
    await time.advance(LOOK_MS);
    stop();
    expect(time.pendingCount).toBe(0);
  });
});
